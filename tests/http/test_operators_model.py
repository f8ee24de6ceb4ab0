"""Any order of deliveries, faults, replays and cancellations on a real store: what is said of a message is true."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.delivery import Delivery
from gateway.errors import Outcome, Reason, Rejected, TransportError
from gateway.ledger import Amendment, Entry
from gateway.message import OPEN, Fence, Message, NotFound, Receipt, Status
from gateway.operators import Operators
from gateway.stores.sqlite import SqliteStore
from gateway.transports.capture import Capture
from tests.factories import NOW, make_entry, make_message

STEP = timedelta(hours=2)
"""Longer than any wait before the next try."""


class Hasty(SqliteStore):
    """A store in which a worker may be faster than the operator: it works between the look and the word."""

    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def amend(self, message: str, amendment: Amendment) -> Status | None:
        """The same, after whatever happens meanwhile."""
        work, self.meanwhile = self.meanwhile, None
        if work is not None:
            await work()
        return await super().amend(message, amendment)


class Moody:
    """The capture transport, which ends each call as it is told; `taken` counts what arrived, by provider key."""

    deadline = 5.0

    def __init__(self, store: SqliteStore, clock: Callable[[], datetime]) -> None:
        """`mood` is set before each call."""
        self.capture = Capture(store, clock)
        self.mood = "yes"
        self.taken: Counter[str] = Counter()

    async def send(self, message: Message, attempt: int, fence: Fence) -> Receipt:
        """Yes, no, never, or an end that nobody knows: lost on the way there, or on the way back."""
        if self.mood in {"no", "never"}:
            raise TransportError(Outcome.NO, Reason.REFUSED, permanent=self.mood == "never")
        if self.mood == "lost":
            raise TransportError(Outcome.MAYBE, Reason.CONNECTION_LOST)
        receipt = await self.capture.send(message, attempt, fence)
        self.taken[message.operation_id] += 1
        if self.mood == "unheard":
            raise TransportError(Outcome.MAYBE, Reason.CONNECTION_LOST)
        return receipt

    async def reconcile(self, message: Message, fence: Fence) -> Receipt | NotFound:
        """The truth about this provider key; or it cannot be told now; or it can never be told."""
        if self.mood in {"lost", "unheard"}:
            raise TransportError(Outcome.NO, Reason.UNREACHABLE)
        if self.mood == "never":
            raise TransportError(Outcome.MAYBE, Reason.REFUSED, permanent=True)
        return Receipt(status=Status.CAPTURED) if self.taken[message.operation_id] else NotFound()

    async def close(self) -> None:
        """Nothing is held."""


class Decisions(RuleBasedStateMachine):
    """One notification with one message, one worker, and operators who press everything."""

    def __init__(self) -> None:
        """A store in a folder of its own."""
        super().__init__()
        self.folder = tempfile.mkdtemp()
        self.loop = asyncio.Runner()
        self.now = NOW
        self.replays = 0
        self.before = 0
        self.loop.run(self._begin())

    async def _begin(self) -> None:
        store = await Hasty.open(Path(self.folder) / "gateway.db")
        assert isinstance(store, Hasty)
        self.store = store
        self.transport = Moody(self.store, lambda: self.now)
        self.delivery = Delivery(self.store, lambda *_: self.transport, lambda: self.now, lambda: 0.0)
        self.operators = Operators(self.store, lambda: self.now)
        self.message = make_message(created=self.now)
        await self.store.add(make_entry(self.message), [self.message], self.now)

    def teardown(self) -> None:
        """Close and delete everything."""
        self.loop.run(self.store.close())
        self.loop.close()
        shutil.rmtree(self.folder)

    async def _deliver(self, mood: str) -> None:
        self.now += STEP
        self.transport.mood = mood
        await self.delivery.deliver(self.message.id)

    async def _entry(self) -> Entry:
        entry = await self.store.get(self.message.notification)
        assert entry is not None
        return entry

    def _status(self) -> Status:
        return self.loop.run(self._entry()).messages[0].status

    def _decide(self, decision: Callable[[str], Awaitable[Entry]], mood: str | None) -> bool:
        """Whether the decision was taken, with a try of a worker in the middle of it where a mood is given."""

        async def decide() -> bool:
            if mood is not None:
                self.store.meanwhile = lambda: self._deliver(mood)
            try:
                await decision(self.message.notification)
            except Rejected:
                return False
            finally:
                self.store.meanwhile = None
            return True

        return self.loop.run(decide())

    moods = st.sampled_from(["yes", "no", "never", "lost", "unheard"])

    @rule(mood=moods)
    def deliver(self, mood: str) -> None:
        """A doorbell, at a time when whatever waits is due."""
        self.loop.run(self._deliver(mood))

    @rule(mood=st.none() | moods)
    def replay(self, mood: str | None) -> None:
        """It is queued again only from an end."""
        before = self._status()

        if self._decide(self.operators.replay, mood):
            assert before not in OPEN
            self.replays += 1
            if before is not Status.UNKNOWN:
                self.before = self.transport.taken.total()

    @rule(mood=st.none() | moods)
    def cancel(self, mood: str | None) -> None:
        """Afterwards it waits no longer, unless that was refused."""
        if self._decide(self.operators.cancel, mood):
            assert self._status() in {Status.CANCELLED, Status.UNKNOWN}

    @invariant()
    def nothing_arrives_twice_without_a_replay(self) -> None:
        """One mail at most for the notification, and one more for each replay."""
        assert self.transport.taken.total() <= 1 + self.replays

    @invariant()
    def what_is_cancelled_was_not_sent(self) -> None:
        """Nothing has arrived since it was last queued, nor since the time that nobody knows."""
        if self._status() is Status.CANCELLED:
            assert self.before == self.transport.taken.total()


TestDecisions = Decisions.TestCase
TestDecisions.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)
