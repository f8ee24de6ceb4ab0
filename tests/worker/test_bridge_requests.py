"""The bridge's requests and answers: plain values in, plain values out, and nothing lost between them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from gateway.asgi import Answer, Event, Receive, Send
from tests.worker.apps import bridge_to, echo, events, mirror, respond


async def seen(url: str, headers: dict[str, str] | None = None, method: str = "GET", body: bytes = b"") -> Any:
    """What the application saw of a request."""
    return json.loads((await bridge_to(echo)(method, url, headers or {}, body)).body)


async def answer_of(status: int, headers: list[tuple[bytes, bytes]], body: bytes = b"", method: str = "GET") -> Answer:
    """What goes back to the host when the application answers this."""

    async def app(scope: Event, _: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await respond(send, status, headers, body)

    return await bridge_to(app)(method, "http://h/", {}, b"")


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
