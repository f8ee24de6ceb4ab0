<#
.SYNOPSIS
    Lets the gateway send as some mailboxes through Microsoft Graph, and as no other.

.DESCRIPTION
    Grants by Exchange's RBAC for Applications, which a scope limits to the mailboxes named. It can be run again: what is
    there already stays, and the scope is set to the mailboxes of the last run.

    WARNING: permissions add up. If the same identity also holds Mail.Send or Mail.ReadWrite as an application permission
    of Microsoft Entra (the "app role" that most guides describe), it reaches every mailbox of the tenant and this scope is
    void. The script looks for such grants when Microsoft Graph PowerShell is connected, and stops when it finds one;
    otherwise it says how to look.

    Needs the module ExchangeOnlineManagement, Connect-ExchangeOnline, and the role "Organization Management".
    Changes reach Microsoft Graph after 30 minutes to 2 hours; the check at the end does not wait for that.

.PARAMETER ClientId
    The identity's client id (also called application id): GATEWAY_IDENTITY_CLIENT_ID in `azd env get-values`.

.PARAMETER PrincipalId
    The object id of its service principal, not that of an app registration: GATEWAY_IDENTITY_PRINCIPAL_ID.

.PARAMETER Mailbox
    The primary addresses of the senders whose `transport` is `graph` in gateway.yaml.

.PARAMETER Mode
    draft (the default of a sender) needs Mail.ReadWrite and Mail.Send, direct needs Mail.Send alone.

.PARAMETER Outsider
    A mailbox that must stay out of reach; the check then proves that it does.

.PARAMETER Name
    What the scope and the assignments are called.

.PARAMETER CheckOnly
    Changes nothing, only checks.

.EXAMPLE
    Connect-ExchangeOnline
    ./scripts/graph-grant.ps1 -ClientId CLIENT_ID -PrincipalId PRINCIPAL_ID -Mailbox helpdesk@contoso.com -Outsider ceo@contoso.com

.LINK
    https://learn.microsoft.com/exchange/permissions-exo/application-rbac
#>
[CmdletBinding(SupportsShouldProcess = $true)]
param(
    [Parameter(Mandatory = $true)] [guid] $ClientId,
    [Parameter(Mandatory = $true)] [guid] $PrincipalId,
    [Parameter(Mandatory = $true)] [ValidatePattern('^[^@\s]+@[^@\s]+$')] [string[]] $Mailbox,
    [ValidateSet('draft', 'direct')] [string] $Mode = 'draft',
    [ValidatePattern('^[^@\s]+@[^@\s]+$')] [string] $Outsider,
    [ValidatePattern('^[A-Za-z0-9 _-]{1,40}$')] [string] $Name = 'notification-gateway',
    [switch] $CheckOnly
)

# Plain ASCII and the syntax of Windows PowerShell 5.1, which reads a file without a mark as ANSI.
Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

$roles = @('Application Mail.Send')
if ($Mode -eq 'draft') { $roles += 'Application Mail.ReadWrite' }

# The same permissions as app roles of Microsoft Entra, by their ids there.
$tenantWide = @{
    'b633e1c5-b582-4048-a93e-9f11b44c7e96' = 'Mail.Send'
    'e2a3a72e-5f79-4c64-b1b1-878b674786c9' = 'Mail.ReadWrite'
}

function Assert-Connected {
    foreach ($cmdlet in 'New-ServicePrincipal', 'New-ManagementScope', 'New-ManagementRoleAssignment') {
        if (-not (Get-Command $cmdlet -ErrorAction SilentlyContinue)) {
            throw "$cmdlet is not there. Install-Module ExchangeOnlineManagement, then Connect-ExchangeOnline with a role that may manage permissions."
        }
    }
}

function Assert-NoTenantWideGrant {
    if (-not (Get-Command Get-MgServicePrincipalAppRoleAssignment -ErrorAction SilentlyContinue)) {
        Write-Warning ('Not checked: whether the identity holds Mail.Send or Mail.ReadWrite in Microsoft Entra too, which would void the scope. ' +
            "Look with: Connect-MgGraph -Scopes Application.Read.All; Get-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $PrincipalId")
        return
    }
    $found = @(Get-MgServicePrincipalAppRoleAssignment -ServicePrincipalId "$PrincipalId" -All |
            Where-Object { $tenantWide.ContainsKey("$($_.AppRoleId)") } |
            ForEach-Object { $tenantWide["$($_.AppRoleId)"] })
    if ($found.Count -gt 0) {
        throw ("The identity holds $($found -join ' and ') for the whole tenant in Microsoft Entra. Permissions add up, so no scope limits it. " +
            "Remove it first: Remove-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $PrincipalId -AppRoleAssignmentId ID")
    }
}

function Assert-Mailbox {
    foreach ($address in $Mailbox) {
        $found = Get-Mailbox -Identity $address -ErrorAction SilentlyContinue
        if (-not $found) { throw "There is no mailbox $address. Name the primary address of a user's or a shared mailbox." }
        # The scope compares primary addresses; with another one of the same mailbox it would contain nothing.
        if ("$($found.PrimarySmtpAddress)" -ne $address) {
            throw "$address is another address of $($found.PrimarySmtpAddress). Name that one, and write it in gateway.yaml."
        }
    }
}

function Get-Filter {
    $terms = $Mailbox | Sort-Object -Unique | ForEach-Object { "PrimarySmtpAddress -eq '$($_.Replace("'", "''"))'" }
    $terms -join ' -or '
}

function Set-Principal {
    if (Get-ServicePrincipal -Identity "$PrincipalId" -ErrorAction SilentlyContinue) { return }
    if ($PSCmdlet.ShouldProcess("$PrincipalId", 'New-ServicePrincipal')) {
        New-ServicePrincipal -AppId "$ClientId" -ObjectId "$PrincipalId" -DisplayName $Name | Out-Null
    }
}

function Set-Scope {
    $filter = Get-Filter
    if (Get-ManagementScope -Identity $Name -ErrorAction SilentlyContinue) {
        if ($PSCmdlet.ShouldProcess($Name, "Set-ManagementScope: $filter")) {
            Set-ManagementScope -Identity $Name -RecipientRestrictionFilter $filter -Confirm:$false
        }
    }
    elseif ($PSCmdlet.ShouldProcess($Name, "New-ManagementScope: $filter")) {
        New-ManagementScope -Name $Name -RecipientRestrictionFilter $filter | Out-Null
    }
}

function Get-Remedy([string] $role) {
    "Get-ManagementRoleAssignment -RoleAssignee $PrincipalId -Role '$role' | Remove-ManagementRoleAssignment"
}

function Set-Assignment {
    # Without a mailbox it lists what the identity holds in Exchange, each with its scope.
    $there = @(Test-ServicePrincipalAuthorization -Identity "$PrincipalId" -ErrorAction SilentlyContinue)
    foreach ($grant in $there) {
        if ("$($grant.AllowedResourceScope)" -ne $Name) {
            throw ("The identity already holds '$($grant.RoleName)' in the scope '$($grant.AllowedResourceScope)'. " +
                "Permissions add up; remove it first: $(Get-Remedy $grant.RoleName)")
        }
        if ($roles -notcontains "$($grant.RoleName)") {
            Write-Warning "'$($grant.RoleName)' is not needed in mode $Mode. Remove it: $(Get-Remedy $grant.RoleName)"
        }
    }
    $held = @($there | ForEach-Object { "$($_.RoleName)" })
    foreach ($role in $roles) {
        if ($held -contains $role) { continue }
        if ($PSCmdlet.ShouldProcess($role, "New-ManagementRoleAssignment in the scope $Name")) {
            $called = "$Name $($role.Replace('Application ', ''))"
            New-ManagementRoleAssignment -Name $called -App "$PrincipalId" -Role $role -CustomResourceScope $Name | Out-Null
        }
    }
}

function Test-Reach([string] $address) {
    # InScope is True, False or, without a mailbox, "Not Run".
    @(Test-ServicePrincipalAuthorization -Identity "$PrincipalId" -Resource $address |
            Where-Object { "$($_.InScope)" -eq 'True' } | ForEach-Object { "$($_.RoleName)" })
}

function Test-Grant {
    $wrong = @()
    foreach ($address in $Mailbox) {
        $reached = @(Test-Reach $address)
        foreach ($role in $roles) {
            $granted = $reached -contains $role
            [pscustomobject]@{ Mailbox = $address; Role = $role; Wanted = $true; Granted = $granted }
            if (-not $granted) { $wrong += "$role does not reach $address" }
        }
    }
    if ($Outsider) {
        $reached = @(Test-Reach $Outsider)
        foreach ($role in $roles) {
            $granted = $reached -contains $role
            [pscustomobject]@{ Mailbox = $Outsider; Role = $role; Wanted = $false; Granted = $granted }
            if ($granted) { $wrong += "$role reaches $Outsider, which is none of the senders" }
        }
    }
    if ($wrong.Count -gt 0) { throw ($wrong -join '; ') }
}

Assert-Connected
Assert-NoTenantWideGrant
if (-not $CheckOnly) {
    Assert-Mailbox
    Set-Principal
    Set-Scope
    Set-Assignment
}
if (-not $WhatIfPreference) { Test-Grant }
