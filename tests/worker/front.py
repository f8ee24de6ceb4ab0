"""The HTTP side of the host for tests: a request comes in and becomes an invocation, its value goes out as response.

An ASGI application, so that a real server on a real port carries it; fakehost.py says where the rules are from.
"""

from __future__ import annotations

import asyncio
import codecs
import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, unquote_to_bytes

from tests.worker import messages, trace
from tests.worker.hostfile import HostFile
from tests.worker.messages import Message
from tests.worker.triggers import Triggers, disabled
from tests.worker.worker import Function, InvocationFailed, Worker

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

BODY_LIMIT = 104_857_600
"""The longest Content-Length that the host takes, unless LIMIT says another."""

LIMIT = "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT"
AT_ONCE = "AzureFunctionsJobHost__extensions__http__maxConcurrentRequests"
"""An app setting of such a name goes before host.json."""

MASTER_KEY = "example-master-key"
"""Opens the host's own paths; of those only `POST /admin/functions/NAME` is answered here."""

_RUN = re.compile(r"/admin/functions/([^/]+)", re.IGNORECASE)
_OWN_PATHS = re.compile(r"/(admin/(host|functions|vfs)|runtime/webhooks)(/|$)", re.IGNORECASE)
_ESCAPE = re.compile(r"(%[0-9A-Fa-f]{2})")
_PATH_SAFE = "/!$&'()*+,;=:@-._~"


def _keep_escape(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "".join(f"%{byte:02X}" for byte in error.object[error.start : error.end]), error.end


codecs.register_error("escape", _keep_escape)


class BadRequest(Exception):
    """Kestrel refuses it before the host sees it: 400."""


class Response(NamedTuple):
    """What goes out."""

    status: int
    headers: list[tuple[str, str]] = []
    body: bytes = b""


class Refused:
    """A host that could not start, as a caller sees it: the same status and no body for everything."""

    def __init__(self, status: int) -> None:
        """`status` goes out for every request."""
        self.status = status

    async def __call__(self, _: Event, __: Receive, send: Send) -> None:
        """Answer."""
        await _send(send, Response(self.status))


class Route(NamedTuple):
    """A function's route; `methods` None means all."""

    function: Function
    pattern: re.Pattern[str]
    methods: frozenset[str] | None

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """The route's parameters, an empty one left out; None when another function, or 404, must answer."""
        found = self.pattern.fullmatch(path)
        if found is None or (self.methods is not None and method not in self.methods):
            return None
        return {name: value for name, value in found.groupdict().items() if value}


class Front:
    """Routes, converts, invokes, converts back."""

    def __init__(self, worker: Worker, settings: HostFile, triggers: Triggers, environ: Mapping[str, str]) -> None:
        """`settings` is host.json, `environ` the app's settings."""
        self.worker = worker
        self.routes = list(_routes(worker, settings.route_prefix, environ))
        self._triggers = triggers
        at_once = int(environ.get(AT_ONCE, settings.max_concurrent_requests))
        self._longest = int(environ.get(LIMIT, BODY_LIMIT))
        self._places = asyncio.Semaphore(at_once if at_once > 0 else 2**31)

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        """One request; beyond maxConcurrentRequests it waits here, its body unread."""
        try:
            async with self._places:
                response = await self._answer(scope, receive)
        except BadRequest:
            response = Response(400)
        await _send(send, response)

    async def _answer(self, scope: Event, receive: Receive) -> Response:
        path = _path(scope["raw_path"])
        headers = _headers(scope["headers"])
        if _OWN_PATHS.match(path):
            return await self._own(scope["method"], path, headers, receive)
        for route in self.routes:
            params = route.match(scope["method"], path)
            if params is not None:
                break
        else:
            return Response(404)
        if route.function.trigger.get("authLevel", "FUNCTION") != "ANONYMOUS":
            return Response(401)
        length = int(headers.get("content-length", "0"))
        if length > self._longest:
            return Response(500)
        # Without a Content-Length the body is lost: azure-functions-host issue 4926.
        body = await _body(receive) if length else b""
        query = scope["query_string"].decode("ascii")
        host = headers.get("host", "localhost")
        url = f"{scope['scheme']}://{host}{_escaped(path)}{'?' + query if query else ''}"
        request = messages.http(scope["method"], url, headers, body, query=_query(query), params=params)
        try:
            traceparent = trace.continued(headers.get("traceparent", ""))
            invocation = await self.worker.invoke(route.function.name, request, traceparent=traceparent)
        except InvocationFailed:
            return Response(500)
        return _response(invocation)

    async def _own(self, method: str, path: str, headers: Mapping[str, str], receive: Receive) -> Response:
        """Run a function that is no HTTP function: `{"input": "text"}`, 202 before it has begun."""
        if headers.get("x-functions-key") != MASTER_KEY:
            return Response(401)
        match = _RUN.fullmatch(path)
        if match is None or method != "POST":
            return Response(404)
        try:
            text = json.loads(await _body(receive))["input"] or ""
        except (ValueError, KeyError, TypeError):
            return Response(400)
        return Response(202 if self._triggers.run(match[1], text) else 404)


def _routes(worker: Worker, prefix: str, environ: Mapping[str, str]) -> Iterator[Route]:
    """By function name without regard to case; the first match wins, however special the others are."""
    for function in sorted(worker.functions.values(), key=lambda function: function.name.lower()):
        trigger = function.trigger
        if trigger["type"] == "httpTrigger" and not disabled(function.name, environ):
            template = "/".join(part for part in (prefix, trigger.get("route") or function.name) if part)
            methods = trigger.get("methods")
            yield Route(function, _pattern(template), frozenset(methods) if methods else None)


def _pattern(template: str) -> re.Pattern[str]:
    """`a/{b}/{*rest}`, without regard to case, a trailing slash allowed."""
    expression = ""
    for segment in template.strip("/").split("/"):
        if segment.startswith("{*"):
            expression += f"(?:/(?P<{segment[2:-1]}>.*))?"
        elif segment.startswith("{"):
            expression += f"/(?P<{segment[1:-1]}>[^/]+)"
        else:
            expression += "/" + re.escape(segment)
    return re.compile(expression + "/?", re.IGNORECASE | re.DOTALL)


def _path(raw: bytes) -> str:
    """Kestrel decodes every escape but %2F and what is not UTF-8, then removes dot segments; it refuses %00."""
    pieces = enumerate(re.split(rb"(%2[Ff])", raw))
    decoded = "".join(
        (piece if index % 2 else unquote_to_bytes(piece)).decode(errors="escape") for index, piece in pieces
    )
    if "\0" in decoded:
        raise BadRequest
    kept: list[str] = []
    for segment in decoded.split("/")[1:]:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    return "/" + "/".join(kept)


def _escaped(path: str) -> str:
    """PathString escapes again for the URL and leaves alone what already looks like an escape."""
    return "".join(
        piece if index % 2 else quote(piece, safe=_PATH_SAFE) for index, piece in enumerate(_ESCAPE.split(path))
    )


def _headers(raw: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Lower-case names, repeated values joined by a bare comma, the cookies too; a value must be UTF-8."""
    found: dict[str, str] = {}
    for name, value in raw:
        try:
            key, text = name.decode().lower(), value.decode()
        except UnicodeDecodeError:
            raise BadRequest from None
        found[key] = f"{found[key]},{text}" if key in found else text
    return found


def _query(query: str) -> dict[str, str]:
    """Repeated keys joined, without regard to case; keys with an empty value are left out."""
    found: dict[str, tuple[str, list[str]]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        found.setdefault(name.lower(), (name, []))[1].append(value)
    joined = {name: ",".join(values) for name, values in found.values()}
    return {name: value for name, value in joined.items() if value}


async def _body(receive: Receive) -> bytes:
    chunks = []
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise asyncio.CancelledError
        chunks.append(event.get("body", b""))
        if not event.get("more_body", False):
            return b"".join(chunks)


def _response(invocation: Message) -> Response:
    """An HttpResponse; anything else a function returns is a 500."""
    value = invocation.return_value and invocation.return_value.http
    if not value:
        return Response(500)
    headers = [(name, text) for name, text in value.headers.items() if name.lower() != "content-type" or text]
    if not all(text.isascii() and text.isprintable() for _, text in headers):
        return Response(500)  # Kestrel throws
    assert not any(name.lower() == "content-length" for name, _ in headers), "would go out beside chunked"
    cookies = [("set-cookie", _cookie(cookie)) for cookie in value.cookies or ()]
    return Response(int(value.status_code), headers + cookies, value.body.bytes or b"")


def _cookie(cookie: Message) -> str:
    """Parsed by the worker and written again by the host, whose escaping comes on top."""
    parts = [f"{cookie.name}={quote(cookie.value, safe='')}"]
    if cookie.max_age:
        parts.append(f"max-age={int(cookie.max_age.value)}")
    parts += [f"domain={cookie.domain.value}", f"path={cookie.path.value}"]
    parts += ["secure"] * bool(cookie.secure.value) + ["httponly"] * bool(cookie.http_only.value)
    return "; ".join(parts)


async def _send(send: Send, response: Response) -> None:
    headers = [(name.encode(), value.encode()) for name, value in response.headers]
    if not response.body and response.status not in {204, 304}:
        headers.append((b"content-length", b"0"))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
