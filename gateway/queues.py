"""The doors that are queues: a queue message's bytes come in, what they ask for is durable when the call returns.

`notifications` takes the native JSON with two fields more, `source` and `idempotency_key`, or for a larger one
`{"blob": "notifications/name"}`. Without a key the queue's message id tells a redelivery from a second notification.
Nobody waits for an answer here, so a message that cannot be taken becomes a dead letter: a notification of source
`queue` that has failed, with the reason, and with its text kept as the blob `queue/<id>`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from gateway.budget import BODY_GROWTH, QUEUE_SECONDS, Budget, Hold, default
from gateway.clock import wall_clock
from gateway.config import Config
from gateway.errors import Rejected, StoreUnavailable
from gateway.ledger import Entry, Event, Store
from gateway.message import Status
from gateway.telemetry import ERROR, WARNING, log
from gateway.threads import aside

if TYPE_CHECKING:
    from gateway.pipeline import Line

NAMESPACE = uuid.UUID("1f6c1f0e-8f2e-5a3c-9d4b-6d0a52c1b7e4")
"""Ours alone, for the ids of notifications that come from a queue."""

SOURCE = "queue"
"""The source of dead letters."""

PREFIX = 8
"""Digits of an id that are those of the text's hash: a copy without its message id is recognised by them."""

COPY = "duplicate"
"""The reason of a notification that only says: this text was taken before."""

REMEMBERED = timedelta(hours=24)
"""How long a text is recognised after it was taken, as long as an Idempotency-Key."""

MOST_TRIES = 3
"""Of a message that went to poison; it has crashed us five times already."""

WHITE_SPACE = b" \t\r\n\v\f"

CONTAINER = "notifications"
"""Where the blobs lie that messages name. The app may read every container, and who writes messages may not."""

LARGEST_BLOB = 50 * 1024 * 1024
"""Bytes; what no provider takes in one mail need not be read (a mailbox takes 35 MB unless it was told otherwise)."""


@runtime_checkable
class Account(Protocol):
    """What a store on a storage account can do beside keeping the ledger."""

    async def blob_size(self, container: str, name: str) -> int | None:
        """How many bytes a blob has; None when there is none."""
        ...

    async def blob(self, container: str, name: str, most: int) -> bytes | None:
        """A blob's first bytes, at most so many; None when there is none."""
        ...

    async def put_back(self, queue: str, text: str, delay: timedelta) -> None:
        """A message that is seen again after a while."""
        ...

    async def queue_length(self, queue: str) -> int:
        """About how many messages a queue holds."""
        ...


def readable(body: bytes) -> str:
    """A message's text, whether it was put there plainly or as base64, which most of Microsoft's clients write."""
    text = body.decode("utf-8-sig", "replace").strip()
    if not text.startswith(("{", "[")):
        try:
            packed = text.encode("ascii").translate(None, WHITE_SPACE)
            return base64.b64decode(packed, validate=True).decode("utf-8-sig").strip()
        except (binascii.Error, ValueError):  # the second for what is no UTF-8, or no ASCII
            pass
    return text


def digest_of(text: str) -> str:
    """What a text is recognised by."""
    return hashlib.sha256(text.encode()).hexdigest()


def identity(digest: str, seed: str) -> str:
    """An id that always comes out the same, and begins as the digest does."""
    return digest[:PREFIX] + str(uuid.uuid5(NAMESPACE, f"{digest}\n{seed}"))[PREFIX:]


@dataclass(frozen=True)
class Intake:
    """The queue `notifications` and its poison queue; `line` is asked for when something is accepted."""

    config: Config
    store: Store
    line: Callable[[], Line]
    account: Account | None
    budget: Budget = field(default_factory=lambda: Budget(default()))
    clock: Callable[[], datetime] = wall_clock

    async def take(self, body: bytes, message: str) -> None:
        """Accept it, or record why not; StoreUnavailable when neither could be written. `message`: the queue's id."""
        text = readable(body)
        try:
            await self._accept(text, message or str(uuid.uuid4()))
        except Rejected as refusal:
            await self.bury(text, refusal, message)

    async def take_again(self, body: bytes) -> None:
        """A message that went to poison, after five crashes or five deployments in a row.

        It may have been accepted before. If not it is tried a few times more, and is a dead letter when those end in
        crashes too, which a mark tells that is written before each.
        """
        text = readable(body)
        mark = f"poison|{digest_of(text)}"
        known = await self._known(text)
        if known is not None:
            await self._note_copy(text, known)
        else:
            await self._try_once_more(text, mark)
        await self._unmark(mark)

    async def _try_once_more(self, text: str, mark: str) -> None:
        try:
            if await self._tries(mark) >= MOST_TRIES:
                raise Rejected(500, "crashed", "Every try to take it ended in a crash.")
            await self._accept(text, "poison")
        except StoreUnavailable:
            await self._unmark(mark)
            raise
        except Exception as error:
            refusal = error if isinstance(error, Rejected) else Rejected(500, "bug", "Taking it met an error of ours.")
            log("queue_message_failed", ERROR, reason=refusal.code, error=error)
            await self.bury(text, refusal, "poison")

    async def _tries(self, mark: str) -> int:
        """How often this was tried already; one more is written down before it begins."""
        found = await self.store.read(mark)
        tries = int(found[0]) if found else 0
        await self.store.write(mark, str(tries + 1).encode(), found[1] if found else None)
        return tries

    async def bury(self, text: str, refusal: Rejected, message: str) -> None:
        """Record a dead letter, once for each message."""
        at = self.clock()
        digest = digest_of(text)
        id = identity(digest, f"dead\n{message}")
        await self.store.put(f"{SOURCE}/{id}", text.encode())
        entry = _own_entry(id, digest, at, Status.FAILED, refusal.code, _explained(refusal))
        if await self.store.add(entry, (), at) is None:
            log("dead_letter", ERROR, notification=id, source=SOURCE, reason=refusal.code)

    async def _accept(self, text: str, message: str) -> None:
        hold = self.budget.hold()
        try:
            await self._accept_held(text, message, hold)
        finally:
            hold.release()

    async def _accept_held(self, text: str, message: str, hold: Hold) -> None:
        from gateway import sources

        raw, fields = await self._content(text, hold)
        source = self._source(fields)
        kind = {"content-type": "application/json"}
        notifications = await aside(len(raw), sources.read, "native", raw, kind, source)
        envelope = notifications[0].envelope
        if envelope and envelope.dry_run:
            self.line().compose(notifications[0], source)
            log("dry_run", source=source)
            return
        digest = digest_of(text)
        key = fields.get("idempotency_key")
        id = None if key else identity(digest, message)
        await self.line().accept(source, notifications, key=key, digest=digest, id=id)

    async def _content(self, text: str, hold: Hold) -> tuple[bytes, dict[str, Any]]:
        """The JSON as bytes and as fields; of the blob, if the message only names one."""
        fields = await aside(len(text), _object, text)
        if fields.keys() == {"blob"}:
            blob = await self._blob(fields["blob"], hold)
            text = await aside(len(blob), readable, blob)
            fields = await aside(len(text), _object, text)
        return text.encode(), fields

    async def _blob(self, path: object, hold: Hold) -> bytes:
        container, _, name = path.partition("/") if isinstance(path, str) else ("", "", "")
        if container != CONTAINER or not _is_blob(name):
            raise _invalid("blob", f"must be a blob of the container {CONTAINER}, such as {CONTAINER}/report.json")
        if self.account is None:
            raise _invalid("blob", "needs GATEWAY_STORE=azure, the account that the blob lies in")
        # The size is asked first: whoever writes messages may have put anything there. It may also grow in between.
        size = await self.account.blob_size(container, name)
        if size is not None and size > LARGEST_BLOB:
            raise _too_large_blob()
        if size and not await hold.take(size, BODY_GROWTH, QUEUE_SECONDS):
            raise StoreUnavailable("there is no room in memory for a blob of this size")
        content = None if size is None else await self.account.blob(container, name, LARGEST_BLOB + 1)
        if content is None:
            raise Rejected(404, "blob_missing", "There is no such blob; write it before the queue message.")
        if len(content) > LARGEST_BLOB:
            raise _too_large_blob()
        return content

    def _source(self, fields: dict[str, Any]) -> str:
        name = fields.get("source")
        native = sorted(name for name, source in self.config.sources.items() if source.kind == "native")
        known = f"gateway.yaml has {', '.join(native) or 'none'}"
        if not isinstance(name, str) or not name:
            raise _invalid("source", f"is missing; name a source of kind native, {known}")
        if name not in native:
            why = "There is no source of this name and of kind native"
            raise Rejected(404, "unknown_source", f"{why}: {known}.", fields={"source": f"is not one of them; {known}"})
        return name

    async def _known(self, text: str) -> Entry | None:
        """What was accepted or buried of this very text in the last day."""
        digest = digest_of(text)
        found = await self.store.beginning(digest[:PREFIX], 100)
        oldest = self.clock() - REMEMBERED
        return next(
            (entry for entry in found if entry.digest == digest and entry.created >= oldest and entry.reason != COPY),
            None,
        )

    async def _note_copy(self, text: str, known: Entry) -> None:
        """A copy of what was taken already leaves a trace, should somebody have sent the same text twice."""
        digest, at = digest_of(text), self.clock()
        id = identity(digest, f"copy\n{known.id}")
        entry = _own_entry(id, digest, at, Status.SKIPPED, COPY, f"the same text as {known.id}")
        if await self.store.add(entry, (), at) is None:
            log("skipped", WARNING, notification=id, source=SOURCE, reason=COPY)

    async def _unmark(self, mark: str) -> None:
        found = await self.store.read(mark)
        if found is not None:
            await self.store.remove(mark, found[1])


def _object(text: str) -> dict[str, Any]:
    from gateway.sources.jsontext import TooComplex, load

    try:
        value = load(text)
    except TooComplex as error:
        raise Rejected(413, "too_complex", f"The message is too complex: {error}.") from None
    except ValueError as error:
        raise Rejected(400, "malformed", f"The message is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise Rejected(400, "malformed", "The message must be one JSON object: {…} with `source`, `to` and `text`.")
    return value


def _too_large_blob() -> Rejected:
    return Rejected(413, "too_large", f"The blob is larger than {LARGEST_BLOB} bytes.")


def _is_blob(name: str) -> bool:
    """Whether it names one blob as it is written: a service may read `..` and a backslash as a way elsewhere."""
    pieces = name.split("/")
    return len(name) <= 1024 and name.isprintable() and "\\" not in name and not {"", ".", ".."} & set(pieces)


def _invalid(field: str, what: str) -> Rejected:
    return Rejected(422, "invalid", f"{field} {what}.", fields={field: what})


def _explained(refusal: Rejected) -> str:
    """The whole reason on one line, for the notification's history."""
    fields = "; ".join(f"{name} {what}" for name, what in refusal.fields.items())
    return f"{refusal.detail} {fields}".strip()[:1000]


def _own_entry(id: str, digest: str, at: datetime, status: Status, reason: str, explained: str) -> Entry:
    """A notification without a message of its own."""
    return Entry(
        id=id,
        source=SOURCE,
        kind=SOURCE,
        title="A message of the queue that could not be taken"
        if status is Status.FAILED
        else "A copy of a queue message",
        state="info",
        severity="error" if status is Status.FAILED else "info",
        created=at,
        digest=digest,
        own=status,
        reason=reason,
        history=(Event(at=at, event=status, reason=explained),),
    )
