// Mail: a domain comes in; Azure Communication Services with that domain, its DNS records and its endpoint go out.
// A domain of your own takes two deployments, since nobody can verify DNS records before they exist: the first one makes
// the domain and says which records it wants, the second one links it.

@export()
type senderUsername = {
  @description('What stands in front of the @.')
  username: string
  @description('The name beside the address.')
  displayName: string
}

param name string
param emailName string
param dataLocation string
@description('`azure`, or a domain\'s name.')
param domain string
param isVerified bool
param senderUsernames senderUsername[]
param tags { *: string }
param workspaceId string

var isOwn = domain != 'azure'
var isLinkable = !isOwn || isVerified

resource email 'Microsoft.Communication/emailServices@2025-09-01' = {
  name: emailName
  location: 'global'
  tags: tags
  properties: { dataLocation: dataLocation }

  resource mailDomain 'domains' = {
    name: isOwn ? domain : 'AzureManagedDomain'
    location: 'global'
    tags: tags
    properties: {
      domainManagement: isOwn ? 'CustomerManaged' : 'AzureManaged'
      // Opens and clicks would be written down for each recipient; nobody here asks for them.
      userEngagementTracking: 'Disabled'
    }

    // Azure takes none for a domain that is not verified.
    resource sender 'senderUsernames' = [
      for sender in isLinkable ? senderUsernames : []: {
        name: toLower(sender.username)
        properties: { username: sender.username, displayName: sender.displayName }
      }
    ]
  }
}

resource communication 'Microsoft.Communication/communicationServices@2025-09-01' = {
  name: name
  location: 'global'
  tags: tags
  properties: {
    dataLocation: dataLocation
    linkedDomains: isLinkable ? [email::mailDomain.id] : []
    // The role that sends mail also lists the access keys; without local authentication they open nothing.
    disableLocalAuth: true
  }
}

// EmailStatusUpdateOperational and EmailUserEngagementOperational are left out: their lines have recipients' addresses.
resource log 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: communication
  name: 'audit'
  properties: {
    workspaceId: workspaceId
    logs: [{ category: 'EmailSendMailOperational', enabled: true }]
  }
}

output id string = communication.id
output name string = communication.name
output emailName string = email.name
output endpoint string = 'https://${communication.properties.hostName}'
output domain string = email::mailDomain.properties.mailFromSenderDomain
output isLinked bool = isLinkable
// Not a type of its own: Azure promises none of these fields, and a missing one would end the deployment each time.
#disable-next-line use-user-defined-types
output dnsRecords object = isOwn ? email::mailDomain.properties.verificationRecords : {}
