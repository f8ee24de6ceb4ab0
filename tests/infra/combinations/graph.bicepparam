// AzureChinaCloud, which has no Communication Services: all mail goes through Microsoft Graph.
using '../infra/main.bicep'
param environmentName = 'prod'
param alertEmail = 'ops@contoso.com'
param location = 'chinanorth3'
param dataLocation = 'Asia Pacific'
param emailDomain = 'none'
