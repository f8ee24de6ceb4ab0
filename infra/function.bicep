// The app: an identity, a storage account and settings come in, a function app on Flex Consumption goes out.

import { cloud } from 'cloud.bicep'
import { containers } from 'layout.bicep'

param planName string
param name string
param location string
param tags { *: string }
param identityName string
param insightsName string
param storageName string
param vaultName string
@description('Empty: no virtual network.')
param subnetId string
param instanceMemoryMB int
param maximumInstanceCount int
param httpConcurrency int
@description('How many instances always wait, by `http` or `function:NAME`.')
param alwaysReady { *: int }
param zoneRedundant bool
@description('What the gateway is told besides where its storage is.')
param settings { *: string }
@description('App setting: name of the secret in the vault.')
param vaultSettings { *: string }

// A body of 10 MiB costs the host about 120 MB for as long as it is under way: docs/functions-host.md has the sums.
var requestsThatFit = { '512': 2, '2048': 8, '4096': 16 }
// An eighth of the memory, and no more than the gateway's own default.
var budgets = { '512': '64', '2048': '256', '4096': '256' }
var requestsAtOnce = min(httpConcurrency, requestsThatFit[string(instanceMemoryMB)])

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = { name: identityName }
resource insights 'Microsoft.Insights/components@2020-02-02' existing = { name: insightsName }
resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = { name: vaultName }

var suffix = environment().suffixes.storage
var references = mapValues(
  vaultSettings,
  secret => '@Microsoft.KeyVault(SecretUri=${vault.properties.vaultUri}secrets/${secret})'
)

resource plan 'Microsoft.Web/serverfarms@2024-11-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: { reserved: true, zoneRedundant: zoneRedundant }
}

resource site 'Microsoft.Web/sites@2024-11-01' = {
  name: name
  location: location
  tags: { ...tags, 'azd-service-name': 'api' }
  kind: 'functionapp,linux'
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${identity.id}': {} } }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: identity.id
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: 'https://${storageName}.blob.${suffix}/${containers.package}'
          authentication: { type: 'UserAssignedIdentity', userAssignedIdentityResourceId: identity.id }
        }
      }
      runtime: { name: 'python', version: '3.13' }
      scaleAndConcurrency: {
        alwaysReady: map(items(alwaysReady), group => { name: group.key, instanceCount: group.value })
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
        // Without it Python gets 1, and a storm of requests one instance each.
        triggers: { http: { perInstanceConcurrency: requestsAtOnce } }
      }
    }
    siteConfig: { minTlsVersion: '1.2', http20Enabled: true }
  }

  // No list of settings inside the site: this resource is the whole list, and a second one would fight with it.
  resource appSettings 'config' = {
    name: 'appsettings'
    properties: {
      ...references
      ...settings
      APPLICATIONINSIGHTS_CONNECTION_STRING: insights.properties.ConnectionString
      APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identity.properties.clientId};Authorization=AAD'
      AZURE_AUTHORITY_HOST: environment().authentication.loginEndpoint
      AZURE_CLIENT_ID: identity.properties.clientId
      AZURE_TENANT_ID: subscription().tenantId
      // host.json's extensions.http.maxConcurrentRequests: what is above waits in the host before its body is read.
      AzureFunctionsJobHost__extensions__http__maxConcurrentRequests: string(requestsAtOnce)
      // The addresses below say it all; but with them alone a host's start has failed (azure-functions-host issue 11787).
      AzureWebJobsStorage__accountName: storageName
      AzureWebJobsStorage__blobServiceUri: 'https://${storageName}.blob.${suffix}'
      AzureWebJobsStorage__queueServiceUri: 'https://${storageName}.queue.${suffix}'
      AzureWebJobsStorage__tableServiceUri: 'https://${storageName}.table.${suffix}'
      AzureWebJobsStorage__credential: 'managedidentity'
      AzureWebJobsStorage__clientId: identity.properties.clientId
      // 12 MiB, a little above the gateway's own 10 MiB. The host's own limit is 100 MiB, and it reads all of them.
      FUNCTIONS_REQUEST_BODY_SIZE_LIMIT: string(12 * 1024 * 1024)
      GATEWAY_MEMORY_BUDGET: budgets[string(instanceMemoryMB)]
      GRAPH_ENDPOINT: cloud(environment().name).graph
    }
  }

  // Deployment goes by Entra identity only.
  resource scm 'basicPublishingCredentialsPolicies' = { name: 'scm', properties: { allow: false } }
  resource ftp 'basicPublishingCredentialsPolicies' = { name: 'ftp', properties: { allow: false } }
}

// No diagnostic settings: the app's lines are in Application Insights, and FunctionAppLogs would bill each of them twice.
output name string = site.name
output uri string = 'https://${site.properties.defaultHostName}'
