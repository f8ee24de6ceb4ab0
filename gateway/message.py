"""What is sent: Message, Attachment, Receipt, the states, and what a transport is.

Comes in: nothing, these are values. Goes out: frozen models that every later room passes forward.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Protocol
from uuid import uuid4

from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field

from gateway.address import Address, Model, one_line
from gateway.jsonparts import pieces


class Status(StrEnum):
    """Where a message stands; the stored value, the metric label, the API value and the heading in the docs."""

    HELD = "held"
    """In a group that has not been flushed."""
    QUEUED = "queued"
    """Durable, waiting for its first try."""
    SENDING = "sending"
    """A worker has claimed it."""
    DEFERRED = "deferred"
    """Later, at a known time and for a known reason."""
    SENT = "sent"
    """The provider accepted it; final for Graph, which has no delivery report."""
    DELIVERED = "delivered"
    """The recipient's mail server took it."""
    BOUNCED = "bounced"
    """The recipient's mail server refused it for good."""
    SUPPRESSED = "suppressed"
    """Not sent, because the address bounced before."""
    FAILED = "failed"
    """The provider refused it for good, or every try was used up."""
    UNKNOWN = "unknown"
    """Parked: whether it was sent cannot be known; a person decides."""
    CANCELLED = "cancelled"
    """A person stopped it before it was sent."""
    CAPTURED = "captured"
    """Kept by the capture transport; no real person got it."""
    GROUPED = "grouped"
    """It went out inside another message (a digest)."""
    SKIPPED = "skipped"
    """Not sent on purpose: duplicate, muted, or resolved not wanted."""


OPEN = frozenset({Status.QUEUED, Status.SENDING, Status.DEFERRED})
"""The states that still need work; everything else is final."""

WORST_FIRST = (
    Status.FAILED,
    Status.UNKNOWN,
    Status.BOUNCED,
    Status.SUPPRESSED,
    Status.DEFERRED,
    Status.SENDING,
    Status.QUEUED,
    Status.HELD,
    Status.SENT,
    Status.DELIVERED,
    Status.CAPTURED,
    Status.GROUPED,
    Status.SKIPPED,
    Status.CANCELLED,
)
"""A notification shows the first of these that one of its messages has."""


class Attachment(Model):
    """One file of a message; `content` is bytes here and base64 in JSON, `content_id` makes it an inline image.

    `name` is only what is seen, whichever door it came by.
    """

    name: Annotated[str, AfterValidator(one_line)]
    content_type: str = "application/octet-stream"
    content: bytes = Field(repr=False)
    content_id: str | None = None

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")


LARGE = 64 * 1024
"""Characters and bytes of a mail that stores and transports write by parts."""


def new_operation(notification: str) -> str:
    """A fresh provider key, stored before the first try with it.

    It is random, since whoever knows it can say what became of the message; only its end is that of the notification's
    id, so that a store by partitions finds the message from this key alone.
    """
    key, end = str(uuid4()), notification[-1:].lower()
    return key[:-1] + end if end and end in "0123456789abcdef" else key


class Priority(StrEnum):
    """How urgent: high has its own queue and the reserved fifth of every quota."""

    NORMAL = "normal"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class Target:
    """Where one mail of a notification goes: routing's answer, which rendering and the pipeline read.

    `route` counts the source's routes from 0; `look` is None where rendering chooses by what the notification says.
    """

    route: int
    sender: str
    to: tuple[Address, ...]
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    look: str | None = None
    language: str = "en"
    priority: Priority = Priority.NORMAL


class Message(Model):
    """One submission to one provider, rendered and frozen before it is accepted; a retry sends exactly these bytes.

    `id` is the notification's id, a dash and a number from 1. `operation_id` is the provider key, stored before the
    first try. `sender` names the configured sender; callers never choose `from_`.
    """

    id: str
    notification: str
    operation_id: str
    source: str
    sender: str
    transport: str
    from_: Address = Field(alias="from")
    to: tuple[Address, ...]
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    subject: str
    text: str = Field(default="", repr=False)
    html: str = Field(default="", repr=False)
    attachments: tuple[Attachment, ...] = Field(default=(), repr=False)
    headers: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    priority: Priority = Priority.NORMAL
    created: AwareDatetime

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @property
    def recipients(self) -> tuple[Address, ...]:
        """Everyone who gets it: to, cc and bcc."""
        return self.to + self.cc + self.bcc

    @property
    def large(self) -> bool:
        """Whether it is worth the trouble to write it by parts."""
        return len(self.text) + len(self.html) + sum(len(file.content) for file in self.attachments) > LARGE

    def pieces(self) -> Iterator[bytes]:
        """Reads back as what `model_dump_json` writes, without a second copy of texts and files."""
        whole = self.model_dump(mode="json", exclude={"text", "html", "attachments"})
        files = [file.model_dump() for file in self.attachments]
        return pieces(whole | {"text": self.text, "html": self.html, "attachments": files})


class Receipt(Model):
    """A provider's yes: `status` says how far that goes, `provider_id` is the provider's own id for it."""

    status: Status
    provider_id: str = ""


class NotFound(Model):
    """Reconcile's answer when the provider does not know the submission: it was never accepted."""


DEADLINES = {"acs": 30.0, "graph": 30.0, "capture": 5.0}
"""Seconds after which each transport's call is cut; a claim lasts twice as long."""


class Fence(Protocol):
    """A transport's way to write a provider's fact under its claim, before the step that must never be repeated."""

    @property
    def facts(self) -> dict[str, str]:
        """What was recorded so far."""
        ...

    async def record(self, **facts: str) -> None:
        """Compare-and-set; raises ClaimLost when the claim is no longer ours."""
        ...


class Transport(Protocol):
    """One way out; `deadline` is its DEADLINES entry."""

    deadline: float

    async def send(self, message: Message, attempt: int, fence: Fence) -> Receipt:
        """Submit once; every way it can fail is a TransportError."""
        ...

    async def reconcile(self, message: Message, fence: Fence) -> Receipt | NotFound:
        """Ask the provider what became of an earlier submission; TransportError when it cannot say now."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
