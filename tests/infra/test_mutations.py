"""Spoiled sources: a change that somebody could make by mistake comes in, and the CLI or a rule notices it.

SOAK=1 tries them all; otherwise every eighth, since each costs a call of the CLI.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.infra.bicep import INFRA, BuildFailed, cloud_of, copy, evaluate, modules
from tests.infra.every_rule import RULES
from tests.infra.rules_order import too_early


class Mutation(NamedTuple):
    """`old` becomes `new` in one file; a combination that shows it."""

    file: str
    old: str
    new: str
    combination: str = "public"

    def __str__(self) -> str:
        """What the test is called."""
        return f"{self.file}: {self.old[:40]} -> {self.new[:40]}".replace("\n", " ")


ORDER = [
    Mutation("main", "  dependsOn: [rbac]\n}\n\nmodule vnet", "}\n\nmodule vnet"),
    Mutation("main", "  dependsOn: [rbac]\n}\n\nmodule alerts", "}\n\nmodule alerts"),
    Mutation("main", "  dependsOn: [monitoring, storage, events]", "  dependsOn: [monitoring, events]"),
    Mutation("main", "  dependsOn: [storage, vault]\n}\n\nmodule reports", "}\n\nmodule reports"),
]
"""Noticed in the order of the modules, which no evaluation shows."""

FIGURES = ", metrics: [{ category: 'Transaction', enabled: true }]"

MUTATIONS = [
    # app
    Mutation("function", "AZURE_CLIENT_ID: ", "AZURE_CLIENTID: "),
    Mutation("function", "      AzureWebJobsStorage__credential: 'managedidentity'\n", ""),
    Mutation(
        "function",
        "identity.properties.clientId\n      AZURE_TENANT",
        "identity.properties.principalId\n      AZURE_TENANT",
    ),
    Mutation(
        "function",
        "identity.properties.clientId\n      AZURE_TENANT",
        "identity.properties.clientID\n      AZURE_TENANT",
    ),
    Mutation("function", "GRAPH_ENDPOINT: ", "FUNCTIONS_WORKER_RUNTIME: 'python'\n      GRAPH_ENDPOINT: "),
    Mutation(
        "function",
        "triggers: { http: { perInstanceConcurrency: requestsAtOnce } }",
        "triggers: { http: { perInstanceConcurrency: requestsAtOnce * 10 } }",
        "customer",
    ),
    Mutation("function", "      FUNCTIONS_REQUEST_BODY_SIZE_LIMIT: string(12 * 1024 * 1024)\n", ""),
    Mutation("function", "string(12 * 1024 * 1024)", "string(100 * 1024 * 1024)"),
    Mutation("function", "string(12 * 1024 * 1024)", "string(10 * 1024 * 1024)"),
    Mutation("function", "maxConcurrentRequests: string(requestsAtOnce)", "maxConcurrentRequests: '16'"),
    Mutation("function", "min(httpConcurrency, ", "max(httpConcurrency, ", "customer"),
    Mutation("function", "'2048': 8", "'2048': 32"),
    Mutation("function", "'2048': '256'", "'2048': '2048'"),
    Mutation("function", "version: '3.13'", "version: '3.12'"),
    Mutation("function", "'azd-service-name': 'api'", "'azd-service': 'api'"),
    Mutation(
        "function", "keyVaultReferenceIdentity: identity.id", "keyVaultReferenceIdentity: 'SystemAssigned'", "private"
    ),
    Mutation("function", "httpsOnly: true", "httpsOnly: false"),
    Mutation("function", "name: 'ftp', properties: { allow: false }", "name: 'ftp', properties: { allow: true }"),
    Mutation("main", "      GATEWAY_STORE: 'azure'\n", ""),
    Mutation("main", "ACS_ENDPOINT: communication!.outputs.endpoint, ", ""),
    # storage
    Mutation("layout", "'outbox-high', ", ""),
    Mutation("layout", "var table = 'gateway'", "var table = 'gateways'"),
    Mutation("layout", "payloads: 'payloads'", "payloads: 'payload'"),
    Mutation("storage", "'${name}-poison'", "'${name}-dead'"),
    Mutation("storage", "allowSharedKeyAccess: false", "allowSharedKeyAccess: true"),
    Mutation("storage", "allowSharedKeyAccess", "allowSharedKeysAccess"),
    Mutation("storage", "publicAccess: 'None'", "publicAccess: 'Blob'"),
    Mutation("storage", "isPrivate ? 'Disabled' : 'Enabled'", "'Enabled'", "private"),
    Mutation("storage", "bypass: 'AzureServices'", "bypass: 'None'", "private"),
    Mutation("storage", "level: 'CanNotDelete'", "level: 'ReadOnly'", "zones"),
    Mutation("storage", "= if (isLocked) {\n  scope: account", "= if (isLocked) {\n  scope: blobs", "zones"),
    Mutation("storage", "= if (isLocked)", "= if (!isLocked)"),
    # roles
    Mutation("rbac", "  'Storage Table Data Contributor'\n]", "]"),
    Mutation("rbac", "  'Storage Queue Data Contributor'\n  ", "  'Storage Queue Data Reader'\n  "),
    Mutation("rbac", "scope: storage::queueService::reports\n", "scope: storage\n"),
    Mutation(
        "rbac",
        "    principalId: topicPrincipalId\n",
        "    principalId: empty(topicPrincipalId) ? topicPrincipalId : principalId\n",
    ),
    Mutation("rbac", "4633458b-17de-408a-b874-0445c86b69e6", "00482a5a-887f-4fb3-b363-3b7fe8e74483"),
    Mutation("rbac", "if (!empty(operatorId)) {\n  scope: vault", "{\n  scope: vault"),
    Mutation("main", "(empty(operatorsGroupId) ? principalId : operatorsGroupId)", "principalId", "customer"),
    Mutation("main", "operatorsGroupId == 'none' ? ''", "operatorsGroupId == 'nobody' ? ''", "government"),
    Mutation("rbac", "guid(vault.id, principalId, ", "guid(vault.id, vaultName, "),
    Mutation("rbac", "reports.id, topicPrincipalId, roles", "reports.id, communicationName, roles"),
    # region and scale
    Mutation("regions", "  'northcentralus'\n", "", "zoneless"),
    Mutation("regions", "!contains(zoneless", "contains(zoneless"),
    Mutation("main", "    zoneRedundant: zoneRedundant\n", "    zoneRedundant: !zoneRedundant\n", "zones"),
    Mutation("function", "map(items(alwaysReady), ", "map(take(items(alwaysReady), 1), ", "zones"),
    # mail and events
    Mutation("communication", "!isOwn || isVerified", "!isOwn || isVerified || !isVerified", "private"),
    Mutation("communication", "disableLocalAuth: true", "disableLocalAuth: false"),
    Mutation("reports", "EmailDeliveryReportReceived", "EmailEngagementTrackingReportReceived"),
    Mutation("reports", "'SystemAssigned' }\n      destination", "'UserAssigned' }\n      destination"),
    # network
    Mutation(
        "network",
        "for endpoint in endpoints: {\n    name: endpoint.zone",
        "for endpoint in take(endpoints, 3): {\n    name: endpoint.zone",
        "private",
    ),
    Mutation("network", "          natGateway: { id: gateway.id }\n", "", "private"),
    Mutation("network", "environment().suffixes.keyvaultDns", "'.vault.azure.net'", "government"),
    Mutation("cloud", "https://graph.microsoft.us", "https://graph.microsoft.com", "government"),
    Mutation("vault", "enableRbacAuthorization: true", "enableRbacAuthorization: false"),
    Mutation("network", "cidrSubnet(prefix, 27, 8)", "cidrSubnet(prefix, 27, 7)", "private"),
    Mutation("communication", "isLinkable ? senderUsernames : []", "senderUsernames", "private"),
    # watching
    Mutation("monitoring", "DisableLocalAuth: true", "DisableLocalAuth: false"),
    Mutation("vault", "logs: [{ category: 'AuditEvent', enabled: true }]", "logs: []"),
    Mutation("communication", "'EmailSendMailOperational'", "'EmailStatusUpdateOperational'"),
    Mutation("alerts", "loadTextContent('queries/dead-letters.kql')", "loadTextContent('queries/suppressions.kql')"),
    Mutation("alerts", "oldestMinutes * 60", "oldestMinutes"),
    Mutation("alerts", "storageGigabytes * 1024 * 1024", "storageGigabytes * 1024"),
    Mutation("alerts", "metricName: 'UsedCapacity'", "metricName: 'Transactions'"),
    Mutation("alerts", "if (storageGigabytes > 0)", "if (storageGigabytes >= 0)", "customer"),
    Mutation("alerts", "\n    actions: [{ actionGroupId: people.id }]", "\n    actions: []"),
    Mutation("alerts", "\n      actions: [{ actionGroupId: people.id }]", "\n      actions: []"),
    Mutation("alerts", "scopes: [storage.id]", "scopes: [insights.id]"),
    Mutation("alerts", "loadTextContent('queries/bounds.kql')", "loadTextContent('queries/faults.kql')"),
    Mutation("alerts", "column: 'attempts'", "column: 'seconds'"),
    Mutation("alerts", "actions: { actionGroups: [people.id] }", "actions: { actionGroups: [] }"),
    Mutation("alerts", "    pause: 'PT45M'\n", ""),
    Mutation("alerts", "window: 'PT1H'\n    pause", "window: 'PT15M'\n    pause"),
    Mutation("alerts", "    looks: 3\n", ""),
    Mutation("alerts", "metric: 'DroppedEventCount'", "metric: 'DeadLetteredCount'"),
    Mutation("alerts", "more: 10", "more: 1000"),
    Mutation("main", "topicName: hasMail ? names.topic : ''", "topicName: ''"),
    Mutation("availability", "/health/ready'", "/health/live'"),
    Mutation("availability", "failedLocationCount: 2", "failedLocationCount: 4"),
    Mutation("cloud", "'us-va-ash-azr', ", ""),
    Mutation("main", "= if (availabilityTest)", "= if (!availabilityTest)", "zoneless"),
    Mutation("cloud", "'usgov-va-azr'", "'us-va-ash-azr'", "government"),
    Mutation("budget", "threshold: 80", "threshold: 800", "zones"),
    Mutation("main", "= if (monthlyBudget > 0)", "= if (monthlyBudget >= 0)"),
    Mutation("monitoring", "  'AppTraces'\n", ""),
    Mutation("monitoring", "{ retentionInDays: retentionDays, total", "{ retentionInDays: 90, total"),
    Mutation("monitoring", "dailyCapGb == 0 ? -1 : dailyCapGb", "-1 * dailyCapGb"),
    Mutation("monitoring", "retentionDays == 30", "retentionDays == 31"),
    Mutation("storage", "'StorageDelete', enabled: true }]", "'StorageWrite', enabled: true }]"),
    Mutation("storage", "'StorageDelete', enabled: true }]", "'StorageDelete', enabled: true }]" + FIGURES),
    Mutation("workbook", "queries/poison.kql", "queries/latency.kql"),
    # outputs and names
    Mutation("main", "output MAIL_DOMAIN", "output STORAGE_PASSWORD string = 'x'\noutput MAIL_DOMAIN"),
    Mutation("names", "'kv-${token}'", "'keyvault-gateway-${token}'"),
    Mutation("names", "storage: 'st${token}'", "storage: 'st-${token}'"),
]

CHOSEN = MUTATIONS if os.environ.get("SOAK") == "1" else MUTATIONS[::8]


@pytest.mark.usefixtures("bicep")
@pytest.mark.parametrize("mutation", CHOSEN, ids=str)
def test_a_mistake_is_noticed(mutation: Mutation, tmp_path: Path) -> None:
    """By the build, or by a rule."""
    folder = spoiled(mutation, tmp_path)

    assert [] != list(noticed(folder, mutation.combination))


@pytest.mark.usefixtures("bicep")
@pytest.mark.parametrize("mutation", ORDER if os.environ.get("SOAK") == "1" else ORDER[:1], ids=str)
def test_an_early_start_is_noticed(mutation: Mutation, tmp_path: Path) -> None:
    """In what each module waits for."""
    folder = spoiled(mutation, tmp_path)

    assert [] != list(too_early(modules(folder / "infra/main.bicep")))


@pytest.mark.parametrize("mutation", [*MUTATIONS, *ORDER], ids=str)
def test_a_mutation_still_has_something_to_spoil(mutation: Mutation) -> None:
    """At one place exactly, or the others prove nothing."""
    assert 1 == (INFRA / f"{mutation.file}.bicep").read_text("utf-8").count(mutation.old)


def spoiled(mutation: Mutation, folder: Path) -> Path:
    """A copy of the sources with the mistake in it."""
    copy(folder, cloud_of(mutation.combination))
    file = folder / f"infra/{mutation.file}.bicep"
    put = mutation.old.replace("environment()", "loadJsonContent('cloud.json')")
    file.write_text(file.read_text("utf-8").replace(put, mutation.new), "utf-8")
    return folder


def noticed(folder: Path, combination: str) -> Iterator[str]:
    """What the CLI says, or what the rules find."""
    try:
        found = evaluate(folder, combination)
    except BuildFailed as error:
        yield str(error)
    else:
        for rule in RULES:
            yield from rule(found)
