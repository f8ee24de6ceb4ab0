// AzureUSGovernment, with private endpoints.
using '../infra/main.bicep'
param environmentName = 'prod'
param alertEmail = 'ops@contoso.com'
param location = 'usgovvirginia'
param dataLocation = 'usgov'
param network = 'private'
param alertSilenceHours = 48
param operatorsGroupId = 'none'
param principalId = '44444444-4444-4444-4444-444444444444'
