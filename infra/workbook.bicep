// The workbook: an Application Insights comes in, the page that an operator opens in the morning goes out.

param insightsName string
param location string
param tags { *: string }

resource insights 'Microsoft.Insights/components@2020-02-02' existing = { name: insightsName }

output todo string = '${insights.id}${location}${string(tags)}'
