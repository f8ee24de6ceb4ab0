"""What waits and what failed: a Patient comes in, its backlog, its dead letters and its poison queues go out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol, runtime_checkable

from gateway.doctor.finding import Finding, failed, passed, untold
from gateway.doctor.patient import Patient
from gateway.errors import ConfigurationError, StoreUnavailable, TransportError
from gateway.ledger import Store
from gateway.message import Status
from gateway.triggers import POISON, QUEUES

LATE = timedelta(minutes=10)
"""How long a message may have been due: ten rounds of the sweep."""

MOST = 1000
RECENT = timedelta(days=7)

Look = Callable[[Store, datetime], Awaitable[Finding]]


@runtime_checkable
class _Queued(Protocol):
    """A store with queues of its own."""

    async def queue_length(self, queue: str) -> int:
        """About how many messages a queue holds."""
        ...


async def backlog(patient: Patient) -> list[Finding]:
    """Messages that are due and that nobody delivers."""
    return await _looking(patient, "backlog", _due)


async def dead_letters(patient: Patient) -> list[Finding]:
    """Notifications of the last seven days that ended badly."""
    return await _looking(patient, "dead-letters", _dead)


async def poison(patient: Patient) -> list[Finding]:
    """Queue messages that crashed their function five times."""
    return await _looking(patient, "poison", _poison)


async def _looking(patient: Patient, name: str, look: Look) -> list[Finding]:
    if _unborn(patient):
        return [passed(name, "nothing was ever stored here")]
    try:
        async with patient.store() as store:
            return [await look(store, patient.clock())]
    except (StoreUnavailable, ConfigurationError, TransportError):
        return [untold(name, "the storage cannot be read", "see the check `storage`")]


def _unborn(patient: Patient) -> bool:
    """A file that is not there must not be made by looking."""
    kind, _, path = patient.settings.store.partition(":")
    return kind == "sqlite" and not Path(path).exists()


async def _due(store: Store, now: datetime) -> Finding:
    late = await store.due(now - LATE, MOST)
    if not late:
        return passed("backlog", "nothing has been due for ten minutes")
    since = min((message.since for message in late if message.since), default=now - LATE)
    count = f"{len(late)}{' or more' if len(late) == MOST else ''}"
    remedy = "is the app running, and its timer `sweep`? The log's `deferred` lines say what holds them"
    return failed("backlog", f"{count} messages are overdue, the oldest for {_hours(now - since)}", remedy)


def _hours(time: timedelta) -> str:
    """`11 min`, `2 h 5 min`."""
    hours, minutes = divmod(int(time.total_seconds()) // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


async def _dead(store: Store, now: datetime) -> Finding:
    counts = {status: await _count(store, status, now - RECENT) for status in (Status.UNKNOWN, Status.FAILED)}
    if not any(counts.values()):
        return passed("dead-letters", "none in the last seven days")
    shown = ", ".join(f"{count}{'+' * (count == MOST)} {status}" for status, count in counts.items() if count)
    remedy = "`GET /v1/notifications?status=failed` (or unknown) names them and why; then replay or cancel each"
    return failed("dead-letters", f"{shown} in the last seven days", remedy)


async def _count(store: Store, status: Status, since: datetime) -> int:
    page = await store.list(status=status, source="", since=since, cursor="", limit=MOST)
    return len(page.entries)


async def _poison(store: Store, now: datetime) -> Finding:
    del now
    if not isinstance(store, _Queued):
        return passed("poison", "this store has no queues")
    lengths = {queue + POISON: await store.queue_length(queue + POISON) for queue in QUEUES}
    full = ", ".join(f"{count} in {queue}" for queue, count in lengths.items() if count)
    if not full:
        return passed("poison", "every poison queue is empty")
    remedy = "the app looks into them by itself; what stays for minutes crashes it: see its log"
    return failed("poison", full, remedy)
