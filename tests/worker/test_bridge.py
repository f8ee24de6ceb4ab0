"""The ASGI bridge alone: plain values in, plain values out, whatever the application or its start-up does."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from gateway import asgi
from gateway.asgi import Answer, App, Bridge, Event, Receive, Send
from gateway.errors import ConfigurationError, Problem
from tests.worker.apps import echo, mirror, respond

PROBLEM = Problem("gateway.yaml", 12, "sources.crm.allow", "is required; write who may get mail")
OTHER = Problem("gateway.yaml", 20, "senders.noreply", "must be one of acs, capture")


def bridge_to(app: App) -> Bridge:
    async def factory() -> App:
        return app

    return Bridge(factory)


async def seen(url: str, headers: dict[str, str] | None = None, method: str = "GET", body: bytes = b"") -> Any:
    """What the application saw of a request."""
    return json.loads((await bridge_to(echo)(method, url, headers or {}, body)).body)


async def answer_of(status: int, headers: list[tuple[bytes, bytes]], body: bytes = b"", method: str = "GET") -> Answer:
    """What goes back to the host when the application answers this."""

    async def app(scope: Event, _: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await respond(send, status, headers, body)

    return await bridge_to(app)(method, "http://h/", {}, b"")


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The words of the error lines."""
    return [json.loads(record.getMessage())["event"] for record in caplog.records if record.levelno == logging.ERROR]


class _Building:
    """A factory that counts its calls, waits for `go`, and fails as often as it is told."""

    def __init__(self, *, failures: int = 0, error: Exception | None = None) -> None:
        self.calls = 0
        self.go = asyncio.Event()
        self._failures = failures
        self._error = error or ConfigurationError([PROBLEM, OTHER])

    async def __call__(self) -> App:
        self.calls += 1
        await self.go.wait()
        if self.calls <= self._failures:
            raise self._error
        return mirror


async def at_once(bridge: Bridge, building: _Building, count: int) -> list[int]:
    """The statuses of requests that all come before the application is there."""
    requests = [asyncio.create_task(bridge("POST", "http://h/x", {}, b"")) for _ in range(count)]
    await asyncio.sleep(0)
    building.go.set()
    return [(await request).status for request in requests]


async def test_fifty_first_requests_at_once_build_the_application_once() -> None:
    """A burst at a cold start makes one application."""
    building = _Building()

    statuses = await at_once(Bridge(building), building, 50)

    assert [200] * 50 == statuses
    assert building.calls == 1


async def test_a_failed_start_is_shared_by_those_who_wait_and_tried_again_by_the_next() -> None:
    """A broken start costs a burst one attempt, and heals without a restart."""
    building = _Building(failures=1)
    bridge = Bridge(building)

    assert await at_once(bridge, building, 20) == [503] * 20
    assert building.calls == 1
    assert (await bridge("POST", "http://h/x", {}, b"")).status == 200
    assert building.calls == 2


async def test_a_cancelled_request_does_not_take_the_start_with_it() -> None:
    """The others who wait for the same start still get it."""
    building = _Building()
    bridge = Bridge(building)
    first = asyncio.create_task(bridge("GET", "http://h/", {}, b""))
    second = asyncio.create_task(bridge("GET", "http://h/", {}, b""))
    await asyncio.sleep(0)

    first.cancel()
    building.go.set()

    assert (await second).status == 200
    assert building.calls == 1


async def test_a_broken_configuration_is_alive_but_nothing_else() -> None:
    """Every door says why; /health/live is 200, so that nobody restarts what a restart cannot heal."""
    building = _Building(failures=99)
    building.go.set()
    bridge = Bridge(building)

    live = await bridge("GET", "http://h/health/live", {}, b"")
    door = await bridge("POST", "http://h/v1/notifications", {}, b"{}")
    ready = await bridge("GET", "http://h/health/ready?verbose=1", {}, b"")

    assert (200, "ok") == (live.status, json.loads(live.body)["status"])
    assert door.status == 503
    assert dict(door.headers) == {"content-type": "application/problem+json", "retry-after": "30"}
    assert json.loads(door.body)["code"] == "configuration_invalid"
    assert str(PROBLEM) in json.loads(door.body)["detail"]
    assert ready.status == 503
    assert json.loads(ready.body)["problems"] == [str(PROBLEM), str(OTHER)]


async def test_another_failure_at_start_is_named_by_its_type_only(caplog: pytest.LogCaptureFixture) -> None:
    """An exception's text may hold a connection string, so the caller does not get it."""
    building = _Building(failures=99, error=OSError("AccountKey=abc"))
    building.go.set()

    answer = await Bridge(building)("POST", "http://h/v1/notifications", {}, b"")

    assert answer.status == 503
    assert json.loads(answer.body)["code"] == "not_started"
    assert b"OSError" in answer.body
    assert b"AccountKey" not in answer.body
    assert events(caplog) == ["start_failed"]
    assert "AccountKey" not in caplog.text


class _Lived:
    """An application with a lifespan, which counts what happens to it."""

    def __init__(self, *, refuse: int = 0) -> None:
        self.events: list[str] = []
        self._refuse = refuse

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await respond(send, 200, [], scope["state"]["pool"])
            return
        while True:
            event = (await receive())["type"]
            self.events.append(event)
            if len(self.events) <= self._refuse:
                await send({"type": "lifespan.startup.failed", "message": "AccountKey=abc"})
                raise ConnectionError
            scope["state"]["pool"] = b"connections"
            await send({"type": f"{event}.complete"})
            if event == "lifespan.shutdown":
                return


async def test_the_lifespan_starts_once_and_its_state_reaches_every_request() -> None:
    """Startup runs once for a burst, before the first request, and shutdown when it is asked for."""
    app = _Lived()
    bridge = bridge_to(app)

    answers = await asyncio.gather(*(bridge("GET", "http://h/", {}, b"") for _ in range(20)))
    await bridge.shutdown()

    assert [b"connections"] * 20 == [answer.body for answer in answers]
    assert app.events == ["lifespan.startup", "lifespan.shutdown"]


async def test_a_trigger_without_http_can_start_the_application() -> None:
    """A queue function may come first; the HTTP call after it finds the application started."""
    app = _Lived()
    bridge = bridge_to(app)

    await bridge.startup()
    await bridge("GET", "http://h/", {}, b"")
    await bridge.shutdown()

    assert app.events == ["lifespan.startup", "lifespan.shutdown"]


async def test_an_application_that_refuses_to_start_is_tried_again() -> None:
    """503 without the application's own words, then 200."""
    app = _Lived(refuse=1)
    bridge = bridge_to(app)

    first = await bridge("GET", "http://h/", {}, b"")
    second = await bridge("GET", "http://h/", {}, b"")
    await bridge.shutdown()

    assert (503, 200) == (first.status, second.status)
    assert b"AccountKey" not in first.body


async def test_an_application_without_a_lifespan_starts_too() -> None:
    """ASGI lets an application raise at a lifespan that it does not know."""

    async def app(scope: Event, _: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        await respond(send, 200, [], b"here")

    assert (await bridge_to(app)("GET", "http://h/", {}, b"")).body == b"here"


async def test_the_query_is_the_urls() -> None:
    """Empty values, repeats, order and escapes stay as the caller wrote them."""
    assert (await seen("http://h/a?b=&a=1&a=2&c&d=%C3%A9+%2B"))["query"] == "b=&a=1&a=2&c&d=%C3%A9+%2B"


@pytest.mark.parametrize(
    ("url", "raw_path", "path"),
    [
        ("http://h/", "/", "/"),
        ("http://h", "/", "/"),
        ("http://h?a=/b://c", "/", "/"),
        ("https://h:7071/a%20b/%C3%A9", "/a%20b/%C3%A9", "/a b/é"),
        ("http://h/a%2Fb%253F", "/a%2Fb%253F", "/a/b%3F"),
        ("http://h/http://other/x", "/http://other/x", "/http://other/x"),
        ("http://h/%FF", "/%FF", "/\ufffd"),
    ],
)
async def test_the_path_is_decoded_once(url: str, raw_path: str, path: str) -> None:
    """The raw path stays beside it."""
    request = await seen(url)

    assert (raw_path, path) == (request["raw_path"], request["path"])


@settings(deadline=None)
@given(st.text())
def test_no_url_breaks_the_bridge(text: str) -> None:
    """Whatever the host passes on, the application answers."""
    url = "http://h/" + text.encode("utf-8", "replace").decode()

    assert asyncio.run(bridge_to(echo)("GET", url, {}, b"")).status == 200


async def test_headers_are_bytes_as_on_the_wire() -> None:
    """Names in lower case; the host decoded the values as UTF-8, so UTF-8 they become again."""
    request = await seen("http://h/", {"X-Name": "Zoë", "transfer-encoding": "chunked"})

    assert request["headers"] == {"x-name": "Zoë", "transfer-encoding": "chunked"}


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        (None, None),
        ("203.0.113.7", ["203.0.113.7", 0]),
        ("203.0.113.7:51234", ["203.0.113.7", 51234]),
        ("10.0.0.1, 198.51.100.9:443", ["198.51.100.9", 443]),
        ("10.0.0.1,[2001:db8::5]:443", ["2001:db8::5", 443]),
        ("2001:db8::5", ["2001:db8::5", 0]),
        ("nonsense:x", ["nonsense:x", 0]),
    ],
)
async def test_the_client_is_whom_the_nearest_proxy_saw(forwarded: str | None, client: list[Any] | None) -> None:
    """Only the last entry of X-Forwarded-For is Azure's; a caller may have written the ones before."""
    headers = {} if forwarded is None else {"x-forwarded-for": forwarded}

    assert (await seen("http://h/", headers))["client"] == client


@pytest.mark.parametrize(
    ("url", "scheme", "server"),
    [
        ("http://127.0.0.1:7071/", "http", ["127.0.0.1", 7071]),
        ("https://gateway.azurewebsites.net/", "https", ["gateway.azurewebsites.net", 443]),
        ("http://[::1]:7071/", "http", ["::1", 7071]),
    ],
)
async def test_scheme_and_server_are_the_urls(url: str, scheme: str, server: list[Any]) -> None:
    """The host has set both right from Azure's front end already."""
    request = await seen(url)

    assert (scheme, server) == (request["scheme"], request["server"])


async def test_a_body_of_any_bytes_goes_through() -> None:
    """All 256 values, both ways."""
    body = bytes(range(256))

    assert (await bridge_to(mirror)("POST", "http://h/", {}, body)).body == body


async def test_repeated_headers_become_one_value_and_cookies_stay_apart() -> None:
    """The host keeps the last of a repeated header only; a cookie may hold a comma."""
    answer = await answer_of(
        200, [(b"Vary", b"Origin"), (b"set-cookie", b"a=1"), (b"vary", b"Accept"), (b"set-cookie", b"b=2")]
    )

    assert answer.headers == [("vary", "Origin, Accept"), ("set-cookie", "a=1"), ("set-cookie", "b=2")]


async def test_the_host_writes_the_length_and_nobody_adds_a_type() -> None:
    """Content-Length goes, and an answer without Content-Type stays without."""
    answer = await answer_of(200, [(b"Content-Length", b"2"), (b"Transfer-Encoding", b"chunked")], b"ok")

    assert answer == Answer(200, [], b"ok")


async def test_a_header_value_that_kestrel_would_refuse_is_escaped() -> None:
    """One character beyond ASCII, or a line break, would make the host answer 500 instead."""
    answer = await answer_of(303, [(b"location", "/müde?a=%20".encode("latin-1")), (b"x", b"a\r\nb: c")])

    assert answer.headers == [("location", "/m%FCde?a=%20"), ("x", "a%0D%0Ab: c")]


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
async def test_an_answer_that_must_have_no_body_has_none(method: str, status: int) -> None:
    """Its headers stay."""
    answer = await answer_of(status, [(b"etag", b"1")], b"body", method)

    assert answer == Answer(status, [("etag", "1")], b"")


async def test_an_exception_becomes_problem_json_and_its_log_line_has_no_body(caplog: pytest.LogCaptureFixture) -> None:
    """The host would have made an empty 500 of it."""

    async def app(scope: Event, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await receive()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise ValueError

    answer = await bridge_to(app)("POST", "http://h/v1/secret-path", {"x-api-key": "secret-key"}, b"secret-body")

    assert answer.status == 500
    assert dict(answer.headers) == {"content-type": "application/problem+json"}
    assert json.loads(answer.body)["code"] == "internal"
    assert events(caplog) == ["request_failed"]
    assert "secret" not in caplog.text


async def test_an_answer_that_was_complete_before_the_exception_stays() -> None:
    """Starlette answers an unhandled exception itself and raises it again."""

    async def app(scope: Event, _: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await respond(send, 418, [], b"own words")
            raise ValueError

    assert await bridge_to(app)("GET", "http://h/", {}, b"") == Answer(418, [], b"own words")


async def test_an_application_that_says_nothing_is_an_error_of_ours() -> None:
    """Never an empty 200."""

    async def app(_: Event, __: Receive, ___: Send) -> None:
        return

    assert (await bridge_to(app)("GET", "http://h/", {}, b"")).status == 500


async def test_a_streamed_answer_arrives_whole() -> None:
    """receive() must not report a hang-up while the application still answers."""

    async def numbers() -> AsyncIterator[bytes]:
        for number in range(3):
            await asyncio.sleep(0)
            yield str(number).encode()

    async def stream(_: Request) -> StreamingResponse:
        return StreamingResponse(numbers())

    bridge = bridge_to(Starlette(routes=[Route("/", stream)]))

    assert (await bridge("GET", "http://h/", {}, b"")).body == b"012"
    await bridge.shutdown()


async def test_whoever_waits_for_a_hang_up_hears_of_it_after_the_answer() -> None:
    """And not before."""
    heard = []

    async def app(scope: Event, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await receive()
            hang_up = asyncio.ensure_future(receive())
            await asyncio.sleep(0)
            heard.append(hang_up.done())
            await respond(send, 200, [])
            heard.append((await hang_up)["type"])

    await bridge_to(app)("GET", "http://h/", {}, b"")

    assert heard == [False, "http.disconnect"]


async def test_a_failed_start_leaves_the_garbage_collector_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """It pauses while the real gateway is built, and must not stay so when that fails."""
    monkeypatch.setenv("GATEWAY_CONFIG", "/nowhere/gateway.yaml")

    answer = await Bridge(asgi._app)("GET", "http://h/v1/notifications", {}, b"")

    assert json.loads(answer.body)["code"] == "configuration_invalid"
    assert gc.isenabled()
