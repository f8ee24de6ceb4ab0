// The workbook: an Application Insights comes in, the page that an operator opens in the morning goes out.

param insightsName string
param location string
param tags { *: string }

resource insights 'Microsoft.Insights/components@2020-02-02' existing = { name: insightsName }

type chart = {
  title: string
  query: string
  @description('How it is drawn.')
  look: 'timechart' | 'barchart' | 'table'
  @description('Percent of the page.')
  width: int
}

var charts chart[] = [
  {
    title: 'Accepted, sent, deferred, failed, unknown'
    query: loadTextContent('queries/over-time.kql')
    look: 'timechart'
    width: 100
  }
  {
    title: 'Seconds from accepted to sent'
    query: loadTextContent('queries/latency.kql')
    look: 'timechart'
    width: 50
  }
  {
    title: 'Seconds that the oldest due message has waited'
    query: loadTextContent('queries/oldest-due.kql')
    look: 'timechart'
    width: 50
  }
  { title: 'By source', query: loadTextContent('queries/by-source.kql'), look: 'table', width: 50 }
  { title: 'By sender', query: loadTextContent('queries/by-sender.kql'), look: 'table', width: 50 }
  { title: 'Top failing sources', query: loadTextContent('queries/failing-sources.kql'), look: 'table', width: 50 }
  { title: 'Poison queues', query: loadTextContent('queries/poison.kql'), look: 'timechart', width: 50 }
  { title: 'Waits for a person', query: loadTextContent('queries/dead-letters.kql'), look: 'table', width: 50 }
  { title: 'Kept out', query: loadTextContent('queries/kept-out.kql'), look: 'table', width: 50 }
  { title: 'Recipients not reached', query: loadTextContent('queries/suppressions.kql'), look: 'table', width: 50 }
]

var span = {
  type: 9
  name: 'span'
  content: {
    version: 'KqlParameterItem/1.0'
    style: 'pills'
    parameters: [
      {
        id: guid('span')
        version: 'KqlParameterItem/1.0'
        name: 'Span'
        label: 'Time'
        type: 4
        isRequired: true
        value: { durationMs: 86400000 }
        typeSettings: {
          selectableValues: [
            { durationMs: 3600000 }
            { durationMs: 14400000 }
            { durationMs: 86400000 }
            { durationMs: 259200000 }
            { durationMs: 604800000 }
            { durationMs: 2592000000 }
          ]
        }
      }
    ]
  }
}

var drawn = map(charts, chart => {
  type: 3
  name: chart.title
  customWidth: string(chart.width)
  content: {
    version: 'KqlItem/1.0'
    query: chart.query
    title: chart.title
    size: 0
    timeContextFromParameter: 'Span'
    queryType: 0
    resourceType: 'microsoft.insights/components'
    visualization: chart.look
    noDataMessage: 'Nothing of the kind in this time.'
  }
})

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(resourceGroup().id, 'notification-gateway')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Notification Gateway'
    category: 'workbook'
    sourceId: insights.id
    serializedData: string({
      version: 'Notebook/1.0'
      items: concat([span], drawn)
      fallbackResourceIds: [insights.id]
    })
  }
}
