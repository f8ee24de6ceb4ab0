"""An operator's decisions: a notification's id comes in, its messages go again or are stopped, its Entry goes out.

Every decision is one compare-and-set on a message (`Store.amend`), so that two operators, or an operator and a worker,
cannot both win. What cannot be done is a Rejected that says where the messages stand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from gateway.address import folded
from gateway.clock import wall_clock
from gateway.errors import Reason, Rejected
from gateway.ledger import Amendment, Entry, Event, MessageState, Store
from gateway.message import Priority, Status, new_operation
from gateway.telemetry import log

REPLAYABLE = frozenset({Status.FAILED, Status.BOUNCED, Status.SUPPRESSED, Status.UNKNOWN, Status.CANCELLED})
"""Where a message has ended without arriving, as far as anybody knows."""

CANCELLABLE = frozenset({Status.QUEUED, Status.DEFERRED, Status.HELD})
"""Where nobody is sending a message right now."""

QUEUE = "queue"
"""The source of dead letters: queue messages that could not be read."""

_DOUBTS = frozenset({"in_doubt", "claim_expired"})
_ACCEPTED = frozenset({Status.SENT.value, Status.CAPTURED.value})


@dataclass(frozen=True)
class Operators:
    """What a person may do to a notification."""

    store: Store
    clock: Callable[[], datetime] = wall_clock
    operation: Callable[[str], str] = new_operation

    async def replay(self, id: str, message: str = "") -> Entry:
        """Queue what has not arrived once more: the whole notification, or one message of it."""
        entry = await self._entry(id)
        chosen = _chosen(entry, message)
        if entry.source == QUEUE and entry.own is Status.FAILED:
            raise _dead_letter()
        found, refused = [False], None
        for state in chosen:
            try:
                found.append(state.status in REPLAYABLE and await self._again(entry, state, named=bool(message)))
            except Rejected as refusal:  # of this message; its neighbours may go
                refused = refusal
        if not any(found):
            raise refused or Rejected(409, "nothing_to_replay", _standing(entry, chosen, "sent again", REPLAYABLE))
        return await self._entry(id)

    async def _again(self, entry: Entry, state: MessageState, *, named: bool) -> bool:
        """Whether this message goes again; Rejected when its content is deleted, or when it would reach somebody twice.

        Where the old submission has certainly ended, the next one has a key of its own: a provider that remembers the
        old key would answer with the old end. Where nobody knows, it keeps its key, so that a provider that remembers
        it does not send twice.
        """
        from gateway.ways import SINCE  # with all that delivers, which only a replay needs here

        if _partly_arrived(state) and not named:
            raise _twice(state)
        at = self.clock()
        key = "" if state.status is Status.UNKNOWN else self.operation(entry.id)
        allowed = frozenset({state.status})
        word = Amendment(
            allowed=allowed,
            status=Status.QUEUED,
            event="replayed",
            at=at,
            due=at,
            facts={SINCE: at.isoformat()},  # or a message that used up its tries would have no more than one
            operation_id=key,
        )
        before = await self.store.amend(state.id, word)
        if before not in allowed:
            return False
        await self.store.ring(state.id, Priority.NORMAL, at, at)
        _log("replayed", entry, state)
        return True

    async def cancel(self, id: str, message: str = "") -> Entry:
        """Stop what waits: the whole notification, or one message of it; what was stopped before stays so."""
        entry = await self._entry(id)
        found = [await self._stop(entry, state) for state in _chosen(entry, message) if state.status in CANCELLABLE]
        after = await self._entry(id)
        if _Stop.DONE in found:
            return after
        if _Stop.IN_DOUBT in found:
            raise _in_doubt()
        standing = _chosen(after, message)
        if Status.CANCELLED in {state.status for state in standing} and _Stop.TOO_LATE not in found:
            return after
        raise Rejected(409, "too_late", _standing(after, standing, "stopped", CANCELLABLE))

    async def _stop(self, entry: Entry, state: MessageState) -> _Stop:
        """Stop one message. "Stopped before it was sent" must be true, so what may have been sent ends as `unknown`."""
        events = _events(entry, state)
        if _asking(events):
            return _Stop.IN_DOUBT
        status, reason = (Status.UNKNOWN, Reason.UNKNOWN_OUTCOME) if _parked(events) else (Status.CANCELLED, "")
        word = Amendment(allowed=CANCELLABLE, status=status, event="cancelled", at=self.clock(), reason=reason)
        if await self.store.amend(state.id, word) not in CANCELLABLE:
            return _Stop.TOO_LATE
        # A worker may have tried between our look and our word, and have left it waiting, but in doubt.
        since = _events(await self._entry(entry.id), state)
        if _asking(since) or _parked(since):
            await self.store.amend(
                state.id,
                Amendment(
                    allowed=frozenset({Status.CANCELLED}),
                    status=Status.UNKNOWN,
                    event="unknown",
                    at=self.clock(),
                    reason=Reason.UNKNOWN_OUTCOME,
                ),
            )
        _log("cancelled", entry, state)
        return _Stop.DONE

    async def _entry(self, id: str) -> Entry:
        entry = await self.store.get(id)
        if entry is None:
            raise Rejected(404, "not_found", "There is no notification with this id.")
        return entry


class _Stop(Enum):
    DONE = auto()
    IN_DOUBT = auto()
    TOO_LATE = auto()


def _chosen(entry: Entry, message: str) -> Sequence[MessageState]:
    """All messages of a notification, or the one that is named."""
    found = [state for state in entry.messages if message in {"", state.id}]
    if message and not found:
        what = "is no message of this notification; GET shows its messages' ids"
        raise Rejected(422, "invalid", "There is no such message.", fields={"message": what})
    return found


def _partly_arrived(state: MessageState) -> bool:
    """Whether a message ended badly for some of its recipients only: the provider reported on them one by one."""
    missed = {known.email for known in state.recipients if known.status in REPLAYABLE}
    everybody = {folded(address.email) for address in state.to} | {known.email for known in state.recipients}
    return bool(missed) and bool(everybody - missed)


# -------------------------------------------------------------------------------------- what the history says


def _events(entry: Entry, state: MessageState) -> Sequence[Event]:
    return [event for event in entry.history if event.message == state.id]


def _asking(events: Iterable[Event]) -> bool:
    """Whether a try may have reached the provider, which was not asked yet or has not answered.

    Only the provider's "unknown id" ends that (retry.decide submits again after nothing else), or a person. A report on
    one recipient does not, nor does a claim that had to wait for its quota before it could ask.
    """
    asking = False
    for event in events:
        asking = event.event in _DOUBTS or (asking and not _certain(event))
    return asking


def _certain(event: Event) -> bool:
    return event.event == "replayed" or (event.event == "deferred" and event.reason == Reason.NOT_FOUND)


def _parked(events: Iterable[Event]) -> bool:
    """Whether it stood at `unknown`, and no later try was accepted: the older one still may have been."""
    parked = False
    for event in events:
        parked = event.event == Status.UNKNOWN or (parked and event.event not in _ACCEPTED)
    return parked


# ------------------------------------------------------------------------------------------------- refusals


def _standing(entry: Entry, states: Iterable[MessageState], done: str, wanted: Iterable[Status]) -> str:
    """What an operator is told who asked for what cannot be: where it stands, and where it would have to stand."""
    found = ", ".join(sorted({state.status for state in states} or {entry.status}))
    *words, last = sorted(wanted)
    return f"Nothing of it can be {done}: it stands at {found}, not at {', '.join(words)} or {last}."


def _in_doubt() -> Rejected:
    detail = "It may have been sent: the provider is asked next, so it cannot be called stopped. Look again afterwards."
    return Rejected(409, "in_doubt", detail)


def _twice(state: MessageState) -> Rejected:
    detail = (
        "Some of its recipients have it, and a replay goes to all of them: post a new notification to the others, or "
        f"name the message (message={state.id}) where twice is better than never."
    )
    return Rejected(409, "partly_arrived", detail)


def _dead_letter() -> Rejected:
    detail = (
        "This queue message could not be read, so there is nothing to send again. Put a corrected one into the queue "
        "`notifications`; `reason` says what was wrong with this one."
    )
    return Rejected(409, "dead_letter", detail)


def _log(event: str, entry: Entry, state: MessageState) -> None:
    log(event, notification=entry.id, message=state.id, source=entry.source, sender=state.sender, status=state.status)
