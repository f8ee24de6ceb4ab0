"""Refusals: processor time for a wrong key, a foreign page, a caller over the limit and a bot, beyond the framework's.

In one process and without sockets: the gateway's ASGI application, and the same FastAPI stack that answers 202 without
doing anything. A goal is µs more than that.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from bench.accept import BODY
from bench.floor import app as floor
from gateway import wiring
from gateway.settings import Settings
from tests.conftest import CONFIG, KEYS, with_hashes

GOAL = 75
COUNT = 3000
ROUNDS = 5

FORM = """\
  {name}:
    kind: form
    origins: ["https://www.example.com"]
    limit: {limit}
    sender: noreply
    to: [info@example.com]
"""
SITE = {"origin": "https://www.example.com"}
FIELDS = b"name=Zoe&message=Hello"

App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


class Case(NamedTuple):
    """One request, and the status that it must have."""

    status: int
    path: str
    headers: Mapping[str, str]
    body: bytes = FIELDS


CASES = {
    "a wrong key": Case(401, "/v1/notifications", {"x-api-key": "wrong"}),
    "a key of another source": Case(403, "/v1/webhooks/alertmanager", {"x-api-key": KEYS["app"]}),
    "a source that is not there": Case(401, "/v1/webhooks/nobody", {"x-api-key": "wrong"}),
    "a foreign page": Case(403, "/v1/forms/contact", {"origin": "https://elsewhere.test"}),
    "one client over its limit": Case(429, "/v1/forms/client", SITE),
    "a source over its limit": Case(429, "/v1/forms/source", SITE),
    "a bot in the trap": Case(200, "/v1/forms/contact", SITE, b"name=Zoe&message=Hello&_gotcha=x"),
}


def main() -> None:
    """Measure and print."""
    logging.getLogger("gateway").setLevel(logging.CRITICAL)
    asyncio.run(_all())


async def _all() -> None:
    forms = FORM.format(name="client", limit="{address: {minute: 1}}") + FORM.format(
        name="source", limit="{source: {minute: 1}, address: off}"
    )
    with TemporaryDirectory() as folder:
        file = Path(folder) / "gateway.yaml"
        file.write_text(with_hashes(CONFIG.replace("admin:\n", f"{forms}admin:\n")), "utf-8")
        environ = {"GATEWAY_CONFIG": str(file), "GATEWAY_STORE": f"sqlite:{folder}/gateway.db"}
        gateway = await wiring.build(Settings.read(environ), environ)
        least = await _least(floor, Case(202, "/v1/notifications", {"content-type": "application/json"}, _json(BODY)))
        print(f"{'the framework alone':<28} {least:5.0f} µs")
        for name, case in CASES.items():
            for _ in range(2):  # to the limit, where there is one
                await _call(gateway.app, case)
            spent = await _least(gateway.app, case)
            verdict = "" if spent - least <= GOAL else f"  above the goal of {GOAL}"
            print(f"{name:<28} {spent:5.0f} µs  {spent - least:+5.0f} µs{verdict}")
        await gateway.close()


async def _least(app: App, case: Case) -> float:
    """Microseconds of processor time for one, in the best round."""
    rounds = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        for _ in range(COUNT):
            status = await _call(app, case)
        rounds.append((time.process_time() - begun) / COUNT * 1e6)
        assert status == case.status, (case.path, status)
    return min(rounds)


async def _call(app: App, case: Case) -> int:
    headers = {"host": "gateway.example.com", "content-length": str(len(case.body)), **case.headers}
    headers.setdefault("content-type", "application/x-www-form-urlencoded")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "https",
        "path": case.path,
        "raw_path": case.path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("203.0.113.7", 50123),
        "server": ("gateway.example.com", 443),
        "extensions": {},
    }
    answers: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": case.body, "more_body": False}

    async def send(event: dict[str, Any]) -> None:
        answers.append(event)

    await app(scope, receive, send)
    return int(answers[0]["status"])


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
