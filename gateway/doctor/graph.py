"""Microsoft Graph: a Patient comes in, whether its mailboxes can be opened and how far the grant reaches goes out.

No question to Graph says "may I send?", only a mail does. What can be seen: the token's roles (a grant in Entra, for
every mailbox of the tenant), and whether this mailbox opens (a grant in Exchange, which no token shows, counts too).
"""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any
from urllib.parse import quote

from gateway.config import Sender
from gateway.doctor.basics import graph_scope
from gateway.doctor.finding import Finding, failed, passed, untold
from gateway.doctor.patient import Patient
from gateway.doctor.probe import Answer, NoAnswer, Probe, bearer, probing
from gateway.errors import TransportError

SEND = "Mail.Send"
WRITE = "Mail.ReadWrite"

_TEST = "ask Exchange: `Test-ServicePrincipalAuthorization -Identity CLIENT_ID -Resource MAILBOX`"
_NOT_A_GRANT = "grant it in Exchange, for these mailboxes only (docs/graph.md)"


async def mailbox(patient: Patient) -> list[Finding]:
    """One line for each sender's mailbox."""
    senders = patient.senders("graph")
    if not senders:
        return [passed("graph.mailbox", "no sender uses Microsoft Graph here")]
    root = patient.settings.graph_endpoint
    async with probing(root, bearer(patient.identity(), graph_scope(root))) as probe:
        return list(await asyncio.gather(*(_opened(patient, probe, sender) for sender in senders.values())))


async def _opened(patient: Patient, probe: Probe, sender: Sender) -> Finding:
    path = f"/v1.0/users/{quote(sender.resource, safe='@')}/mailFolders/drafts"
    try:
        answer = await probe.call("GET", path)
    except NoAnswer as error:
        if str(error) == "no token":
            return untold("graph.mailbox", f"{sender.resource}: there is no token to ask with", "see `identity`")
        return failed("graph.mailbox", f"Microsoft Graph cannot be reached ({error})", "check GRAPH_ENDPOINT and proxy")
    return _judged(patient, sender, answer)


def _judged(patient: Patient, sender: Sender, answer: Answer) -> Finding:
    name, who = "graph.mailbox", sender.resource
    if answer.status == 200:
        return passed(name, f"{who}: can be opened")
    if answer.status == 404:
        remedy = "name the address of a mailbox that has an Exchange Online licence, or is shared"
        return failed(name, f"{who}: there is no such mailbox ({answer})", remedy)
    if answer.status == 401:
        return failed(name, f"{who}: the token is refused ({answer})", "is GRAPH_ENDPOINT that of the tenant's cloud?")
    if answer.status != 403:
        return untold(name, f"{who}: Graph answered {answer}", "ask again in some minutes")
    if sender.mode == "direct":
        what = f"{who}: may not be opened, which a sender of mode direct need not"
        return untold(name, what, _TEST)
    what = f"{who}: may not be opened ({answer}): {WRITE} is not granted, or not for this mailbox"
    return untold(name, f"{what}, to you", _TEST) if patient.borrowed else failed(name, what, _NOT_A_GRANT)


async def grant(patient: Patient) -> list[Finding]:
    """What the token says, and what that leaves open."""
    name = "graph.grant"
    senders = patient.senders("graph")
    if not senders:
        return [passed(name, "no sender uses Microsoft Graph here")]
    try:
        found = await patient.identity().get_token_info(graph_scope(patient.settings.graph_endpoint))
    except TransportError:
        return [untold(name, "there is no token to look into", "see the check `identity`")]
    claims = claims_of(found.token)
    if claims is None:
        return [untold(name, "the token cannot be read", _TEST)]
    return _reach(claims, drafts=any(sender.mode == "draft" for sender in senders.values()))


def claims_of(token: str) -> dict[str, Any] | None:
    """What a token says of its owner; it is Microsoft's to check, so its signature is not looked at."""
    part = token.split(".")[1] if token.count(".") == 2 else ""
    try:
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except ValueError:
        return None
    return claims if isinstance(claims, dict) else None


def _reach(claims: dict[str, Any], *, drafts: bool) -> list[Finding]:
    name = "graph.grant"
    if claims.get("idtyp") == "user" or "scp" in claims:
        return [untold(name, "the token is a person's, not the app's", "run this with the app's identity")]
    roles = claims.get("roles")
    mail = sorted(role for role in roles if str(role).startswith("Mail.")) if isinstance(roles, list) else []
    if not mail:
        return [untold(name, "no grant in Entra; one in Exchange shows in no token", _TEST)]
    found = [
        untold(
            name,
            f"{', '.join(mail)} granted in Entra: for every mailbox of the tenant, and an Exchange scope does not "
            "narrow it",
            "remove it in Entra and grant it in Exchange instead (docs/graph.md)",
        )
    ]
    missing = [role for role in (SEND, *([WRITE] if drafts else [])) if role not in mail]
    if missing:
        found.append(untold(name, f"{', '.join(missing)} is not granted in Entra; perhaps in Exchange", _TEST))
    return found
