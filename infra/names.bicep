// Names: an environment's name and a token come in, every resource's name goes out.
// A storage account allows 24 characters of a-z and 0-9, a vault 24, a resource group no full stop at its end, and azd
// allows 64 characters of letters, digits and -_.() for an environment: so only the group's name shows the environment,
// and all others are made of 13 characters that uniqueString derives.

@export()
@description('What a resource group may be called, whatever the environment is called: 90 characters, no full stop at the end, no spaces.')
func groupName(environmentName string) string =>
  'rg-${replace(environmentName, ' ', '-')}${endsWith(environmentName, '.') ? '-' : ''}'

@export()
@description('The 13 characters that tell this environment from all others of the subscription.')
func tokenOf(subscriptionId string, environmentName string, location string) string =>
  toLower(uniqueString(subscriptionId, toLower(environmentName), toLower(location)))

@export()
@description('One name for each resource.')
func namesOf(token string) names => {
  identity: 'id-${token}'
  storage: 'st${token}'
  plan: 'plan-${token}'
  site: 'func-${token}'
  workspace: 'log-${token}'
  insights: 'appi-${token}'
  vault: 'kv-${token}'
  communication: 'acs-${token}'
  email: 'email-${token}'
  topic: 'evgt-${token}'
  network: 'vnet-${token}'
}

@export()
type names = {
  identity: string
  storage: string
  plan: string
  site: string
  workspace: string
  insights: string
  vault: string
  communication: string
  email: string
  topic: string
  network: string
}
