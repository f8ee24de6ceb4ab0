"""Delivery in virtual time: messages and what the provider answers come in, who was sent what and when goes out.

The store is a real one, in a file; only its doorbell is a list here, so that the clock can jump to the next ring.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count

from gateway.address import Address
from gateway.delivery import Delivery
from gateway.errors import Outcome, Reason, TransportError
from gateway.ledger import Entry, MessageState, Value
from gateway.message import DEADLINES, Fence, Message, NotFound, Priority, Receipt, Status
from gateway.pacing import Account, Pacer
from gateway.pacing.lanes import Limits
from gateway.stores.doorbell import Doorbell
from gateway.stores.sqlite import SqliteStore
from gateway.stores.sqlite_lane import Lane
from gateway.suppressions import Suppressions
from gateway.ways import Way
from tests.factories import NOW, make_entry

Answer = Receipt | NotFound | TransportError
SENT = Receipt(status=Status.SENT, provider_id="p-1")
ACCOUNT = Account("acs|main", Limits(10, 40))
WAYS = {
    "noreply": Way("acs", Address(email="noreply@example.com"), ACCOUNT, fallback="helpdesk"),
    "alone": Way("acs", Address(email="alone@example.com"), ACCOUNT),
    "helpdesk": Way("graph", Address(email="helpdesk@example.com", name="Help")),
}


def no(reason: Reason, retry_after: float | None = None, *, permanent: bool = False) -> TransportError:
    """Certainly not accepted; a quota is told by an answer."""
    answered = reason is Reason.THROTTLED
    return TransportError(Outcome.NO, reason, retry_after=retry_after, permanent=permanent, answered=answered)


def maybe(reason: Reason = Reason.CONNECTION_LOST) -> TransportError:
    """Perhaps accepted."""
    return TransportError(Outcome.MAYBE, reason)


class VirtualStore(SqliteStore):
    """A store whose rings are kept in `rings` by their time; `calls` counts what the shared values cost."""

    def __init__(self, writer: Lane, reader: Lane, browser: Lane, bell: Doorbell) -> None:
        """Nothing rings yet."""
        super().__init__(writer, reader, browser, bell)
        self.rings: list[tuple[datetime, bool, int, str]] = []
        self._count = count()
        self.calls: Counter[str] = Counter()

    async def ring(self, message: str, priority: Priority, at: datetime, now: datetime) -> None:
        """Remember it."""
        heapq.heappush(self.rings, (max(at, now), priority is not Priority.HIGH, next(self._count), message))

    async def read(self, key: str) -> tuple[bytes, str] | None:
        """Count it."""
        self.calls["read"] += 1
        return await super().read(key)

    async def write(self, key: str, value: bytes, version: str | None) -> bool:
        """Count it."""
        self.calls["write"] += 1
        return await super().write(key, value, version)

    async def scan(self, prefix: str, after: str, limit: int) -> Sequence[Value]:
        """Count it."""
        self.calls["scan"] += 1
        return await super().scan(prefix, after, limit)


@dataclass
class Call:
    """One call of the provider: what was asked, through which sender, with what."""

    what: str
    at: datetime
    message: Message
    attempt: int
    facts: dict[str, str]


@dataclass
class Provider:
    """A transport that answers what `answer` says; keeps `gateway.message.Transport`."""

    name: str
    calls: list[Call]
    clock: Callable[[], datetime]
    answer: Callable[[Call], Answer]
    deadline: float = DEADLINES["acs"]

    async def send(self, message: Message, attempt: int, fence: Fence) -> Receipt:
        """A submission; it leaves a fact of the provider's."""
        found = self._call(Call("send", self.clock(), message, attempt, dict(fence.facts)))
        await fence.record(draft=f"draft of {self.name}")
        if isinstance(found, TransportError):
            raise found
        assert isinstance(found, Receipt)
        return found

    async def reconcile(self, message: Message, fence: Fence) -> Receipt | NotFound:
        """A question."""
        found = self._call(Call("ask", self.clock(), message, 0, dict(fence.facts)))
        if isinstance(found, TransportError):
            raise found
        return found

    def _call(self, call: Call) -> Answer:
        self.calls.append(call)
        return self.answer(call)

    async def close(self) -> None:
        """Nothing to let go of."""


@dataclass
class World:
    """One store, one clock, two providers; `answers` are taken in order by sender, then everything is sent."""

    store: VirtualStore
    now: datetime = NOW
    ways: Mapping[str, Way] = field(default_factory=lambda: WAYS)
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    looks: Counter[str] = field(default_factory=Counter)
    decide: Callable[[Call], Answer] | None = None

    def delivery(self) -> Delivery:
        """A worker of its own, as another process would be."""
        return Delivery(
            self.store,
            lambda name, _: Provider(name, self.calls, lambda: self.now, self._answer),
            clock=lambda: self.now,
            chance=lambda: 0.0,
            ways=self.ways,
            pacer=Pacer(self.store, lambda: 0.5),
            suppressions=Suppressions(self.store),
        )

    def _answer(self, call: Call) -> Answer:
        waiting = self.answers.get(call.message.sender)
        if waiting:
            return waiting.pop(0)
        return self.decide(call) if self.decide else SENT

    async def accept(self, *messages: Message) -> Entry:
        """Durable, and due now."""
        states = tuple(MessageState(id=one.id, to=one.to, sender=one.sender, status=Status.QUEUED) for one in messages)
        entry = make_entry(*messages, messages=states)
        assert await self.store.add(entry, messages, self.now) is None
        for message in messages:
            await self.store.ring(message.id, message.priority, self.now, self.now)
        return entry

    async def run(self, workers: int = 1, until: timedelta = timedelta(days=30)) -> None:
        """Answer every doorbell at its time, until nothing rings any more."""
        deliveries = [self.delivery() for _ in range(workers)]
        end = self.now + until
        while self.store.rings and self.store.rings[0][0] <= end:
            at, _, _, message = heapq.heappop(self.store.rings)
            self.now = max(self.now, at)
            self.looks[message] += 1
            await deliveries[self.looks.total() % workers].deliver(message)

    async def shown(self, entry: Entry) -> Entry:
        """The ledger's word."""
        found = await self.store.get(entry.id)
        assert found is not None
        return found
