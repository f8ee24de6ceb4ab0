"""The line's second half in virtual time: a message and a transport come in, how it ended goes out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.delivery import Delivery
from gateway.message import OPEN, Message, Status, Transport
from gateway.stores.sqlite import SqliteStore
from tests.factories import make_entry
from tests.transports.ways import Clock

STEP = 100.0
"""Seconds between two doorbells; a claim lasts sixty."""


class Line:
    """One store and one clock; every worker has its own transport."""

    def __init__(self, store: SqliteStore, clock: Clock) -> None:
        """Both are shared by all workers."""
        self.store = store
        self.clock = clock

    def worker(self, transport: Transport) -> Delivery:
        """A process that answers doorbells."""
        return Delivery(self.store, lambda _transport, _sender: transport, clock=self.clock, chance=lambda: 0.5)

    async def accept(self, message: Message) -> None:
        """It is durable from here on."""
        await self.store.add(make_entry(message), [message], self.clock())

    async def end(self, message: Message, worker: Delivery, *, rings: int = 60) -> Status:
        """Let doorbells ring until the message is final, or has been for hours."""
        for _ in range(rings):
            await worker.deliver(message.id)
            if await self.status(message) not in OPEN:
                break
            self.clock.pass_by(STEP)
        return await self.status(message)

    async def status(self, message: Message) -> Status:
        """As the ledger has it."""
        entry = await self.store.get(message.notification)
        assert entry
        return entry.status


@asynccontextmanager
async def line(folder: Path, clock: Clock) -> AsyncIterator[Line]:
    """A line whose ledger is a file in this folder."""
    store = await SqliteStore.open(folder / "gateway.db", clock=clock)
    yield Line(store, clock)
    await store.close()
