// Clouds: a cloud's name as environment() has it comes in, the addresses that environment() does not know go out.

type facts = {
  @description('Microsoft Graph\'s root.')
  graph: string
}

@export()
@description('What this cloud is called by its services. An unknown cloud gets the public one\'s.')
func cloud(name string) facts =>
  {
    AzureCloud: { graph: 'https://graph.microsoft.com' }
    AzureUSGovernment: { graph: 'https://graph.microsoft.us' }
    AzureChinaCloud: { graph: 'https://microsoftgraph.chinacloudapi.cn' }
  }[?name] ?? { graph: 'https://graph.microsoft.com' }
