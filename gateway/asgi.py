"""FunctionApp ⇄ ASGI: one invocation's plain values come in, the application's answer goes out as plain values.

Own code and not azure-functions' AsgiFunctionApp, which in 2.3.0 starts the application once per concurrent first
request, loses repeated headers and answers an exception with an empty 500. Nothing heavy is imported here: a queue
worker loads the same package and must not pay for the HTTP side.
"""

from __future__ import annotations

import asyncio
import gc
import json
import re
import string
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any, NamedTuple, Self
from urllib.parse import quote, unquote

from gateway import packages, telemetry
from gateway.errors import ConfigurationError
from gateway.telemetry import ERROR, log

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
App = Callable[[Event, Receive, Send], Awaitable[None]]
Factory = Callable[[], Awaitable[App]]

_ASGI = {"version": "3.0", "spec_version": "2.4"}
_URL = re.compile(r"(?:([^:/?]*)://([^/?]*))?([^?]*)\??(.*)", re.DOTALL)
_PORTS = {"http": 80, "https": 443}
_HOST_WRITES = frozenset({"content-length", "transfer-encoding"})
_WITHOUT_BODY = frozenset({204, 304})
_RETRY_AFTER = ("retry-after", "30")


class Answer(NamedTuple):
    """What goes back to the host; `headers` are pairs, since Set-Cookie may repeat."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Bridge:
    """One application behind the Functions host: started by whoever needs it first, once for everybody."""

    def __init__(self, factory: Factory) -> None:
        """`factory` builds the application; it is asked again after a failure."""
        self._factory = factory
        self._lifespan: asyncio.Task[_Lifespan] | None = None

    async def __call__(self, method: str, url: str, headers: Mapping[str, str], body: bytes, trace: str = "") -> Answer:
        """Answer one request; nothing escapes, since the host turns an exception into an empty 500.

        `trace` is the host's trace parent, which the request's log lines then carry.
        """
        telemetry.trace(trace)
        scope = _scope(method, url, headers)
        with _Caught() as caught:
            lifespan = await self._started()
        answer = _unavailable(scope["path"], caught.error) if caught.error else await _call(lifespan, scope, body)
        return answer._replace(body=b"") if method == "HEAD" or answer.status in _WITHOUT_BODY else answer

    async def startup(self) -> None:
        """Build the application and run its start-up, if nobody has yet; for triggers that need it without HTTP."""
        await self._started()

    async def shutdown(self) -> None:
        """Run the application's shutdown; the Functions host never says when it ends, tests do."""
        if self._lifespan is not None:
            lifespan, self._lifespan = await self._lifespan, None
            await lifespan.shutdown()

    async def _started(self) -> _Lifespan:
        """One attempt for all who wait at the same time; whoever comes after a failed one begins the next."""
        if self._lifespan is None or _failed(self._lifespan):
            self._lifespan = asyncio.create_task(self._start())
        return await asyncio.shield(self._lifespan)

    async def _start(self) -> _Lifespan:
        try:
            lifespan = _Lifespan(await self._factory())
            await lifespan.startup()
        except (ConfigurationError, ImportError) as error:
            raise packages.explained(error) from None
        except Exception as error:
            log("start_failed", ERROR, error=error)
            raise
        return lifespan


class _Caught:
    """An error inside is kept instead of raised, whatever it is; a cancellation goes on."""

    error: Exception | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        self.error = error if isinstance(error, Exception) else None
        return self.error is not None


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


class _Lifespan:
    """The application's start-up and shutdown, and the state its start-up left for every request."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.state: dict[str, Any] = {}
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._answers: asyncio.Queue[Event] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def startup(self) -> None:
        """An application that ends or raises without an answer has no lifespan, says ASGI; that is fine."""
        self._events.put_nowait({"type": "lifespan.startup"})
        self._task = asyncio.create_task(self._run())
        answer = await self._answers.get()
        if answer["type"] == "lifespan.startup.failed":
            raise RuntimeError("the application refused to start")

    async def shutdown(self) -> None:
        """Wait for the application's end."""
        self._events.put_nowait({"type": "lifespan.shutdown"})
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        with _Caught():
            scope = {"type": "lifespan", "asgi": _ASGI, "state": self.state}
            await self.app(scope, self._events.get, self._answers.put)
        self._answers.put_nowait({"type": "lifespan.ended"})


class _Exchange:
    """receive() and send() of one request whose whole body is here."""

    def __init__(self, body: bytes) -> None:
        self._request: Event | None = {"type": "http.request", "body": body, "more_body": False}
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self.ended = asyncio.Event()

    async def receive(self) -> Event:
        """The request once; then nothing until the answer is complete, since the host never reports a hang-up."""
        if self._request is not None:
            request, self._request = self._request, None
            return request
        await self.ended.wait()
        return {"type": "http.disconnect"}

    async def send(self, event: Event) -> None:
        """Collect the answer; the host cannot stream it."""
        if event["type"] == "http.response.start":
            self._status, self._headers = event["status"], list(event.get("headers", ()))
        elif event["type"] == "http.response.body":
            self._body.append(event.get("body", b""))
            if not event.get("more_body", False):
                self.ended.set()

    def answer(self) -> Answer:
        """The complete answer."""
        return Answer(self._status, _joined(self._headers), b"".join(self._body))


async def _call(lifespan: _Lifespan, scope: Event, body: bytes) -> Answer:
    """One request; an error after a complete answer leaves it as it is: Starlette answers and then raises again."""
    exchange = _Exchange(body)
    with _Caught() as caught:
        await lifespan.app({**scope, "state": dict(lifespan.state)}, exchange.receive, exchange.send)
    if caught.error:
        packages.explained(caught.error)
        log("request_failed", ERROR, error=caught.error)
    if exchange.ended.is_set():
        return exchange.answer()
    exchange.ended.set()
    return _problem(500, "internal", "An error of the gateway. Its log has the details.")


def _scope(method: str, url: str, headers: Mapping[str, str]) -> Event:
    """An ASGI scope from the URL as the host gives it; its `params` are no source, they lack keys without a value."""
    match = _URL.fullmatch(url)
    assert match is not None  # every string matches
    scheme, authority, raw_path, query = (group or "" for group in match.groups())
    return {
        "type": "http",
        "asgi": _ASGI,
        "http_version": "1.1",
        "method": method,
        "scheme": scheme or "http",
        "path": unquote(raw_path) or "/",
        "raw_path": raw_path.encode() or b"/",
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": _client(headers),
        "server": _host_port(authority, _PORTS.get(scheme, 80)),
        "extensions": {},
    }


def _client(headers: Mapping[str, str]) -> tuple[str, int] | None:
    """The last of X-Forwarded-For: Azure's front end wrote it; what stands before is the caller's own claim."""
    last = headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    return _host_port(last, 0) if last else None


def _host_port(text: str, default: int) -> tuple[str, int]:
    """`host`, `host:port`, `[v6]:port`, and a bare v6 address, which has no port."""
    host, colon, port = text.rpartition(":")
    if colon and port.isdecimal() and (host.endswith("]") or ":" not in host):
        return host.strip("[]"), int(port)
    return text.strip("[]"), default


def _joined(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Equal names become one value, since the host keeps only the last; cookies cannot be joined.

    The host itself writes the length: one of the application's would go out beside `Transfer-Encoding: chunked`.
    """
    found: dict[str, str] = {}
    cookies = []
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), _ascii(raw_value)
        if name == "set-cookie":
            cookies.append((name, value))
        elif name not in _HOST_WRITES:
            found[name] = f"{found[name]}, {value}" if name in found else value
    return [*found.items(), *cookies]


def _ascii(value: bytes) -> str:
    """Kestrel refuses a header value with any other character, and the whole answer with it; so these are %-escaped."""
    return quote(value, safe=string.ascii_letters + string.digits + string.punctuation + " \t")


def _unavailable(path: str, error: Exception) -> Answer:
    """The gateway could not be built: alive, but not ready, and every door says so."""
    if path == "/health/live":
        return _json(200, {"status": "ok"}, "application/json")
    if not isinstance(error, ConfigurationError):
        reason = f"The gateway could not start ({type(error).__name__}); its log says why."
        return _problem(503, "not_started", f"{reason} Nothing was accepted. Send it again later.")
    # Who asks may be anybody, and the list has names and values of the configuration.
    count = len(error.problems)
    what = "a mistake" if count == 1 else f"{count} mistakes"
    reason = f"The configuration cannot be used: it has {what}; the log and `python -m gateway check` name each."
    return _problem(503, "configuration_invalid", f"{reason} Nothing was accepted. Send it again later.")


def _problem(status: int, code: str, detail: str) -> Answer:
    """An RFC 9457 answer like web.py's, which cannot be imported when the HTTP side is what failed."""
    title = HTTPStatus(status).phrase
    value = {"type": "about:blank", "title": title, "status": status, "code": code, "detail": detail}
    answer = _json(status, value, "application/problem+json")
    return answer._replace(headers=[*answer.headers, _RETRY_AFTER]) if status == 503 else answer


def _json(status: int, value: Any, content_type: str) -> Answer:
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return Answer(status, [("content-type", content_type)], body)


async def _app() -> App:
    """Nearly all that is made here stays, so looking for garbage meanwhile (a sixteenth of the time) finds none."""
    gc.disable()
    try:
        from gateway import wiring

        app: App = (await wiring.gateway()).app
    finally:
        gc.enable()
    gc.freeze()  # nor will any later collection look through it
    return app


BRIDGE = Bridge(_app)
"""The one of this process."""
