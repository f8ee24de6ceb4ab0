# azd runs this after each deployment: it waits until the app is ready with its configuration, and else ends with an error.
# A build that went wrong looks like a success to azd. READY_TRIES and READY_PAUSE (seconds) say for how long it waits.
Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

if (-not $env:AZURE_FUNCTION_URI) { throw 'AZURE_FUNCTION_URI is missing; azd env get-values has it after the first azd provision.' }
$uri = "$env:AZURE_FUNCTION_URI/health/ready"
$tries = 20
$pause = 15
if ($env:READY_TRIES) { $tries = [int]$env:READY_TRIES }
if ($env:READY_PAUSE) { $pause = [double]$env:READY_PAUSE }
if ($tries -le 0) { exit 0 } # a pipeline asks for itself

"Waiting for $uri"
for ($try = 1; $try -le $tries; $try++) {
    if ($try -gt 1) { Start-Sleep -Milliseconds ([int](1000 * $pause)) }
    try {
        $status = (Invoke-WebRequest -Uri $uri -UseBasicParsing -TimeoutSec 60).StatusCode
        $said = "status $status"
    } catch {
        $status = 0
        $said = "$($_.Exception.Message) $($_.ErrorDetails)"
    }
    if ($status -eq 200) {
        'Ready.'
        exit 0
    }
}
[Console]::Error.WriteLine($said)
[Console]::Error.WriteLine('The app was deployed and is not ready: above is its answer. 503 names the reason, and the log the ' +
    'details; 404 on every path: the host could not load the app, so look whether the build''s log says Python 3.13. ' +
    'docs/deploy.md, "When the first deployment fails", goes on from here.')
exit 1
