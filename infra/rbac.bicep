// Roles: identities and resources come in, who may do what goes out. Every assignment of the project stands here.

import { reportQueue } from 'layout.bicep'

@description('The identity\'s own number. Names of assignments are made of it: an identity that was made again has another one, and Azure refuses to give an assignment to somebody else (RoleAssignmentUpdateNotPermitted).')
param principalId string
@description('The person, group or pipeline that runs the gateway; empty: nobody.')
param operatorId string
@description('The event topic\'s own identity; empty: there is none.')
param topicPrincipalId string
param storageName string
param vaultName string
param insightsName string
@description('Empty: no mail service.')
param communicationName string

// https://learn.microsoft.com/azure/role-based-access-control/built-in-roles has them by these numbers.
var roles = {
  'Communication and Email Service Owner': '09976791-48a7-449e-bb21-39d1a415f350'
  'Key Vault Secrets Officer': 'b86a8fe4-44ce-4948-aee5-eccb2c155cd7'
  'Key Vault Secrets User': '4633458b-17de-408a-b874-0445c86b69e6'
  'Monitoring Metrics Publisher': '3913510d-42f4-4e42-8a64-420c390055eb'
  'Storage Blob Data Owner': 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
  'Storage Blob Data Reader': '2a2b9908-6ea1-4ae2-8e65-a410df84e7d1'
  'Storage Queue Data Contributor': '974c5e8b-45b9-4653-ba55-5f855dd0fb88'
  'Storage Queue Data Message Sender': 'c6a89b2d-59bc-44d0-9896-0f6e12d7b80a'
  'Storage Queue Data Reader': '19e7f393-937e-4f77-808e-94535e297925'
  'Storage Table Data Contributor': '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'
  'Storage Table Data Reader': '76199698-9eea-4c19-bc75-cec21354c6b6'
}

// The host keeps locks, keys and timers in blobs, for which Microsoft asks for the owner's role; queues and table are
// written by the gateway itself.
var storageRoles = [
  'Storage Blob Data Owner'
  'Storage Queue Data Contributor'
  'Storage Table Data Contributor'
]

// What `doctor` asks for, and no more.
var operatorStorageRoles = [
  'Storage Blob Data Reader'
  'Storage Queue Data Reader'
  'Storage Table Data Reader'
]

resource storage 'Microsoft.Storage/storageAccounts@2025-01-01' existing = {
  name: storageName

  resource queueService 'queueServices' existing = {
    name: 'default'

    resource reports 'queues' existing = { name: reportQueue }
  }
}

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = { name: vaultName }
resource insights 'Microsoft.Insights/components@2020-02-02' existing = { name: insightsName }
resource communication 'Microsoft.Communication/communicationServices@2025-09-01' existing = if (!empty(communicationName)) {
  name: communicationName
}

resource appStorage 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in storageRoles: {
    scope: storage
    name: guid(storage.id, principalId, roles[role])
    properties: {
      description: role
      principalId: principalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles[role])
    }
  }
]

resource appVault 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: vault
  name: guid(vault.id, principalId, roles['Key Vault Secrets User'])
  properties: {
    description: 'Key Vault Secrets User'
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles['Key Vault Secrets User'])
  }
}

resource appInsights 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: insights
  name: guid(insights.id, principalId, roles['Monitoring Metrics Publisher'])
  properties: {
    description: 'Monitoring Metrics Publisher'
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId(
      'Microsoft.Authorization/roleDefinitions',
      roles['Monitoring Metrics Publisher']
    )
  }
}

// The only built-in role that may send mail; it is given on the one resource.
resource appMail 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(communicationName)) {
  scope: communication
  name: guid(communication.id, principalId, roles['Communication and Email Service Owner'])
  properties: {
    description: 'Communication and Email Service Owner'
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId(
      'Microsoft.Authorization/roleDefinitions',
      roles['Communication and Email Service Owner']
    )
  }
}

resource topicQueue 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(communicationName)) {
  scope: storage::queueService::reports
  name: guid(storage::queueService::reports.id, topicPrincipalId, roles['Storage Queue Data Message Sender'])
  properties: {
    description: 'Storage Queue Data Message Sender'
    principalId: topicPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId(
      'Microsoft.Authorization/roleDefinitions',
      roles['Storage Queue Data Message Sender']
    )
  }
}

// Without a principalType: a person, a group and a pipeline are all welcome.
resource operatorVault 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(operatorId)) {
  scope: vault
  name: guid(vault.id, operatorId, roles['Key Vault Secrets Officer'])
  properties: {
    description: 'Key Vault Secrets Officer'
    principalId: operatorId
    roleDefinitionId: subscriptionResourceId(
      'Microsoft.Authorization/roleDefinitions',
      roles['Key Vault Secrets Officer']
    )
  }
}

resource operatorStorage 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in operatorStorageRoles: if (!empty(operatorId)) {
    scope: storage
    name: guid(storage.id, operatorId, roles[role])
    properties: {
      description: role
      principalId: operatorId
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles[role])
    }
  }
]
