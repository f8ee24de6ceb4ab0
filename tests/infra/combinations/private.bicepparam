// Private endpoints, a domain that waits for its DNS records, always one instance, secrets from the vault, an operator.
using '../infra/main.bicep'
param environmentName = 'prod'
param alertEmail = 'ops@contoso.com'
param location = 'westeurope'
param dataLocation = 'Europe'
param network = 'private'
param emailDomain = 'notify.contoso.com'
param alwaysReady = { http: 2 }
param vaultSettings = { CAPTCHA_SECRET: 'captcha-secret' }
param principalId = '33333333-3333-3333-3333-333333333333'
param senderUsernames = [{ username: 'Alerts', displayName: 'Contoso Alerts' }]
