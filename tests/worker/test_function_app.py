"""function_app.py under Microsoft's worker: what it declares, and what a request becomes on its whole way."""

from __future__ import annotations

import asyncio
import io
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import yarl

from gateway import asgi
from tests.worker import messages
from tests.worker.apps import echo, mirror, respond
from tests.worker.conftest import Behind
from tests.worker.fakehost import Host
from tests.worker.process import ROOT
from tests.worker.worker import AVAILABLE, NEEDS, Worker

pytestmark = pytest.mark.skipif(not AVAILABLE, reason=NEEDS)

SOURCE = ROOT / "function_app.py"


@pytest.fixture
async def host(worker: Worker) -> AsyncIterator[Host]:
    """The worker behind a host of this test's own."""
    async with Host(worker) as running:
        yield running


def at(host: Host, path: str) -> yarl.URL:
    """The URL as it is written, nothing escaped or normalised by the client."""
    return yarl.URL(host.url + path, encoded=True)


async def test_the_worker_finds_exactly_these_functions(worker: Worker) -> None:
    """One HTTP function for every path and every method, whose keys the gateway checks itself."""
    found = {name: function.bindings for name, function in worker.functions.items()}

    assert found == {
        "http": [
            {"direction": "IN", "type": "httpTrigger", "name": "req", "authLevel": "ANONYMOUS", "route": "{*route}"},
            {"direction": "OUT", "type": "http", "name": "$return"},
        ]
    }


def test_the_switchboard_has_no_logic() -> None:
    """At most 60 lines, no decision, and none of the words by which a future worker would take it for a FastAPI app."""
    text = SOURCE.read_text("utf-8")

    assert len(text.splitlines()) <= 60
    assert re.findall(r"^\s*(?:if|for|while|try|match)\b", text, re.MULTILINE) == []
    assert "FastAPI()" not in text
    assert "from fastapi import" not in text


def test_importing_it_loads_nothing_of_ours_and_reads_no_configuration() -> None:
    """A broken configuration must not turn every route into the host's silent 404, nor a queue worker pay for HTTP."""
    script = (
        "import sys, azure.functions; before = set(sys.modules); import function_app; "
        "print(*sorted(set(sys.modules) - before))"
    )
    settings = {"GATEWAY_CONFIG": "/nowhere/gateway.yaml", "GATEWAY_STORE": "nonsense", "GATEWAY_ENVIRONMENT": "moon"}

    loaded = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=settings, capture_output=True, text=True, check=True
    )

    assert loaded.stdout.split() == ["function_app"]


async def test_what_a_caller_sends_reaches_the_application(
    host: Host, client: aiohttp.ClientSession, behind: Behind
) -> None:
    """Method, query, headers and body; the empty value that the host leaves out of `params` is there."""
    behind(echo)

    response = await client.patch(
        at(host, "/v1/a%20b?x=1&x=2&empty=&z=%C3%A9"), data=b"{}", headers={"X-Forwarded-For": "203.0.113.7:5000"}
    )
    request = await response.json()

    assert (request["method"], request["path"]) == ("PATCH", "/v1/a b")
    assert request["raw_path"] == "/v1/a%20b"
    assert request["query"] == "x=1&x=2&empty=&z=%C3%A9"
    assert request["client"] == ["203.0.113.7", 5000]
    assert request["body"] == b"{}".hex()
    assert request["headers"]["content-length"] == "2"


@pytest.mark.parametrize(
    ("sent", "path"),
    [
        ("/", "/"),
        ("/favicon.ico", "/favicon.ico"),
        ("/a/%2e%2e/b", "/b"),
        ("/a%2Fb", "/a/b"),
        ("/%C3%A9%3F", "/é?"),
        ("/%FF", "/\ufffd"),
        ("/V1/Notifications/", "/V1/Notifications/"),
    ],
)
async def test_a_path_arrives_decoded_once(
    host: Host, client: aiohttp.ClientSession, behind: Behind, sent: str, path: str
) -> None:
    """Through Kestrel's decoding, the host's escaping and the bridge's decoding."""
    behind(echo)

    response = await client.get(at(host, sent))

    assert path == (await response.json())["path"]


async def test_binary_bodies_come_back_unchanged(host: Host, client: aiohttp.ClientSession, behind: Behind) -> None:
    """Every byte value, and a body as long as the gateway takes."""
    behind(mirror)
    for body in (bytes(range(256)), b"\0" * 10 * 1024 * 1024):
        response = await client.post(at(host, "/x"), data=io.BytesIO(body))

        assert body == await response.read()


async def test_a_chunked_body_is_lost_and_its_header_says_so(
    host: Host, client: aiohttp.ClientSession, behind: Behind
) -> None:
    """azure-functions-host issue 4926: the gateway can answer 411 only because the header arrives."""
    behind(echo)

    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"to": "a@example.com"}'

    request = await (await client.post(at(host, "/v1/notifications"), data=chunks())).json()

    assert request["body"] == ""
    assert request["headers"]["transfer-encoding"] == "chunked"
    assert "content-length" not in request["headers"]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"])
async def test_every_method_arrives(host: Host, client: aiohttp.ClientSession, behind: Behind, method: str) -> None:
    """The trigger lists none, since the host answers 404 to what is not listed."""
    behind(echo)

    response = await client.request(method, at(host, "/x"))

    assert method == (await response.json())["method"]


async def test_head_has_the_headers_and_no_body(host: Host, client: aiohttp.ClientSession, behind: Behind) -> None:
    """Monitoring asks so."""
    behind(echo)

    response = await client.head(at(host, "/health/live"))

    assert (response.status, response.headers["content-type"]) == (200, "application/json")
    assert await response.read() == b""


async def test_an_answer_arrives_as_it_was_given(host: Host, client: aiohttp.ClientSession, behind: Behind) -> None:
    """Status, repeated headers, plain cookies; no type, no charset and no length of the library's own."""

    async def app(scope: asgi.Event, _: asgi.Receive, send: asgi.Send) -> None:
        if scope["type"] == "http":
            headers = [(b"vary", b"origin"), (b"vary", b"accept"), (b"set-cookie", b"a=1; Path=/"), (b"x", b"\xe9")]
            await respond(send, 207, [*headers, (b"content-length", b"4")], b"body")

    behind(app)
    response = await client.get(at(host, "/x"))

    assert (response.status, await response.read()) == (207, b"body")
    assert response.headers["vary"] == "origin, accept"
    assert response.headers["set-cookie"].startswith("a=1;")
    assert response.headers["x"] == "%E9"
    assert "content-type" not in response.headers


async def test_fifty_first_requests_at_once_build_one_application(
    host: Host, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cold start under load, through the real worker."""
    built = []

    async def factory() -> asgi.App:
        built.append(1)
        await asyncio.sleep(0.05)
        return mirror

    monkeypatch.setattr(asgi, "BRIDGE", asgi.Bridge(factory))

    responses = await asyncio.gather(*(client.post(at(host, "/x"), data=b"hello") for _ in range(50)))

    assert [200] * 50 == [response.status for response in responses]
    assert built == [1]


async def test_an_exception_is_problem_json_and_not_the_hosts_empty_500(
    host: Host, client: aiohttp.ClientSession, behind: Behind
) -> None:
    """The caller learns whose fault it is."""

    async def app(scope: asgi.Event, _: asgi.Receive, __: asgi.Send) -> None:
        if scope["type"] == "http":
            raise ZeroDivisionError

    behind(app)
    response = await client.post(at(host, "/x"), data=b"secret")

    assert (response.status, response.content_type) == (500, "application/problem+json")
    assert json.loads(await response.read())["code"] == "internal"


async def test_fifty_slow_requests_run_side_by_side(worker: Worker, behind: Behind) -> None:
    """The function is async, so one worker holds as many as the host gives it."""
    inside = 0
    all_inside = asyncio.Event()

    async def app(scope: asgi.Event, _: asgi.Receive, send: asgi.Send) -> None:
        nonlocal inside
        if scope["type"] == "http":
            inside += 1
            if inside == 50:
                all_inside.set()
            await all_inside.wait()
            await respond(send, 200, [])

    behind(app)
    request = messages.http("GET", "http://h/x")
    answers: list[Any] = await asyncio.wait_for(
        asyncio.gather(*(worker.invoke("http", request) for _ in range(50))), timeout=10
    )

    assert {"200"} == {answer.return_value.http.status_code for answer in answers}
