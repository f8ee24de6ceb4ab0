// Telemetry: two names come in, a workspace and an Application Insights that takes data from Entra identities only go out.

param workspaceName string
param insightsName string
param location string
param tags { *: string }
param retentionDays int
@description('0: no end.')
param dailyCapGb int

var appTables = [
  'AppAvailabilityResults'
  'AppDependencies'
  'AppExceptions'
  'AppMetrics'
  'AppPerformanceCounters'
  'AppRequests'
  'AppTraces'
]

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-02-01' = {
  name: workspaceName
  location: location
  tags: tags
  properties: {
    sku: { name: 'PerGB2018' }
    retentionInDays: retentionDays
    workspaceCapping: { dailyQuotaGb: dailyCapGb == 0 ? -1 : dailyCapGb }
    features: {
      disableLocalAuth: true
      enableLogAccessUsingOnlyResourcePermissions: true
      // 30 days are 31 otherwise.
      immediatePurgeDataOn30Days: retentionDays == 30
    }
  }
}

// These keep 90 days whatever their workspace says, unless they are told themselves
// (https://learn.microsoft.com/azure/azure-monitor/logs/data-retention-configure). One after the other: a workspace takes
// one change at a time.
@batchSize(1)
resource appTable 'Microsoft.OperationalInsights/workspaces/tables@2025-02-01' = [
  for name in appTables: {
    parent: workspace
    name: name
    properties: { retentionInDays: retentionDays, totalRetentionInDays: retentionDays }
  }
]

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: insightsName
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: workspace.id
    // The connection string alone then opens nothing, so that it may stand in the app's settings.
    DisableLocalAuth: true
  }
}

output workspaceId string = workspace.id
output insightsName string = insights.name
