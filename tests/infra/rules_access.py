"""The rules about who may do what, and from where: see rules.py."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from itertools import combinations

from tests.infra import expected
from tests.infra.bicep import TENANT, Deployment
from tests.infra.rules import OPERATOR, differs, has_mail, is_private, last, properties, rule

# -------------------------------------------------------------------------------------------------------- roles


def grants(deployment: Deployment) -> Iterator[tuple[str, str, str]]:
    """Who may do what on which resource."""
    names = {id: name for name, id in expected.ROLES.items()}
    for grant in deployment.of("Microsoft.Authorization/roleAssignments"):
        # A name that is known at run time only leaves the whole id to run time: [extensionResourceId('SCOPE', …
        runtime = re.match(r"\[extensionResourceId\('([^']+)'", grant["id"])
        scope = runtime[1] if runtime else grant["id"].rpartition("/providers/Microsoft.Authorization/")[0]
        kind, name = scope.split("/")[-2:]
        role = grant["properties"]["roleDefinitionId"].rpartition("/")[2]
        where = f"{kind}/{name}" if kind == "queues" else kind
        yield _who(grant["properties"]["principalId"]), names.get(role, role), where


def _who(principal: str) -> str:
    if principal == OPERATOR:
        return "operator"
    module = re.search(r"format\('(\w+)-\{0\}'.*\.outputs\.principalId\.value\]$", principal)
    return module.group(1) if module else principal


@rule
def roles_are_those_needed(deployment: Deployment) -> Iterator[str]:
    """Each of them, on the smallest resource, and nothing broader."""
    wanted = set(expected.APP_GRANTS)
    wanted |= expected.MAIL_GRANTS if has_mail(deployment) else set()
    wanted |= expected.OPERATOR_GRANTS if OPERATOR in deployment.parameters else set()
    yield from differs("roles", sorted(wanted), sorted(grants(deployment)))
    for grant in deployment.of("Microsoft.Authorization/roleAssignments"):
        if (
            grant["properties"].get("principalType") != "ServicePrincipal"
            and _who(grant["properties"]["principalId"]) != "operator"
        ):
            yield f"{grant['properties']['description']}: a new identity is not found yet without its principalType"


@rule
def an_assignment_is_named_by_whom_it_is_for(deployment: Deployment) -> Iterator[str]:
    """An identity that was made again is somebody else, and Azure gives no assignment to somebody else."""
    for grant in deployment.of("Microsoft.Authorization/roleAssignments"):
        principal = grant["properties"]["principalId"]
        if principal.startswith("[") and principal.strip("[]") not in grant["name"]:
            yield f"{grant['properties']['description']}: {grant['name']} stays when its identity is made again"


# ----------------------------------------------------------------------------------------------------- openness


@rule
def no_local_accounts(deployment: Deployment) -> Iterator[str]:
    """Telemetry, mail and deployment open to identities only; the vault knows roles only."""
    yield from properties(deployment.one("Microsoft.Insights/components"), DisableLocalAuth=True)
    yield from properties(deployment.one("Microsoft.OperationalInsights/workspaces"), features__disableLocalAuth=True)
    vault = deployment.one("Microsoft.KeyVault/vaults")
    protected = None if "vaultPurgeProtection = false" in deployment.parameters else True
    yield from properties(vault, enableRbacAuthorization=True, enablePurgeProtection=protected, tenantId=TENANT)
    for service in deployment.of("Microsoft.Communication/communicationServices"):
        yield from properties(service, disableLocalAuth=True)
    policies = deployment.of("Microsoft.Web/sites/basicPublishingCredentialsPolicies")
    yield from differs(
        "basic publishing",
        {"scm": False, "ftp": False},
        {last(policy): policy["properties"]["allow"] for policy in policies},
    )


@rule
def the_door_is_https(deployment: Deployment) -> Iterator[str]:
    """And its platform adds no list of origins of its own (docs/functions-host.md)."""
    (site,) = deployment.of("Microsoft.Web/sites")
    yield from properties(site, httpsOnly=True, siteConfig__minTlsVersion="1.2", siteConfig__cors=None)


@rule
def nothing_is_open_that_was_not_asked_for(deployment: Deployment) -> Iterator[str]:
    """A private network closes storage and vault; its one public address only leads out."""
    private = is_private(deployment)
    for type in ("Microsoft.Storage/storageAccounts", "Microsoft.KeyVault/vaults"):
        yield from properties(
            deployment.one(type),
            publicNetworkAccess="Disabled" if private else "Enabled",
            networkAcls__defaultAction="Deny" if private else "Allow",
        )
    addresses = [address["id"] for address in deployment.of("Microsoft.Network/publicIPAddresses")]
    leading_out = [
        address["id"]
        for gateway in deployment.of("Microsoft.Network/natGateways")
        for address in gateway["properties"]["publicIpAddresses"]
    ]
    yield from differs("public addresses", leading_out, addresses)
    yield from differs("public addresses", 1 if private else 0, len(addresses))


@rule
def a_private_network_reaches_everything(deployment: Deployment) -> Iterator[str]:
    """An endpoint and a zone for each service, and the app inside."""
    (site,) = deployment.of("Microsoft.Web/sites")
    inside = site["properties"].get("virtualNetworkSubnetId")
    yield from differs("the app is inside", is_private(deployment), bool(inside))
    if not is_private(deployment):
        return
    endpoints = {
        group: connection["properties"]["privateLinkServiceId"].split("/")[-2]
        for endpoint in deployment.of("Microsoft.Network/privateEndpoints")
        for connection in endpoint["properties"]["privateLinkServiceConnections"]
        for group in connection["properties"]["groupIds"]
    }
    accounts = dict.fromkeys(("blob", "queue", "table"), "storageAccounts")
    yield from differs("private endpoints", {**accounts, "vault": "vaults"}, endpoints)
    zones = {zone["name"] for zone in deployment.of("Microsoft.Network/privateDnsZones")}
    grouped = {
        config["properties"]["privateDnsZoneId"].rpartition("/")[2]
        for group in deployment.of("Microsoft.Network/privateEndpoints/privateDnsZoneGroups")
        for config in group["properties"]["privateDnsZoneConfigs"]
    }
    yield from differs("zones", sorted(zones), sorted(grouped))
    yield from differs(
        "linked zones", len(zones), len(deployment.of("Microsoft.Network/privateDnsZones/virtualNetworkLinks"))
    )
    subnets = {
        subnet["name"]: subnet["properties"]
        for subnet in deployment.one("Microsoft.Network/virtualNetworks")["properties"]["subnets"]
    }
    ranges = [ipaddress.ip_network(subnet["addressPrefix"]) for subnet in subnets.values()]
    yield from (f"{one} and {other} overlap" for one, other in combinations(ranges, 2) if one.overlaps(other))
    delegated = [d["properties"]["serviceName"] for d in subnets["functions"]["delegations"]]
    yield from differs("delegation", ["Microsoft.App/environments"], delegated)
    yield from (f"subnet {name} has no way out" for name in ["functions"] if "natGateway" not in subnets[name])
    yield from (
        f"subnet {name} is unguarded" for name, subnet in subnets.items() if "networkSecurityGroup" not in subnet
    )
