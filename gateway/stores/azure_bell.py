"""The doorbell on Azure: message ids and times come in, each id goes out when its time has come, urgent ones first.

Two queues, one for priority high, so that an urgent message never stands behind a storm. Under Functions the host
polls them; `next` does so for the embedded host.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from datetime import datetime, timedelta
from itertools import islice

from gateway.errors import StoreUnavailable
from gateway.ledger import Due
from gateway.message import Priority
from gateway.stores.azure_queues import LONGEST_DELAY, Queues, Taken
from gateway.stores.azure_rest import TOTAL_SECONDS
from gateway.telemetry import WARNING, log

QUEUES = {Priority.HIGH: "outbox-high", Priority.NORMAL: "outbox"}

AT_ONCE = 16
"""Doorbells taken from the queue together, and thus the most that an urgent one waits for."""

HIDDEN_SECONDS = 60
"""How long a taken doorbell is out of others' sight: as long as a claim lasts."""

REMEMBERED = timedelta(seconds=30)
"""How long a ring of ours is not repeated: a backlog would else grow by what every sweep rings again."""

SHORTEST_PAUSE = 0.1
LONGEST_PAUSE = 2.0
URGENT_SECONDS = 0.25
"""How often the urgent queue is looked at while ordinary doorbells are at hand."""


class Bell:
    """Rings through the account's queues and listens to them."""

    def __init__(self, queues: Queues) -> None:
        """The queues need not exist."""
        self._queues = queues
        self._taken: dict[Priority, deque[Taken]] = {priority: deque() for priority in QUEUES}
        self._rung: dict[str, datetime] = {}
        self._wake = asyncio.Event()
        self._deletions: set[asyncio.Task[None]] = set()
        self._looked = 0.0

    async def ring(
        self, message: str, priority: Priority, at: datetime, now: datetime, total: float = TOTAL_SECONDS
    ) -> None:
        """Ring at a time; one more than seven days off is left to the sweep."""
        delay = max(0, math.ceil((at - now).total_seconds()))
        if delay > LONGEST_DELAY or (not delay and self._rings_already(message, now)):
            return
        await self._queues.put(QUEUES[priority], message, delay, total)
        self._rung.pop(message, None)
        self._rung[message] = max(at, now)
        if not delay:
            self._looked = 0.0
            self._wake.set()

    def _rings_already(self, message: str, now: datetime) -> bool:
        """Whether a ring is under way whose time has come; the oldest ones are forgotten here."""
        for oldest in list(islice(self._rung, 2)):
            if now - self._rung[oldest] > REMEMBERED:
                del self._rung[oldest]
        rung = self._rung.get(message)
        return rung is not None and rung <= now < rung + REMEMBERED

    async def next(self) -> Due:
        """The next message whose time has come; storage that cannot be reached is waited for."""
        pause = SHORTEST_PAUSE
        while True:
            self._wake.clear()
            try:
                await self._look()
            except StoreUnavailable as error:
                log("doorbell_unavailable", WARNING, reason=str(error))
                pause = LONGEST_PAUSE
            for priority, taken in self._taken.items():
                if taken:
                    return self._hand_over(priority, taken.popleft())
            await self._sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _look(self) -> None:
        """Take what waits, if nothing is at hand; urgent ones also while ordinary ones are."""
        now = asyncio.get_running_loop().time()
        urgent, ordinary = self._taken[Priority.HIGH], self._taken[Priority.NORMAL]
        if not urgent and (not ordinary or now - self._looked >= URGENT_SECONDS):
            self._looked = now
            urgent.extend(await self._queues.take(QUEUES[Priority.HIGH], AT_ONCE, HIDDEN_SECONDS))
        if not urgent and not ordinary:
            ordinary.extend(await self._queues.take(QUEUES[Priority.NORMAL], AT_ONCE, HIDDEN_SECONDS))

    def _hand_over(self, priority: Priority, taken: Taken) -> Due:
        # Deleted before it is dealt with: the ledger is the truth, and the sweep rings for what it still holds.
        deletion = asyncio.create_task(self._delete(QUEUES[priority], taken))
        self._deletions.add(deletion)
        deletion.add_done_callback(self._deletions.discard)
        self._rung.pop(taken.text, None)
        return Due(taken.text, priority)

    async def _delete(self, queue: str, taken: Taken) -> None:
        try:
            await self._queues.delete(queue, taken)
        except StoreUnavailable as error:
            log("doorbell_unavailable", WARNING, reason=str(error))  # it rings again, for nothing

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    async def close(self) -> None:
        """Finish the deletions."""
        await asyncio.gather(*self._deletions)
