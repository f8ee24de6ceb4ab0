// Storage: a name comes in; an account without keys with every queue, table and container the gateway uses goes out.

import { containers, queues, table } from 'layout.bicep'

param name string
param location string
param tags { *: string }
param sku string
param isPrivate bool
param isLocked bool
param workspaceId string

resource account 'Microsoft.Storage/storageAccounts@2025-01-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: sku }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    encryption: { keySource: 'Microsoft.Storage', requireInfrastructureEncryption: true }
    publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'
    networkAcls: {
      defaultAction: isPrivate ? 'Deny' : 'Allow'
      // Event Grid has no private way in. It comes as a trusted service with its own system-assigned identity, and that
      // exception holds with public access disabled too.
      bypass: 'AzureServices'
    }
  }
}

// Blobs come back for seven days; the table, which is the ledger, does not.
resource lock 'Microsoft.Authorization/locks@2020-05-01' = if (isLocked) {
  scope: account
  name: 'ledger'
  properties: { level: 'CanNotDelete', notes: 'The gateway\'s ledger is in it, which nothing else has.' }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-01-01' = {
  parent: account
  name: 'default'
  properties: {
    deleteRetentionPolicy: { enabled: true, days: 7 }
    containerDeleteRetentionPolicy: { enabled: true, days: 7 }
  }

  resource container 'containers' = [
    for name in items(containers): { name: name.value, properties: { publicAccess: 'None' } }
  ]
}

resource queueService 'Microsoft.Storage/storageAccounts/queueServices@2025-01-01' = {
  parent: account
  name: 'default'

  // Each has its poison queue from the start, so that an alert can count it before anything went wrong.
  resource queue 'queues' = [for name in queues: { name: name }]
  resource poison 'queues' = [for name in queues: { name: '${name}-poison' }]
}

resource tableService 'Microsoft.Storage/storageAccounts/tableServices@2025-01-01' = {
  parent: account
  name: 'default'

  resource gateway 'tables' = { name: table }
}

// The gateway deletes contents itself when `retention` says so. This is for what it can no longer see: the ledger keeps
// rows for 90 days unless told otherwise, and after 180 nobody knows a blob's name any more.
resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2025-01-01' = {
  parent: account
  name: 'default'
  properties: {
    policy: {
      rules: [
        {
          name: 'forgotten-contents'
          type: 'Lifecycle'
          definition: {
            filters: { blobTypes: ['blockBlob'], prefixMatch: ['${containers.payloads}/', '${containers.captured}/'] }
            actions: { baseBlob: { delete: { daysAfterModificationGreaterThan: 180 } } }
          }
        }
      ]
    }
  }
  dependsOn: [blobs]
}

// What was deleted. Figures are there for 93 days without a copy in the workspace; the host writes its locks every few
// seconds and asks queues and table as often, and each such line would be paid for.
resource blobLog 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: blobs
  name: 'audit'
  properties: { workspaceId: workspaceId, logs: [{ category: 'StorageDelete', enabled: true }] }
}

output name string = account.name
