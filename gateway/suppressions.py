"""The suppression list: addresses that bounced come in with a reason, and go out when they expire or a person says so.

One shared value for each address, `suppression|<address in lower case>`, and one with the marks of all of them.
Delivery asks before the first submission of a message: the marks are read once in SECONDS, and an address only where
its mark is among them. So a storm costs one call a minute, and what another process changes is seen after SECONDS.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol

from pydantic import AwareDatetime, ValidationError

from gateway.address import Model, folded
from gateway.ledger import Report, Value, Values
from gateway.message import Status
from gateway.telemetry import WARNING, log

PREFIX = "suppression|"

LIFETIMES = {Status.BOUNCED: timedelta(days=90), Status.SUPPRESSED: timedelta(days=14)}
"""A hard bounce (no such address) lasts; a provider takes addresses off its own list after a while."""

LIFETIME = LIFETIMES[Status.BOUNCED]
"""Of an address that a person put on the list."""

SECONDS = timedelta(seconds=60)
"""How old an answer of `check` may be."""

MARKS = "suppressions"
"""The shared value with four bytes of each address's hash; `remove` leaves a mark, which `purge` takes away."""

MOST = 10_000
"""Marks that are kept; on a longer list every address is looked up."""

LEARNED = "suppressions-learned"
"""The shared value with how many addresses reports have put on the list in an hour, and which hour that is."""

MOST_LEARNED = 200
"""Addresses in an hour, for all workers together. Reports come from outside: whoever forges them silences no more."""

EVERYBODY = b"*"
"""What stands for more than MOST."""

_PAGE = 1000
_TRIES = 8


class _Values(Values, Protocol):
    """The same, and those for what is kept under many keys."""

    async def scan(self, prefix: str, after: str, limit: int) -> Sequence[Value]:
        """Values whose key begins with `prefix`, in key order, behind the key `after`."""
        ...

    async def remove(self, key: str, version: str) -> bool:
        """Compare-and-delete."""
        ...


class Suppression(Model):
    """One address that gets no mail until `expires`; `reason` is a machine word such as hard_bounce."""

    address: str
    reason: str
    at: AwareDatetime
    expires: AwareDatetime


class Listing(NamedTuple):
    """Some of the list in the order of the addresses, and the address to go on behind (None: that was all)."""

    items: tuple[Suppression, ...]
    next: str | None


def _mark(email: str) -> bytes:
    return hashlib.sha256(email.encode()).digest()[:4]


def _marks(value: bytes) -> set[bytes] | None:
    """The marks, or None when everybody may be on the list."""
    return None if value == EVERYBODY else {value[at : at + 4] for at in range(0, len(value), 4)}


def _joined(marks: set[bytes]) -> bytes:
    return b"".join(sorted(marks)) if len(marks) <= MOST else EVERYBODY


@dataclass
class Suppressions:
    """The list in one store, with what this process remembers of it for SECONDS."""

    values: _Values
    _single: dict[str, Suppression | None] = field(default_factory=dict)
    _marks: set[bytes] | None = None
    _since: datetime | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _learning: asyncio.Lock = field(default_factory=asyncio.Lock)

    # -------------------------------------------------------------------------------------------- the list itself

    async def add(self, address: str, reason: str, at: datetime, lifetime: timedelta | None = None) -> Suppression:
        """Put an address on the list; one that is there stays until the later of both ends, with the newer reason."""
        email = folded(address)
        new = Suppression(address=email, reason=reason, at=at, expires=_later(at, lifetime or LIFETIME))
        for _ in range(_TRIES):
            known = await self.values.read(PREFIX + email)
            old = _parsed(known[0]) if known else None
            chosen = new if old is None or old.at <= new.at else old
            expires = max(new.expires, old.expires) if old else new.expires
            chosen = chosen.model_copy(update={"expires": expires})
            value = chosen.model_dump_json().encode()
            if chosen == old or await self.values.write(PREFIX + email, value, known[1] if known else None):
                break
        await self._enlist(email)
        self._forget()
        return chosen

    async def _enlist(self, email: str) -> None:
        """Add its mark, behind the entry: a mark without an entry costs a read, an entry without one is not seen."""
        for _ in range(_TRIES):
            known = await self.values.read(MARKS)
            marks = _marks(known[0] if known else b"")
            if marks is None or _mark(email) in marks:
                return
            if await self.values.write(MARKS, _joined(marks | {_mark(email)}), known[1] if known else None):
                return

    async def learn(self, report: Report, now: datetime) -> Suppression | None:
        """What a delivery report teaches: hard bounces and the provider's own suppressions; None: nothing."""
        lifetime = LIFETIMES.get(report.status)
        if lifetime is None:
            return None
        if await self.get(report.recipient, now) is None:
            async with self._learning:
                if not await self._may_learn(now):
                    return None
        return await self.add(report.recipient, report.reason or report.status.value, report.at, lifetime)

    async def _may_learn(self, now: datetime) -> bool:
        """Whether one address more may be learned in this hour, and count it; the first one too many is said."""
        hour = now.astimezone(UTC).strftime("%Y-%m-%dT%H")
        for _ in range(_TRIES):
            known = await self.values.read(LEARNED)
            told, _, count = known[0].decode().partition(" ") if known else ("", "", "")
            number = int(count) + 1 if told == hour else 1
            if number > MOST_LEARNED + 1:
                return False
            if await self.values.write(LEARNED, f"{hour} {number}".encode(), known[1] if known else None):
                if number > MOST_LEARNED:
                    log("suppressions_limited", WARNING, count=MOST_LEARNED)
                return number <= MOST_LEARNED
        return False

    async def remove(self, address: str) -> bool:
        """Take an address off the list; False when it was not on it."""
        key = PREFIX + folded(address)
        removed = False
        for _ in range(_TRIES):
            known = await self.values.read(key)
            if known is None:
                break
            removed = await self.values.remove(key, known[1])
            if removed:
                break
        self._forget()
        return removed

    async def get(self, address: str, now: datetime) -> Suppression | None:
        """What is known of one address; an expired entry counts as absent and is deleted."""
        key = PREFIX + folded(address)
        known = await self.values.read(key)
        found = _parsed(known[0]) if known else None
        if known and (found is None or found.expires <= now):
            await self.values.remove(key, known[1])
            return None
        return found

    async def list(self, now: datetime, after: str = "", limit: int = 100) -> Listing:
        """One page of what is in force, behind the address `after`; expired entries on it are deleted."""
        page = await self.values.scan(PREFIX, PREFIX + after if after else "", limit)
        items = await self._in_force(page, now)
        return Listing(tuple(items), page[-1].key.removeprefix(PREFIX) if len(page) >= limit else None)

    async def purge(self, now: datetime) -> int:
        """Delete every expired entry; how many. The marks are made anew: a crash may have left one out."""
        known = await self.values.read(MARKS)
        marks: set[bytes] = set()
        after, count = "", 0
        while page := await self.values.scan(PREFIX, after, _PAGE):
            current = await self._in_force(page, now)
            marks |= {_mark(one.address) for one in current}
            count += len(page) - len(current)
            after = page[-1].key
        # Whoever adds an address writes its mark after its entry: either we have seen the entry, or this write is lost.
        if (known[0] if known else b"") != _joined(marks):
            await self.values.write(MARKS, _joined(marks), known[1] if known else None)
        return count

    async def _in_force(self, page: Sequence[Value], now: datetime) -> Sequence[Suppression]:
        found = []
        for value in page:
            one = _parsed(value.value)
            if one is not None and one.expires > now:
                found.append(one)
            else:
                await self.values.remove(value.key, value.version)
        return found

    # ------------------------------------------------------------------------------------------- before sending

    async def check(self, addresses: Iterable[str], now: datetime) -> dict[str, Suppression]:
        """Which of these addresses get no mail, by their folded form; an answer may be SECONDS old."""
        wanted = {folded(address) for address in addresses}
        async with self._lock:
            if self._since is None or not timedelta(0) <= now - self._since < SECONDS:
                self._forget()
                known = await self.values.read(MARKS)
                self._marks, self._since = _marks(known[0] if known else b""), now
            marked = [email for email in wanted if self._marks is None or _mark(email) in self._marks]
            found = {email: await self._one(email, now) for email in marked}
        return {email: one for email, one in found.items() if one is not None and one.expires > now}

    async def _one(self, email: str, now: datetime) -> Suppression | None:
        if email not in self._single:
            if len(self._single) >= MOST:
                self._single.clear()
            self._single[email] = await self.get(email, now)
        return self._single[email]

    def _forget(self) -> None:
        self._since = None
        self._single.clear()


def _later(at: datetime, lifetime: timedelta) -> datetime:
    try:
        return at + lifetime
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def _parsed(value: bytes) -> Suppression | None:
    try:
        return Suppression.model_validate_json(value)
    except ValidationError:
        return None
