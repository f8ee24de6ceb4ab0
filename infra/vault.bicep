// The vault: a name comes in, a Key Vault that knows roles instead of access policies goes out. The secrets in it are put
// there by people: a template that holds a secret would show it in the deployment's history.

param name string
param location string
param tags { *: string }
param isPrivate bool
param purgeProtection bool
param workspaceId string

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: subscription().tenantId
    sku: { family: 'A', name: 'standard' }
    enableRbacAuthorization: true
    enableSoftDelete: true
    // Once true it can never be false again, and Azure refuses the word; null leaves it as it is.
    enablePurgeProtection: purgeProtection ? true : null
    softDeleteRetentionInDays: 7
    publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'
    networkAcls: { defaultAction: isPrivate ? 'Deny' : 'Allow', bypass: 'None' }
  }
}

resource log 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: vault
  name: 'audit'
  properties: {
    workspaceId: workspaceId
    logs: [{ category: 'AuditEvent', enabled: true }]
  }
}

output name string = vault.name
