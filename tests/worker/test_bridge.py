"""The bridge's start: built once for everybody, tried again after a failure, and honest about why it failed."""

from __future__ import annotations

import asyncio
import gc
import json

import pytest

from gateway import asgi
from gateway.asgi import App, Bridge, Event, Receive, Send
from gateway.errors import ConfigurationError, Problem
from tests.worker.apps import bridge_to, events, mirror, respond

PROBLEM = Problem("gateway.yaml", 12, "sources.crm.allow", "is required; write who may get mail")
OTHER = Problem("gateway.yaml", 20, "senders.noreply", "must be one of acs, capture")


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
    """Anybody may ask, so every door only says how many mistakes there are; /health/live is 200, so that nobody
    restarts what a restart cannot heal.
    """
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
    assert "2 mistakes" in json.loads(door.body)["detail"]
    assert ready == door
    assert [word for word in ("gateway.yaml", "sources", "crm", "noreply") if word in str(door.body)] == []


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


async def test_a_failed_start_leaves_the_garbage_collector_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """It pauses while the real gateway is built, and must not stay so when that fails."""
    monkeypatch.setenv("GATEWAY_CONFIG", "/nowhere/gateway.yaml")

    answer = await Bridge(asgi._app)("GET", "http://h/v1/notifications", {}, b"")

    assert json.loads(answer.body)["code"] == "configuration_invalid"
    assert gc.isenabled()
