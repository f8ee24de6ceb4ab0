"""What of a notification is shown: ledger values come in and columns go out, rows come in and ledger values go out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from gateway.address import Address
from gateway.ledger import Entry, Event, MessageState
from gateway.message import Message, Priority, Status
from gateway.recipients import Heard, dumped, loaded, others, reported_on
from gateway.stores import azure_rows as rows

_CHUNKS = 10
"""Columns read of what is kept in chunks: 600 KiB."""


class Shown(BaseModel):
    """What of a message never changes and is shown without its content."""

    sender: str
    priority: Priority
    to: tuple[Address, ...]
    others: tuple[str, ...] = ()
    source: str = ""

    @property
    def emails(self) -> tuple[str, ...]:
        """Everyone it goes to."""
        return (*(address.email for address in self.to), *self.others)


def shown(row: rows.Row) -> Shown:
    """That, from a message's row."""
    return Shown.model_validate_json(rows.joined("shown", row))


def heard(row: rows.Row) -> Heard:
    """What was reported on a message, from its row."""
    return loaded(rows.joined("h", row))


def heard_columns(heard: Heard) -> dict[str, Any]:
    """The same as columns; an empty one behind them ends what may be left of a longer text."""
    columns = rows.chunks("h", dumped(heard))
    end = f"h{len(columns) // 2}"
    return {**columns, end: "", f"{end}@odata.type": "Edm.Binary"}


def operations(row: rows.Row) -> list[str]:
    """A message's operation ids that have a row, the present one last."""
    return [operation for operation in (row.get("ops") or "").split(",") if operation]


def operation(row: rows.Row) -> str:
    """The present one, as reports are kept by; "" when nothing can be reported."""
    return next(reversed(operations(row)), "")


def notification_columns(entry: Entry, write: str) -> dict[str, Any]:
    """The notification's row; `write` tells whose write it was."""
    facts = entry.model_dump_json(exclude={"messages"}, exclude_defaults=True).encode()
    return {"v": rows.SCHEMA, "write": write, **rows.chunks("shown", facts)}


def message_columns(message: Message, state: MessageState | None, listed: str) -> dict[str, Any]:
    """A new message's row, without its content; it is queued, unless the entry says where it stands."""
    beside = others(message.cc, message.bcc)
    shown = Shown(sender=message.sender, priority=message.priority, to=message.to, others=beside, source=message.source)
    return {
        "v": rows.SCHEMA,
        "status": (state.status if state else Status.QUEUED).value,
        "reason": state.reason if state else "",
        "attempts": 0,
        "claims": 0,
        "ops": message.operation_id.lower() if reported_on(message.transport) else "",
        "unresolved": False,
        "facts": "{}",
        "history": "",
        "listed": listed,
        **rows.chunks("shown", shown.model_dump_json().encode()),
    }


SHOWN = ",".join(
    ["RowKey", "status", "reason", "attempts", "history", "ops"]
    + [f"{name}{number}" for name in ("shown", "h") for number in range(_CHUNKS)]
)
"""The columns `entry_of` reads."""


def entry_of(found: Sequence[rows.Row]) -> Entry:
    """A notification from its row and its messages' rows, in the order of their keys."""
    entry = Entry.model_validate_json(rows.joined("shown", found[0]))
    messages = [(f"{entry.id}-{int(row['RowKey'].rpartition('|')[2])}", row) for row in found[1:]]
    events = [event for id, row in messages for event in _events(id, row)]
    accepted = Event(at=entry.created, event="accepted")
    history = (accepted, *sorted((*entry.history, *events), key=lambda event: event.at))
    return entry.model_copy(update={"messages": tuple(state(*message) for message in messages), "history": history})


def state(id: str, row: rows.Row) -> MessageState:
    """A message as the ledger shows it."""
    known = shown(row)
    return MessageState(
        id=id,
        to=known.to,
        sender=known.sender,
        status=Status(row["status"]),
        reason=row["reason"],
        attempts=row["attempts"],
        recipients=heard(row).get(operation(row), ()),
    )


def _events(message: str, row: rows.Row) -> list[Event]:
    return [
        Event(at=rows.moment(at), event=event, message=message, reason=reason)
        for at, event, reason in rows.lines(row["history"])
    ]
