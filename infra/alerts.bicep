// Alerts: an Application Insights and an address come in, rules over the gateway's own log lines go out.

param insightsName string
param location string
param tags { *: string }
param email string
param oldestMinutes int
param refusals int
param silenceHours int

resource insights 'Microsoft.Insights/components@2020-02-02' existing = { name: insightsName }

output todo string = '${insights.id}${location}${string(tags)}${email}${oldestMinutes}${refusals}${silenceHours}'
