// The whole gateway in Azure: an environment's name and a few answers come in, a resource group with a secured, observed
// function app goes out. `azd up` deploys it, or:
//   az deployment sub create --location REGION --template-file infra/main.bicep --parameters environmentName=NAME location=REGION dataLocation=Europe alertEmail=ops@contoso.com

targetScope = 'subscription'

import { groupName, namesOf, tokenOf } from 'names.bicep'
import { cloud } from 'cloud.bicep'
import { senderUsername } from 'communication.bicep'
import { hasZones } from 'regions.bicep'

// ------------------------------------------------------------------------------------------------ the three questions

@minLength(1)
@maxLength(64)
@description('What this environment is called, such as `prod`. The resource group is named after it.')
param environmentName string

@minLength(1)
@metadata({ azd: { type: 'location' } })
@description('The region. It must offer Flex Consumption: `az functionapp list-flexconsumption-locations`.')
param location string

@allowed([
  'Africa'
  'Asia Pacific'
  'Australia'
  'Brazil'
  'Canada'
  'Europe'
  'France'
  'Germany'
  'India'
  'Japan'
  'Korea'
  'Norway'
  'Switzerland'
  'UAE'
  'UK'
  'United States'
  'usgov'
])
@description('Where Azure Communication Services keeps its data at rest. It cannot be changed later.')
param dataLocation string

@description('Who is mailed by the alerts: an address that does not depend on this gateway. Empty: alerts are only seen in the portal.')
param alertEmail string

// ------------------------------------------------------------------------------------------------------------- mail

@minLength(1)
@description('The domain that mail comes from: `azure` for one of Azure\'s own (works at once, 5 mails a minute and 10 an hour), a name such as notify.contoso.com, or `none` when all mail goes through Microsoft Graph.')
param emailDomain string = 'azure'

@description('Whether all DNS records of your own domain are set and verified. Deploy with `false` first, set the records that EMAIL_DNS_RECORDS names, run scripts/verify-domain.ps1, then deploy with `true`: only then is the domain linked.')
param emailDomainVerified bool = false

@description('Names in front of the @ beside DoNotReply, which every domain has. Azure refuses them until your quota was raised.')
param senderUsernames senderUsername[] = []

// -------------------------------------------------------------------------------------------------------------- app

@allowed(['production', 'staging'])
@description('What GATEWAY_ENVIRONMENT says. Outside production every sender captures its mail unless it says `live: true`.')
param gatewayEnvironment string = 'production'

@description('The configuration file inside the package.')
param gatewayConfig string = 'gateway.yaml'

@description('More app settings, such as the hashes of keys: what gateway.yaml asks for as `\${env:NAME}`.')
param settings { *: string } = {}

@description('App settings that come from the vault, by the secret\'s name there: {"CAPTCHA_SECRET": "captcha-secret"}. Put the secrets there with `az keyvault secret set`.')
param vaultSettings { *: string } = {}

@allowed([512, 2048, 4096])
@description('Memory of one instance in MB. What fits into each size is in docs/functions-host.md, "What fits into an instance": 512 is for small mail only.')
param instanceMemoryMB int = 2048

@minValue(1)
@maxValue(1000)
@description('The most instances, for each function that scales by itself; Azure may refuse fewer than 40, and HTTP may go beyond it for a moment. Providers allow few mails a minute, so more instances rarely send more.')
param maximumInstanceCount int = 40

@minValue(1)
@maxValue(1000)
@description('HTTP requests that one instance takes at once, at most: never more than 2 with 512 MB, 8 with 2048 MB, 16 with 4096 MB, so that large bodies fit. Azure\'s own default for Python is 1; this app is asynchronous.')
param httpConcurrency int = 16

@description('Instances that always wait, by what they wait for: `{ http: 1, \'function:outbox_high\': 1 }`. Each queue\'s function starts on instances of its own, so `http` is for senders that give up after a second, and does nothing for the mail. They are paid for while they wait. None: the first request, or the first mail, after a pause takes some seconds.')
param alwaysReady { *: int } = {}

@description('Whether the app\'s instances are spread over the region\'s zones. It needs a region with zones and at least two always ready instances of each kind.')
param zoneRedundant bool = false

// ---------------------------------------------------------------------------------------------------------- storage

@allowed(['automatic', 'Standard_LRS', 'Standard_ZRS', 'Standard_GRS', 'Standard_GZRS'])
@description('How often storage keeps everything. `automatic`: Standard_ZRS, which survives the loss of a zone, and Standard_LRS in the regions that are known to have no zones. An account cannot simply be changed from one to the other later: Azure converts it on request.')
param storageSku string = 'automatic'

@description('Whether the storage account is locked against deletion, with the ledger in it: a table cannot be brought back. Whoever deploys then needs Microsoft.Authorization/locks/write, as Owner has, and `azd down` works only when the lock was taken off.')
param storageLock bool = false

@description('Whether nobody, you included, can remove a deleted vault for good within 7 days. An environment of the same name and region cannot be made again in that time; take `false` where you make and delete environments often.')
param vaultPurgeProtection bool = true

// ---------------------------------------------------------------------------------------------------------- network

@allowed(['public', 'private'])
@description('`private`: storage and vault are reached through private endpoints only. The gateway\'s own door stays public in both.')
param network string = 'public'

@description('`private`: the address range of the virtual network, /23 or larger.')
param networkPrefix string = '10.70.0.0/23'

// ------------------------------------------------------------------------------------------------------- monitoring

@minValue(30)
@maxValue(730)
@description('Days that logs are kept, in every table that the gateway\'s lines are in.')
param logRetentionDays int = 30

@minValue(0)
@description('Gigabytes of log a day, beyond which Azure takes none until the next day: a storm of lines then costs no more, and the alerts that read lines are blind. 0: no end.')
param logDailyCapGb int = 5

@minValue(0)
@description('Mail `alertEmail` when the month\'s costs of the resource group reach 80 % of so much, or are foreseen to go beyond it, in the currency of the bill. 0: never.')
param monthlyBudget int = 0

@description('The first month that the budget is about; the current one unless you need another.')
param budgetStart string = utcNow('yyyy-MM-01')

@description('Whether Azure asks the app\'s /health/ready every five minutes from three places, and an alert says when two of them fail. It also keeps one instance warm.')
param availabilityTest bool = true

@minValue(1)
@maxValue(1440)
@description('Alert when the oldest due message has waited for so many minutes.')
param alertOldestMinutes int = 15

@minValue(0)
@description('Alert when providers refused more than so many calls within 15 minutes.')
param alertRefusals int = 5

@allowed([0, 1, 2, 3, 4, 5, 6, 24, 48])
@description('Alert when nothing was accepted for so many hours. 0: never, for gateways that are quiet at times.')
param alertSilenceHours int = 0

@minValue(0)
@description('Alert when the storage account holds more than so many gigabytes, which Azure measures once a day. 0: never.')
param alertStorageGigabytes int = 8

// ---------------------------------------------------------------------------------------------------------- persons

@description('Object id of the group that runs the gateway: it gets what whoever deploys would get otherwise, so that roles do not gather with everybody who ever deployed. `none`: nobody, as for a pipeline.')
param operatorsGroupId string = ''

@description('Object id of the person that runs the gateway where no group does; azd fills in who runs it. It may set secrets and read queues, table and blobs. Empty: nobody beside the app.')
param principalId string = ''

var names = namesOf(tokenOf(subscription().id, environmentName, location))
var tags = { 'azd-env-name': environmentName }
var isPrivate = network == 'private'
var hasMail = emailDomain != 'none'

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: groupName(environmentName)
  location: location
  tags: tags
}

module identity 'identity.bicep' = {
  scope: group
  params: { name: names.identity, location: location, tags: tags }
}

module monitoring 'monitoring.bicep' = {
  scope: group
  params: {
    workspaceName: names.workspace
    insightsName: names.insights
    location: location
    tags: tags
    retentionDays: logRetentionDays
    dailyCapGb: logDailyCapGb
  }
}

module storage 'storage.bicep' = {
  scope: group
  params: {
    name: names.storage
    location: location
    tags: tags
    sku: storageSku == 'automatic' ? (hasZones(location) ? 'Standard_ZRS' : 'Standard_LRS') : storageSku
    isPrivate: isPrivate
    isLocked: storageLock
    workspaceId: monitoring.outputs.workspaceId
  }
}

module vault 'vault.bicep' = {
  scope: group
  params: {
    name: names.vault
    location: location
    tags: tags
    isPrivate: isPrivate
    purgeProtection: vaultPurgeProtection
    workspaceId: monitoring.outputs.workspaceId
  }
}

module communication 'communication.bicep' = if (hasMail) {
  scope: group
  params: {
    name: names.communication
    emailName: names.email
    dataLocation: dataLocation
    domain: emailDomain
    isVerified: emailDomainVerified
    senderUsernames: senderUsernames
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
  }
}

module events 'events.bicep' = if (hasMail) {
  scope: group
  params: {
    topicName: names.topic
    communicationId: communication!.outputs.id
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
  }
}

module rbac 'rbac.bicep' = {
  scope: group
  params: {
    // What-if cannot foresee the names of these assignments; rbac.bicep says why they are made of it all the same.
    #disable-next-line what-if-short-circuiting
    principalId: identity.outputs.principalId
    operatorId: operatorsGroupId == 'none' ? '' : (empty(operatorsGroupId) ? principalId : operatorsGroupId)
    #disable-next-line what-if-short-circuiting
    topicPrincipalId: hasMail ? events!.outputs.principalId : ''
    storageName: names.storage
    vaultName: names.vault
    insightsName: names.insights
    communicationName: hasMail ? names.communication : ''
  }
  dependsOn: [storage, vault]
}

module reports 'reports.bicep' = if (hasMail) {
  scope: group
  params: { topicName: names.topic, storageName: names.storage }
  // Event Grid tries the queue when the subscription is made, with a role that must be there by then.
  dependsOn: [rbac]
}

module vnet 'network.bicep' = if (isPrivate) {
  scope: group
  params: {
    name: names.network
    location: location
    tags: tags
    prefix: networkPrefix
    storageName: names.storage
    vaultName: names.vault
  }
  dependsOn: [storage, vault]
}

module function 'function.bicep' = {
  scope: group
  params: {
    planName: names.plan
    name: names.site
    location: location
    tags: tags
    identityName: names.identity
    insightsName: names.insights
    storageName: names.storage
    vaultName: names.vault
    subnetId: isPrivate ? vnet!.outputs.functionSubnetId : ''
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    httpConcurrency: httpConcurrency
    alwaysReady: alwaysReady
    zoneRedundant: zoneRedundant
    vaultSettings: vaultSettings
    settings: {
      ...settings
      GATEWAY_CONFIG: gatewayConfig
      GATEWAY_ENVIRONMENT: gatewayEnvironment
      GATEWAY_STORE: 'azure'
      ...(hasMail ? { ACS_ENDPOINT: communication!.outputs.endpoint, MAIL_DOMAIN: communication!.outputs.domain } : {})
    }
  }
  // The host reads storage when it starts for the first time, and stays down when it may not.
  dependsOn: [rbac]
}

module alerts 'alerts.bicep' = {
  scope: group
  params: {
    insightsName: names.insights
    location: location
    tags: tags
    email: alertEmail
    oldestMinutes: alertOldestMinutes
    refusals: alertRefusals
    silenceHours: alertSilenceHours
    storageName: names.storage
    storageGigabytes: alertStorageGigabytes
    topicName: hasMail ? names.topic : ''
  }
  dependsOn: [monitoring, storage, events]
}

module availability 'availability.bicep' = if (availabilityTest) {
  scope: group
  params: {
    insightsName: names.insights
    location: location
    tags: tags
    uri: function.outputs.uri
    actionGroupId: alerts.outputs.actionGroupId
  }
}

module budget 'budget.bicep' = if (monthlyBudget > 0) {
  scope: group
  params: { amount: monthlyBudget, start: budgetStart, actionGroupId: alerts.outputs.actionGroupId }
}

module workbook 'workbook.bicep' = {
  scope: group
  params: { insightsName: names.insights, location: location, tags: tags }
  dependsOn: [monitoring]
}

// What azd keeps in the environment. The names that the gateway reads itself are its own, so that
// `python -m gateway doctor` finds them there; AZURE_CLIENT_ID is not among them, since azd signs in with that one.
output AZURE_LOCATION string = location
output AZURE_TENANT_ID string = subscription().tenantId
output AZURE_RESOURCE_GROUP string = group.name
output AZURE_FUNCTION_NAME string = function.outputs.name
output AZURE_FUNCTION_URI string = function.outputs.uri
output AZURE_KEY_VAULT_NAME string = vault.outputs.name
output AZURE_STORAGE_ACCOUNT_NAME string = storage.outputs.name
output AZURE_APPLICATION_INSIGHTS_NAME string = monitoring.outputs.insightsName
output AZURE_COMMUNICATION_NAME string = hasMail ? communication!.outputs.name : ''
output AZURE_EMAIL_SERVICE_NAME string = hasMail ? communication!.outputs.emailName : ''
output GATEWAY_IDENTITY_CLIENT_ID string = identity.outputs.clientId
output GATEWAY_IDENTITY_PRINCIPAL_ID string = identity.outputs.principalId
output GRAPH_ENDPOINT string = cloud(environment().name).graph
output ACS_ENDPOINT string = hasMail ? communication!.outputs.endpoint : ''
output MAIL_DOMAIN string = hasMail ? communication!.outputs.domain : ''
output EMAIL_DOMAIN_LINKED bool = hasMail ? communication!.outputs.isLinked : false
#disable-next-line use-user-defined-types // communication.bicep has the reason
output EMAIL_DNS_RECORDS object = hasMail ? communication!.outputs.dnsRecords : {}
