# scripts/graph-grant.ps1 against stubs of Exchange's and Graph's cmdlets, which exist in a tenant only.

BeforeAll {
    $script:file = Join-Path $PSScriptRoot '../../scripts/graph-grant.ps1'
    $script:client = '11111111-1111-1111-1111-111111111111'
    $script:principal = '22222222-2222-2222-2222-222222222222'

    function Get-Mailbox { param($Identity, $ErrorAction) }
    function Get-ServicePrincipal { param($Identity, $ErrorAction) }
    function New-ServicePrincipal { param($AppId, $ObjectId, $DisplayName) }
    function Get-ManagementScope { param($Identity, $ErrorAction) }
    function Set-ManagementScope { param($Identity, $RecipientRestrictionFilter, [switch] $Confirm) }
    function New-ManagementScope { param($Name, $RecipientRestrictionFilter) }
    function New-ManagementRoleAssignment { param($Name, $App, $Role, $CustomResourceScope) }
    function Test-ServicePrincipalAuthorization { param($Identity, $Resource, $ErrorAction) }

    function Grant($role, $scope, $in) {
        [pscustomobject]@{ RoleName = $role; AllowedResourceScope = $scope; ScopeType = 'CustomRecipientScope'; InScope = $in }
    }

    function Invoke-Script([hashtable] $more = @{}) {
        $arguments = @{ ClientId = $client; PrincipalId = $principal; Mailbox = 'helpdesk@contoso.com' }
        foreach ($key in $more.Keys) { $arguments[$key] = $more[$key] }
        & $file @arguments -WarningVariable said -WarningAction SilentlyContinue
        $script:warnings = @($said | ForEach-Object { "$_" })
    }
}

Describe 'graph-grant' {
    BeforeEach {
        Mock Get-Mailbox { [pscustomobject]@{ PrimarySmtpAddress = $Identity } }
        Mock Get-ServicePrincipal {}
        Mock New-ServicePrincipal {}
        Mock Get-ManagementScope {}
        Mock Set-ManagementScope {}
        Mock New-ManagementScope {}
        Mock New-ManagementRoleAssignment {}
        # Nothing is held before; afterwards the senders' mailboxes are reached and no other.
        Mock Test-ServicePrincipalAuthorization {
            if ($Resource) {
                $in = $Resource -ne 'ceo@contoso.com'
                Grant 'Application Mail.Send' 'notification-gateway' $in
                Grant 'Application Mail.ReadWrite' 'notification-gateway' $in
            }
        }
    }

    It 'makes principal, scope and both roles for drafts' {
        Invoke-Script | Out-Null

        Should -Invoke New-ServicePrincipal -Times 1 -Exactly -ParameterFilter {
            $AppId -eq $client -and $ObjectId -eq $principal -and $DisplayName -eq 'notification-gateway'
        }
        Should -Invoke New-ManagementScope -Times 1 -Exactly -ParameterFilter {
            $Name -eq 'notification-gateway' -and $RecipientRestrictionFilter -eq "PrimarySmtpAddress -eq 'helpdesk@contoso.com'"
        }
        Should -Invoke New-ManagementRoleAssignment -Times 2 -Exactly
        foreach ($wanted in 'Application Mail.Send', 'Application Mail.ReadWrite') {
            Should -Invoke New-ManagementRoleAssignment -Times 1 -Exactly -ParameterFilter {
                $Role -eq $wanted -and $App -eq $principal -and $CustomResourceScope -eq 'notification-gateway'
            }
        }
    }

    It 'grants no more than Mail.Send for direct' {
        Invoke-Script @{ Mode = 'direct' } | Out-Null

        Should -Invoke New-ManagementRoleAssignment -Times 1 -Exactly
        Should -Invoke New-ManagementRoleAssignment -Times 1 -Exactly -ParameterFilter { $Role -eq 'Application Mail.Send' }
    }

    It 'names every mailbox in the scope, and an apostrophe does not end its text' {
        Invoke-Script @{ Mailbox = 'helpdesk@contoso.com', "o'brien@contoso.com" } | Out-Null

        Should -Invoke New-ManagementScope -Times 1 -Exactly -ParameterFilter {
            $RecipientRestrictionFilter -eq "PrimarySmtpAddress -eq 'helpdesk@contoso.com' -or PrimarySmtpAddress -eq 'o''brien@contoso.com'"
        }
    }

    It 'keeps what is there and sets the scope again' {
        Mock Get-ServicePrincipal { [pscustomobject]@{ AppId = $client } }
        Mock Get-ManagementScope { [pscustomobject]@{ Name = 'notification-gateway' } }
        Mock Test-ServicePrincipalAuthorization {
            Grant 'Application Mail.Send' 'notification-gateway' 'True'
            Grant 'Application Mail.ReadWrite' 'notification-gateway' 'True'
        }

        Invoke-Script | Out-Null

        Should -Invoke New-ServicePrincipal -Times 0
        Should -Invoke New-ManagementScope -Times 0
        Should -Invoke New-ManagementRoleAssignment -Times 0
        Should -Invoke Set-ManagementScope -Times 1 -Exactly
    }

    It 'stops at a grant without this scope, before it adds one' {
        Mock Test-ServicePrincipalAuthorization { Grant 'Application Mail.Send' 'Organization' 'Not Run' }

        { Invoke-Script } | Should -Throw "*already holds 'Application Mail.Send' in the scope 'Organization'*Remove-ManagementRoleAssignment*"
        Should -Invoke New-ManagementRoleAssignment -Times 0
    }

    It 'says which role is no longer needed' {
        Mock Test-ServicePrincipalAuthorization {
            Grant 'Application Mail.Send' 'notification-gateway' 'True'
            Grant 'Application Mail.ReadWrite' 'notification-gateway' 'True'
        }

        Invoke-Script @{ Mode = 'direct' } | Out-Null

        $warnings -join "`n" | Should -BeLike "*'Application Mail.ReadWrite' is not needed in mode direct*"
    }

    It 'refuses an address that is not the primary one, since the scope would be empty' {
        Mock Get-Mailbox { [pscustomobject]@{ PrimarySmtpAddress = 'service@contoso.com' } }

        { Invoke-Script } | Should -Throw '*another address of service@contoso.com*'
        Should -Invoke New-ServicePrincipal -Times 0
    }

    It 'refuses a mailbox that is not there' {
        Mock Get-Mailbox {}

        { Invoke-Script } | Should -Throw '*no mailbox helpdesk@contoso.com*'
    }

    It 'shows what it checked' {
        $rows = @(Invoke-Script @{ Outsider = 'ceo@contoso.com' })

        $rows.Count | Should -Be 4
        @($rows | Where-Object { $_.Wanted -ne $_.Granted }).Count | Should -Be 0
    }

    It 'fails when a sender is not reached' {
        Mock Test-ServicePrincipalAuthorization { if ($Resource) { Grant 'Application Mail.Send' 'notification-gateway' 'True' } }

        { Invoke-Script } | Should -Throw '*Application Mail.ReadWrite does not reach helpdesk@contoso.com*'
    }

    It 'fails when somebody else is reached too' {
        Mock Test-ServicePrincipalAuthorization {
            if ($Resource) {
                Grant 'Application Mail.Send' 'notification-gateway' 'True'
                Grant 'Application Mail.ReadWrite' 'notification-gateway' 'True'
            }
        }

        { Invoke-Script @{ Outsider = 'ceo@contoso.com' } } | Should -Throw '*reaches ceo@contoso.com*'
    }

    It 'changes nothing when it only checks' {
        Invoke-Script @{ CheckOnly = $true } | Out-Null

        foreach ($cmdlet in 'New-ServicePrincipal', 'New-ManagementScope', 'Set-ManagementScope', 'New-ManagementRoleAssignment') {
            Should -Invoke $cmdlet -Times 0
        }
    }

    It 'changes nothing when asked what it would do' {
        Invoke-Script @{ WhatIf = $true } | Out-Null

        foreach ($cmdlet in 'New-ServicePrincipal', 'New-ManagementScope', 'Set-ManagementScope', 'New-ManagementRoleAssignment') {
            Should -Invoke $cmdlet -Times 0
        }
    }

    It 'warns that it could not look into Microsoft Entra' {
        Invoke-Script | Out-Null

        $warnings -join "`n" | Should -BeLike '*Not checked*void the scope*Get-MgServicePrincipalAppRoleAssignment*'
    }

    Context 'with Microsoft Graph PowerShell' {
        BeforeAll {
            function Get-MgServicePrincipalAppRoleAssignment { param($ServicePrincipalId, [switch] $All) }
        }

        It 'stops at a permission for the whole tenant' {
            Mock Get-MgServicePrincipalAppRoleAssignment { [pscustomobject]@{ AppRoleId = 'b633e1c5-b582-4048-a93e-9f11b44c7e96' } }

            { Invoke-Script } | Should -Throw '*holds Mail.Send for the whole tenant*Permissions add up*'
            Should -Invoke New-ManagementRoleAssignment -Times 0
        }

        It 'does not mind other permissions' {
            Mock Get-MgServicePrincipalAppRoleAssignment { [pscustomobject]@{ AppRoleId = '7ab1d382-f21e-4acd-a863-ba3e13f7da61' } }

            Invoke-Script | Out-Null

            Should -Invoke New-ManagementRoleAssignment -Times 2 -Exactly
            $warnings.Count | Should -Be 0
        }
    }
}

Describe 'graph-grant without a connection' {
    It 'says how to connect' {
        Remove-Item function:New-ManagementScope
        { Invoke-Script } | Should -Throw '*Connect-ExchangeOnline*'
    }
}
