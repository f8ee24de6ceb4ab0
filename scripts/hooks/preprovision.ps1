# azd runs this before each provision. A subnet for Flex Consumption belongs to Microsoft.App, of which the template makes no
# resource, so that Azure does not register it by itself; the deployment would end with "SAL related operation failed".
Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

if ($env:GATEWAY_INFRA_NETWORK -ne 'private') { exit 0 }
if (-not (Get-Command az -ErrorAction SilentlyContinue)) {
    [Console]::Error.WriteLine('Azure CLI (az) is not there; have somebody run: az provider register --namespace Microsoft.App --wait')
    exit 0
}
'Registering Microsoft.App, which a private network needs'
# The subscription of the environment, which need not be the one that az has chosen.
& az provider register --namespace Microsoft.App --wait --subscription $env:AZURE_SUBSCRIPTION_ID
if ($LASTEXITCODE -eq 0) { exit 0 }
[Console]::Error.WriteLine('Microsoft.App was not registered. Sign in with az login, or have somebody who may run: ' +
    "az provider register --namespace Microsoft.App --wait --subscription $env:AZURE_SUBSCRIPTION_ID")
exit 1
