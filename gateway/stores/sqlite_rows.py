"""Between values and rows: ledger values come in and rows go out, rows come in and ledger values go out.

Everything here runs in the caller's turn of the event loop, so that the writing thread only binds and steps.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from sqlite3 import Connection
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from gateway.address import Address
from gateway.errors import Rejected
from gateway.ledger import Entry, Event, MessageState
from gateway.message import OPEN, Message, Status
from gateway.recipients import loaded, others, reported_on

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

_ADDRESSES = TypeAdapter(tuple[Address, ...])


def micros(at: datetime) -> int:
    """A time as the file keeps it; exact, unlike `timestamp`."""
    return (at - EPOCH) // MICROSECOND


def moment(at: int) -> datetime:
    """The time `micros` was made of."""
    return EPOCH + timedelta(microseconds=at)


class MessageKey(NamedTuple):
    """Where a message lies: its notification's id, and its number there."""

    notification: str
    number: int


def message_key(message: str) -> MessageKey | None:
    """The key a message id says; None when no message can have this id."""
    notification, _, number = message.rpartition("-")
    if len(number) > 9 or not number.isascii() or not number.isdigit() or number != str(int(number)):
        return None
    return MessageKey(notification, int(number))


Content = str | Message
"""What a message's row holds: its JSON, or the message itself where that is written by parts."""


def content(message: Message) -> Content:
    """The JSON of a usual mail; of a large one there would be four copies until it is written."""
    return message if message.large else message.model_dump_json()


def write_content(connection: Connection, table: str, insert: str, values: tuple[object, ...], given: Content) -> int:
    """Insert a row whose last value is a content; its number."""
    if isinstance(given, str):
        return connection.execute(f"{insert} ?)", (*values, given)).lastrowid or 0
    size = sum(map(len, given.pieces()))
    row = connection.execute(f"{insert} zeroblob(?))", (*values, size)).lastrowid or 0
    with connection.blobopen(table, "content", row) as blob:
        for piece in given.pieces():
            blob.write(piece)
    return row


class Addition(NamedTuple):
    """One notification as parameters for the inserts, its messages' rows and contents side by side."""

    notification: tuple[object, ...]
    messages: list[tuple[object, ...]]
    contents: list[Content]


def addition(entry: Entry, messages: Sequence[Message], due: datetime) -> Addition:
    """What `add` writes; a message is queued, unless the entry says where it stands."""
    states = {state.id: state for state in entry.messages}
    rows = [_message_row(entry, message, states.pop(message.id, None), due) for message in messages]
    if states:
        raise ValueError(f"{entry.id}: {len(states)} of its messages have no content")
    facts = entry.model_dump_json(exclude={"messages"}, exclude_defaults=True)
    own = entry.own.value if entry.own else None
    notification = (entry.id, micros(entry.created), entry.source, own, facts)
    return Addition(notification, rows, [content(message) for message in messages])


def _message_row(entry: Entry, message: Message, state: MessageState | None, due: datetime) -> tuple[object, ...]:
    key = message_key(message.id)
    if key is None or key.notification != entry.id:
        raise ValueError(f"{message.id}: a message's id is its notification's id, a dash and a number")
    status = state.status if state else Status.QUEUED
    ended = status not in OPEN and status is not Status.HELD
    return (
        key.number,
        status.value,
        micros(due) if status in OPEN else None,
        state.reason if state else "",
        message.sender,
        message.transport,
        _ADDRESSES.dump_json(message.to).decode(),
        json.dumps(others(message.cc, message.bcc)),
        message.operation_id.lower() if reported_on(message.transport) else "",
        message.priority.value,
        micros(entry.created) if ended else None,
    )


def addresses(recipients: str) -> tuple[Address, ...]:
    """A message's `to`, from its row."""
    return _ADDRESSES.validate_json(recipients)


def history_line(at: datetime, event: str, reason: str) -> str:
    """One event of a message, as it is appended to the row's history."""
    return json.dumps([micros(at), event, reason]) + ","


class Shown(NamedTuple):
    """A row of the view `shown`; without a message, everything from `number` on is NULL."""

    seq: int
    id: str
    created: int
    facts: str
    number: int
    status: str
    reason: str
    attempts: int
    sender: str
    recipients: str
    history: str
    operation: str
    reports: str


def entries_of(rows: Iterable[tuple[Any, ...]]) -> tuple[Entry, ...]:
    """Notifications from their rows, which stand together."""
    shown = (Shown(*row) for row in rows)
    return tuple(_entry(list(group)) for _, group in groupby(shown, key=lambda row: row.seq))


def _entry(rows: Sequence[Shown]) -> Entry:
    entry = Entry.model_validate_json(rows[0].facts)
    with_message = [row for row in rows if row.number is not None]
    events = [event for row in with_message for event in _events(row)]
    accepted = Event(at=entry.created, event="accepted")
    history = (accepted, *sorted((*entry.history, *events), key=lambda event: event.at))
    return entry.model_copy(update={"messages": tuple(map(_state, with_message)), "history": history})


def _state(row: Shown) -> MessageState:
    return MessageState(
        id=f"{row.id}-{row.number}",
        to=addresses(row.recipients),
        sender=row.sender,
        status=Status(row.status),
        reason=row.reason,
        attempts=row.attempts,
        recipients=loaded(row.reports).get(row.operation, ()),
    )


def _events(row: Shown) -> list[Event]:
    message = f"{row.id}-{row.number}"
    lines = json.loads(f"[{row.history.removesuffix(',')}]")
    return [Event(at=moment(at), event=event, message=message, reason=reason) for at, event, reason in lines]


def list_cursor(entry: Entry) -> str:
    """An opaque word for the place behind `entry` in the list."""
    return urlsafe_b64encode(f"{micros(entry.created)}:{entry.id}".encode()).decode().rstrip("=")


def list_place(cursor: str) -> tuple[int, str]:
    """The creation time and id a cursor stands for."""
    try:
        created, id = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().split(":", 1)
        return _number(created), id
    except ValueError:
        raise _foreign_cursor() from None


def captured_place(cursor: str) -> int:
    """The number a captured mail's cursor stands for; "" is the start."""
    try:
        return _number(cursor) if cursor else 0
    except ValueError:
        raise _foreign_cursor() from None


def _number(text: str) -> int:
    number = int(text)
    if not -(2**63) <= number < 2**63:
        raise ValueError("too large for a column")
    return number


def _foreign_cursor() -> Rejected:
    what = "is not a cursor of this list; begin without one"
    return Rejected(422, "invalid_cursor", f"The cursor {what}.", fields={"cursor": what})
