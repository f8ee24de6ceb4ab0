"""Microsoft Graph: which mailbox opens, and what a token says of the grant."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import doctor
from gateway.doctor.finding import SHOWN
from tests.doctor.patients import ON_AZURE, Answers, Credential, jwt, one, patient
from tests.servers.serve import serve

DRAFT = "desk: {transport: graph, address: desk@contoso.com}"
DIRECT = "desk: {transport: graph, address: desk@contoso.com, mode: direct}"
DRAFTS = "GET /v1.0/users/desk@contoso.com/mailFolders/drafts"


def error(code: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": "desk@contoso.com says no"}}


async def opened(answer: tuple[int, Any], senders: str = DRAFT, **environ: str) -> tuple[str, str, str]:
    async with serve(Answers({DRAFTS: answer}), lifespan="off") as url:
        return await one(patient(senders, GRAPH_ENDPOINT=url, **environ), "graph.mailbox")


async def test_a_mailbox_that_opens_passes() -> None:
    """Its drafts are asked for, with a token for this Graph."""
    credential = Credential("token-1")
    app = Answers({DRAFTS: (200, {"id": "drafts"})})
    async with serve(app, lifespan="off") as url:
        found = await one(patient(DRAFT, credential=credential, GRAPH_ENDPOINT=url), "graph.mailbox")

    assert ("pass", "desk@contoso.com: can be opened", "") == found
    assert ([f"{url}/.default"], {"Bearer token-1"}) == (credential.scopes, app.authorizations)


@pytest.mark.parametrize(
    ("answer", "verdict", "seen"),
    [
        ((403, error("ErrorAccessDenied")), "fail", "may not be opened (403 ErrorAccessDenied)"),
        ((404, error("ErrorInvalidUser")), "fail", "there is no such mailbox (404 ErrorInvalidUser)"),
        ((401, error("InvalidAuthenticationToken")), "fail", "the token is refused (401 InvalidAuthenticationToken)"),
        ((429, error("ApplicationThrottled")), "could not tell", "Graph answered 429 ApplicationThrottled"),
        ((504, b""), "could not tell", "Graph answered 504"),
    ],
)
async def test_each_refusal_has_its_verdict(answer: tuple[int, Any], verdict: str, seen: str) -> None:
    """By status and the provider's code, never by its sentence."""
    found = await opened(answer, **ON_AZURE)

    assert (verdict, True) == (found[0], seen in found[1])
    assert "says no" not in found[1]


async def test_what_is_refused_to_a_person_may_be_granted_to_the_app() -> None:
    """Away from Azure the token is the person's."""
    verdict, what, remedy = await opened((403, error("ErrorAccessDenied")))

    assert ("could not tell", True) == (verdict, what.endswith("to you"))
    assert "Test-ServicePrincipalAuthorization" in remedy


async def test_a_direct_sender_need_not_open_its_mailbox() -> None:
    """Mail.Send alone does not open it, so nothing follows from the refusal."""
    assert "could not tell" == (await opened((403, error("ErrorAccessDenied")), DIRECT, **ON_AZURE))[0]


async def test_a_graph_that_cannot_be_reached_fails() -> None:
    """Nobody listens there."""
    found = await one(patient(DRAFT, GRAPH_ENDPOINT="http://127.0.0.1:9"), "graph.mailbox")

    assert ("fail", "Microsoft Graph cannot be reached (ClientConnectorError)") == found[:2]


@pytest.mark.parametrize("check", ["graph.mailbox", "graph.grant"])
async def test_without_a_token_nothing_can_be_told(check: str) -> None:
    """Which the check of the identity explains."""
    who = patient(DRAFT, credential=Credential(refused="127.0.0.1"), GRAPH_ENDPOINT="http://127.0.0.1:9")

    assert "could not tell" == (await one(who, check))[0]


# -------------------------------------------------------------------------------------------------------- the grant


async def grant(token: str, senders: str = DRAFT) -> list[tuple[str, str]]:
    found = await doctor.examine(patient(senders, credential=Credential(token)), ["graph.grant"])
    return [(SHOWN[finding.verdict], finding.what) for finding in found]


async def test_a_grant_in_entra_reaches_every_mailbox_and_is_warned_of() -> None:
    """Permissions add up: a scope in Exchange is void beside it."""
    ((verdict, what),) = await grant(jwt(roles=["Mail.Send", "Mail.ReadWrite", "User.Read.All"]))

    assert ("could not tell", True) == (verdict, what.startswith("Mail.ReadWrite, Mail.Send granted in Entra: for eve"))


async def test_half_a_grant_names_the_other_half() -> None:
    """Drafts need Mail.ReadWrite too; a direct sender does not."""
    token = jwt(roles=["Mail.Send"])

    assert ["Mail.ReadWrite is not granted in Entra; perhaps in Exchange"] == [what for _, what in await grant(token)][
        1:
    ]
    assert 1 == len(await grant(token, DIRECT))


@pytest.mark.parametrize(
    ("token", "seen"),
    [
        (jwt(roles=[]), "no grant in Entra; one in Exchange shows in no token"),
        (jwt(appid="a"), "no grant in Entra; one in Exchange shows in no token"),
        (jwt(scp="Mail.Send", roles=["Mail.Send"]), "the token is a person's, not the app's"),
        (jwt(idtyp="user"), "the token is a person's, not the app's"),
        ("opaque", "the token cannot be read"),
        ("a.!!!.c", "the token cannot be read"),
        ("a.MTIz.c", "the token cannot be read"),
    ],
)
async def test_a_token_that_proves_nothing_is_said_to(token: str, seen: str) -> None:
    """A grant in Exchange, a person, or no token of ours to read."""
    assert [("could not tell", seen)] == await grant(token)
