<#
.SYNOPSIS
    Has Azure verify the DNS records of a mail domain, and waits for the answer.

.DESCRIPTION
    The second of three steps to a domain of your own. The first deployment made the domain and the records it wants; this
    shows the records that are still missing and has the others verified, the domain's own first, since Azure looks at no
    other before it. When all are verified it says how to link the domain, which is the third step.

    It can be run again at any time. Needs Azure CLI (`az login`) and the role Contributor on the resource group.

.PARAMETER Domain
    Such as notify.contoso.com; GATEWAY_INFRA_EMAIL_DOMAIN by default.

.PARAMETER ResourceGroup
    AZURE_RESOURCE_GROUP by default, as `azd env get-values` has it.

.PARAMETER EmailService
    AZURE_EMAIL_SERVICE_NAME by default.

.PARAMETER Minutes
    How long to wait. Azure looks again and again for some hours; DNS may need as long.

.EXAMPLE
    ./scripts/verify-domain.ps1 -Domain notify.contoso.com -ResourceGroup rg-prod -EmailService email-abc
#>
[CmdletBinding()]
param(
    [string] $Domain = $env:GATEWAY_INFRA_EMAIL_DOMAIN,
    [string] $ResourceGroup = $env:AZURE_RESOURCE_GROUP,
    [string] $EmailService = $env:AZURE_EMAIL_SERVICE_NAME,
    [ValidateRange(0, 1440)] [int] $Minutes = 30,
    [ValidateRange(0, 600)] [int] $PauseSeconds = 20
)

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

# DMARC is a policy of your own, which Azure shows but does not ask for.
$kinds = @('Domain', 'SPF', 'DKIM', 'DKIM2')

foreach ($needed in 'Domain', 'ResourceGroup', 'EmailService') {
    if (-not (Get-Variable $needed -ValueOnly)) { throw "-$needed is missing; 'azd env get-values' has it after the first deployment." }
}
if (-not (Get-Command az -ErrorAction SilentlyContinue)) { throw 'Azure CLI (az) is not there: https://aka.ms/azure-cli' }

$where = @('--domain-name', $Domain, '--email-service-name', $EmailService, '--resource-group', $ResourceGroup)

function Get-Domain {
    $said = & az communication email domain show @where --output json
    if ($LASTEXITCODE -ne 0) { throw "az could not show $Domain; is its name right, and was it deployed?" }
    $said | Out-String | ConvertFrom-Json
}

function Get-Status($found, [string] $kind) {
    $state = $found.verificationStates.PSObject.Properties[$kind]
    if ($state -and $state.Value) { "$($state.Value.status)" } else { 'NotStarted' }
}

function Get-Missing($found) {
    @($kinds | Where-Object { (Get-Status $found $_) -ne 'Verified' })
}

function Start-Verification([string] $kind) {
    & az communication email domain initiate-verification @where --verification-type $kind --no-wait --output none
    if ($LASTEXITCODE -ne 0) { throw "az could not start the verification of $kind." }
}

$started = @()
$end = (Get-Date).AddMinutes($Minutes)
while ($true) {
    $found = Get-Domain
    $missing = @(Get-Missing $found)
    if ($missing.Count -eq 0) { break }
    if ($missing -contains 'Domain') { $next = @('Domain') } else { $next = $missing }
    foreach ($kind in $next) {
        $status = Get-Status $found $kind
        $running = $status -eq 'VerificationRequested' -or $status -eq 'VerificationInProgress'
        if (-not $running -and $started -notcontains $kind) {
            Start-Verification $kind
            $started += $kind
        }
    }
    if ((Get-Date) -ge $end) {
        foreach ($kind in $missing) {
            $record = $found.verificationRecords.$kind
            [pscustomobject]@{ Kind = $kind; Status = (Get-Status $found $kind); Type = $record.type; Name = $record.name; Value = $record.value }
        }
        throw "Not verified yet: $($missing -join ', '). Set these records, wait until DNS has them, and run this again."
    }
    Start-Sleep -Seconds $PauseSeconds
}

"$Domain is verified. Link it:"
'    azd env set GATEWAY_INFRA_EMAIL_DOMAIN_VERIFIED true'
'    azd provision'
