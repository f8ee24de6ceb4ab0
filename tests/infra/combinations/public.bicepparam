// The three answers, and everything else as it comes.
using '../infra/main.bicep'
param environmentName = 'prod'
param alertEmail = 'ops@contoso.com'
param location = 'westeurope'
param dataLocation = 'Europe'
