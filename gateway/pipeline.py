"""The line itself: Notifications come in at accept(), are durable when it returns, and go out at deliver().

accept   routing → rendering → Message → store.add            durable before anyone is told "queued"
deliver  store.claim → transport → store.settle               the doorbell only says "look"
sweep    store.due → store.ring                               upkeep.py: whatever a lost doorbell left behind
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway import parts
from gateway.address import one_line
from gateway.capacity import Capacity
from gateway.clock import wall_clock
from gateway.config import Config
from gateway.errors import Full, Rejected
from gateway.ledger import Entry, MessageState, Store
from gateway.message import Message, Status, new_operation
from gateway.notification import Notification
from gateway.rendering import Renderer
from gateway.routing import Router, Target
from gateway.telemetry import log

NAMESPACE = uuid.UUID("6f0d8f4e-3c1b-5e0e-9a57-6b1f7a0c2d11")
"""Ours alone; ids derived in it never meet anybody else's."""

KEY_WINDOW = timedelta(hours=24)
"""How long an Idempotency-Key is remembered."""

REDELIVERY_WINDOW = timedelta(minutes=5)
"""How long a tool's own re-delivery is recognised."""


def random_id() -> str:
    """A fresh notification id."""
    return str(uuid.uuid4())


@dataclass(frozen=True)
class Accepted:
    """What a caller is told: the notifications' ids, and whether an earlier call had made them."""

    ids: tuple[str, ...]
    replayed: bool = False


@dataclass(frozen=True)
class Line:
    """Everything a notification passes; built once by wiring.py."""

    config: Config
    store: Store
    router: Router
    renderer: Renderer
    production: bool
    capacity: Capacity | None = None
    clock: Callable[[], datetime] = wall_clock
    new_id: Callable[[], str] = random_id
    new_operation: Callable[[str], str] = new_operation

    # ------------------------------------------------------------------------------------------------ accept

    async def accept(
        self,
        source: str,
        notifications: Sequence[Notification],
        *,
        key: str | None = None,
        digest: str = "",
        id: str | None = None,
    ) -> Accepted:
        """Make the notifications durable, once per key; Rejected and StoreUnavailable mean nothing was accepted.

        `key` is the caller's Idempotency-Key and `digest` the hash of its body. `id` is a name that the door chose for
        its one notification: the second one of that name is the first one. Nothing to accept (a bot in the honeypot)
        looks exactly like something.
        """
        if not notifications:
            return Accepted((self.new_id(),))
        ids = []
        replayed = False
        for number, notification in enumerate(notifications):
            found = await self._accept_one(source, notification, number, key, digest, id)
            ids.append(found.id)
            replayed = replayed or found.replayed
        return Accepted(tuple(ids), replayed)

    async def _accept_one(
        self, source: str, notification: Notification, number: int, key: str | None, digest: str, id: str | None
    ) -> _Added:
        at = self.clock()
        # The first notification of a call speaks for all: half a call would be sent again as a whole.
        full = await self.capacity.check(source) if self.capacity and number == 0 else None
        if id is not None:
            return await self._add(source, notification, id, at, digest, full)
        if key is not None:
            seed, window = f"key\n{source}\n{key}\n{number}", KEY_WINDOW
        elif notification.key is not None:
            seed, window = f"delivery\n{source}\n{notification.key}\n{number}", REDELIVERY_WINDOW
        else:
            if full:
                raise full
            return await self._add(source, notification, self.new_id(), at, digest)
        id = str(uuid.uuid5(NAMESPACE, seed))
        while True:
            added = await self._add(source, notification, id, at, digest, full)
            if added.entry is None:
                return added
            if at - added.entry.created < window:
                _same_body(added.entry, key, digest)
                log("replayed", notification=id, source=source)
                return added
            # The key is old enough to be forgotten: its next use is another notification with another id.
            id = str(uuid.uuid5(NAMESPACE, f"{seed}\n{added.entry.created.isoformat()}"))

    async def _add(
        self, source: str, notification: Notification, id: str, at: datetime, digest: str, full: Full | None = None
    ) -> _Added:
        if full:  # what was taken before is answered as before
            if known := await self.store.get(id):
                return _Added(id, known)
            raise full
        messages = self.compose(notification, source, id, at)
        envelope = notification.envelope
        due = max(at, envelope.send_at) if envelope and envelope.send_at else at
        entry = Entry(
            id=id,
            source=source,
            kind=notification.kind,
            title=one_line(notification.title)[:200],
            state=notification.state,
            severity=notification.severity,
            unmapped=notification.unmapped,
            created=at,
            digest=digest,
            messages=tuple(_state(message) for message in messages),
        )
        existing = await self.store.add(entry, messages, due)
        if existing is None and self.capacity:
            self.capacity.took(source, messages)
        if existing is None:
            log("accepted", notification=id, source=source, kind=notification.kind, count=len(messages))
        return _Added(id, existing)

    def compose(
        self, notification: Notification, source: str, id: str | None = None, at: datetime | None = None
    ) -> tuple[Message, ...]:
        """The messages a notification becomes; Rejected when a caller named something it may not."""
        id = id or self.new_id()
        at = at or self.clock()
        self.renderer.check(notification)
        senders = self.config.senders
        targets = [
            part
            for target in self.router.targets(source, notification)
            for part in parts.split(target, parts.most(parts.ways_out(senders, target.sender)))
        ]
        parts.check_count(len(targets))
        messages = tuple(
            self._message(notification, source, target, f"{id}-{number}", id, at)
            for number, target in enumerate(targets, 1)
        )
        if notification.envelope or notification.attachments:  # a caller can send less, an alert cannot
            for message in messages:
                parts.check_size(message, parts.ways_out(senders, message.sender))
        return messages

    def _message(
        self, notification: Notification, source: str, target: Target, id: str, notification_id: str, at: datetime
    ) -> Message:
        rendered = self.renderer.render(notification, target, self.config.sources[source])
        sender = self.config.senders[target.sender]
        envelope = notification.envelope
        return Message(
            id=id,
            notification=notification_id,
            operation_id=self.new_operation(notification_id),
            source=source,
            sender=target.sender,
            transport=sender.way_out(production=self.production),
            from_=sender.from_address,
            to=target.to,
            cc=target.cc,
            bcc=target.bcc,
            reply_to=rendered.reply_to,
            subject=rendered.subject,
            text=rendered.text,
            html=rendered.html,
            attachments=notification.attachments,
            headers=envelope.headers if envelope else {},
            tags=envelope.tags if envelope else (),
            priority=target.priority,
            created=at,
        )


@dataclass(frozen=True)
class _Added:
    id: str
    entry: Entry | None

    @property
    def replayed(self) -> bool:
        return self.entry is not None


def _same_body(entry: Entry, key: str | None, digest: str) -> None:
    if key is not None and entry.digest != digest:
        raise Rejected(
            422,
            "idempotency_key_reused",
            "This Idempotency-Key was used in the last 24 hours with another body; a new message needs a new key.",
        )


def _state(message: Message) -> MessageState:
    return MessageState(id=message.id, to=message.to, sender=message.sender, status=Status.QUEUED)
