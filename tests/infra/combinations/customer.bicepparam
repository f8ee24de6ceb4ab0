// A domain of one's own whose records are verified, with names of its own, and all that can be tuned.
using '../infra/main.bicep'
param environmentName = 'prod'
param alertEmail = 'ops@contoso.com'
param location = 'germanywestcentral'
param dataLocation = 'Germany'
param emailDomain = 'notify.contoso.com'
param emailDomainVerified = true
param senderUsernames = [{ username: 'Alerts', displayName: 'Contoso Alerts' }]
param settings = { CRM_KEY_HASH: 'sha256:0000' }
param gatewayEnvironment = 'staging'
param instanceMemoryMB = 512
param maximumInstanceCount = 100
param httpConcurrency = 32
param alertSilenceHours = 4
param alertStorageGigabytes = 0
param alertOldestMinutes = 5
param vaultPurgeProtection = false
param storageSku = 'Standard_LRS'
param operatorsGroupId = '33333333-3333-3333-3333-333333333333'
param principalId = '44444444-4444-4444-4444-444444444444'
