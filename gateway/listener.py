"""The embedded host's ears: messages of the queues that are doors come in, each is dealt with and then deleted.

The Functions host does this itself. A message that fails is seen again after a while; one that has failed as often as
that host would let it is treated as if it had come from the poison queue, which its count of tries spares us.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, runtime_checkable

from gateway.telemetry import ERROR, WARNING, log
from gateway.triggers import Desk

DOORS = ("notifications", "delivery-reports")
"""The doorbells' queues are the store's own business."""

AT_ONCE = 16
HIDDEN = timedelta(seconds=60)
MOST_TRIES = 5
SHORTEST_PAUSE = 0.1
LONGEST_PAUSE = 2.0


class Letter(Protocol):
    """A message that was taken."""

    @property
    def id(self) -> str:
        """The queue's id for it."""
        ...

    @property
    def text(self) -> str:
        """What it says."""
        ...

    @property
    def times(self) -> int:
        """How often it was taken, this time included."""
        ...


@runtime_checkable
class Queues(Protocol):
    """A store with queues that can be asked."""

    async def take(self, queue: str, most: int, hidden: timedelta) -> Sequence[Letter]:
        """Some messages, out of others' sight for a while."""
        ...

    async def done(self, queue: str, taken: Letter) -> None:
        """A message that was dealt with goes."""
        ...


@dataclass(frozen=True)
class Listener:
    """Asks the queues until it is cancelled."""

    queues: Queues
    desk: Desk

    async def run(self) -> None:
        """Ask often while something comes, and seldom while nothing does."""
        pause = SHORTEST_PAUSE
        while True:
            try:
                count = sum(await asyncio.gather(*map(self._look, DOORS)))
            except Exception as error:
                log("queue_unavailable", WARNING, error=error)
                count = 0
            pause = SHORTEST_PAUSE if count else min(2 * pause, LONGEST_PAUSE)
            await asyncio.sleep(pause)

    async def _look(self, queue: str) -> int:
        letters = await self.queues.take(queue, AT_ONCE, HIDDEN)
        await asyncio.gather(*(self._deal(queue, letter) for letter in letters))
        return len(letters)

    async def _deal(self, queue: str, letter: Letter) -> None:
        body = letter.text.encode()
        try:
            if letter.times > MOST_TRIES:
                await self.desk.take_poisoned(queue, body)
            else:
                await self.desk.take(queue, body, letter.id)
            await self.queues.done(queue, letter)
        except Exception as error:  # it is seen again when its time in hiding is over
            log("queue_message_failed", ERROR, queue=queue, error=error)
