// Delivery reports: a topic and a storage account come in, a subscription that fills the queue goes out. A queue and not a
// web hook: no key in a URL, nothing to set up after the deployment, and reports wait while the app is down.

import { reportQueue } from 'layout.bicep'

param topicName string
param storageName string

resource topic 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = { name: topicName }
resource storage 'Microsoft.Storage/storageAccounts@2025-01-01' existing = { name: storageName }

resource reports 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15' = {
  parent: topic
  name: 'delivery-reports'
  properties: {
    deliveryWithResourceIdentity: {
      identity: { type: 'SystemAssigned' }
      destination: {
        endpointType: 'StorageQueue'
        // -1: never; a report that waits longer than the default of seven days is still wanted.
        properties: { resourceId: storage.id, queueName: reportQueue, queueMessageTimeToLiveInSeconds: -1 }
      }
    }
    eventDeliverySchema: 'EventGridSchema'
    filter: { includedEventTypes: ['Microsoft.Communication.EmailDeliveryReportReceived'] }
    retryPolicy: { eventTimeToLiveInMinutes: 1440, maxDeliveryAttempts: 30 }
  }
}
