"""How often somebody may knock: a source and a client come in, 0 goes out, or the milliseconds until he may again.

Two limits, of one client at a source and of all its clients together, each in any minute and in any hour. All workers
share one small value for each source and change it by compare-and-set. A worker lets a few posts pass before it tells
the others (`spare`), so that a quiet source costs less than a call for each post:

    no more than the limit passes in any window, and for every further worker `spare` more at most

Whoever is over a limit is told so without a call, since what is known of the past only ages. A store that is slow or
down holds nobody up: each worker then goes on by what it knows itself. This is about callers; `pacing` is about what
providers take.
"""

from __future__ import annotations

import asyncio
import json
import random
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from gateway.client import Tags
from gateway.clock import wall_clock
from gateway.config import Source, Window
from gateway.ledger import Store, Values
from gateway.waiting import ShortWait

PREFIX = "throttle|"
VERSION = 1
"""Of what is stored; another one counts as nothing."""

MINUTE, HOUR = 60_000, 3_600_000
"""Milliseconds."""

FINE, COARSE = 250, 60_000
"""Posts within so many milliseconds are counted together, at the later time: of the last minute, and before."""

MOST = 2000
"""Times of clients that one value holds; beyond, who knocked longest ago is forgotten."""

TRIES = 8
"""Compare-and-sets that may be lost to other workers before this one goes on by what it knows."""

BACKOFF = 0.01
"""Seconds between two of them, at most and times their number."""


class Rates(NamedTuple):
    """How many in any minute and in any hour; 0: any number."""

    minute: int
    hour: int

    @property
    def windows(self) -> tuple[tuple[int, int], ...]:
        """Length and limit of each window that has one."""
        return tuple((length, most) for length, most in ((MINUTE, self.minute), (HOUR, self.hour)) if most)

    @property
    def spare(self) -> int:
        """How many may pass in one worker before it tells the others: a tenth, or one where there are five."""
        return min((most // 10 or min(1, most // 5) for _, most in self.windows), default=100)


class Limits(NamedTuple):
    """Of one client at a source, and of the source."""

    address: Rates
    source: Rates


OPEN = Limits(Rates(0, 0), Rates(0, 0))
FORM = Limits(Rates(5, 30), Rates(30, 200))
"""What forms have unless it is written otherwise: a person at work, and a busy page."""


def limits_of(source: Source) -> Limits:
    """A source's limits; what is not written is as on every form, or no limit elsewhere."""
    usual = FORM if source.kind == "form" else OPEN
    if source.limit is None:
        return usual
    return Limits(_rates(source.limit.address, usual.address), _rates(source.limit.source, usual.source))


def _rates(written: Window | None, usual: Rates) -> Rates:
    if written is None:
        return usual
    return Rates(
        usual.minute if written.minute is None else written.minute,
        usual.hour if written.hour is None else written.hour,
    )


Times = list[tuple[int, int]]
"""When, and how many then; oldest first."""


def _wait(times: Times, rates: Rates, now: int) -> int:
    """Milliseconds until one more may pass."""
    wait = 0
    for length, most in rates.windows:
        begin = bisect_right(times, now - length, key=lambda step: step[0])
        excess = sum(count for _, count in times[begin:]) - most + 1
        for at, count in times[begin:] if excess > 0 else ():
            excess -= count
            if excess <= 0:
                wait = max(wait, at + length - now)
                break
    return wait


def _settled(times: Iterable[tuple[int, int]], now: int) -> Times:
    """What no window counts any more is gone, what lies close together is one; a clock may be ahead of ours."""
    steps: dict[tuple[int, int], list[int]] = {}
    for at, count in times:
        if at > now - HOUR:
            size = FINE if at > now - MINUTE else COARSE
            step = steps.setdefault((size, at // size), [0, 0])
            step[0] = max(step[0], min(at, now))
            step[1] += count
    return sorted((at, count) for at, count in steps.values())


@dataclass(eq=False)
class _Post:
    """One that passed here and that the store may not know of; `asks`: it waits for what the store says."""

    at: int
    client: Tags
    whole: bool
    asks: bool = False
    wait: int = 0


@dataclass
class _Known:
    """What passed at one source in the last hour, as far as it is known; clients by who knocked last."""

    source: Times = field(default_factory=list)
    clients: dict[str, Times] = field(default_factory=dict)

    @classmethod
    def of(cls, text: bytes, now: int) -> _Known:
        """As it was stored."""
        stored = json.loads(text) if text else {}
        if stored.get("v") != VERSION:
            return cls()
        start = stored["at"]
        known = cls(_settled(((start - ago, count) for ago, count in stored["source"]), now))
        for client, times in stored["clients"].items():
            if settled := _settled(((start - ago, count) for ago, count in times), now):
                known.clients[client] = settled
        return known

    def settle(self, now: int) -> None:
        """Nothing of it is later than now."""
        self.source = _settled(self.source, now)
        self.clients = {client: _settled(times, now) for client, times in self.clients.items()}

    def dump(self, now: int) -> bytes:
        """As it is stored: times as milliseconds before now."""
        value = {
            "v": VERSION,
            "at": now,
            "source": [(now - at, count) for at, count in self.source],
            "clients": {client: [(now - at, count) for at, count in times] for client, times in self.clients.items()},
        }
        return json.dumps(value, separators=(",", ":")).encode()

    def wait(self, limits: Limits, client: Tags, now: int, *, whole: bool = True) -> int:
        """Milliseconds until one more of this client may pass."""
        own = sorted(step for tag in client for step in self.clients.get(tag, ()))
        return max(_wait(own, limits.address, now), _wait(self.source, limits.source, now) if whole else 0)

    def add(self, limits: Limits, post: _Post, now: int) -> None:
        """One more."""
        if post.whole and limits.source.windows:
            self.source = _settled((*self.source, (post.at, 1)), now)
        if limits.address.windows:
            today = post.client[0]
            self.clients[today] = _settled((*self.clients.pop(today, ()), (post.at, 1)), now)
            while sum(map(len, self.clients.values())) > MOST:
                del self.clients[next(iter(self.clients))]


@dataclass
class _Book:
    """One source as this process knows it; `posts` are those that the store has not been told of."""

    known: _Known = field(default_factory=_Known)
    posts: list[_Post] = field(default_factory=list)
    waiting: ShortWait = field(default_factory=ShortWait)
    now: int = 0

    def settle(self, now: int) -> None:
        """After the clock was set back, what passed has passed just now; else it would count until that time."""
        if now < self.now:
            self.known.settle(now)
            for post in self.posts:
                post.at = min(post.at, now)
        self.now = now

    def has_spare(self, limits: Limits, client: Tags) -> bool:
        """Whether the others need not be told yet."""
        of_all = sum(post.whole for post in self.posts)
        of_client = sum(post.client[0] == client[0] for post in self.posts)
        return of_all <= limits.source.spare and of_client <= limits.address.spare


@dataclass
class Throttle:
    """The limiter of one process."""

    values: Values
    clock: Callable[[], datetime] = wall_clock
    chance: Callable[[], float] = random.random
    _books: dict[str, _Book] = field(default_factory=dict)

    def wait(self, source: str, limits: Limits, client: Tags) -> int:
        """Milliseconds until this client may knock at this source, as far as this process knows; 0: it may."""
        now, book = self._now(), self._of(source)
        book.settle(now)
        return book.known.wait(limits, client, now)

    async def take(self, source: str, limits: Limits, client: Tags, *, whole: bool = True) -> int:
        """Let one pass, and answer 0, or else when one may; `whole`: it counts for the source too."""
        now, book = self._now(), self._of(source)
        book.settle(now)
        if wait := book.known.wait(limits, client, now, whole=whole):
            return wait
        post = _Post(now, client, whole)
        book.known.add(limits, post, now)
        book.posts = [*book.posts[-MOST:], post]
        post.asks = not book.has_spare(limits, client)
        while post.asks:
            if not await book.waiting.wait(lambda: self._tell(source, limits, book)):
                post.asks = False
        return post.wait

    async def _tell(self, source: str, limits: Limits, book: _Book) -> None:
        """Tell the others what passed here, hear what passed there, and decide for all that ask, in one step."""
        for number in range(TRIES):
            found = await self.values.read(PREFIX + source)
            now = self._now()
            known = _Known.of(found[0] if found else b"", now)
            told = list(book.posts)
            waits = [_decide(known, limits, post, now) for post in told]
            if await self.values.write(PREFIX + source, known.dump(now), found[1] if found else None):
                break
            await asyncio.sleep(self.chance() * BACKOFF * (number + 1))
        else:
            for post in told:
                post.asks = False
            return
        gone = set(told)
        book.posts = [post for post in book.posts if post not in gone]
        for post in book.posts:
            known.add(limits, post, now)
        book.known = known
        for post, wait in zip(told, waits, strict=True):
            post.wait, post.asks = wait if post.asks else 0, False

    def _of(self, source: str) -> _Book:
        return self._books.setdefault(source, _Book())

    def _now(self) -> int:
        return int(self.clock().timestamp() * 1000)


def _decide(known: _Known, limits: Limits, post: _Post, now: int) -> int:
    """What has passed has passed; who asks passes where there is room. When one may, else."""
    wait = known.wait(limits, post.client, now, whole=post.whole) if post.asks else 0
    if not wait:
        known.add(limits, post, now)
    return wait


async def purge(store: Store, at: datetime) -> int:
    """Remove what no window counts any more; how many values."""
    gone = 0
    for value in await store.scan(PREFIX, "", MOST):
        if json.loads(value.value)["at"] < (at.timestamp() - 2 * HOUR / 1000) * 1000:
            gone += await store.remove(value.key, value.version)
    return gone
