// Events: the mail service comes in, a topic with an identity of its own goes out. Storage behind a firewall takes events
// only from a system-assigned one (https://learn.microsoft.com/azure/event-grid/handler-storage-queues).

param topicName string
param communicationId string
param tags { *: string }
param workspaceId string

resource topic 'Microsoft.EventGrid/systemTopics@2025-02-15' = {
  name: topicName
  location: 'global'
  tags: tags
  identity: { type: 'SystemAssigned' }
  properties: { source: communicationId, topicType: 'Microsoft.Communication.CommunicationServices' }
}

resource log 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: topic
  name: 'audit'
  properties: {
    workspaceId: workspaceId
    logs: [{ category: 'DeliveryFailures', enabled: true }]
  }
}

output topicName string = topic.name
output principalId string = topic.identity.principalId
