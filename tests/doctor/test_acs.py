"""Azure Communication Services: who is let in, and which sender its control plane knows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.doctor.patients import ON_AZURE, Answers, Credential, one, patient, verdicts
from tests.servers.acs import KEY, FakeAcs, Quota
from tests.servers.serve import serve

SENDER = "noreply: {transport: acs, address: noreply@contoso.com}"
OTHER_KEY = "b3RoZXI="
NOBODY = "http://127.0.0.1:9"
PROVIDERS = "/subscriptions/sub/providers/Microsoft.Communication/communicationServices"
DOMAIN = "/subscriptions/sub/resourceGroups/g/providers/Microsoft.Communication/emailServices/e/domains/contoso.com"


@asynccontextmanager
async def fake(**options: Any) -> AsyncIterator[tuple[FakeAcs, str]]:
    acs = FakeAcs(**options)
    async with serve(acs, lifespan="off") as url:
        yield acs, url


def by_key(url: str, key: str = KEY) -> str:
    return f"endpoint={url}/;accesskey={key}"


async def test_an_account_that_lets_us_in_says_that_it_does_not_know_the_operation() -> None:
    """One GET with the right signature, no submission."""
    async with fake() as (acs, url):
        found = await one(patient(SENDER, ACS_CONNECTION_STRING=by_key(url)), "acs.access")

    assert ("pass", f"{url.removeprefix('http://')}: lets us in", "") == found
    assert (1, 0) == (len(acs.gets), len(acs.posts))


async def test_a_wrong_key_fails_and_is_not_shown() -> None:
    """The remedy says where the right one is."""
    async with fake() as (_, url):
        verdict, what, remedy = await one(patient(SENDER, ACS_CONNECTION_STRING=by_key(url, OTHER_KEY)), "acs.access")

    assert ("fail", True) == (verdict, what.endswith("refuses the access key (401 Denied)"))
    assert "copy the connection string again" in remedy
    assert OTHER_KEY not in what + remedy


@pytest.mark.parametrize(("where", "expected"), [(ON_AZURE, "fail"), ({}, "could not tell")])
async def test_an_identity_without_the_role_fails_only_where_it_is_the_apps_own(
    where: dict[str, str], expected: str
) -> None:
    """On a person's machine it is that person who lacks the role; the role is named either way."""
    async with serve(Answers({}, always=(403, {"error": {"code": "Forbidden"}})), lifespan="off") as url:
        verdict, what, remedy = await one(patient(SENDER, ACS_ENDPOINT=url, **where), "acs.access")

    assert (expected, True) == (verdict, "refuses this identity (403 Forbidden)" in what)
    assert "Communication and Email Service Owner" in remedy


async def test_a_token_opens_an_account_by_identity() -> None:
    """Asked for Azure Communication Services' own audience."""
    credential = Credential("token-1")
    async with fake(tokens=["token-1"]) as (_, url):
        found = await one(patient(SENDER, credential=credential, ACS_ENDPOINT=url), "acs.access")

    assert ("pass", ["https://communication.azure.com//.default"], 1) == (
        found[0],
        credential.scopes,
        credential.closed,
    )


async def test_without_a_token_the_account_cannot_be_asked() -> None:
    """Which the check of the identity explains."""
    who = patient(SENDER, credential=Credential(refused="communication"), ACS_ENDPOINT=NOBODY)

    assert "could not tell" == (await one(who, "acs.access"))[0]


async def test_an_account_that_cannot_be_reached_fails() -> None:
    """Nobody listens there."""
    found = await one(patient(SENDER, ACS_CONNECTION_STRING=by_key(NOBODY)), "acs.access")

    assert ("fail", "127.0.0.1:9: cannot be reached (ClientConnectorError)") == found[:2]


@pytest.mark.parametrize(("quota", "fault", "said"), [([Quota(0, 60)], "", "429"), ([], "503", "503")])
async def test_an_account_that_is_busy_tells_nothing(quota: list[Quota], fault: str, said: str) -> None:
    """Neither a used-up quota nor a fault says whether we may."""
    async with fake() as (acs, url):
        acs.get_quotas = quota
        acs.get_faults.extend([fault] if fault else [])
        verdict, what, _ = await one(patient(SENDER, ACS_CONNECTION_STRING=by_key(url)), "acs.access")

    assert ("could not tell", True) == (verdict, said in what)


async def test_each_account_has_its_line() -> None:
    """Two senders share one, a third has its own."""
    async with fake() as (acs, url):
        senders = (
            f"{SENDER}\n  desk: {{transport: acs, address: desk@contoso.com}}"
            f'\n  hr: {{transport: acs, address: hr@contoso.com, connection_string: "{by_key(url, OTHER_KEY)}"}}'
        )
        found = await verdicts(patient(senders, ACS_CONNECTION_STRING=by_key(url)), "acs.access")

    assert [("acs.access", "pass"), ("acs.access", "fail")] == found
    assert 2 == len(acs.gets)


@pytest.mark.parametrize("check", ["acs.access", "acs.sender", "quota"])
async def test_outside_production_nothing_is_asked(check: str) -> None:
    """A sender that captures needs no account."""
    found = await one(patient(SENDER, GATEWAY_ENVIRONMENT="test", ACS_CONNECTION_STRING=by_key(NOBODY)), check)

    assert ("pass", "no sender uses Azure Communication Services here", "") == found


# ------------------------------------------------------------------------------------------------------- the sender


async def test_without_a_subscription_nobody_can_tell_whether_a_sender_is_known() -> None:
    """No dry run exists; the remedy names the two ways to know."""
    verdict, what, remedy = await one(patient(SENDER, ACS_CONNECTION_STRING=by_key(NOBODY)), "acs.sender")

    assert ("could not tell", True) == (verdict, "noreply@contoso.com" in what)
    assert "--subscription" in remedy
    assert "verify-live" in remedy


def plane(
    *, linked: bool = True, missing: str = "", managed: bool = False, users: tuple[str, ...] = ("noreply",)
) -> Answers:
    """A control plane with one resource, whose host name is 127.0.0.1."""
    states = {what: {"status": "NotStarted" if what == missing else "Verified"} for what in ("Domain", "SPF", "DKIM")}
    states["DKIM2"] = {"status": "Verified"}
    domain: dict[str, Any] = {"mailFromSenderDomain": "contoso.com", "verificationStates": states}
    domain["domainManagement"] = "AzureManaged" if managed else "CustomerManaged"
    ours = {"properties": {"hostName": "127.0.0.1", "linkedDomains": [DOMAIN] if linked else []}}
    other = {"properties": {"hostName": "other.communication.azure.com", "linkedDomains": ["/nowhere"]}}
    return Answers(
        {
            f"GET {PROVIDERS}": (200, {"value": [other, ours]}),
            f"GET {DOMAIN}": (200, {"properties": domain}),
            f"GET {DOMAIN}/senderUsernames": (200, {"value": [{"properties": {"username": name}} for name in users]}),
        }
    )


async def sender(app: Answers, credential: Credential | None = None) -> tuple[str, str, str]:
    async with serve(app, lifespan="off") as url:
        own = {"subscription": "sub", "control_plane": url}
        return await one(
            patient(SENDER, credential=credential, ACS_CONNECTION_STRING=by_key(NOBODY), **own), "acs.sender"
        )


async def test_a_sender_whose_domain_is_linked_and_verified_is_known() -> None:
    """Asked with a token for the control plane."""
    credential = Credential("arm")
    app = plane()

    assert ("pass", "noreply@contoso.com: linked, verified and known", "") == await sender(app, credential)
    assert {"Bearer arm"} == app.authorizations


@pytest.mark.parametrize(
    ("app", "seen"),
    [
        (plane(linked=False), "its domain is not linked; linked are: none"),
        (plane(missing="DKIM"), "not verified yet: DKIM"),
        (plane(users=("donotreply", "info")), "no such user name; there are: donotreply, info"),
    ],
)
async def test_a_sender_azure_does_not_know_fails(app: Answers, seen: str) -> None:
    """Not linked, not verified, or another user name."""
    verdict, what, _ = await sender(app)

    assert ("fail", f"noreply@contoso.com: {seen}") == (verdict, what)


async def test_an_azure_managed_domain_needs_no_verification() -> None:
    """Azure keeps its records."""
    assert "pass" == (await sender(plane(managed=True, missing="SPF")))[0]


@pytest.mark.parametrize(
    ("app", "seen"),
    [
        (Answers({}, always=(403, {"error": {"code": "AuthorizationFailed"}})), "403 AuthorizationFailed"),
        (Answers({f"GET {PROVIDERS}": (200, {"value": []})}), "no such resource in this subscription"),
        (Answers({f"GET {PROVIDERS}": (200, b"<html>")}), "the control plane does not tell"),
    ],
)
async def test_a_control_plane_that_does_not_tell_is_no_failure(app: Answers, seen: str) -> None:
    """No right to read, another subscription, nonsense."""
    verdict, what, _ = await sender(app)

    assert ("could not tell", True) == (verdict, seen in what)


async def test_a_list_is_read_to_its_end_but_never_elsewhere() -> None:
    """The next page is ours, or it is not fetched: it would be given our token."""
    app = plane()
    first = {"value": [], "nextLink": ""}
    app.table = {**app.table, f"GET {PROVIDERS}": (200, first)}
    async with serve(app, lifespan="off") as url:
        first["nextLink"] = "https://elsewhere.example/page2"
        own = {"subscription": "sub", "control_plane": url}
        who = patient(SENDER, ACS_CONNECTION_STRING=by_key(NOBODY), **own)
        assert "could not tell" == (await one(who, "acs.sender"))[0]
        first["nextLink"] = f"{url}/page2"
        app.table = {**app.table, "GET /page2": (200, plane().table[f"GET {PROVIDERS}"][1])}
        assert "pass" == (await one(who, "acs.sender"))[0]
