"""What has to be done now and then: the time comes in, doorbells are rung, old rows go, one line says what waits.

It needs the store and the retention, nothing of what accepts, so that a timer starts fast.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway import throttle
from gateway.capacity import Capacity
from gateway.clock import wall_clock
from gateway.config import Retention
from gateway.ledger import Due, Store
from gateway.suppressions import Suppressions
from gateway.telemetry import log

SWEEP_LIMIT = 1000
"""Doorbells one sweep rings at most; the next one goes on."""

PURGED = "upkeep|purged"
"""The shared value that says when somebody last purged."""

OVERDUE = timedelta(minutes=1)
"""A doorbell that waits in the queue behind a storm is late, not lost; a minute tells the two apart well enough."""

PURGE_PAUSE = timedelta(hours=1)


@dataclass(frozen=True)
class Upkeep:
    """Safe to run twice, at once, and in several processes."""

    store: Store
    retention: Retention
    clock: Callable[[], datetime] = wall_clock
    capacity: Capacity | None = None

    async def sweep(self, overdue: timedelta = timedelta()) -> int:
        """Ring for whatever has been due for longer than `overdue`; how many.

        A lost, doubled or poisoned doorbell changes nothing but time.
        """
        return len(await self._sweep(self.clock() - overdue))

    async def _sweep(self, before: datetime) -> Sequence[Due]:
        at = self.clock()
        due = await self.store.due(before, SWEEP_LIMIT)
        for message in due:
            await self.store.ring(message.id, message.priority, at, at)
        return due

    async def round(self, lengths: Callable[[], Awaitable[Mapping[str, int]]]) -> None:
        """What a timer does each minute: sweep, purge now and then, tell what waits and which bound is near.

        `lengths` counts the poison queues, which no metric of Azure's does: QueueMessageCount is per account and daily.
        """
        due = await self._sweep(self.clock() - OVERDUE)
        await self._purge_hourly()
        poison = await lengths()
        since = min((message.since for message in due if message.since), default=self.clock())
        log(
            "backlog",
            count=len(due),
            seconds=round((self.clock() - since).total_seconds()),
            poison=sum(poison.values()),
            queues=dict(poison),
        )
        if self.capacity:
            await self.capacity.watch()

    async def purge(self) -> int:
        """Delete what retention no longer wants and suppressions that have ended; how many rows."""
        at = self.clock()
        keep = self.retention
        gone = await self.store.purge(bodies=at - keep.bodies, ledger=at - keep.ledger, captured=at - keep.captured)
        return gone + await Suppressions(self.store).purge(at) + await throttle.purge(self.store, at)

    async def _purge_hourly(self) -> int:
        """The same, unless it was done in the last hour, by whomever."""
        found = await self.store.read(PURGED)
        at = self.clock()
        if found and at - datetime.fromisoformat(found[0].decode()) < PURGE_PAUSE:
            return 0
        first = await self.store.write(PURGED, at.isoformat().encode(), found[1] if found else None)
        return await self.purge() if first else 0
