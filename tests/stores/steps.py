"""Steps that many store tests begin with: a store comes in, a message that is added, claimed or settled goes out."""

from __future__ import annotations

from datetime import datetime, timedelta

from gateway.ledger import Claim, MessageState, Settlement, Store
from gateway.message import Message, Status
from tests.factories import NOW, make_entry, make_message

MINUTE = timedelta(minutes=1)
LEASES = {"capture": MINUTE, "acs": 2 * MINUTE}
"""How long claims last in these tests."""


async def added(store: Store, due: datetime = NOW, **overrides: object) -> Message:
    """A message that is in the store."""
    message = make_message(**overrides)
    assert await store.add(make_entry(message), [message], due) is None
    return message


async def claimed(store: Store, message: Message, at: datetime = NOW, owner: str = "me") -> Claim:
    """A claim that must succeed."""
    claim = await store.claim(message.id, owner, at, LEASES)
    assert claim is not None
    return claim


def settlement(status: Status = Status.SENT, **overrides: object) -> Settlement:
    """A word about a claim, by default the good one."""
    return Settlement.model_validate({"status": status, "event": status.value, "at": NOW, **overrides})


async def state(store: Store, message: Message) -> MessageState:
    """A message as the ledger shows it."""
    entry = await store.get(message.notification)
    assert entry is not None
    return next(state for state in entry.messages if state.id == message.id)


async def listed(store: Store, status: str = "") -> list[str]:
    """The ids on the list's first page."""
    page = await store.list(status=status, source="", since=None, cursor="", limit=100)
    return [entry.id for entry in page.entries]
