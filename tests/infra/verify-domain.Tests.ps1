# scripts/verify-domain.ps1 against a stub of Azure CLI that keeps a domain's state.

BeforeAll {
    $script:file = Join-Path $PSScriptRoot '../../scripts/verify-domain.ps1'

    # Global, since a function that is called from the script sees the script's own variables.
    function az {
        $global:LASTEXITCODE = $global:exit
        if ($args -contains 'initiate-verification') {
            $kind = $args[[array]::IndexOf($args, '--verification-type') + 1]
            $global:asked += $kind
            if ($global:wrong -notcontains $kind) { $global:state[$kind] = 'Verified' }
            return
        }
        $states = @{}
        $records = @{}
        foreach ($kind in 'Domain', 'SPF', 'DKIM', 'DKIM2', 'DMARC') {
            $states[$kind] = @{ status = $global:state[$kind]; errorCode = $null }
            $records[$kind] = @{ type = 'TXT'; name = "$kind.contoso.com"; value = "value of $kind"; ttl = 3600 }
        }
        @{ name = 'notify.contoso.com'; verificationStates = $states; verificationRecords = $records } | ConvertTo-Json -Depth 5
    }

    function Invoke-Script([hashtable] $more = @{}) {
        $arguments = @{ Domain = 'notify.contoso.com'; ResourceGroup = 'rg-prod'; EmailService = 'email-abc'; PauseSeconds = 0 }
        foreach ($key in $more.Keys) { $arguments[$key] = $more[$key] }
        & $file @arguments
    }
}

Describe 'verify-domain' {
    BeforeEach {
        $global:asked = @()
        $global:wrong = @()
        $global:exit = 0
        $global:state = @{ Domain = 'NotStarted'; SPF = 'NotStarted'; DKIM = 'NotStarted'; DKIM2 = 'NotStarted'; DMARC = 'NotStarted' }
    }

    It 'has the domain itself verified first, then the rest, each once, and DMARC never' {
        $said = Invoke-Script

        $global:asked | Should -Be 'Domain', 'SPF', 'DKIM', 'DKIM2'
        $said -join "`n" | Should -BeLike '*is verified*GATEWAY_INFRA_EMAIL_DOMAIN_VERIFIED true*azd provision*'
    }

    It 'asks for nothing that is verified' {
        $global:state.Domain = 'Verified'
        $global:state.SPF = 'Verified'
        Invoke-Script | Out-Null

        $global:asked | Should -Be 'DKIM', 'DKIM2'
    }

    It 'does not start what is under way' {
        $global:state.Domain = 'VerificationInProgress'

        { Invoke-Script @{ Minutes = 0 } | Out-Null } | Should -Throw '*Not verified yet: Domain, SPF, DKIM, DKIM2*'
        $global:asked.Count | Should -Be 0
    }

    It 'shows the records that are missing, and says what to do' {
        $global:wrong = @('DKIM2')
        $global:state.Domain = 'Verified'
        $rows = [System.Collections.ArrayList]@()

        { Invoke-Script @{ Minutes = 0 } | ForEach-Object { $rows.Add($_) } } | Should -Throw '*Set these records*run this again*'
        "$($rows[-1].Kind) $($rows[-1].Type) $($rows[-1].Name) $($rows[-1].Value)" | Should -Be 'DKIM2 TXT DKIM2.contoso.com value of DKIM2'
    }

    It 'names the domain in every call' {
        function az {
            "$args" | Should -BeLike '*--domain-name notify.contoso.com --email-service-name email-abc --resource-group rg-prod*'
            $global:LASTEXITCODE = 0
            '{"verificationStates": {"Domain": {"status": "Verified"}, "SPF": {"status": "Verified"}, "DKIM": {"status": "Verified"}, "DKIM2": {"status": "Verified"}}}'
        }

        Invoke-Script | Should -Not -BeNullOrEmpty
    }

    It 'stops when az fails' {
        $global:exit = 1

        { Invoke-Script } | Should -Throw '*could not show notify.contoso.com*'
    }

    It 'says what is missing' {
        { Invoke-Script @{ Domain = '' } } | Should -Throw "*-Domain is missing; 'azd env get-values'*"
    }
}
