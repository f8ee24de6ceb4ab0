// Availability: the app's address comes in, somebody outside who asks it goes out. All other alerts read lines that the
// gateway wrote, and a door that does not answer writes none while the timer runs on.

import { cloud } from 'cloud.bicep'

param insightsName string
param location string
param tags { *: string }
param uri string
param actionGroupId string

resource insights 'Microsoft.Insights/components@2020-02-02' existing = { name: insightsName }

resource test 'Microsoft.Insights/webtests@2022-06-15' = {
  name: 'gateway-door'
  location: location
  // The portal shows it with this Application Insights by the link.
  tags: { ...tags, 'hidden-link:${insights.id}': 'Resource' }
  kind: 'standard'
  properties: {
    SyntheticMonitorId: 'gateway-door'
    Name: 'gateway-door'
    Description: 'Is the gateway ready, seen from outside?'
    Kind: 'standard'
    Enabled: true
    RetryEnabled: true
    Frequency: 300
    Timeout: 60
    Locations: map(cloud(environment().name).observers, place => { Id: place })
    Request: { RequestUrl: '${uri}/health/ready', HttpVerb: 'GET', ParseDependentRequests: false }
    ValidationRules: { ExpectedHttpStatusCode: 200, SSLCheck: true, SSLCertRemainingLifetimeCheck: 7 }
  }
}

resource door 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: 'gateway-door'
  location: 'global'
  tags: tags
  properties: {
    description: 'GET /health/ready says what is wrong. Without an answer look at the app itself; if it is well, at its certificate and its network.'
    enabled: true
    severity: 1
    scopes: [test.id, insights.id]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    autoMitigate: true
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.WebtestLocationAvailabilityCriteria'
      webTestId: test.id
      componentId: insights.id
      failedLocationCount: 2
    }
    actions: [{ actionGroupId: actionGroupId }]
  }
}
