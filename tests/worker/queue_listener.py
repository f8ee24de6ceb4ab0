"""The queue trigger of the host for tests: messages of one queue come in, invocations go out; then each is deleted,
released or moved to its poison queue.

The rules are those of the Storage extension 5 (azure-sdk-for-net: QueueListener.cs, QueueProcessor.cs, its tests seen
with host 4.1037) and of the host, which lets a JSON body override the metadata (WorkerFunctionInvoker.cs).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
import math
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp

from tests.worker.hostfile import Queues
from tests.worker.storage import Queue, Received, StorageFailed

LOGGER = logging.getLogger("host.queues")

LEASE = 600.0
"""Seconds for which a message is invisible while it is worked on; fixed in the real host."""

FIRST_PAUSE = 0.1
"""Seconds between two looks at an empty queue, at first."""

POISON = "-poison"

Invoke = Callable[[str | bytes, Mapping[str, Any]], Awaitable[bool]]
"""Runs the function with a body and its metadata: whether it succeeded."""


class QueueListener:
    """Polls one queue until it is cancelled."""

    def __init__(
        self, queue: Queue, poison: Queue | None, settings: Queues, lease: float, invoke: Invoke, *, binary: bool
    ) -> None:
        """A queue without `poison` is a poison queue itself, or has a name too long to have one.

        `binary` is the trigger's data type.
        """
        self.queue = queue
        self._poison = poison
        self._settings = settings
        self._lease = lease
        self._invoke = invoke
        self._binary = binary
        self._running: set[asyncio.Task[None]] = set()
        self._awake = asyncio.Event()
        self.moved: Callable[[str], None] = lambda _: None

    def wake(self) -> None:
        """Look at once: something was put there by this host."""
        self._awake.set()

    async def run(self) -> None:
        """Fetch a batch whenever no more than the threshold are under way; pause ever longer when there is none."""
        misses = 0
        try:
            while True:
                batch = await self._fetch()
                misses = 0 if batch else misses + 1
                for message in batch:
                    task = asyncio.create_task(self._one(message))
                    self._running.add(task)
                    task.add_done_callback(self._running.discard)
                while len(self._running) > self._settings.new_batch_threshold:
                    await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
                if misses:
                    await self._pause(misses)
        finally:
            for task in tuple(self._running):
                task.cancel()

    async def _fetch(self) -> list[Received]:
        try:
            return await self.queue.take(self._settings.batch_size, math.ceil(self._lease))
        except (StorageFailed, aiohttp.ClientError, OSError, TimeoutError):
            LOGGER.warning("queue %s cannot be read", self.queue.name)
            return []

    async def _pause(self, misses: int) -> None:
        """Twice as long each time, give or take a fifth, up to maxPollingInterval."""
        longest = self._settings.max_polling_interval.total_seconds()
        pause = min(longest, FIRST_PAUSE * 2.0 ** min(misses - 1, 20) * random.uniform(0.8, 1.2))
        try:
            await asyncio.wait_for(self._awake.wait(), pause)
        except TimeoutError:
            return
        self._awake.clear()

    async def _one(self, message: Received) -> None:
        try:
            await self._process(message)
        except (StorageFailed, aiohttp.ClientError, OSError, TimeoutError):
            # It stays invisible until its time is up, as with the real host, which only reports it.
            LOGGER.warning("queue %s cannot be written", self.queue.name)

    async def _process(self, message: Received) -> None:
        most = self._settings.max_dequeue_count
        if self._settings.message_encoding == "base64" and _decoded(message.text) is None:
            await self._move(message)
        elif message.dequeued > most and self._poison is not None:
            # Taken so often and never finished: whoever had it died. In a poison queue it is run all the same.
            await self._move(message)
        else:
            succeeded, message = await self._work(message)
            if succeeded:
                await self.queue.delete(message)
            elif message.dequeued >= most:
                await self._move(message)
            elif self._poison is not None:
                await self.queue.hold(message, math.ceil(self._settings.visibility_timeout.total_seconds()))

    async def _work(self, message: Received) -> tuple[bool, Received]:
        """Run the function; meanwhile the message is kept invisible, which changes its receipt."""
        held = message

        async def renew() -> None:
            nonlocal held
            while True:
                await asyncio.sleep(self._lease / 2)
                held = await self.queue.hold(held, math.ceil(self._lease)) or held

        renewing = asyncio.create_task(renew())
        try:
            body = self._body(message)
            return body is not None and await self._invoke(body, metadata(message, body)), held
        finally:
            renewing.cancel()
            await asyncio.wait([renewing])

    def _body(self, message: Received) -> str | bytes | None:
        """None for bytes that are no text: they cannot be bound to a function that takes text."""
        plain = self._settings.message_encoding == "none"
        content = message.text.encode() if plain else _decoded(message.text) or b""
        if self._binary:
            return content
        try:
            return content.decode()
        except UnicodeDecodeError:
            return None

    async def _move(self, message: Received) -> None:
        """Copied, then deleted: a new message with the body alone, for a week, its count beginning anew."""
        if self._poison is None:
            return
        LOGGER.warning("a message of queue %s goes to %s", self.queue.name, self._poison.name)
        await self._poison.put(message.text)
        await self.queue.delete(message)
        self.moved(self._poison.name)


def metadata(message: Received, body: str | bytes) -> dict[str, Any]:
    """What the trigger knows of a message; the fields of a JSON object override it, whatever their case, as text.

    Lists and nulls are left out. A field that is not of the trigger's is passed on under its own name. Only text is
    looked through so (`value as string`), so a function that takes bytes has the metadata as they are.
    """
    found: dict[str, Any] = {
        "QueueTrigger": body if isinstance(body, str) else body.decode(errors="replace"),
        "DequeueCount": message.dequeued,
        "ExpirationTime": message.expires,
        "Id": message.id,
        "InsertionTime": message.inserted,
        "NextVisibleTime": message.visible,
        "PopReceipt": message.receipt,
    }
    names = {name.lower(): name for name in found}
    for name, value in _object(body).items():
        if value is not None and not isinstance(value, list):
            # The real host's JSON library writes a value as text: True, not true.
            found[names.setdefault(name.lower(), name)] = value if isinstance(value, dict) else str(value)
    return found


def _object(body: str | bytes) -> dict[str, Any]:
    if isinstance(body, bytes):
        return {}
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
