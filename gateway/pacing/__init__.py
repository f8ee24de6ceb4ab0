"""Quotas for each sender's account: a message that wants to go comes in, "now" or the time of its slot goes out.

All workers share one small value per account in the store and change it by compare-and-set, so that the provider never
sees more than its quota, however many workers there are. Nothing waits here: who may not go yet is told when.

    below the quota    a read and a write together for all that ask at the same time in one process; who keeps sending
                       takes a few turns at once, which lapse after SPARE_LASTS, and those cost nothing
    above it           the same at the first look; at its turn one read, which sees whether it was put off meanwhile

Sources take turns, so that a message of a quiet one need not wait until a flood is through. `unlimited` costs nothing.
After a 429 the account is paused for everybody, and everybody's slot moves.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from gateway.config import Rate, Sender, acs_host
from gateway.ledger import Values
from gateway.pacing.lanes import SECOND, Limits
from gateway.pacing.quota import Schedule, Slot, Turn
from gateway.pacing.turns import Place

PRESETS = {"acs-custom": Limits(30, 100), "acs-managed": Limits(5, 10), "graph-mailbox": Limits(30, 1800)}
"""What the providers grant: ACS with a domain of one's own and with Azure's, Exchange Online for each mailbox."""

DEFAULTS = {"acs": "acs-custom", "graph": "graph-mailbox"}
"""Transports without an entry have no quota."""

SLOT = "slot"
"""The fact under which a message remembers its slot."""

TRIES = 6
"""Compare-and-sets that may be lost to other workers before a message is told to come back."""

CROWDED = (0.5, 4.0)
"""Seconds until then, at least and at most."""

SPARE_LASTS = SECOND
"""How long turns taken in advance may be used."""

SPARE_SHARE = 8
"""At most this part of a minute's turns is taken at once."""

USED_LATELY = 10 * SECOND
"""Twice as many are taken in advance as were used of the last ones, at most this long ago."""

FRESH = SECOND
"""How old the state may be that a woken message looks at."""

NO_WISH = timedelta(minutes=1)
"""How long an account is paused after a 429 that says nothing: the shortest window there is."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Account(NamedTuple):
    """What a provider counts together: `limits` for submissions; `name` is the key of what is shared."""

    name: str
    limits: Limits

    @property
    def status(self) -> Account:
        """The quota of ACS's GET for the status: twice that of sending (60 a minute and 200 an hour, or 10 and 20)."""
        return Account(f"{self.name}|status", Limits(2 * self.limits.minute, 2 * self.limits.hour))


def account(transport: str, sender: Sender, endpoint: str) -> Account | None:
    """The account a sender's mail counts for, None without a quota; `endpoint`: the ACS resource of the environment."""
    rate = sender.rate or DEFAULTS.get(transport, "unlimited")
    if transport not in DEFAULTS or rate == "unlimited":
        return None
    limits = Limits(rate.minute, rate.hour) if isinstance(rate, Rate) else PRESETS[rate]
    return Account(f"{transport}|{sender.resource or acs_host(endpoint)}", limits)


class Permit(NamedTuple):
    """May it go? `due` None: now. Otherwise it comes back then, with these facts; `paused`: until when."""

    due: datetime | None = None
    facts: Mapping[str, str] = {}
    paused: datetime | None = None


@dataclass
class _Ticket:
    """One message that asks for a turn; `slot` is the answer once it is `served`, unless there was a crowd."""

    turn: Turn
    source: str
    served: bool = False
    crowded: bool = False
    slot: Slot | None = None


@dataclass
class _Shared:
    """What one process knows of one account: who asks, turns taken in advance, and the state it saw last."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    tickets: list[_Ticket] = field(default_factory=list)
    spare: int = 0
    taken: int = 0
    used: int = 0
    seen: tuple[int, bytes] | None = None


@dataclass
class Pacer:
    """The limiter of one process; `chance` spreads those who met a crowd."""

    values: Values
    chance: Callable[[], float] = random.random
    _shared: dict[str, _Shared] = field(default_factory=dict)

    async def ask(
        self, account: Account, turn: Turn, attempt: int, facts: Mapping[str, str], now: datetime, source: str = ""
    ) -> Permit:
        """May this attempt go? Whoever comes at his slot only looks whether it still is his turn."""
        time = _time(now)
        held = _slot(facts.get(SLOT, ""), attempt)
        if held is not None:
            found = await self._woken(account, held, time)
            if isinstance(found, Slot):
                return self._permit(account, found, attempt)
            if found is None:
                return Permit()
            turn = found
        shared = self._of(account)
        if turn is Turn.LAST and shared.spare and 0 <= time - shared.taken < SPARE_LASTS:
            shared.spare -= 1
            shared.used += 1
            return Permit()
        ticket = _Ticket(turn, source)
        shared.tickets.append(ticket)
        async with shared.lock:
            if not ticket.served:
                await self._serve(account, shared, time)
        if ticket.crowded:
            least, most = CROWDED
            return Permit(now + timedelta(seconds=least + (most - least) * self.chance()))
        return self._permit(account, ticket.slot, attempt)

    async def pause(
        self, account: Account, turn: Turn, attempt: int, wish: float | None, now: datetime, source: str = ""
    ) -> Permit:
        """The provider refused this attempt for its quota: nobody goes before its wish; the next attempt's slot."""
        time = _time(now)
        until = time + int((wish if wish and wish > 0 else NO_WISH.total_seconds()) * SECOND)
        shared = self._of(account)
        async with shared.lock:
            shared.spare = 0
            for _ in range(TRIES):
                schedule, version = await self._load(account, time)
                schedule.pause(until, time)
                slot = schedule.ask(Turn.FRONT if turn is Turn.LAST else turn, time, source)
                if await self._store(account, schedule, version, time):
                    return self._permit(account, slot, attempt + 1)
        return Permit(_moment(until))

    async def _serve(self, account: Account, shared: _Shared, now: int) -> None:
        """Turns for all that ask meanwhile, in one compare-and-set; where there is a crowd they stay unserved."""
        unused, shared.spare = shared.spare, 0
        wanted = 2 * shared.used if 0 <= now - shared.taken < USED_LATELY else 0
        tickets: list[_Ticket] = []
        for _ in range(TRIES):
            schedule, version = await self._load(account, now)
            tickets, shared.tickets = tickets + shared.tickets, []
            if unused:
                schedule.normal.take(shared.taken, -unused)
            slots = [schedule.ask(ticket.turn, now, ticket.source) for ticket in tickets]
            going = sum(ticket.turn is Turn.LAST and not slot for ticket, slot in zip(tickets, slots, strict=True))
            spare = schedule.room(now, min(wanted, account.limits.minute // SPARE_SHARE)) if going else 0
            if spare:
                schedule.normal.take(now, spare)
            if await self._store(account, schedule, version, now):
                shared.spare, shared.taken, shared.used = spare, now, going
                for ticket, slot in zip(tickets, slots, strict=True):
                    ticket.slot, ticket.served = slot, True
                return
        for ticket in tickets:
            ticket.served = ticket.crowded = True

    # ------------------------------------------------------------------------------------------- what is shared

    def _of(self, account: Account) -> _Shared:
        return self._shared.setdefault(account.name, _Shared())

    async def _load(self, account: Account, now: int) -> tuple[Schedule, str | None]:
        known = await self.values.read(_key(account))
        text, version = known or (b"", None)
        schedule = Schedule.of(account.limits, text)
        schedule.settle(now)
        self._of(account).seen = (now, text)
        return schedule, version

    async def _store(self, account: Account, schedule: Schedule, version: str | None, now: int) -> bool:
        text = schedule.dump()
        stored = await self.values.write(_key(account), text, version)
        if stored:
            self._of(account).seen = (now, text)
        return stored

    async def _woken(self, account: Account, slot: Slot, now: int) -> Slot | Turn | None:
        """What is to be done at a slot; one that had not passed in what was seen last may be somebody else's now."""
        seen = self._of(account).seen
        if seen and 0 <= now - seen[0] < FRESH:
            schedule = Schedule.of(account.limits, seen[1])
            schedule.settle(seen[0])
            if schedule.passed(slot):
                return schedule.woken(slot, now)
        return (await self._load(account, now))[0].woken(slot, now)

    def _permit(self, account: Account, slot: Slot | None, attempt: int) -> Permit:
        if slot is None:
            return Permit()
        seen = self._of(account).seen
        paused = Schedule.of(account.limits, seen[1]).paused if seen else 0
        lane = "high" if slot.high else "normal"
        fact = f"{attempt} {slot.base} {slot.tolerance} {slot.turn} {lane} {slot.place.number} {slot.place.line}"
        return Permit(_moment(slot.at), {SLOT: fact}, _moment(paused))


def _key(account: Account) -> str:
    return f"pacing|{account.name}"


def _slot(fact: str, attempt: int) -> Slot | None:
    """The slot of this attempt; one of an earlier attempt was used up by it, and one of an earlier version is void."""
    words = fact.split(" ")
    if len(words) != 7 or words[0] != str(attempt):
        return None
    base, tolerance, turn, lane, number, line = words[1:]
    place = Place(line, ahead=turn != Turn.LAST, number=int(number))
    return Slot(0, int(base), int(tolerance), Turn(turn), lane == "high", place)


def _time(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _moment(time: int) -> datetime:
    return _EPOCH + time * _MICROSECOND
