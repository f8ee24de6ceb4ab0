// A region without zones, nobody outside who asks the door, logs for long and without an end.
using '../infra/main.bicep'
param environmentName = 'prod'
param alertEmail = 'ops@contoso.com'
param location = 'northcentralus'
param dataLocation = 'United States'
param availabilityTest = false
param logRetentionDays = 90
param logDailyCapGb = 0
