// Spread over zones, with instances that always wait for requests and for urgent mail, and a budget.
using '../infra/main.bicep'
param environmentName = 'prod'
param alertEmail = 'ops@contoso.com'
param location = 'westeurope'
param dataLocation = 'Europe'
param zoneRedundant = true
param alwaysReady = { http: 2, 'function:outbox_high': 3 }
param monthlyBudget = 50
param budgetStart = '2026-12-01'
param storageLock = true
