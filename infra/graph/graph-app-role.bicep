// Mail.Send for the whole tenant: the identity's object id comes in, an app role of Microsoft Entra for it goes out.
//
// WARNING: with this the gateway may send as EVERY mailbox of the tenant. scripts/graph-grant.ps1 grants the same for the
// senders' mailboxes only; never use both, since permissions add up and this one voids that one's scope. This file is for
// tenants whose Exchange cannot be managed by script, and for test tenants.
//
// It is not a part of main.bicep and was never built by the project's tests: its extension comes from a registry. Needs
// Bicep 0.36.1 or newer, and AppRoleAssignment.ReadWrite.All and Application.Read.All for whoever deploys it:
//   az deployment group create --resource-group rg-prod --template-file infra/graph/graph-app-role.bicep \
//     --parameters principalId=$(azd env get-value GATEWAY_IDENTITY_PRINCIPAL_ID)

extension microsoftGraphV1

@description('GATEWAY_IDENTITY_PRINCIPAL_ID of `azd env get-values`.')
param principalId string

@description('draft is the default of a sender in gateway.yaml.')
@allowed(['draft', 'direct'])
param mode string = 'draft'

// https://learn.microsoft.com/graph/permissions-reference
var roles = {
  'Mail.Send': 'b633e1c5-b582-4048-a93e-9f11b44c7e96'
  'Mail.ReadWrite': 'e2a3a72e-5f79-4c64-b1b1-878b674786c9'
}

resource graph 'Microsoft.Graph/servicePrincipals@v1.0' existing = {
  appId: '00000003-0000-0000-c000-000000000000'
}

resource send 'Microsoft.Graph/appRoleAssignedTo@v1.0' = {
  appRoleId: roles['Mail.Send']
  principalId: principalId
  resourceId: graph.id
}

resource write 'Microsoft.Graph/appRoleAssignedTo@v1.0' = if (mode == 'draft') {
  appRoleId: roles['Mail.ReadWrite']
  principalId: principalId
  resourceId: graph.id
}
