"""Everything of the host for tests that is not HTTP: the worker's functions and the settings come in, listeners go out.

A function whose queue, connection or schedule cannot be used is off, and only that one; the log says why.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from typing import Any, Self

import aiohttp

from tests.worker import timer_listener
from tests.worker.hostfile import Queues
from tests.worker.ncrontab import Schedule
from tests.worker.queue_listener import POISON, QueueListener
from tests.worker.storage import Storage
from tests.worker.timer_listener import TimerListener
from tests.worker.worker import Function, InvocationFailed, Worker

LOGGER = logging.getLogger("host")

OWN_STORAGE = "AzureWebJobsStorage"
"""The host's own connection, and that of a queue trigger that names none."""

_QUEUE_NAME = re.compile(r"(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*")
_LONGEST = 63
_TIMEOUT = aiohttp.ClientTimeout(total=30)


class Off(Exception):
    """A function that cannot be started, and why."""


class Triggers:
    """Listens for the length of an `async with` block."""

    def __init__(self, worker: Worker, settings: Queues, environ: Mapping[str, str], lease: float) -> None:
        """`environ` are the app's settings; `lease` is how long a message is invisible while it is worked on."""
        self._worker = worker
        self._settings = settings
        self._environ = environ
        self._lease = lease
        self._tasks: list[asyncio.Task[None]] = []
        self._asked: set[asyncio.Task[bool]] = set()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        http = await self._stack.enter_async_context(aiohttp.ClientSession(timeout=_TIMEOUT))
        listeners = [*self._listeners(http)]
        queues = {found.queue.name: found for found in listeners if isinstance(found, QueueListener)}
        for found in queues.values():
            found.moved = lambda name: queues[name].wake() if name in queues else None
        self._tasks = [asyncio.create_task(found.run()) for found in listeners]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in (*self._tasks, *self._asked):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._asked, return_exceptions=True)
        await self._stack.aclose()

    def run(self, name: str, text: str) -> bool:
        """Run a function at once, as the admin endpoint does; False when there is none of this name to be run so."""
        function = self._worker.functions.get(name)
        kind = function.trigger["type"] if function else ""
        if kind not in {"queueTrigger", "timerTrigger"}:
            return False
        data: Any = timer_listener.request()
        metadata: dict[str, Any] = {}
        if function and kind == "queueTrigger":
            data = text.encode() if _binary(function) else text
            metadata = {"QueueTrigger": text, "DequeueCount": 0}
        task = asyncio.create_task(self._invoke(name, data, metadata))
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)
        return True

    def _listeners(self, http: aiohttp.ClientSession) -> Iterator[QueueListener | TimerListener]:
        for function in self._worker.functions.values():
            if disabled(function.name, self._environ):
                continue
            try:
                if function.trigger["type"] == "queueTrigger":
                    yield self._queue(function, http)
                elif function.trigger["type"] == "timerTrigger":
                    yield self._timer(function, http)
            except Off as reason:
                LOGGER.warning("function %s is off: %s", function.name, reason)

    def _queue(self, function: Function, http: aiohttp.ClientSession) -> QueueListener:
        storage = self._storage(http, function.trigger.get("connection") or OWN_STORAGE)
        name = self._resolved(function.trigger["queueName"])
        if not _QUEUE_NAME.fullmatch(name):
            raise Off(f"{name!r} is no name of a queue")
        poison = name + POISON
        has_poison = not name.endswith(POISON) and len(poison) <= _LONGEST

        async def invoke(body: str | bytes, metadata: Mapping[str, Any]) -> bool:
            return await self._invoke(function.name, body, metadata)

        queues = (storage.queue(name), storage.queue(poison) if has_poison else None)
        return QueueListener(*queues, self._settings, self._lease, invoke, binary=_binary(function))

    def _timer(self, function: Function, http: aiohttp.ClientSession) -> TimerListener:
        storage = self._storage(http, OWN_STORAGE)
        try:
            schedule = Schedule(self._resolved(function.trigger["schedule"]))
        except ValueError as error:
            raise Off(f"its schedule: {error}") from error

        async def invoke(request: dict[str, Any]) -> bool:
            return await self._invoke(function.name, request, {})

        at_start = bool(function.trigger.get("runOnStartup"))
        return TimerListener(function.name, schedule, storage, invoke, at_start=at_start)

    def _storage(self, http: aiohttp.ClientSession, name: str) -> Storage:
        """By the connection's name, with or without the host's own prefix before it."""
        text = self._environ.get(name) or self._environ.get(f"AzureWebJobs{name}", "")
        try:
            return Storage(http, text)
        except (KeyError, ValueError) as error:
            raise Off(f"{name} is no connection string") from error

    def _resolved(self, text: str) -> str:
        """With `%NAME%` replaced by that setting."""

        def value(match: re.Match[str]) -> str:
            if match[1] not in self._environ:
                raise Off(f"there is no setting {match[1]}")
            return self._environ[match[1]]

        return re.sub(r"%([^%]+)%", value, text)

    async def _invoke(self, name: str, data: Any, metadata: Mapping[str, Any]) -> bool:
        LOGGER.info("Executing 'Functions.%s'", name)
        try:
            await self._worker.invoke(name, data, metadata)
        except InvocationFailed as error:
            LOGGER.warning("function %s failed: %s", name, error)
            return False
        return True


def _binary(function: Function) -> bool:
    """Whether it takes a message as bytes; text is the default."""
    return str(function.trigger.get("dataType", "")).lower() == "binary"


def disabled(name: str, environ: Mapping[str, str]) -> bool:
    """Whether a setting switches a function off."""
    return environ.get(f"AzureWebJobs.{name}.Disabled", "").lower() in {"true", "1"}
