// What lies in the storage account: nothing comes in, the names that the code uses go out. A test compares them with it.

@export()
@description('Every queue with a trigger in function_app.py; each has a poison queue besides.')
var queues = ['notifications', 'outbox', 'outbox-high', reportQueue]

@export()
@description('Where Event Grid puts the delivery reports.')
var reportQueue = 'delivery-reports'

@export()
@description('The ledger.')
var table = 'gateway'

@export()
@description('Contents too large for a row, captured mail, the blobs that queue messages name, and the app\'s package.')
var containers = {
  notifications: 'notifications'
  payloads: 'payloads'
  captured: 'captured'
  package: 'app-package'
}
