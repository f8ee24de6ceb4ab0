"""The embedded doorbell: message ids and times come in, each id goes out when its time has come, urgent ones first.

It lives in memory on purpose. A ring lost in a crash, or rung in another process, is found by `Store.due`.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from datetime import datetime

from gateway.clock import wall_clock
from gateway.ledger import Due
from gateway.message import Priority

LONGEST_SLEEP = 60.0
"""Seconds after which the wall clock is read again: it may have been set, or the machine may have slept."""


class Doorbell:
    """Rings for one process and one event loop; a message that waits already is not queued twice."""

    def __init__(self, clock: Callable[[], datetime] = wall_clock) -> None:
        """`clock` says which rings' time has come."""
        self._clock = clock
        self._later: list[tuple[datetime, int, str, Priority]] = []
        self._ready: asyncio.PriorityQueue[tuple[bool, int, str]] = asyncio.PriorityQueue()
        self._rung: dict[str, datetime] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._count = 0

    def ring(self, message: str, priority: Priority, at: datetime) -> None:
        """Hand `message` to a waiter at `at`; an earlier time replaces a later one."""
        waiting = self._rung.get(message)
        if waiting is not None and waiting <= at:
            return
        self._rung[message] = at
        self._count += 1
        ring = (at, self._count, message, priority)
        if at <= self._clock():
            self._hand_over(ring)
            return
        heapq.heappush(self._later, ring)
        if self._later[0] is ring:
            self._wake()

    async def next(self) -> Due:
        """The next message whose time has come; among those, high priority first."""
        low, _, message = await self._ready.get()
        self._rung.pop(message, None)
        return Due(message, Priority.NORMAL if low else Priority.HIGH)

    def close(self) -> None:
        """Stop the timer."""
        if self._timer:
            self._timer.cancel()

    def _hand_over(self, ring: tuple[datetime, int, str, Priority]) -> None:
        at, count, message, priority = ring
        if self._rung.get(message) == at:
            self._ready.put_nowait((priority is not Priority.HIGH, count, message))

    def _wake(self) -> None:
        """Hand over whose time has come, and come back for the rest."""
        self.close()
        now = self._clock()
        while self._later and self._later[0][0] <= now:
            self._hand_over(heapq.heappop(self._later))
        if self._later:
            seconds = (self._later[0][0] - now).total_seconds()
            self._timer = asyncio.get_running_loop().call_later(min(seconds, LONGEST_SLEEP), self._wake)
