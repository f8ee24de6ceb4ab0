"""Work in the store that a request may wait for, but not for long: many wait together, and go on without what is slow.

Open it for how long that is. What is waited for this way only protects, so that going on without it is the lesser evil.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.telemetry import WARNING, log

SECONDS = 0.5
"""How long a request waits."""

PAUSE = 10.0
"""Seconds after that, or after a failure, in which nobody waits at all."""


@dataclass
class ShortWait:
    """One piece of work at a time."""

    _task: asyncio.Task[bool] | None = None
    _until: float = 0.0

    async def wait(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Begin the work, unless it is under way, and wait for its end. False: go on without it.

        It is never cut short, since a write that was begun may have been done; it ends by itself, later.
        """
        loop = asyncio.get_running_loop()
        if loop.time() < self._until:
            return False
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._run(work))
        task = self._task  # whoever waited too may have begun the next one by the time we go on
        done, _ = await asyncio.wait({task}, timeout=SECONDS)
        if done:
            return task.result()
        self._give_up(TimeoutError())
        return False

    async def _run(self, work: Callable[[], Awaitable[None]]) -> bool:
        try:
            await work()
        except Exception as error:
            self._give_up(error)
            return False
        return True

    def _give_up(self, error: Exception) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._until:  # of all who waited, one says it
            log("limits_local", WARNING, error=error)
        self._until = now + PAUSE
