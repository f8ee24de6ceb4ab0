"""The timer trigger of the host for tests: a schedule comes in, invocations at its times go out.

As in azure-webjobs-sdk-extensions (TimerListener.cs): where a timer runs at most once a minute, a blob says when it
must run next, so that a run that was missed is made up for at the next start, past due. The real host runs a timer in
one instance only; here each host runs it, which asks more of a function than Azure does.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp

from tests.worker.ncrontab import Schedule
from tests.worker.storage import Storage, StorageFailed

LOGGER = logging.getLogger("host.timers")

MINUTE = timedelta(minutes=1)
_LATE = 0.01

Invoke = Callable[[dict[str, Any]], Awaitable[bool]]
"""Runs the function with what it is told of its schedule: whether it succeeded, which changes nothing."""


class TimerListener:
    """Runs one function at its times until it is cancelled."""

    def __init__(self, name: str, schedule: Schedule, storage: Storage, invoke: Invoke, *, at_start: bool) -> None:
        """`at_start` is the trigger's run_on_startup."""
        self._schedule = schedule
        self._storage = storage
        self._invoke = invoke
        self._at_start = at_start
        self._status: dict[str, str] | None = None
        self._blob = f"azure-webjobs-hosts/timers/test/{name}/status"
        following = schedule.after(_now())
        self._monitored = schedule.after(following) - following >= MINUTE

    async def run(self) -> None:
        """One run at a time; an invocation that fails is not repeated."""
        self._status = await self._read()
        if self._status and datetime.fromisoformat(self._status["Next"]) < _now():
            await self._fire(past_due=True)
        elif self._at_start:
            await self._fire()
        while True:
            due = self._schedule.after(_now())
            # A timer may end a little early by the clock; the next round would then find the same time again.
            await asyncio.sleep((due - _now()).total_seconds() + _LATE)
            await self._fire()

    async def _fire(self, *, past_due: bool = False) -> None:
        await self._invoke(request(past_due=past_due, status=self._status))
        now = _now()
        if self._monitored:
            following = self._schedule.after(now).isoformat()
            self._status = {"Last": now.isoformat(), "Next": following, "LastUpdated": now.isoformat()}
            await self._write(json.dumps(self._status).encode())

    async def _read(self) -> dict[str, str] | None:
        if not self._monitored:
            return None
        try:
            content = await self._storage.read(self._blob)
        except (StorageFailed, aiohttp.ClientError, OSError, TimeoutError):
            LOGGER.warning("a timer's status cannot be read")
            return None
        return json.loads(content) if content else None

    async def _write(self, content: bytes) -> None:
        try:
            await self._storage.write(self._blob, content)
        except (StorageFailed, aiohttp.ClientError, OSError, TimeoutError):
            LOGGER.warning("a timer's status cannot be written")


def request(*, past_due: bool = False, status: dict[str, str] | None = None) -> dict[str, Any]:
    """What a function is told of its schedule."""
    return {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": status, "IsPastDue": past_due}


def _now() -> datetime:
    return datetime.now(UTC)
