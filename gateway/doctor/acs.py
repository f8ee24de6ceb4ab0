"""Azure Communication Services: a Patient comes in, whether each account lets us in and knows our senders goes out.

The data plane has no question "may I send as this?": only a real mail tells. So the account is asked for an operation
that nobody made, which proves address, credentials and role; what is linked and who may send is Azure's control plane's
to say, and it is asked where a subscription is named.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from urllib.parse import urlsplit
from uuid import uuid4

from gateway.config import Sender
from gateway.doctor.control_plane import ControlPlane, Domain, NotAllowed
from gateway.doctor.finding import Finding, failed, passed, untold
from gateway.doctor.patient import Patient
from gateway.doctor.probe import Account, Answer, NoAnswer, account, bearer, operation, probing, probing_acs

ROLE = "Communication and Email Service Owner"

_NOT_ASKED = (
    "name the subscription (--subscription ID, after `az login`), or send one mail with `python -m gateway verify-live`"
)


async def access(patient: Patient) -> list[Finding]:
    """One line for each account."""
    name = "acs.access"
    accounts = _accounts(patient)
    if not accounts:
        return [passed(name, "no sender uses Azure Communication Services here")]
    return list(await asyncio.gather(*(_open(patient, one) for one in accounts)))


def _accounts(patient: Patient) -> dict[Account, list[Sender]]:
    """The accounts and who sends through them."""
    settings = patient.settings
    found: dict[Account, list[Sender]] = {}
    for sender in patient.senders("acs").values():
        pair = (sender.connection_string, sender.endpoint)
        pair = pair if any(pair) else (settings.acs_connection_string, settings.acs_endpoint)
        found.setdefault(account(*pair), []).append(sender)
    return found


async def _open(patient: Patient, one: Account) -> Finding:
    try:
        async with probing_acs(one, patient.identity) as probe:
            answer = await probe.call("GET", operation(str(uuid4())))
    except NoAnswer as error:
        if str(error) == "no token":
            return untold("acs.access", f"{one.host}: there is no token to ask with", "see the check `identity`")
        remedy = "compare the name with the resource's page in the portal; is there a proxy or firewall?"
        return failed("acs.access", f"{one.host}: cannot be reached ({error})", remedy)
    return _judged(patient, one, answer)


def _judged(patient: Patient, one: Account, answer: Answer) -> Finding:
    """404 is the good answer: only somebody who was let in is told that there is no such operation."""
    name, host = "acs.access", one.host
    if answer.status in {200, 404}:
        return passed(name, f"{host}: lets us in")
    if answer.status == 429:
        return untold(name, f"{host}: the quota for questions is used up (429)", "ask again in some minutes")
    if answer.status not in {401, 403}:
        return untold(name, f"{host}: answered {answer}", "ask again; https://azure.status.microsoft says more")
    if one.key:
        remedy = "copy the connection string again; the resource may also refuse keys (disableLocalAuth)"
        return failed(name, f"{host}: refuses the access key ({answer})", remedy)
    what = f"{host}: refuses this identity ({answer})"
    remedy = f"assign the role {ROLE} on the resource, and wait some minutes"
    if patient.borrowed:
        return untold(name, f"{what}, which is you, not the app", remedy)
    return failed(name, what, remedy)


# ------------------------------------------------------------------------------------------------------------- senders


async def senders(patient: Patient) -> list[Finding]:
    """Whether each sender's domain is linked and verified, and its user name known."""
    name = "acs.sender"
    accounts = _accounts(patient)
    if not accounts:
        return [passed(name, "no sender uses Azure Communication Services here")]
    if not patient.subscription:
        shown = ", ".join(sender.address.email for sender in _each(accounts))
        return [untold(name, f"whether {shown} may send shows only in Azure's control plane", _NOT_ASKED)]
    scope = f"{patient.control_plane}/.default"
    try:
        async with probing(patient.control_plane, bearer(patient.identity(), scope)) as probe:
            plane = ControlPlane(probe, patient.subscription)
            return [finding for pair in accounts.items() for finding in await _linked(plane, *pair)]
    except (NoAnswer, NotAllowed) as error:
        remedy = "`az login` as somebody with the role Reader on the subscription"
        return [untold(name, f"the control plane does not tell ({error})", remedy)]


def _each(accounts: dict[Account, list[Sender]]) -> Iterable[Sender]:
    return {sender.address.email: sender for found in accounts.values() for sender in found}.values()


async def _linked(plane: ControlPlane, one: Account, senders: list[Sender]) -> list[Finding]:
    domains = await plane.domains(urlsplit(one.endpoint).hostname or "")
    if domains is None:
        what = f"{one.host}: no such resource in this subscription"
        return [untold("acs.sender", what, "name the subscription it lies in (--subscription)")]
    return [await _known(plane, sender, domains) for sender in senders]


async def _known(plane: ControlPlane, sender: Sender, domains: list[Domain]) -> Finding:
    name, address = "acs.sender", sender.address
    domain = next((one for one in domains if one.name == address.domain), None)
    if domain is None:
        linked = ", ".join(one.name for one in domains) or "none"
        remedy = "verify the domain and link it to the resource (docs/deploy.md, customer domain)"
        return failed(name, f"{address.email}: its domain is not linked; linked are: {linked}", remedy)
    if domain.unverified:
        remedy = "set the records the domain's page shows, and start the verification there"
        return failed(name, f"{address.email}: not verified yet: {', '.join(domain.unverified)}", remedy)
    users = await plane.users(domain)
    if address.email.partition("@")[0].lower() not in users:
        remedy = (
            "add the MailFrom address on the domain's page, or `az communication email domain sender-username create`"
        )
        return failed(name, f"{address.email}: no such user name; there are: {', '.join(sorted(users))}", remedy)
    return passed(name, f"{address.email}: linked, verified and known")
