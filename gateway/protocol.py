"""One connection of the embedded host: uvicorn's HTTP protocol with limits on time and room.

Open this when a client's bytes are read wrongly or are waited for too long. uvicorn parses, starts requests and writes
answers; here every wait for the caller has an end, every buffer a bound, and an answer that is given before the body
was read is followed by reading on, since a caller that is cut off while it still writes never sees it.
"""

from __future__ import annotations

import asyncio
from enum import Enum, auto
from typing import TYPE_CHECKING, cast

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from gateway import web
from gateway.errors import Rejected

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

    from gateway.connections import Connections

PIECE = 4096
"""Bytes that are parsed at once while they are heads: what is beyond a limit, or further requests behind one that waits
for its turn, are not parsed at all. uvicorn would make objects of 2 kB out of each 20 bytes."""


class Phase(Enum):
    """What the next byte belongs to."""

    HEAD = auto()
    BODY = auto()
    REST = auto()
    """A body, or anything at all, after its answer: thrown away."""


def limited(connections: Connections) -> type[LimitedProtocol]:
    """The protocol class of one server, whose connections share these places."""

    class Bound(LimitedProtocol):
        places = connections

    return Bound


class LimitedProtocol(HttpToolsProtocol):
    """One caller's connection."""

    places: Connections

    # --------------------------------------------------------------------------------------- it begins and ends

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A place is found, or the first request is refused."""
        self.line = cast("asyncio.Transport", transport)
        super().connection_made(self.line)
        self.patience = self.places.patience
        self.transport = _Exit(self)
        self.phase = Phase.HEAD
        self.since = self.sent_on = self.loop.time()
        self.written = self._sent = 0
        self._lingering = self._deaf = self._fed = False
        self._head = self._fields = self._progress = self._beside = self._rest = self._left = self._messages = 0
        self._length = 0
        self._later = b""
        self._running: RequestResponseCycle | None = None
        self._has_place = self.places.came(self, self.since)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing of it stays."""
        self.places.left(self)
        super().connection_lost(exc)
        if self._running is not None:  # uvicorn tells the newest request only
            self._running.disconnected = True
            self._running.message_event.set()

    def shutdown(self) -> None:
        """The host ends: whoever is not being answered goes at once."""
        if self._answered():
            self.line.close()
        else:
            super().shutdown()

    def cut(self) -> None:
        """End it, whatever is under way."""
        self.line.abort()

    def leave(self) -> None:
        """End it as a caller expects who may still be writing: no more answers, but we read on."""
        if self.phase is Phase.HEAD and not self._deaf:
            self.line.close()
        elif not self._lingering and not self.line.is_closing():
            self._lingering = True
            self._read_the_rest()
            if self.line.can_write_eof():
                self.line.write_eof()

    @property
    def leaving(self) -> bool:
        """Whether no further answer goes out."""
        return self._lingering or self.line.is_closing()

    # -------------------------------------------------------------------------------------------- now and then

    def look(self, now: float) -> None:
        """End it, if its caller took too long."""
        waited = now - self.since
        if self._unread(now):
            if now - self.sent_on > self.patience.stall_seconds:
                self.cut()
        elif self.phase is Phase.REST:
            if waited > self.patience.rest_seconds:
                self.cut()
        elif self.phase is Phase.BODY:
            if self.flow.read_paused or self.cycle.waiting_for_100_continue:
                self.since = now  # it waits for us
            elif waited > self.patience.stall_seconds:
                self._refuse(_slow("body"))
        elif self._answered() and waited > self.patience.head_seconds:
            if self._head:
                self._refuse(_slow("head"))
            else:
                self.line.close()

    def _unread(self, now: float) -> bool:
        """Whether a part of what was written still lies here; `sent_on` is when the caller last took enough of it."""
        size = self.line.get_write_buffer_size()
        sent = self.written - size
        if not size or sent - self._sent >= self.patience.step:
            self._sent, self.sent_on = sent, now
        if size and self.phase is Phase.HEAD:
            self.since = now
        return size > 0

    def _answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    # ------------------------------------------------------------------------------------------- bytes come in

    def data_received(self, data: bytes) -> None:
        """Parse them, a piece at a time while it is a head."""
        self._unset_keepalive_if_required()
        if self.phase is Phase.HEAD and not self._head:
            self.since = self.loop.time()
        if self._later:
            data, self._later = self._later + data, b""
        while data and not self.line.is_closing():
            if self._left:
                data = self._plain_body(data)
                continue
            if self._deaf:
                self._throw_away(len(data))
                return
            if self.pipeline:  # reading is paused, but a part of what was read before is still to be parsed
                self._later = data
                return
            size = PIECE if self.phase is Phase.HEAD else len(data)
            piece, data = data[:size], data[size:]
            before = self._messages
            try:
                self.parser.feed_data(piece)
            except httptools.HttpParserUpgrade as upgrade:  # after it the parser expects another protocol
                self._deaf = True
                data = piece[upgrade.args[0] :] + data
            except httptools.HttpParserError:
                self._refuse(_malformed())
            else:
                self._count(len(piece), same=before == self._messages)

    def _count(self, size: int, *, same: bool) -> None:
        """`same`: no message ended within this piece."""
        if self.phase is Phase.REST:
            self._throw_away(size)
        elif self.phase is Phase.HEAD:
            self._head = self._head + size if same else 0
            if self._head > self.patience.head_bytes:
                self._refuse(self._too_long())
        elif self._fed:
            self._fed, self._beside = False, 0
        else:  # a chunk's extension, a trailer: neither ends by itself
            self._beside += size
            if self._beside > self.patience.head_bytes + PIECE:
                self._refuse(self._too_long())

    def _throw_away(self, size: int) -> None:
        self._rest += size
        if self._rest > self.patience.rest_bytes:
            self.cut()

    def _plain_body(self, data: bytes) -> bytes:
        """The body of a request that asked for another protocol, which the parser does not read; what is behind it."""
        taken, rest = data[: self._left], data[self._left :]
        self._left -= len(taken)
        self.on_body(taken)
        if not self._left:
            self._complete()
        return rest

    # ---------------------------------------------------------------------------------------- the parser's calls

    def on_message_begin(self) -> None:
        """A request's first byte."""
        self._fields = self._length = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A part of the request's target."""
        self._fields += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; what comes behind a body is none of them."""
        self._fields += len(name) + len(value) + 4
        if self.phase is not Phase.HEAD or self._fields > self.patience.head_bytes:
            return
        super().on_header(name, value)
        name = self.headers[-1][0]
        if name == b"content-length" and value.isdigit():
            self._length = int(value[:18])
        elif name == b"transfer-encoding":
            self._length = HIGH_WATER_LIMIT + 1  # of unknown length

    def on_headers_complete(self) -> None:
        """The request begins, unless it is refused; a large body is read when the application asks for it."""
        if self._deaf:
            return
        if self._fields > self.patience.head_bytes:
            self._refuse(self._too_long())
            return
        if not self._has_place:
            self._refuse(_no_place())
            return
        self.phase, self.since = Phase.BODY, self.loop.time()
        self._head = self._progress = self._beside = 0
        self._fed = False
        super().on_headers_complete()
        if self.parser.should_upgrade():  # we speak HTTP/1.1 only, which is the answer; nothing may follow it
            self.cycle.keep_alive = False
        if self._length > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        self.places.reading(self)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if self.phase is not Phase.BODY:
            return
        self._fed = True
        self._progress += len(body)
        if self._progress >= self.patience.step:
            self._progress, self.since = 0, self.loop.time()
            self.places.reading(self)
        self.cycle.body += body
        if len(self.cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        self.cycle.message_event.set()

    def on_message_complete(self) -> None:
        """The request is here, with its body unless the parser left that to us."""
        self._messages += 1
        if self._deaf:
            return
        if self.parser.should_upgrade() and self._length > 0 and self.phase is Phase.BODY:
            self._left = self._length
        else:
            self._complete()

    def _complete(self) -> None:
        read_on, self.phase, self._head = self.phase is Phase.REST, Phase.HEAD, 0
        self.since = self.loop.time()
        if self._lingering:
            self.line.close()
        elif read_on:
            self.places.idle(self)
        else:
            self.places.busy(self)
            self.cycle.more_body = False
            self.cycle.message_event.set()

    def on_response_complete(self) -> None:
        """An answer went out: perhaps that of the newest request, perhaps before its body was here."""
        super().on_response_complete()
        if self.leaving:
            return
        if self.pipeline:
            self.flow.pause_reading()
        elif self._later:
            self.data_received(b"")
        if not self._answered():
            return
        if self.phase is Phase.BODY:
            self._read_the_rest()
        else:
            self.since = self.loop.time()
            self.places.idle(self)

    def _read_the_rest(self) -> None:
        if self.phase is not Phase.REST:
            self.phase, self.since, self._rest = Phase.REST, self.loop.time(), 0
            if self.cycle is not None:
                self.cycle.body = bytearray()
        self.places.idle(self)
        self.flow.resume_reading()

    # --------------------------------------------------------------------------------------------- our own answers

    def _refuse(self, error: Rejected) -> None:
        """Answer in the application's place, where no other answer is under way, and hear no more."""
        body, answered = self.phase is Phase.BODY, self._answered()
        self._deaf = True
        self._left = 0
        if not answered and (self.pipeline or not body):  # an earlier request's turn, with whose answer it ends
            self.cycle.keep_alive = False
            return
        if answered or not self.cycle.response_started:
            self.transport.write(_raw(error))
        if not answered:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    def _too_long(self) -> Rejected:
        most = self.patience.head_bytes
        return Rejected(431, "head_too_large", f"The request's line and headers are longer than {most} bytes.")


class _Exit(asyncio.Transport):
    """The transport as uvicorn sees it: it counts what is written, and closing lets the caller finish."""

    def __init__(self, owner: LimitedProtocol) -> None:
        super().__init__()
        self._owner = owner

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._owner.leaving:  # of requests behind each other, one may be answered when the caller is gone
            self._owner.written += len(data)
            self._owner.line.write(data)

    def close(self) -> None:
        self._owner.leave()

    def abort(self) -> None:
        self._owner.line.abort()

    def is_closing(self) -> bool:
        return self._owner.leaving


def _slow(what: str) -> Rejected:
    return Rejected(408, "too_slow", f"The request's {what} came too slowly, so it was not waited for any longer.")


def _malformed() -> Rejected:
    return Rejected(400, "malformed", "This is not an HTTP/1.1 request.")


def _no_place() -> Rejected:
    reason = "There are too many connections at this moment. Nothing was accepted; send it again in a moment."
    return Rejected(503, "too_many_connections", reason, headers={"Retry-After": "5"})


def _raw(error: Rejected) -> bytes:
    response = web.problem(error)
    headers = [*response.raw_headers, (b"connection", b"close")]
    lines = b"".join(b"%s: %s\r\n" % header for header in headers)
    return b"%s%s\r\n%s" % (STATUS_LINE[error.status], lines, bytes(response.body))
