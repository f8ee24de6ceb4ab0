"""The embedded host: settings come in, one process serves HTTP, answers doorbells and keeps the timers until it is told
to stop; it then finishes or releases what it holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from socket import socket
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

import uvicorn

from gateway import captured, wiring
from gateway.budget import return_freed_memory
from gateway.capacity import EVERY
from gateway.clock import wall_clock
from gateway.connections import Connections, Patience, possible
from gateway.errors import NoRoom
from gateway.guard import KEYED, Access
from gateway.ledger import Due
from gateway.listener import Listener, Queues
from gateway.protocol import limited
from gateway.settings import Settings
from gateway.telemetry import ERROR, WARNING, log
from gateway.triggers import Desk
from gateway.wiring import Gateway

if TYPE_CHECKING:
    from starlette.types import ASGIApp

CONCURRENCY = 64
"""Deliveries under way at once; each is mostly waiting for a provider."""

MOST_WAITING = 64
"""Large mails that wait for room in memory; further ones are rung for again."""

NO_ROOM_PAUSE = timedelta(seconds=5)

SWEEP_SECONDS = 2.0
"""How soon a doorbell lost in a crash is rung again."""

PURGE_SECONDS = 3600.0

GRACE_SECONDS = 35.0
"""How long a stop waits for what is under way: a little more than the longest transport's deadline."""

PATIENCE = Patience()
"""How long a caller is waited for, and how many callers there may be."""


@runtime_checkable
class Bell(Protocol):
    """A store that can wait for its own doorbell."""

    async def doorbell(self) -> Due:
        """The next message to look at."""
        ...


@dataclass
class Deliveries:
    """The doorbell loop: at most CONCURRENCY at once; an error in one is logged and the sweep tries again."""

    gateway: Gateway
    running: set[asyncio.Task[None]] = field(default_factory=set)
    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONCURRENCY))
    waiting: dict[str, asyncio.Task[Any] | None] = field(default_factory=dict)
    """Large mails that wait for room in memory. They take no place, and another doorbell for one says nothing new."""

    async def run(self) -> None:
        """Answer doorbells until cancelled."""
        bell = cast("Bell", self.gateway.store)
        while True:
            await self.places.acquire()
            try:
                due = await bell.doorbell()
            except BaseException:
                self.places.release()
                raise
            if due.id in self.waiting:
                self.places.release()
                continue
            task = asyncio.create_task(self._one(due))
            self.running.add(task)
            task.add_done_callback(self.running.discard)
            task.add_done_callback(lambda _: self.places.release())

    async def _one(self, due: Due) -> None:
        message = due.id
        try:
            await self.gateway.delivery.deliver(message, partial(self._aside, message))
        except NoRoom:
            log("no_room", WARNING, notification=message.rpartition("-")[0], message=message)
            now = wall_clock()
            await self.gateway.store.ring(message, due.priority, now + NO_ROOM_PAUSE, now)
        except Exception as error:
            log("delivery_failed", ERROR, notification=message.rpartition("-")[0], message=message, error=error)

    @contextlib.asynccontextmanager
    async def _aside(self, message: str) -> AsyncIterator[None]:
        """Somebody else has the place meanwhile, so that small mails never wait for large ones."""
        if len(self.waiting) >= MOST_WAITING:
            raise NoRoom(message)
        self.waiting[message] = asyncio.current_task()
        self.places.release()
        try:
            yield
        finally:
            del self.waiting[message]
            await self.places.acquire()

    async def finish(self) -> None:
        """Wait for what is under way; whatever is still not done keeps its claim, and the ledger covers it.

        What waits for room in memory has no claim yet.
        """
        for task in self.waiting.values():
            if task:
                task.cancel()
        if self.running:
            await asyncio.wait(set(self.running), timeout=GRACE_SECONDS)


async def _every(seconds: float, event: str, work: Callable[[], Awaitable[int]]) -> None:
    """Do some work now and then, for ever."""
    while True:
        try:
            if count := await work():
                log(event, count=count)
        except Exception as error:
            log(f"{event}_failed", ERROR, error=error)
        await asyncio.sleep(seconds)


@contextlib.asynccontextmanager
async def working(gateway: Gateway) -> AsyncIterator[None]:
    """Doorbells and timers run for the length of the block."""
    await gateway.events.clients.warm()  # or the first refusal would wait for it
    deliveries = Deliveries(gateway)
    store = gateway.store
    listening = [Listener(store, Desk(gateway)).run()] if isinstance(store, Queues) else []
    tasks = [
        *map(asyncio.create_task, listening),
        asyncio.create_task(deliveries.run()),
        asyncio.create_task(_every(SWEEP_SECONDS, "swept", gateway.upkeep.sweep)),
        asyncio.create_task(_every(PURGE_SECONDS, "purged", gateway.upkeep.purge)),
        asyncio.create_task(_every(EVERY.total_seconds(), "usage", gateway.capacity.watch)),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await deliveries.finish()


class Server(uvicorn.Server):
    """uvicorn that tells when it listens, and leaves the signals to us."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[int], None]) -> None:
        """`ready` gets the port, which is interesting when 0 was asked for."""
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]  # only passed on
        """Listen, then say so."""
        await super().startup(sockets)  # type: ignore[arg-type]  # only passed on
        if self.started:
            self._ready(self.servers[0].sockets[0].getsockname()[1])

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Answer whoever waits for mail, and finish what else is under way."""
        captured.answer_all()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are set in `serve`, once for HTTP and deliveries together."""
        yield


def configured(app: ASGIApp, host: str, port: int, connections: Connections) -> uvicorn.Config:
    """The settings of uvicorn; its own limit of connections counts idle ones too and is not used."""
    return uvicorn.Config(
        app,
        host,
        port,
        http=limited(connections),
        ws="none",
        log_config=None,
        access_log=False,  # request lines hold keys (?code=)
        server_header=False,
        proxy_headers=False,  # uvicorn would believe the X-Forwarded-For of everybody on this machine
        lifespan="off",
        timeout_graceful_shutdown=int(GRACE_SECONDS),
    )


async def serve(
    settings: Settings,
    environ: Mapping[str, str],
    host: str,
    port: int,
    ready: Callable[[int], None],
    patience: Patience = PATIENCE,
    access: Access = KEYED,
) -> None:
    """Run until SIGINT or SIGTERM; a second signal ends at once. `access` is what this address lets in."""
    gateway = await wiring.build(settings, environ, access)
    app = gateway.app
    gateway.line.renderer.warm()
    return_freed_memory()
    # What is here now stays for good: collections need not look at it again and again.
    gc.collect()
    gc.freeze()
    connections = Connections(replace(patience, connections=possible(patience.connections)))
    server = Server(configured(app, host, port, connections), ready)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows' loop has none; Ctrl+C then ends it at once
            loop.add_signal_handler(number, _stop, server)
    watch = asyncio.create_task(connections.watch())
    try:
        async with working(gateway):
            await server.serve()
    finally:
        watch.cancel()
        await gateway.close()
        log("stopped")


def _stop(server: uvicorn.Server) -> None:
    server.force_exit = server.should_exit
    server.should_exit = True
