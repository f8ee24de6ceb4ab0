"""Whether there is room for more: a source's name comes in, nothing or why its callers must wait goes out.

Open it when callers are told `source_full` or `store_full`. For a post nothing is asked of the store: the timer counts
once a minute and shares what it found, a process reads that now and then beside its work, and adds what it took itself.
Only who would refuse, or has taken much meanwhile, counts anew. Where nothing can be counted, nothing is refused.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from gateway.clock import wall_clock
from gateway.config import Bounds, as_size
from gateway.errors import Full
from gateway.ledger import Store, Usage
from gateway.message import Message
from gateway.telemetry import ERROR, WARNING, log

KEY = "capacity|usage"
"""The shared value that says what was counted last, and when."""

NEAR = 0.8
"""The part of a bound at which operators are warned."""

EVERY = timedelta(minutes=1)
"""How often the timer comes by, and a process looks at what others have counted."""

QUIET = timedelta(minutes=5)
"""How often the timer counts while all bounds are far: on Azure a count is 18 calls."""

FAR = 0.4
"""The part of a bound below which it is far."""

NEVER = datetime(1, 1, 1, tzinfo=UTC)

RECOUNT = timedelta(seconds=1)
"""The least time between two counts of one process."""

FULL_RECOUNT = timedelta(seconds=10)
"""The same while there is no room."""

FORGOTTEN = timedelta(minutes=15)
"""Figures older than this say nothing any more."""

SHARE = 10
"""Who has taken the tenth part of what a bound allows since the last count counts anew."""

COPIES = 3
"""Bytes in the store for one of a mail: base64, and a second copy where it is captured."""


@dataclass
class Capacity:
    """One process's view of what the store holds; `taken` and `bytes` came since it was counted."""

    store: Store
    bounds: Bounds
    clock: Callable[[], datetime] = wall_clock
    usage: Usage = field(default_factory=Usage)
    at: datetime = NEVER
    taken: Counter[str] = field(default_factory=Counter)
    bytes: int = 0
    _looked: datetime = NEVER
    _refusing: bool = False
    _task: asyncio.Task[None] | None = None

    async def check(self, source: str) -> Full | None:
        """Why nothing more of this source is taken now; None while there is room, or nobody knows."""
        full, age = self._full(source), self.clock() - self.at
        if full and age >= (FULL_RECOUNT if self._refusing else RECOUNT):
            await asyncio.shield(self._begin(self.count))
            full = self._full(source)
            self._refusing = full is not None
        elif not full and self._took_much(source) and age >= RECOUNT:
            self._begin(self.count)
        elif not full and min(age, self.clock() - self._looked) >= EVERY:
            self._looked = self.clock()
            self._begin(self._look)
        return full

    def took(self, source: str, messages: Sequence[Message]) -> None:
        """What was accepted just now."""
        self.taken[source] += len(messages)
        for message in messages:
            size = len(message.text) + len(message.html) + sum(len(file.content) for file in message.attachments)
            self.bytes += COPIES * size

    async def count(self) -> None:
        """Ask the store, and share what it says; StoreUnavailable when it says nothing."""
        at, taken, size = self.clock(), self.taken.copy(), self.bytes
        self.usage, self.at = await self.store.usage(), at
        self.taken -= taken
        self.bytes -= size
        found = await self.store.read(KEY)
        await self.store.write(KEY, _written(self.usage, at), found[1] if found else None)

    async def watch(self) -> int:
        """What a timer does each minute: count, and a line for each bound that is near or reached; how many."""
        at, usage = await self._shared()
        if self.clock() - at < QUIET and all(part < FAR for *_, part in self._parts(usage)):
            return 0
        await self.count()
        near = [found for found in self._parts(self.usage) if found[-1] >= NEAR]
        for code, source, told, part in near:
            if part >= 1:
                log("bound_reached", ERROR, code=code, source=source, problem=told)
            else:
                log("bound_near", WARNING, code=code, source=source, problem=told)
        return len(near)

    async def close(self) -> None:
        """Finish what was begun."""
        if self._task:
            await self._task

    # ------------------------------------------------------------------------------------------------ what is known

    def _full(self, source: str) -> Full | None:
        if self.clock() - self.at > FORGOTTEN:
            return None
        if self.usage.open.get(source, 0) + self.taken[source] >= self.bounds.open:
            return Full("source_full")
        size, free = self.usage.size, self.usage.free
        too_large = size is not None and size + self.bytes >= self.bounds.size
        return Full("store_full") if too_large or (free is not None and free - self.bytes <= self.bounds.free) else None

    def _took_much(self, source: str) -> bool:
        least = min(self.bounds.size, self.bounds.free or self.bounds.size)
        return self.taken[source] * SHARE >= self.bounds.open or self.bytes * SHARE >= least

    def _parts(self, usage: Usage) -> Iterator[tuple[str, str, str, float]]:
        """Each bound: its code, its source, how far it is, in words and as a part of one."""
        bounds = self.bounds
        for source, count in sorted(usage.open.items()):
            yield "source_full", source, f"{count} of {bounds.open} open messages", count / bounds.open
        if usage.size is not None:
            yield "store_full", "", f"{as_size(usage.size)} of {as_size(bounds.size)}", usage.size / bounds.size
        if usage.free is not None:
            told = f"{as_size(usage.free)} free on the disk, {as_size(bounds.free)} are kept free"
            yield "store_full", "", told, bounds.free / max(usage.free, 1)

    # ----------------------------------------------------------------------------------------------------- counting

    async def _look(self) -> None:
        """What somebody else has counted, if that is news; else count."""
        at, usage = await self._shared()
        if self.clock() - at >= QUIET + EVERY:
            await self.count()
        elif at > self.at:
            self.usage, self.at, self.bytes = usage, at, 0
            self.taken.clear()

    async def _shared(self) -> tuple[datetime, Usage]:
        """What was counted last, by whomever."""
        found = await self.store.read(KEY)
        return _read(found[0]) if found else (NEVER, Usage())

    def _begin(self, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """One at a time; who comes meanwhile waits for the same."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(_quietly(work))
        return self._task


async def _quietly(work: Callable[[], Awaitable[None]]) -> None:
    try:
        await work()
    except Exception as error:  # then there are only older figures, and in the end none
        log("usage_failed", WARNING, error=error)


def _written(usage: Usage, at: datetime) -> bytes:
    return json.dumps({"at": at.isoformat(), **usage._asdict()}).encode()


def _read(value: bytes) -> tuple[datetime, Usage]:
    told = json.loads(value)
    return datetime.fromisoformat(told.pop("at")), Usage(**told)
