"""The ways out: gateway.yaml's senders come in, and for one claim goes out how its message leaves: by whom, to whom.

A message leaves by its own sender, until a certain "no" that lasts hands it to that sender's fallback. That is a fact
of the message, so that every later try and every question goes the same way. So are the recipients left out because
they are suppressed: a retry sends the same bytes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from gateway.address import Address, folded
from gateway.config import Config, Sender, acs_host
from gateway.errors import ClaimLost
from gateway.ledger import Claim, Store
from gateway.message import Message, Priority
from gateway.pacing import Account, account
from gateway.pacing.quota import Turn

VIA = "via"
"""The fact that names the fallback a message goes by."""

TRIED = "tried"
"""The fact that says how many attempts its own sender had."""

SINCE = "since"
"""The fact that says when an operator sent a message again."""

LEFT_OUT = "suppressed"
"""The fact that lists the suppressed recipients a message goes without."""


@dataclass(frozen=True)
class Way:
    """How one sender's mail goes out: `account` None has no quota, `fallback` "" none else."""

    transport: str
    from_: Address
    account: Account | None = None
    fallback: str = ""


def ways(config: Config, *, production: bool, endpoint: str) -> dict[str, Way]:
    """Every sender's way; `endpoint` is the ACS resource of the environment."""
    return {name: _way(config, sender, endpoint, production=production) for name, sender in config.senders.items()}


def _way(config: Config, sender: Sender, endpoint: str, *, production: bool) -> Way:
    transport = sender.way_out(production=production)
    place = (sender.transport, sender.resource or acs_host(endpoint))
    # Senders of one account share its quota, whichever of them says what it is; configfile sees to it that they agree.
    same = (one for one in config.senders.values() if (one.transport, one.resource or acs_host(endpoint)) == place)
    rate = sender.rate or next((one.rate for one in same if one.rate), None)
    counted = account(transport, sender.model_copy(update={"rate": rate}), endpoint)
    return Way(transport, sender.from_address, counted, sender.fallback or "")


@dataclass
class ClaimFence:
    """Writes a provider's facts under the claim; once the claim is lost, nothing more may be done.

    A fallback's facts have a prefix: what the first provider's draft was called means nothing to the second.
    """

    store: Store
    claim: Claim
    prefix: str = ""

    @property
    def facts(self) -> dict[str, str]:
        """What was recorded so far."""
        known = self.claim.facts.items()
        return {name.removeprefix(self.prefix): value for name, value in known if name.startswith(self.prefix)}

    async def record(self, **facts: str) -> None:
        """Compare-and-set; raises ClaimLost."""
        await self.note({self.prefix + name: value for name, value in facts.items()})

    async def note(self, facts: Mapping[str, str]) -> None:
        """The same for a fact of our own."""
        claim = await self.store.record(self.claim, dict(facts))
        if claim is None:
            raise ClaimLost(self.claim.message.id)
        self.claim = claim


@dataclass
class Leaving:
    """One claim's message on its way: `message` as it leaves, `tried` the attempts that another sender made before."""

    fence: ClaimFence
    message: Message
    way: Way | None
    tried: int = 0
    lost: bool = False
    _whole: Message = field(init=False)

    def __post_init__(self) -> None:
        """Nobody is left out yet, unless an earlier try did so."""
        self._whole = self.message
        if self.claim.facts.get(LEFT_OUT):
            self.message = without(self._whole, self.claim.facts[LEFT_OUT].split())

    @classmethod
    def of(cls, store: Store, claim: Claim, ways: Mapping[str, Way]) -> Leaving:
        """By the message's sender, or by the fallback it was handed to."""
        message, via, tried = claim.message, claim.facts.get(VIA, ""), int(claim.facts.get(TRIED, "0"))
        way = ways.get(via)
        if way is None:
            # A fallback that is not configured any more cannot be asked; without doubt its own sender goes on.
            lost = bool(via) and claim.unresolved
            return cls(ClaimFence(store, claim), message, ways.get(message.sender), tried, lost)
        changes = {"sender": via, "transport": way.transport, "from_": way.from_}
        return cls(ClaimFence(store, claim, f"{via}/"), message.model_copy(update=changes), way, tried)

    @property
    def claim(self) -> Claim:
        """As it stands after the last fact."""
        return self.fence.claim

    @property
    def attempt(self) -> int:
        """The number of this try by this sender, from 1."""
        return self.claim.attempt - self.tried

    @property
    def since(self) -> datetime:
        """From when on it has been tried: from the beginning, or since an operator sent it again."""
        replayed = self.claim.facts.get(SINCE)
        return datetime.fromisoformat(replayed) if replayed else self.claim.message.created

    @property
    def account(self) -> Account | None:
        """Whose quota counts for the one call of this claim: asking ACS for the status has its own, Graph has none."""
        whole = self.way.account if self.way and self.way.transport == self.message.transport else None
        if whole is None or not self.claim.unresolved:
            return whole
        return whole.status if self.message.transport == "acs" else None

    @property
    def turn(self) -> Turn:
        """A message that had its turn already need not stand at the end of the line again."""
        if self.message.priority is Priority.HIGH:
            return Turn.HIGH
        return Turn.FRONT if self.attempt > 1 else Turn.LAST

    @property
    def fallback(self) -> str:
        """Who else may send it: only after its own sender, and only while it is certain that nothing was sent."""
        own = not self.claim.facts.get(VIA) and not self.claim.unresolved
        return self.way.fallback if self.way and own and self.way.transport != "capture" else ""

    async def leave_out(self, emails: Collection[str]) -> None:
        """From now on without these recipients."""
        await self.fence.note({LEFT_OUT: " ".join(sorted(emails))})
        self.message = without(self._whole, emails)

    def left_out(self, emails: Collection[str]) -> set[str]:
        """Who would really be left out: not the only `to` while blind copies remain."""
        everybody = _emails(self.message)
        return everybody - (set() if everybody <= set(emails) else _emails(without(self.message, emails)))


def _emails(message: Message) -> set[str]:
    return {folded(address.email) for address in message.recipients}


def without(message: Message, emails: Collection[str]) -> Message:
    """The message without these recipients; ACS wants one `to`, so that a copy may move there, a blind one never."""
    gone = {folded(email) for email in emails}
    to, cc, bcc = (
        tuple(address for address in addresses if folded(address.email) not in gone)
        for addresses in (message.to, message.cc, message.bcc)
    )
    if not to and cc:
        to, cc = cc, ()
    return message.model_copy(update={"to": to or message.to[:1], "cc": cc, "bcc": bcc})
