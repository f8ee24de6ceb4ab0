"""What no document says of the providers: an owner's subscription comes in, a verdict for each open question goes out.

Everything here sends real mail, so nothing runs before the owner has said so. The questions are those that
docs/delivery-guarantees.md leaves open; each is one function in `acs` or `graph`, entered in CHECKS with how many mails
it sends at least and at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import NamedTuple
from uuid import uuid4

from gateway import wiring
from gateway.address import Address
from gateway.config import Config, Sender
from gateway.doctor.finding import Finding, untold
from gateway.doctor.probe import NoAnswer, Probe, account, bearer, probing, probing_acs
from gateway.errors import ConfigurationError, Problem
from gateway.live import acs, graph
from gateway.live.trial import Seen, Trial, told
from gateway.settings import Settings
from gateway.transports.identity import Identity


class Check(NamedTuple):
    """What is done, how many mails that is, and what it asks."""

    run: Callable[[Trial], Awaitable[list[Seen]]]
    least: int
    most: int
    about: str


CHECKS: dict[str, Check] = {
    "acs.repeat": Check(acs.repeat, 1, 5, "the same operation id again: after a second, after its end, much later"),
    "acs.other-body": Check(acs.other_body, 1, 2, "the same operation id with another body"),
    "acs.parallel": Check(acs.parallel, 1, 20, "many submissions with one operation id at once"),
    "acs.message-id": Check(acs.message_id, 1, 2, "the same Message-ID in two operations, with validation"),
    "acs.after-failed": Check(acs.after_failed, 0, 2, "an operation id that ended Failed"),
    "acs.status": Check(acs.status, 0, 0, "questions for the status: of an unknown id, and how long they are answered"),
    "acs.throttling": Check(acs.throttling, 0, 0, "the form of a 429; uses up the quota for questions for an hour"),
    "graph.draft": Check(graph.draft, 1, 3, "one draft sent again; its immutable id, its tag and its Message-ID"),
    "graph.parallel": Check(graph.parallel, 1, 2, "one draft sent twice at the same moment"),
    "graph.not-saved": Check(graph.not_saved, 1, 1, "a mail that is not kept in Sent Items"),
}


@dataclass(frozen=True)
class Wish:
    """What the owner asked for. `count` says how many mails with a subject came, None for "I cannot say"."""

    to: str
    config: str | None = None
    sender: str | None = None
    only: tuple[str, ...] = ()
    long: bool = False
    failing: str = ""
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    count: Callable[[str], int | None] = lambda _: None
    make_identity: Callable[[str], Identity] = Identity.default


@dataclass(frozen=True)
class Plan:
    """What will happen: the senders under trial and the checks for each."""

    settings: Settings
    senders: tuple[Sender, ...]
    checks: Mapping[str, Check]
    wish: Wish

    def of(self, sender: Sender) -> dict[str, Check]:
        """The checks of this sender's provider."""
        return {name: check for name, check in self.checks.items() if name.startswith(f"{sender.transport}.")}

    def __str__(self) -> str:
        """For the owner, who has to agree."""
        lines = []
        least = most = 0
        for sender in self.senders:
            checks = self.of(sender)
            lines.append(f"From {sender.address.email} ({sender.transport}) to {self.wish.to}:")
            lines += [f"  {name:<16} {check.about}" for name, check in checks.items()]
            least += sum(check.least for check in checks.values())
            most += sum(check.most for check in checks.values())
        lines.append(f"\nReal mail: {least} if the providers do as is hoped, at most {most}.")
        return "\n".join(lines)


def plan(environ: Mapping[str, str], wish: Wish) -> Plan:
    """Read the configuration and choose; ConfigurationError when there is nobody to send."""
    settings = Settings.read(environ)
    settings = replace(settings, config=wish.config or settings.config)
    config = wiring.load(settings, environ)
    try:
        Address.parse(wish.to)
    except ValueError as error:
        raise _wrong("--to", str(error)) from None
    if unknown := [name for name in wish.only if name not in CHECKS]:
        raise _wrong("--only", f"{', '.join(unknown)} is no check; there are {', '.join(CHECKS)}")
    checks = {name: check for name, check in CHECKS.items() if not wish.only or name in wish.only}
    senders = _chosen(config, wish)
    if any(sender.transport == "acs" and not any(_named(settings, sender)) for sender in senders):
        raise _wrong("senders", "acs needs ACS_CONNECTION_STRING or ACS_ENDPOINT in the environment")
    return Plan(settings, senders, checks, wish)


def _chosen(config: Config, wish: Wish) -> tuple[Sender, ...]:
    """The sender that was named, or the first of each provider."""
    real = {name: sender for name, sender in config.senders.items() if sender.transport in {"acs", "graph"}}
    if wish.sender is not None:
        if wish.sender not in real:
            raise _wrong("--sender", f"must be one of {', '.join(real) or 'none: no sender uses acs or graph'}")
        return (real[wish.sender],)
    if not real:
        raise _wrong("senders", "none uses acs or graph, so there is nothing to verify")
    return tuple({sender.transport: sender for sender in reversed(list(real.values()))}.values())


def _wrong(what: str, message: str) -> ConfigurationError:
    return ConfigurationError([Problem("command line", 0, what, message)])


async def verify(plan: Plan, say: Callable[[str], None]) -> list[Finding]:
    """Run the checks one after the other, then have the mails counted; `say` is told what is under way."""
    identity = _Once(plan)
    seen: list[Seen] = []
    try:
        for sender in plan.senders:
            seen += await _tried(plan, sender, identity.get, say)
    finally:
        await identity.close()
    return [one.judge(plan.wish.count(one.subject) if one.subject else None) for one in seen]


async def _tried(
    plan: Plan, sender: Sender, identity: Callable[[], Identity], say: Callable[[str], None]
) -> list[Seen]:
    wish, seen = plan.wish, list[Seen]()
    async with _probe(plan.settings, sender, identity) as probe:
        trial = Trial(
            probe=probe,
            sender=sender.resource if sender.transport == "graph" else sender.address.email,
            to=wish.to,
            mark=uuid4().hex[:8],
            pause=wish.pause,
            long=wish.long,
            failing=wish.failing,
        )
        for name, check in plan.of(sender).items():
            say(f"{name}: {check.about}")
            try:
                seen += await check.run(trial)
            except NoAnswer as error:
                seen.append(told(untold(name, f"no answer ({error})", "run `python -m gateway doctor`")))
    return seen


def _probe(settings: Settings, sender: Sender, identity: Callable[[], Identity]) -> AbstractAsyncContextManager[Probe]:
    if sender.transport == "graph":
        return probing(settings.graph_endpoint, bearer(identity(), f"{settings.graph_endpoint.rstrip('/')}/.default"))
    return probing_acs(account(*_named(settings, sender)), identity)


def _named(settings: Settings, sender: Sender) -> tuple[str, str]:
    """The connection string and the endpoint of a sender on Azure Communication Services, its own before all's."""
    own = (sender.connection_string, sender.endpoint)
    return own if any(own) else (settings.acs_connection_string, settings.acs_endpoint)


class _Once:
    """The identity, made when it is first wanted."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._made: list[Identity] = []

    def get(self) -> Identity:
        """The same one each time."""
        if not self._made:
            self._made.append(self._plan.wish.make_identity(self._plan.settings.client_id))
        return self._made[0]

    async def close(self) -> None:
        """If there is one."""
        for identity in self._made:
            await identity.close()
