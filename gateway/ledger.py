"""How a notification survives: Entry, Claim, Settlement, and what a store is.

Comes in: nothing, these are values and one protocol. Goes out: the words the line and every store agree on. The ledger
is the truth; a doorbell only says "look".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from pydantic import AwareDatetime

from gateway.address import Address, Model
from gateway.message import WORST_FIRST, Message, Priority, Status


class Event(Model):
    """One line of a notification's history: when, the event's word, the message it is about, and why."""

    at: AwareDatetime
    event: str
    message: str = ""
    reason: str = ""


class RecipientState(Model):
    """What the provider said became of a message at one address, which is in lower case."""

    email: str
    status: Status
    reason: str = ""
    at: AwareDatetime


class MessageState(Model):
    """A message as the ledger shows it, without its content; `recipients` are those the provider reported on."""

    id: str
    to: tuple[Address, ...]
    sender: str
    status: Status
    reason: str = ""
    attempts: int = 0
    recipients: tuple[RecipientState, ...] = ()


Room = Callable[[int], Awaitable[datetime]]
"""Waits until there is room for so many bytes, and says what time it is then; raises when there is none in time."""


class Entry(Model):
    """A notification as the ledger keeps it.

    `digest` is the hash of the request body that made it.
    `own` is its status when it has no message of its own (a dead letter, a skipped duplicate).
    """

    id: str
    source: str
    kind: str
    title: str
    state: str
    severity: str
    unmapped: bool = False
    created: AwareDatetime
    digest: str = ""
    own: Status | None = None
    reason: str = ""
    messages: tuple[MessageState, ...] = ()
    history: tuple[Event, ...] = ()

    @property
    def status(self) -> Status:
        """The worst of its messages' states, or its own."""
        present = {message.status for message in self.messages} | ({self.own} if self.own else set())
        return next((status for status in WORST_FIRST if status in present), Status.SKIPPED)


class Claim(Model):
    """One worker's right to one message until `until`.

    `attempt` counts from 1. `unresolved`: an earlier attempt may have reached the provider and nobody knows, so
    reconcile first; `submitted` says since when. `proven`: a report says that it did. `facts` are what the fence
    recorded. `version` is the store's own (an ETag) and opaque.
    """

    message: Message
    owner: str
    attempt: int
    until: AwareDatetime
    unresolved: bool = False
    submitted: AwareDatetime | None = None
    proven: bool = False
    last_reason: str = ""
    facts: dict[str, str] = {}
    version: str = ""


class Settlement(Model):
    """What became of a claim: the new status and why; `due` when it must be looked at again (None: final).

    `unresolved` stays true while an attempt may have been accepted without our knowing. `facts` join the claim's.
    `untried`: nothing was submitted or asked, so the claim is no attempt, and in doubt is what was before it.
    """

    status: Status
    event: str
    at: AwareDatetime
    reason: str = ""
    due: AwareDatetime | None = None
    unresolved: bool = False
    provider_id: str = ""
    facts: dict[str, str] = {}
    untried: bool = False


class Report(Model):
    """A provider's word about one recipient of one submission, which `operation` names.

    `status` is delivered, bounced, suppressed or failed; `reason` a machine word, never an address.
    """

    operation: str
    recipient: str
    status: Status
    at: AwareDatetime
    reason: str = ""


class Amendment(Model):
    """A change of state without a claim, which an operator decided: only while the message stands at one of `allowed`.

    For an open one: `due`, when to look (None: at once), and all its `facts`. `operation_id`: a new key ("" keeps it).
    """

    allowed: frozenset[Status]
    status: Status
    event: str
    at: AwareDatetime
    reason: str = ""
    due: AwareDatetime | None = None
    facts: dict[str, str] = {}
    operation_id: str = ""


class Captured(NamedTuple):
    """One mail that the capture transport kept; `cursor` orders them, oldest first."""

    cursor: str
    at: datetime
    message: Message


class Due(NamedTuple):
    """A message that wants a doorbell; `since` when, where that is known."""

    id: str
    priority: Priority
    since: datetime | None = None


class Value(NamedTuple):
    """A small shared value, and its version for compare-and-set."""

    key: str
    value: bytes
    version: str


class Usage(NamedTuple):
    """What a store holds: open messages by their source, its bytes, and what is free on its disk (None: not known)."""

    open: Mapping[str, int] = {}
    size: int | None = None
    free: int | None = None


class Values(Protocol):
    """A store's verbs for a small shared value."""

    async def read(self, key: str) -> tuple[bytes, str] | None:
        """A value and its version."""
        ...

    async def write(self, key: str, value: bytes, version: str | None) -> bool:
        """Compare-and-set."""
        ...


class Page(NamedTuple):
    """Some of the ledger's notifications, newest first, and where to go on (None: that was all)."""

    entries: tuple[Entry, ...]
    next: str | None


class Store(Protocol):
    """Where messages survive. Every verb is durable when it returns, or raises StoreUnavailable.

    The ledger is the truth, the doorbell only says "look". Time is always given, never read here.
    """

    async def add(self, entry: Entry, messages: Sequence[Message], due: datetime) -> Entry | None:
        """Write a notification, its messages and their due time in one transaction, and ring for what is due now.

        None: written. Otherwise the notification that already has this id, unchanged. The insert is the
        idempotency check, so two callers at once get one writer.
        """
        ...

    async def claim(
        self, message: str, owner: str, now: datetime, leases: Mapping[str, timedelta], room: Room | None = None
    ) -> Claim | None:
        """Take an open message whose due time has come; None when it is final, not due, or somebody else's.

        The claim lasts as long as `leases` says for the message's transport. `room` is asked before a large content is
        loaded and before the claim begins, so that none of its time goes by while it waits.
        """
        ...

    async def record(self, claim: Claim, facts: dict[str, str]) -> Claim | None:
        """Add provider facts under the claim by compare-and-set; None when the claim was lost: stop at once."""
        ...

    async def settle(self, claim: Claim, settlement: Settlement) -> bool:
        """End the claim; False when it was lost to another worker, whose word then counts."""
        ...

    async def amend(self, message: str, amendment: Amendment) -> Status | None:
        """Change a message's state without a claim, and take it from whoever has one; rings nothing.

        The status it had: not in `allowed`, nothing was changed; None: there is no such message. An open one begins
        without doubt and without facts. Rejected (409 `content_gone`): nothing is left to send.
        """
        ...

    async def report(self, report: Report) -> str | None:
        """Take a provider's word; the message's id, None when the submission is not ours or was not for the recipient.

        The worst word on each recipient counts, and the worst recipient decides what is sent or unknown (who was not
        reported on counts as sent). An open message keeps its status until it settles so.
        """
        ...

    async def ring(self, message: str, priority: Priority, at: datetime, now: datetime) -> None:
        """Ring the doorbell for a message, at a time; a lost or doubled ring changes nothing but time."""
        ...

    async def due(self, now: datetime, limit: int) -> Sequence[Due]:
        """Open messages whose due time has passed, oldest first: what the sweep must ring."""
        ...

    async def get(self, notification: str) -> Entry | None:
        """One notification with its messages and history."""
        ...

    async def beginning(self, prefix: str, limit: int) -> Sequence[Entry]:
        """Notifications whose id begins with `prefix`, which should have 8 characters or more, by their ids."""
        ...

    async def list(self, *, status: str, source: str, since: datetime | None, cursor: str, limit: int) -> Page:
        """Notifications, newest first, filtered by status, source (both "" for any) and creation time."""
        ...

    async def keep(self, message: Message, at: datetime) -> None:
        """Store one captured mail; called twice it is there twice, so that a duplicate shows."""
        ...

    async def kept(self, message: str) -> bool:
        """Whether a message with this id was captured."""
        ...

    async def captured(self, *, after: str, since: datetime | None, limit: int) -> Sequence[Captured]:
        """Captured mails behind the cursor `after` ("" from the start), oldest first."""
        ...

    async def latest(self, *, before: str, limit: int) -> Sequence[Captured]:
        """Captured mails in front of the cursor `before` ("" from the last), newest first: what a person looks at."""
        ...

    async def captured_one(self, message: str) -> Captured | None:
        """The captured mail with this message id (the first, should there be several)."""
        ...

    async def forget_captured(self) -> int:
        """Delete every captured mail; how many there were. The ledger stays."""
        ...

    async def put(self, name: str, content: bytes) -> bool:
        """Write a blob that is not there yet; False when the name is taken (the old content stays).

        `purge` deletes it when it is as old as `ledger`, by the storage's own clock.
        """
        ...

    async def fetch(self, name: str) -> bytes | None:
        """A blob's content, None when there is none."""
        ...

    async def read(self, key: str) -> tuple[bytes, str] | None:
        """One small shared value and its version."""
        ...

    async def write(self, key: str, value: bytes, version: str | None) -> bool:
        """Compare-and-set a shared value; `version` None: it must not exist yet. False: somebody was faster."""
        ...

    async def remove(self, key: str, version: str) -> bool:
        """Compare-and-delete a shared value. False: somebody was faster."""
        ...

    async def scan(self, prefix: str, after: str, limit: int) -> Sequence[Value]:
        """Shared values whose key begins with `prefix`, in key order, behind the key `after` ("" from the start)."""
        ...

    async def usage(self) -> Usage:
        """What it holds now. Asked each minute, and by who must refuse: the cost grows with what is open."""
        ...

    async def purge(self, *, bodies: datetime, ledger: datetime, captured: datetime) -> int:
        """Delete what ended before these times: contents; whole notifications, and blobs; captured mail. How many.

        Shared values stay: who writes them removes them.
        """
        ...

    async def close(self) -> None:
        """Finish what was begun and let go of every file and connection."""
        ...
