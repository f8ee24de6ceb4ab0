"""Values for tests: what a test cares about comes in as keyword, a whole valid value goes out.

Ids are random unless given, times are NOW unless given, so that tests can share one store without meeting.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

from gateway.address import Address
from gateway.ledger import Entry
from gateway.message import Attachment, Message
from gateway.stores.azure_rows import partition

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
"""The moment most tests happen at."""


def new_id() -> str:
    """A notification's id that nobody else has."""
    return uuid4().hex


def make_message(**overrides: Any) -> Message:
    """One ordinary message; `notification` and `number` (1) decide its `id` unless that is given too."""
    notification = str(overrides.pop("notification", new_id()))
    number = int(overrides.pop("number", 1))
    identity = str(overrides.pop("id", f"{notification}-{number}"))
    values: dict[str, Any] = {
        "id": identity,
        "notification": notification,
        # It ends in its notification's partition, as those that the pipeline makes.
        "operation_id": str(uuid5(NAMESPACE_URL, identity))[:-1] + partition(notification),
        "source": "contact",
        "sender": "noreply",
        "transport": "capture",
        "from": Address(email="noreply@example.com", name="Example"),
        "to": (Address(email="info@example.com"),),
        "subject": "Disk almost full",
        "text": "The disk of web-1 is 91 % full.",
        "html": "<p>The disk of web-1 is 91 % full.</p>",
        "created": NOW,
    }
    if "from_" in overrides:
        values["from"] = overrides.pop("from_")
    return Message(**(values | overrides))


def operation_like(message: Message, number: int = 0) -> str:
    """Another operation id for the same message."""
    return str(uuid5(NAMESPACE_URL, f"{message.id} {number}"))[:-1] + message.operation_id[-1]


def make_messages(count: int, **overrides: Any) -> tuple[Message, ...]:
    """Messages 1 to `count` of one notification."""
    overrides.setdefault("notification", new_id())
    return tuple(make_message(number=number, **overrides) for number in range(1, count + 1))


def make_attachment(**overrides: Any) -> Attachment:
    """One small file."""
    values: dict[str, Any] = {"name": "report.pdf", "content_type": "application/pdf", "content": b"%PDF-1.7 example"}
    return Attachment(**(values | overrides))


def make_entry(*messages: Message, **overrides: Any) -> Entry:
    """The ledger's entry for these messages: their id, source and time; its own `id` when there are none."""
    first = messages[0] if messages else None
    values: dict[str, Any] = {
        "id": first.notification if first else new_id(),
        "source": first.source if first else "contact",
        "kind": "form",
        "title": first.subject if first else "Disk almost full",
        "state": "info",
        "severity": "info",
        "created": first.created if first else NOW,
    }
    return Entry(**(values | overrides))
