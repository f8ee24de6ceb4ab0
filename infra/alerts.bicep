// Alerts: an Application Insights and an address come in, rules over the gateway's own log lines go out.

param insightsName string
param storageName string
param location string
param tags { *: string }
@description('Empty: nobody is mailed.')
param email string
param oldestMinutes int
param refusals int
@description('0: silence is no alarm.')
param silenceHours int
@description('0: the storage account may grow without an alarm.')
param storageGigabytes int
@description('Empty: there are no delivery reports.')
param topicName string

resource insights 'Microsoft.Insights/components@2020-02-02' existing = { name: insightsName }
resource storage 'Microsoft.Storage/storageAccounts@2025-01-01' existing = { name: storageName }
resource topic 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = if (!empty(topicName)) { name: topicName }

type rule = {
  @description('Also the name of its query\'s file.')
  name: string
  title: string
  @description('What an operator does about it.')
  remedy: string
  query: string
  @description('0 is critical, 1 error, 2 warning.')
  severity: 0 | 1 | 2
  window: string
  every: string
  @description('The column that is compared; without one, lines are counted.')
  column: string?
  aggregation: 'Count' | 'Maximum' | 'Total'
  operator: 'GreaterThan' | 'LessThan'
  threshold: int
  @description('How many looks one after the other must find it; 1 unless said.')
  looks: int?
  @description('Each find is told of, and never taken back by itself; then nothing more is told for so long.')
  pause: string?
}

var rules rule[] = [
  {
    name: 'dead-letters'
    title: 'Notifications ended without mail'
    remedy: 'GET /v1/notifications?status=failed (or unknown) has the reason; mend it, then replay.'
    query: loadTextContent('queries/dead-letters.kql')
    severity: 1
    // A notification stays failed when the window is empty again. The window is longer than the pause, so that one
    // that ends within it is told of afterwards.
    window: 'PT1H'
    pause: 'PT45M'
    every: 'PT5M'
    aggregation: 'Count'
    operator: 'GreaterThan'
    threshold: 0
  }
  {
    name: 'oldest-due'
    title: 'Mail waits longer than ${oldestMinutes} minutes'
    remedy: 'The workbook says why: throttled by a provider, a fault of its own, or too few instances.'
    query: loadTextContent('queries/oldest-due.kql')
    severity: 1
    window: 'PT15M'
    every: 'PT5M'
    column: 'seconds'
    aggregation: 'Maximum'
    operator: 'GreaterThan'
    threshold: oldestMinutes * 60
  }
  {
    name: 'timer-stopped'
    title: 'The gateway does not run'
    remedy: 'GET /health/ready of the app says what is wrong; without an answer look at the app itself.'
    query: loadTextContent('queries/timer-stopped.kql')
    severity: 0
    // Three looks, so that a first deployment has ten minutes between the alert's beginning and the app's.
    window: 'PT10M'
    looks: 3
    every: 'PT5M'
    column: 'runs'
    aggregation: 'Total'
    operator: 'LessThan'
    threshold: 1
  }
  {
    name: 'faults'
    title: 'The gateway has faults of its own'
    remedy: 'The line names the kind of fault and the place in the code; `doctor` checks storage and configuration.'
    query: loadTextContent('queries/faults.kql')
    severity: 1
    window: 'PT15M'
    every: 'PT5M'
    aggregation: 'Count'
    operator: 'GreaterThan'
    threshold: 0
  }
  {
    name: 'bounds'
    title: 'There is hardly room for more messages'
    remedy: 'source_full: the line names the source; stop who floods it, or cancel what waits. store_full: shorten retention, make room on the disk, or raise bounds in gateway.yaml.'
    query: loadTextContent('queries/bounds.kql')
    severity: 1
    window: 'PT15M'
    every: 'PT5M'
    aggregation: 'Count'
    operator: 'GreaterThan'
    threshold: 0
  }
  {
    name: 'provider-refusals'
    title: 'A provider refuses our calls'
    remedy: 'unauthorized and no_credential: look at roles and grants with `doctor`; throttled: raise the quota; refused: the line has the provider\'s code.'
    query: loadTextContent('queries/provider-refusals.kql')
    severity: 2
    window: 'PT15M'
    every: 'PT5M'
    aggregation: 'Count'
    operator: 'GreaterThan'
    threshold: refusals
  }
  {
    name: 'unauthorized'
    title: 'Somebody tries keys'
    remedy: 'The workbook says at which source; the lines say whether it is one client. A tool with an old key is told apart by its source; a stranger by many.'
    query: loadTextContent('queries/unauthorized.kql')
    severity: 2
    window: 'PT15M'
    every: 'PT5M'
    column: 'attempts'
    aggregation: 'Total'
    operator: 'GreaterThan'
    threshold: 100
  }
  {
    name: 'suppressions'
    title: 'Recipients are not reached'
    remedy: 'Mend the address where it is configured, then take it off the list with DELETE /v1/suppressions.'
    query: loadTextContent('queries/suppressions.kql')
    severity: 2
    window: 'PT1H'
    every: 'PT15M'
    aggregation: 'Count'
    operator: 'GreaterThan'
    threshold: 0
  }
]

var silence rule[] = silenceHours == 0
  ? []
  : [
      {
        name: 'silence'
        title: 'Nothing was accepted for ${silenceHours} hours'
        remedy: 'Send a notification by hand; if it arrives, look at the systems that should have sent some.'
        query: loadTextContent('queries/silence.kql')
        severity: 1
        window: silenceHours < 24 ? 'PT${silenceHours}H' : 'P${silenceHours / 24}D'
        every: 'PT15M'
        column: 'accepted'
        aggregation: 'Total'
        operator: 'LessThan'
        threshold: 1
      }
    ]

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: 'notification-gateway'
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'gateway'
    // Azure's own mail, not the gateway's: what is broken cannot say so.
    emailReceivers: empty(email) ? [] : [{ name: 'operators', emailAddress: email, useCommonAlertSchema: true }]
  }
}

// The gateway cannot ask what an account holds. Azure measures it once a day and writes the figure each hour.
resource capacity 'Microsoft.Insights/metricAlerts@2018-03-01' = if (storageGigabytes > 0) {
  name: 'gateway-storage'
  location: 'global'
  tags: tags
  properties: {
    description: 'Shorten retention in gateway.yaml, or look for who fills it: the workbook counts by source.'
    enabled: true
    severity: 2
    scopes: [storage.id]
    evaluationFrequency: 'PT1H'
    windowSize: 'P1D'
    autoMitigate: true
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          name: 'used'
          criterionType: 'StaticThresholdCriterion'
          metricNamespace: 'Microsoft.Storage/storageAccounts'
          metricName: 'UsedCapacity'
          timeAggregation: 'Average'
          operator: 'GreaterThan'
          threshold: storageGigabytes * 1024 * 1024 * 1024
        }
      ]
    }
    actions: [{ actionGroupId: people.id }]
  }
}

var lostReports = [
  {
    name: 'dropped'
    metric: 'DroppedEventCount'
    more: 0
    remedy: 'Delivery reports are lost: has the topic its role on the queue delivery-reports, is the queue there, does storage let Azure services in? What was dropped stays `sent`; ask the provider.'
  }
  {
    name: 'refused'
    metric: 'DeliveryAttemptFailCount'
    more: 10
    remedy: 'Event Grid cannot put delivery reports into their queue, and drops each after a day: look at the topic\'s role on it, and at the network of storage.'
  }
]

// Event Grid says it in figures of its own; the gateway cannot miss what never came.
resource reportsAlert 'Microsoft.Insights/metricAlerts@2018-03-01' = [
  for item in empty(topicName) ? [] : lostReports: {
    name: 'gateway-reports-${item.name}'
    location: 'global'
    tags: tags
    properties: {
      description: item.remedy
      enabled: true
      severity: 1
      scopes: [topic.id]
      evaluationFrequency: 'PT15M'
      windowSize: 'PT1H'
      autoMitigate: true
      criteria: {
        'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
        allOf: [
          {
            name: item.name
            criterionType: 'StaticThresholdCriterion'
            metricNamespace: 'Microsoft.EventGrid/systemTopics'
            metricName: item.metric
            timeAggregation: 'Total'
            operator: 'GreaterThan'
            threshold: item.more
          }
        ]
      }
      actions: [{ actionGroupId: people.id }]
    }
  }
]

resource alert 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
  for item in concat(rules, silence): {
    name: 'gateway-${item.name}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: 'Notification Gateway: ${item.title}'
      description: item.remedy
      enabled: true
      severity: item.severity
      scopes: [insights.id]
      evaluationFrequency: item.every
      windowSize: item.window
      autoMitigate: item.?pause == null
      muteActionsDuration: item.?pause
      // The queries are tested before they come here; a workspace of some seconds' age refuses even good ones.
      skipQueryValidation: true
      criteria: {
        allOf: [
          {
            query: item.query
            timeAggregation: item.aggregation
            metricMeasureColumn: item.?column
            operator: item.operator
            threshold: item.threshold
            failingPeriods: {
              numberOfEvaluationPeriods: item.?looks ?? 1
              minFailingPeriodsToAlert: item.?looks ?? 1
            }
          }
        ]
      }
      actions: { actionGroups: [people.id] }
    }
  }
]

output actionGroupId string = people.id
