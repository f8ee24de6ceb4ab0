"""function_app.py under Microsoft's worker: what it declares, and what a request becomes on its whole way."""

from __future__ import annotations

import asyncio
import io
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from gateway import asgi
from tests.worker import messages
from tests.worker.apps import echo, mirror, respond
from tests.worker.caller import Caller
from tests.worker.conftest import Behind
from tests.worker.fakehost import Host
from tests.worker.process import ROOT
from tests.worker.worker import AVAILABLE, NEEDS, Worker

pytestmark = pytest.mark.skipif(not AVAILABLE, reason=NEEDS)

SOURCE = ROOT / "function_app.py"


@pytest.fixture
async def caller(worker: Worker) -> AsyncIterator[Caller]:
    """Calls the worker through a host of this test's own."""
    async with Host(worker) as host, aiohttp.ClientSession() as session:
        yield Caller(session, host.url)


async def test_the_worker_finds_exactly_these_functions(worker: Worker) -> None:
    """HTTP on every path and method, whose keys the gateway checks itself; every queue with its poison; a timer."""
    found = {name: function.bindings for name, function in worker.functions.items()}

    http = [
        {"direction": "IN", "type": "httpTrigger", "name": "req", "authLevel": "ANONYMOUS", "route": "{*route}"},
        {"direction": "OUT", "type": "http", "name": "$return"},
    ]
    timer = {"direction": "IN", "type": "timerTrigger", "name": "timer", "schedule": "0 * * * * *"}
    queues = {
        f"{name}{poison}".replace("-", "_"): [
            {
                "direction": "IN",
                "type": "queueTrigger",
                "name": "msg",
                "queueName": f"{name}{poison}",
                "connection": "AzureWebJobsStorage",
                "dataType": "BINARY",
            }
        ]
        for name in ("notifications", "outbox", "outbox-high", "delivery-reports")
        for poison in ("", "-poison")
    }
    assert found == {"http": http, "sweep": [timer], **queues}


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


BROKEN = """
import asyncio, sys
sys.modules["MODULE"] = None  # as a package that was built for another Python: it is there, and its import fails
from types import SimpleNamespace
import azure.functions as func
import function_app
context = SimpleNamespace(trace_context=SimpleNamespace(trace_parent=""))
functions = {one.get_function_name(): one.get_user_function() for one in function_app.app.get_functions()}
def call(name, argument):
    try:
        return asyncio.run(functions[name](argument, context))
    except Exception as error:
        print(type(error).__name__, name)
post = func.HttpRequest("POST", "http://h/v1/notifications", body=b"{}")
answer = call("http", post)
print(answer.status_code, answer.get_body().decode())
call("outbox", func.QueueMessage(body=b"00000000-0000-4000-8000-000000000000-1"))
call("outbox_poison", func.QueueMessage(body=b"00000000-0000-4000-8000-000000000000-1"))
call("sweep", SimpleNamespace(past_due=False))
"""


@pytest.mark.parametrize("module", ["pydantic", "pydantic_core._pydantic_core", "yaml", "gateway.wiring"])
def test_a_package_for_another_python_is_named_in_the_log_and_answered_503(module: str) -> None:
    """Its first import fails: an empty 500 on every door otherwise, and messages that go to poison unexplained."""
    script = BROKEN.replace("MODULE", module)
    settings = {
        "GATEWAY_STORE": "azure",
        "AzureWebJobsStorage": "UseDevelopmentStorage=true",
        "GATEWAY_ENVIRONMENT": "local",
    }

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=settings, capture_output=True, text=True, check=True
    )

    door = next(line for line in done.stdout.splitlines() if line.startswith("503"))
    assert "configuration_invalid" in door
    assert ["outbox", "outbox_poison", "sweep"] == re.findall(r"^\w+ (\w+)$", done.stdout, re.MULTILINE)
    lines = re.findall(r'"problem": "requirements.txt:0: ([^:]+): [^"]*', done.stderr)
    assert len(lines) >= 4, done.stderr
    assert f"Python {sys.version.split()[0]}" in done.stderr
    assert sys.implementation.cache_tag in done.stderr


async def test_what_a_caller_sends_reaches_the_application(caller: Caller, behind: Behind) -> None:
    """Method, query, headers and body; the empty value that the host leaves out of `params` is there."""
    behind(echo)

    response = await caller.request(
        "PATCH", ("/v1/a%20b?x=1&x=2&empty=&z=%C3%A9"), data=b"{}", headers={"X-Forwarded-For": "203.0.113.7:5000"}
    )
    request = response.json()

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
async def test_a_path_arrives_decoded_once(caller: Caller, behind: Behind, sent: str, path: str) -> None:
    """Through Kestrel's decoding, the host's escaping and the bridge's decoding."""
    behind(echo)

    response = await caller.get(sent)

    assert path == response.json()["path"]


async def test_binary_bodies_come_back_unchanged(caller: Caller, behind: Behind) -> None:
    """Every byte value, and a body as long as the gateway takes."""
    behind(mirror)
    for body in (bytes(range(256)), b"\0" * 10 * 1024 * 1024):
        response = await caller.post("/x", data=io.BytesIO(body))

        assert body == response.body


async def test_a_chunked_body_is_lost_and_its_header_says_so(caller: Caller, behind: Behind) -> None:
    """azure-functions-host issue 4926: the gateway can answer 411 only because the header arrives."""
    behind(echo)

    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"to": "a@example.com"}'

    request = (await caller.post("/v1/notifications", data=chunks())).json()

    assert request["body"] == ""
    assert request["headers"]["transfer-encoding"] == "chunked"
    assert "content-length" not in request["headers"]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"])
async def test_every_method_arrives(caller: Caller, behind: Behind, method: str) -> None:
    """The trigger lists none, since the host answers 404 to what is not listed."""
    behind(echo)

    response = await caller.request(method, "/x")

    assert method == response.json()["method"]


async def test_head_has_the_headers_and_no_body(caller: Caller, behind: Behind) -> None:
    """Monitoring asks so."""
    behind(echo)

    response = await caller.head("/health/live")

    assert (response.status, response.headers["content-type"]) == (200, "application/json")
    assert response.body == b""


async def test_an_answer_arrives_as_it_was_given(caller: Caller, behind: Behind) -> None:
    """Status, repeated headers, plain cookies; no type, no charset and no length of the library's own."""

    async def app(scope: asgi.Event, _: asgi.Receive, send: asgi.Send) -> None:
        if scope["type"] == "http":
            headers = [(b"vary", b"origin"), (b"vary", b"accept"), (b"set-cookie", b"a=1; Path=/"), (b"x", b"\xe9")]
            await respond(send, 207, [*headers, (b"content-length", b"4")], b"body")

    behind(app)
    response = await caller.get("/x")

    assert (response.status, response.body) == (207, b"body")
    assert response.headers["vary"] == "origin, accept"
    assert response.headers["set-cookie"].startswith("a=1;")
    assert response.headers["x"] == "%E9"
    assert "content-type" not in response.headers


async def test_fifty_first_requests_at_once_build_one_application(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cold start under load, through the real worker."""
    built = []

    async def factory() -> asgi.App:
        built.append(1)
        await asyncio.sleep(0.05)
        return mirror

    monkeypatch.setattr(asgi, "BRIDGE", asgi.Bridge(factory))

    responses = await asyncio.gather(*(caller.post("/x", data=b"hello") for _ in range(50)))

    assert [200] * 50 == [response.status for response in responses]
    assert built == [1]


async def test_an_exception_is_problem_json_and_not_the_hosts_empty_500(caller: Caller, behind: Behind) -> None:
    """The caller learns whose fault it is."""

    async def app(scope: asgi.Event, _: asgi.Receive, __: asgi.Send) -> None:
        if scope["type"] == "http":
            raise ZeroDivisionError

    behind(app)
    response = await caller.post("/x", data=b"secret")

    assert (response.status, response.headers["content-type"]) == (500, "application/problem+json")
    assert response.json()["code"] == "internal"


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
