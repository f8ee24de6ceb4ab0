"""Azure Resource Manager: a resource's host name comes in, its linked mail domains and their user names go out.

Only GETs, and only of Microsoft.Communication; property names as in that provider's Bicep types, 2023-03-31.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from gateway.doctor.probe import Probe

VERSION = "2023-03-31"
DONE = "Verified"
NEEDED = ("Domain", "SPF", "DKIM", "DKIM2")
MOST_PAGES = 20


class NotAllowed(Exception):
    """The control plane refused, or answered with a fault; the text is its status and its own word."""


class Domain(NamedTuple):
    """A linked domain: its resource id, its name, and which of its verifications are not done."""

    id: str
    name: str
    unverified: tuple[str, ...]


class ControlPlane:
    """What one subscription's control plane says."""

    def __init__(self, probe: Probe, subscription: str) -> None:
        """`probe` is opened on the control plane."""
        self._probe = probe
        self._subscription = subscription

    async def domains(self, host: str) -> list[Domain] | None:
        """The domains linked to the resource at this host; None when there is no such resource."""
        path = f"/subscriptions/{self._subscription}/providers/Microsoft.Communication/communicationServices"
        for resource in await self._list(path):
            properties = resource.get("properties", {})
            if str(properties.get("hostName", "")).lower() == host.lower():
                return [await self._domain(id) for id in properties.get("linkedDomains") or ()]
        return None

    async def users(self, domain: Domain) -> set[str]:
        """The names in front of the @ that may send; Azure-managed domains have donotreply from the start."""
        found = await self._list(f"{domain.id}/senderUsernames")
        return {str(item.get("properties", {}).get("username", item.get("name", ""))).lower() for item in found}

    async def _domain(self, id: str) -> Domain:
        properties = (await self._get(f"{id}?api-version={VERSION}")).get("properties", {})
        name = str(
            properties.get("mailFromSenderDomain") or properties.get("fromSenderDomain") or id.rpartition("/")[2]
        )
        states = properties.get("verificationStates", {})
        own = properties.get("domainManagement") != "AzureManaged"
        missing = [what for what in NEEDED if own and (states.get(what) or {}).get("status") != DONE]
        return Domain(id, name.lower(), tuple(missing))

    async def _list(self, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        following = f"{path}?api-version={VERSION}"
        for _ in range(MOST_PAGES):
            page = await self._get(following)
            found += page.get("value", [])
            following = str(page.get("nextLink") or "").removeprefix(self._probe.root)
            if not following.startswith("/"):  # none, or one that leads elsewhere with our token
                break
        return found

    async def _get(self, path: str) -> dict[str, Any]:
        answer = await self._probe.call("GET", path)
        body = answer.json
        if answer.status != 200 or not isinstance(body, dict):
            raise NotAllowed(str(answer))
        return body
