"""What every HTTP route needs: a request's body, headers and credentials come in, JSON and problem+json go out."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from io import BytesIO
from time import monotonic
from typing import Any
from urllib.parse import urlencode

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import guard
from gateway.auth import presented
from gateway.budget import BODY_GROWTH, REQUEST_SECONDS, SMALL, TINY, Budget, Hold, text_growth
from gateway.errors import Full, Rejected, StoreUnavailable
from gateway.guard import Access
from gateway.security_events import SecurityEvents
from gateway.sources.payload import MOST_PAIRS, unquoted
from gateway.telemetry import ERROR, continued, log

BODY_LIMIT = 10 * 1024 * 1024
"""Bytes of one request body; larger things go by queue and blob."""

MOST_KEYS = 10
"""Keys in one query that are tried: each is hashed and compared."""

_SECONDS = re.compile(r"[0-9.]+")

HOLD = "gateway.hold"
"""Where a request's scope has its part of the memory budget."""

CONTESTED_SECONDS = 5.0
CONTESTED_RATE = 64 * 1024
"""Bytes a second, after the seconds above, at which a large body must come while others wait for its room."""

NO_REFERRER = {"Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}


def headers_of(request: Request) -> dict[str, str]:
    """The headers by lower-case name, repeated ones joined by a comma."""
    found: dict[str, str] = {}
    repeated: dict[str, list[str]] = {}
    for name, value in request.scope["headers"]:
        key = name.decode("latin-1")
        text = value.decode("latin-1")
        if key in found:
            repeated.setdefault(key, [found[key]]).append(text)
        else:
            found[key] = text
    return {**found, **{key: ", ".join(texts) for key, texts in repeated.items()}} if repeated else found


def query_of(request: Request) -> list[tuple[str, str]]:
    """The query's pairs in order, empty values kept."""
    raw: bytes = request.scope.get("query_string", b"")
    if not raw:
        return []
    pieces = (piece.partition(b"=") for piece in raw.split(b"&", MOST_PAIRS) if piece)
    return [(unquoted(name), unquoted(value)) for name, _, value in pieces]


def credentials(request: Request, headers: Mapping[str, str], path_key: str = "") -> list[str]:
    """Every credential of a request; the ones from the URL too, for tools that can only store a URL."""
    code = [value for name, value in query_of(request) if name == "code"][:MOST_KEYS]
    return [*presented(headers, code), *([path_key] if path_key else [])]


def time_of(query: Mapping[str, str], name: str) -> datetime | None:
    """A query parameter that is a time: ISO 8601 with an offset, or seconds since 1970."""
    text = query.get(name, "").strip().replace(" ", "+")  # an unescaped + of an offset arrives as a space
    if not text:
        return None
    try:
        if _SECONDS.fullmatch(text):
            return datetime.fromtimestamp(float(text), UTC)
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise _bad_query(name, "must be a time with an offset, such as 2026-11-23T14:45:00Z")


def number_of(query: Mapping[str, str], name: str, *, default: int, most: int) -> int:
    """A query parameter that is a whole number from 0 to `most`."""
    text = query.get(name, "").strip()
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) > most:
        raise _bad_query(name, f"must be a whole number from 0 to {most}")
    return int(text)


def _bad_query(name: str, what: str) -> Rejected:
    return Rejected(422, "invalid", f"The query parameter {name} cannot be used.", fields={name: what})


def query_body(request: Request) -> bytes:
    """The query without its key, as the form-encoded body it stands for."""
    return urlencode([pair for pair in query_of(request) if pair[0] != "code"]).encode()


async def body_of(request: Request, headers: Mapping[str, str]) -> bytes:
    """The body, never more than BODY_LIMIT: 413 as soon as that is certain, 503 where there is no room for it in time.

    The room is the request's until it is answered. What is large in it may be one text.
    """
    body = await body_with_files(request, headers)
    if len(body) > SMALL and not await request.scope[HOLD].grow(len(body), text_growth(body), REQUEST_SECONDS):
        del body  # an exception keeps its frames for a while
        raise _busy()
    return body


async def body_with_files(request: Request, headers: Mapping[str, str]) -> bytes:
    """The same where only files are large, which stay bytes: a form's."""
    hold: Hold = request.scope[HOLD]
    length = headers.get("content-length", "")
    room = int(length) if length.isdigit() else 0
    if room > BODY_LIMIT:
        raise too_large()
    await _room(hold, room)
    room = max(room, TINY)
    began = monotonic()
    body = b""
    buffer: BytesIO | None = None
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > BODY_LIMIT:
                raise too_large()
            if size > room:
                room = SMALL if size <= SMALL else BODY_LIMIT
                await _room(hold, room)
            if hold.contested and size < CONTESTED_RATE * (monotonic() - began - CONTESTED_SECONDS):
                raise _in_the_way()
            if not body:
                body = chunk
            elif chunk:
                # Not a list to be joined, which would have everything twice.
                buffer = buffer or _begun(body)
                buffer.write(chunk)
    except ClientDisconnect:
        raise Rejected(400, "incomplete", "The connection ended before the whole body was here.") from None
    hold.keep(size, BODY_GROWTH)
    return buffer.getvalue() if buffer else body


def _begun(body: bytes) -> BytesIO:
    buffer = BytesIO()
    buffer.write(body)
    return buffer


async def _room(hold: Hold, size: int) -> None:
    if size > TINY and (hold.crowded(size) or not await hold.take(size, BODY_GROWTH, REQUEST_SECONDS)):
        raise _busy()


def _busy() -> Rejected:
    return Rejected(
        503,
        "busy",
        "There is no room for a body of this size at this moment. Nothing was accepted; send it again in a moment.",
        headers={"Retry-After": "5"},
    )


def _in_the_way() -> Rejected:
    detail = "The body came slowly while others waited for the room that it took; nothing was accepted."
    return Rejected(408, "too_slow", detail, headers={"Connection": "close"})


def too_large() -> Rejected:
    """413 with the limit and the way round it."""
    limit = f"{BODY_LIMIT // 1024 // 1024} MiB ({BODY_LIMIT} bytes)"
    return Rejected(
        413,
        "too_large",
        f"The body is larger than {limit}. Send less, or put larger messages into the storage queue with a blob.",
        headers={"Connection": "close"},
    )


def lost_body(body: bytes, headers: Mapping[str, str]) -> bool:
    """Whether the body was sent in chunks and dropped on the way: the Functions host does that (host issue 4926)."""
    return not body and "transfer-encoding" in headers


def length_required() -> Rejected:
    """411 that tells the caller what happened to the body."""
    return Rejected(
        411,
        "length_required",
        "The body arrived empty: the Azure Functions host drops bodies sent with Transfer-Encoding: chunked. "
        "Send a Content-Length (in .NET: StringContent or ReadOnlyMemoryContent instead of PostAsJsonAsync).",
    )


# json.dumps would build a new encoder for every answer.
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=str)


def dumps(value: Any) -> bytes:
    """Compact JSON that any client can read; NaN cannot occur in it."""
    return _ENCODER.encode(value).encode("utf-8", "replace")


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(dumps(value), status, headers, "application/json")


def wants_html(headers: Mapping[str, str]) -> bool:
    """Whether a browser shows the answer to a person; PowerShell calls itself Mozilla but asks for no text/html."""
    return "text/html" in headers.get("accept", "") and headers.get("x-requested-with", "").lower() != "xmlhttprequest"


def problem(error: Rejected) -> Response:
    """RFC 9457 problem+json; `detail` makes sense alone, since some clients show nothing else."""
    value = {
        "type": "about:blank",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
        **({"fields": error.fields} if error.fields else {}),
    }
    # A browser that takes it for a page, against its type, must find no tag in what a caller is told of his own words.
    body = dumps(value).replace(b"<", rb"\u003c").replace(b">", rb"\u003e")
    return Response(body, error.status, {**error.headers, **NO_REFERRER}, "application/problem+json")


def unavailable() -> Rejected:
    """503: nothing was stored, so the caller must send it again; the one status Alertmanager and Azure both retry."""
    return Rejected(
        503,
        "store_unavailable",
        "The message could not be stored, so it was not accepted. Send it again in a moment.",
        headers={"Retry-After": "5"},
    )


def _full(error: Full) -> Rejected:
    """503 for a bound: whoever retries comes back, which a 429 would not have from Alertmanager and Azure."""
    later = {"Retry-After": "60"}
    if error.code == "source_full":
        what = "Too many messages of this source wait to be sent"
        return Rejected(
            503, "source_full", f"{what}, so this one was not accepted. Send it again later.", headers=later
        )
    what = "There is no room for more messages"
    return Rejected(503, "store_full", f"{what}, so this one was not accepted. Send it again later.", headers=later)


def as_rejection(error: Exception) -> Rejected:
    """What a caller is told of an error; of an unexpected one nothing but that it is ours."""
    if isinstance(error, Rejected):
        return error
    if isinstance(error, Full):
        return _full(error)
    if isinstance(error, StoreUnavailable):
        log("store_unavailable", ERROR, reason=str(error), error=error)
        return unavailable()
    log("request_failed", ERROR, error=error)
    return Rejected(500, "internal", "An error of the gateway; nothing was accepted. Its log has the details.")


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{title}</title>
<style>
body{{font:1.05rem/1.6 system-ui,sans-serif;display:grid;place-items:center;min-height:90vh;margin:0 1.25rem}}
main{{max-width:34rem}}h1{{font-size:1.6rem;margin:0 0 .4em}}
</style></head><body><main><h1>{title}</h1>{text}</main></body></html>"""


def page(title: str, paragraphs: Iterable[str], status: int = 200) -> Response:
    """A small page for a person; nothing in it is trusted, no script runs on it."""
    text = "".join(f"<p>{html.escape(paragraph)}</p>" for paragraph in paragraphs)
    policy = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'", **NO_REFERRER}
    content = _PAGE.format(title=html.escape(title), text=text)
    return Response(content, status, policy, "text/html")


Endpoint = Callable[[Request], Awaitable[Response]]


class Front:
    """The outermost ASGI application: the doors' POSTs go straight in, everything else through FastAPI.

    A door reads its own body and makes its own answer, so FastAPI's routing and dependencies would only cost it a third
    of its time (`make bench`). Whatever escapes becomes a problem+json answer, never an empty 500.
    """

    def __init__(
        self, app: ASGIApp, doors: Mapping[str, Endpoint], access: Access, budget: Budget, events: SecurityEvents
    ) -> None:
        """`doors` by path; one that ends with a slash takes the source's name behind it."""
        self.app = app
        self._doors = doors
        self._access = access
        self._budget = budget
        self.events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            if message["type"] == "http.response.start":
                message["headers"] = guard.answered(scope["path"], message.get("headers", ()))
            await send(message)

        hold = scope[HOLD] = self._budget.hold()
        try:
            continued(scope.get("headers", ()))
            if scope["type"] == "http":
                guard.check(self._access, scope)
            await self._answer(scope, receive, watched)
        except Exception as error:
            if scope["type"] != "http":
                raise
            if not started:  # FastAPI raises once more what its handlers have answered and logged
                refusal = as_rejection(error)
                await self.events.refused(refusal, scope)
                await problem(refusal)(scope, receive, watched)
        finally:
            hold.release()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        door, name = self._door(scope) if scope["type"] == "http" and scope["method"] == "POST" else (None, "")
        if door is None:
            await self.app(scope, receive, send)
            return
        scope["path_params"] = {"source": name}
        response = await door(Request(scope, receive))
        await response(scope, receive, send)

    def _door(self, scope: Scope) -> tuple[Endpoint | None, str]:
        path: str = scope["path"]
        if door := self._doors.get(path):
            return (None if path.endswith("/") else door), ""
        folder, _, name = path.rpartition("/")
        return self._doors.get(f"{folder}/"), name
