"""The rules: a combination's resources come in, a sentence for everything that is not as it must be goes out.

Each rule is used twice: over the sources as they are, where it must find nothing, and over sources that were spoiled on
purpose, where one of them must find something (test_mutations.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from gateway.web import BODY_LIMIT
from tests.infra import expected
from tests.infra.bicep import ROOT, TENANT, Deployment, Json

Rule = Callable[[Deployment], Iterator[str]]
RULES: list[Rule] = []

OPERATOR = "33333333-3333-3333-3333-333333333333"
"""Whose id a combination gives."""


def rule(function: Rule) -> Rule:
    """Put it on the list."""
    RULES.append(function)
    return function


def has_mail(deployment: Deployment) -> bool:
    """Whether this combination has a mail service."""
    return "emailDomain = 'none'" not in deployment.parameters


def is_private(deployment: Deployment) -> bool:
    """Whether it asked for a private network."""
    return "network = 'private'" in deployment.parameters


def differs(what: str, wanted: object, found: object) -> Iterator[str]:
    """One sentence, if they do."""
    if wanted != found:
        yield f"{what}: expected {wanted}, found {found}"


def properties(resource: Json, **wanted: Any) -> Iterator[str]:
    """A sentence for each property that has another value; `a__b` is the b of a."""
    for path, value in wanted.items():
        found: Any = resource.get("properties", {})
        for step in path.split("__"):
            found = found.get(step) if isinstance(found, dict) else None
        yield from differs(f"{resource['type']} {resource['name']} {path}", value, found)


def last(resource: Json) -> str:
    """The last part of its name."""
    return str(resource["name"]).rpartition("/")[2]


def app_settings(deployment: Deployment) -> dict[str, str]:
    """What the app is given."""
    return dict(deployment.one("Microsoft.Web/sites/config")["properties"])


def numbers(deployment: Deployment) -> dict[str, int]:
    """The parameters that are whole numbers."""
    return {name: int(value) for name, value in re.findall(r"(\w+) = (\d+)$", deployment.parameters, re.MULTILINE)}


def requests_at_once(deployment: Deployment) -> int:
    """As many as were asked for, and no more than an instance has room for."""
    given = numbers(deployment)
    return min(given.get("httpConcurrency", 16), expected.REQUESTS_THAT_FIT[given.get("instanceMemoryMB", 2048)])


# ---------------------------------------------------------------------------------------------------------- app


@rule
def settings_are_what_the_code_reads(deployment: Deployment) -> Iterator[str]:
    """All of them, no other, and none that Flex Consumption refuses."""
    given = app_settings(deployment)
    wanted = expected.settings() if has_mail(deployment) else expected.settings() - expected.MAIL
    asked = set(re.findall(r"[{,]\s*([A-Z_]+): '", deployment.parameters))  # of gateway.yaml, by the parameters
    yield from differs("app settings", sorted(wanted | asked), sorted(given))
    yield from (f"{name} is refused by Flex Consumption" for name in given if expected.FORBIDDEN.fullmatch(name))


@rule
def settings_have_their_values(deployment: Deployment) -> Iterator[str]:
    """Those that are known before anything exists; the others name the resource they come from."""
    given = app_settings(deployment)
    (account,) = deployment.of("Microsoft.Storage/storageAccounts")
    environment = "staging" if "'staging'" in deployment.parameters else "production"
    wanted = {
        "AzureWebJobsStorage__accountName": account["name"],
        "AzureWebJobsStorage__credential": "managedidentity",
        "AZURE_TENANT_ID": TENANT,
        "GATEWAY_CONFIG": "gateway.yaml",
        "GATEWAY_ENVIRONMENT": environment,
        "GATEWAY_STORE": "azure",
    }
    yield from differs("app settings", wanted, {name: given.get(name) for name in wanted})
    for service in ("blob", "queue", "table"):
        uri = given.get(f"AzureWebJobsStorage__{service}ServiceUri", "")
        if not uri.startswith(f"https://{account['name']}.{service}.core."):
            yield f"{service}: {uri} is not the account's address"
    for name in ("AZURE_CLIENT_ID", "AzureWebJobsStorage__clientId"):
        if not re.search(r"userAssignedIdentities/[^']+', '[\d-]+'\)\.clientId\]$", given.get(name, "")):
            yield f"{name}: {given.get(name)} is not the identity's"
    if "Authorization=AAD" not in given.get("APPLICATIONINSIGHTS_AUTHENTICATION_STRING", ""):
        yield "telemetry does not sign in with Entra"


@rule
def secrets_come_from_the_vault(deployment: Deployment) -> Iterator[str]:
    """By reference, read with the identity."""
    for name in re.findall(r"vaultSettings = \{ (\w+)", deployment.parameters):
        value = app_settings(deployment).get(name, "")
        if "@Microsoft.KeyVault(SecretUri={0}secrets/{1})" not in value or ".vaultUri" not in value:
            yield f"{name} is no reference to the vault: {value}"
    (site,) = deployment.of("Microsoft.Web/sites")
    yield from differs(
        "the identity that reads it",
        [site["properties"].get("keyVaultReferenceIdentity")],
        list(site["identity"]["userAssignedIdentities"]),
    )


@rule
def the_app_runs_on_flex_consumption(deployment: Deployment) -> Iterator[str]:
    """With every figure said, since Azure's default lets one instance take one request."""
    (plan,) = deployment.of("Microsoft.Web/serverfarms")
    yield from differs("plan", {"name": "FC1", "tier": "FlexConsumption"}, plan["sku"])
    (site,) = deployment.of("Microsoft.Web/sites")
    config = site["properties"].get("functionAppConfig", {})
    number = numbers(deployment)
    (ready,) = re.findall(r"alwaysReady = \{(.*)\}", deployment.parameters) or [""]
    groups = {name: int(count) for name, count in re.findall(r"'?([\w:]+)'?: (\d+)", ready)}
    yield from differs(
        "scale",
        {
            "alwaysReady": [{"name": name, "instanceCount": count} for name, count in sorted(groups.items())],
            "instanceMemoryMB": number.get("instanceMemoryMB", 2048),
            "maximumInstanceCount": number.get("maximumInstanceCount", 40),
            "triggers": {"http": {"perInstanceConcurrency": requests_at_once(deployment)}},
        },
        config.get("scaleAndConcurrency"),
    )
    yield from (f"{name} is no function" for name in groups if name not in expected.groups())
    spread = "zoneRedundant = true" in deployment.parameters
    yield from differs("spread over zones", spread, plan["properties"].get("zoneRedundant"))
    version = (ROOT / ".python-version").read_text("utf-8").strip()
    yield from differs("runtime", {"name": "python", "version": version}, config.get("runtime"))
    yield from differs("identity", "UserAssigned", site["identity"]["type"])


@rule
def large_bodies_fit_into_an_instance(deployment: Deployment) -> Iterator[str]:
    """The host refuses what is far above the gateway's own limit, and holds back what an instance has no room for."""
    given = app_settings(deployment)
    limit = int(given.get("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT", "0"))
    if not BODY_LIMIT < limit <= BODY_LIMIT * 5 // 4:
        yield f"bodies: the host takes {limit} bytes, the gateway {BODY_LIMIT}"
    at_once = given.get("AzureFunctionsJobHost__extensions__http__maxConcurrentRequests")
    yield from differs("requests at once", str(requests_at_once(deployment)), at_once)
    budget = expected.BUDGETS[numbers(deployment).get("instanceMemoryMB", 2048)]
    yield from differs("memory budget", budget, given.get("GATEWAY_MEMORY_BUDGET"))


@rule
def the_package_has_its_container(deployment: Deployment) -> Iterator[str]:
    """And is read with the identity."""
    (site,) = deployment.of("Microsoft.Web/sites")
    storage = site["properties"]["functionAppConfig"]["deployment"]["storage"]
    yield from differs("the package", expected.PACKAGE, storage["value"].rpartition("/")[2])
    yield from differs("its door", "UserAssignedIdentity", storage["authentication"]["type"])
    yield from differs(
        "its key",
        list(site["identity"]["userAssignedIdentities"]),
        [storage["authentication"]["userAssignedIdentityResourceId"]],
    )


# ------------------------------------------------------------------------------------------------------ storage


@rule
def storage_has_what_the_code_uses(deployment: Deployment) -> Iterator[str]:
    """Every queue that a trigger binds, the table, the containers; nothing that nobody uses."""
    under = "Microsoft.Storage/storageAccounts/"
    found = {last(queue) for queue in deployment.of(f"{under}queueServices/queues")}
    yield from differs("queues", sorted(binding.queue for binding in expected.bindings()), sorted(found))
    yield from differs(
        "tables", expected.TABLES, {last(table) for table in deployment.of(f"{under}tableServices/tables")}
    )
    containers = {last(container) for container in deployment.of(f"{under}blobServices/containers")}
    yield from differs("containers", expected.CONTAINERS | {expected.INTAKE, expected.PACKAGE}, containers)


@rule
def triggers_find_their_storage(deployment: Deployment) -> Iterator[str]:
    """A binding's connection is the prefix of settings that are there."""
    for connection in {binding.connection for binding in expected.bindings()}:
        if f"{connection}__accountName" not in app_settings(deployment):
            yield f"the triggers' connection {connection} is not set"


@rule
def storage_opens_to_identities_only(deployment: Deployment) -> Iterator[str]:
    """No key, no anonymous reader, no old TLS."""
    (account,) = deployment.of("Microsoft.Storage/storageAccounts")
    yield from properties(
        account,
        allowSharedKeyAccess=False,
        allowBlobPublicAccess=False,
        allowCrossTenantReplication=False,
        defaultToOAuthAuthentication=True,
        minimumTlsVersion="TLS1_2",
        supportsHttpsTrafficOnly=True,
        networkAcls__bypass="AzureServices",
    )
    for container in deployment.of("Microsoft.Storage/storageAccounts/blobServices/containers"):
        yield from properties(container, publicAccess="None")


@rule
def storage_has_as_many_copies_as_its_region_has_zones(deployment: Deployment) -> Iterator[str]:
    """Azure refuses zones where there are none, after the region was chosen from its own list."""
    asked = re.search(r"storageSku = '(\w+)'", deployment.parameters)
    zoneless = re.search(r"location = '(northcentralus)'", deployment.parameters)
    wanted = asked[1] if asked else "Standard_LRS" if zoneless else "Standard_ZRS"
    yield from differs("storage", {"name": wanted}, deployment.one("Microsoft.Storage/storageAccounts")["sku"])


@rule
def the_ledger_is_locked_where_it_was_asked_for(deployment: Deployment) -> Iterator[str]:
    """Against deletion of the account, and of nothing else: a read-only one could not be written."""
    asked = "storageLock = true" in deployment.parameters
    account = deployment.one("Microsoft.Storage/storageAccounts")["id"]
    locks = deployment.of("Microsoft.Authorization/locks")
    wanted = [(f"{account}/providers/Microsoft.Authorization/locks/ledger", "CanNotDelete")] if asked else []
    yield from differs("locks", wanted, [(lock["id"], lock["properties"]["level"]) for lock in locks])


@rule
def forgotten_blobs_go(deployment: Deployment) -> Iterator[str]:
    """Later than the longest retention of the ledger, and the package never."""
    (policy,) = deployment.of("Microsoft.Storage/storageAccounts/managementPolicies")
    found = {
        prefix: rule["definition"]["actions"]["baseBlob"]["delete"]["daysAfterModificationGreaterThan"]
        for rule in policy["properties"]["policy"]["rules"]
        for prefix in rule["definition"]["filters"]["prefixMatch"]
    }
    yield from differs("lifecycle", {f"{name}/": 180 for name in expected.CONTAINERS}, found)
