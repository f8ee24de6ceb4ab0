// Clouds: a cloud's name as environment() has it comes in, the addresses that environment() does not know go out.

type facts = {
  @description('Microsoft Graph\'s root.')
  graph: string
  @description('From where Azure asks whether a web site answers.')
  observers: string[]
}

var here facts = {
  graph: 'https://graph.microsoft.com'
  observers: ['emea-nl-ams-azr', 'us-va-ash-azr', 'apac-sg-sin-azr']
}

@export()
@description('What this cloud is called by its services. An unknown cloud gets the public one\'s.')
func cloud(name string) facts =>
  {
    AzureCloud: here
    AzureUSGovernment: {
      graph: 'https://graph.microsoft.us'
      observers: ['usgov-va-azr', 'usgov-tx-azr', 'usgov-phx-azr']
    }
    AzureChinaCloud: {
      graph: 'https://microsoftgraph.chinacloudapi.cn'
      observers: ['mc-cne-azr', 'mc-cne2-azr', 'mc-cnn2-azr']
    }
  }[?name] ?? here
