"""The way out that reaches nobody: a Message comes in, it is kept for people to look at, and a Receipt goes out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from gateway.clock import wall_clock
from gateway.errors import Outcome, Reason, StoreUnavailable, TransportError
from gateway.ledger import Store
from gateway.message import DEADLINES, Fence, Message, NotFound, Receipt, Status


class Capture:
    """Keeps mail in the store; keeps `gateway.message.Transport`. The store is not its to close."""

    deadline = DEADLINES["capture"]

    def __init__(self, store: Store, clock: Callable[[], datetime] = wall_clock) -> None:
        """`clock` says when a mail was captured."""
        self._store = store
        self._clock = clock

    async def send(self, message: Message, attempt: int, fence: Fence) -> Receipt:
        """Keep it; sent twice it is there twice, so that a duplicate shows."""
        del attempt, fence
        try:
            await self._store.keep(message, self._clock())
        except StoreUnavailable as error:
            raise _lost() from error
        return _receipt(message)

    async def reconcile(self, message: Message, fence: Fence) -> Receipt | NotFound:
        """Whether it is there."""
        del fence
        try:
            kept = await self._store.kept(message.id)
        except StoreUnavailable as error:
            raise _lost() from error
        return _receipt(message) if kept else NotFound()

    async def close(self) -> None:
        """Nothing is held."""


def _receipt(message: Message) -> Receipt:
    return Receipt(status=Status.CAPTURED, provider_id=message.operation_id)


def _lost() -> TransportError:
    return TransportError(Outcome.MAYBE, Reason.CONNECTION_LOST, detail="the store did not answer")
