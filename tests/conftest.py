"""Fixtures for every test: a clean environment, and the whole gateway on a real port."""

from __future__ import annotations

import asyncio
import io
import json
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import pytest

from gateway import guard, wiring
from gateway.auth import hash_key
from gateway.connections import Connections, Patience
from gateway.host import working
from gateway.message import OPEN
from gateway.protocol import limited
from gateway.settings import Settings
from gateway.wiring import Gateway
from tests import azurite as emulator
from tests.servers.serve import serve

OWN = "tests-key-"
"""What the tests' keys begin with: those of the samples, which everybody knows, open nothing but one's own machine."""

KEYS = {name: f"{OWN}{name}" for name in ("app", "app2", "other", "alertmanager", "admin")}
"""Every test's keys by source, as clear text."""

CONFIG = """\
senders:
  noreply: {transport: capture, address: noreply@example.com, name: Example}
recipients:
  ops: [ops@example.com, oncall@example.com]
sources:
  contact:
    kind: form
    origins: ["https://www.example.com", "http://127.0.0.1:9999"]
    sender: noreply
    to: [info@example.com]
    reply_to: "{{ fields.email }}"
    limit: off
  alertmanager:
    kind: alertmanager
    keys: [HASH-alertmanager]
    sender: noreply
    routes:
      - match: {severity: critical}
        to: ops
        priority: high
      - to: [alerts@example.com]
  by-path:
    kind: alertmanager
    keys: [HASH-alertmanager]
    key_in_path: true
    sender: noreply
    to: [alerts@example.com]
  app:
    kind: native
    keys: [HASH-app, HASH-app2]
    sender: noreply
    allow: ["*@example.com"]
  other:
    kind: native
    keys: [HASH-other]
    sender: noreply
    allow: ["*"]
admin:
  keys: [HASH-admin]
"""


def with_hashes(config: str, prefix: str = OWN) -> str:
    """`HASH-name` stands for the hash of the tests' key of this name, or of one with another prefix."""
    for name in sorted(KEYS, key=len, reverse=True):
        config = config.replace(f"HASH-{name}", f'"{hash_key(prefix + name)}"')
    return config


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on what the developer's shell has set."""
    for name in list(os.environ):
        if name.startswith(("GATEWAY_", "ACS_", "GRAPH_", "AZURE_", "AzureWebJobsStorage")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def azurite() -> Iterator[emulator.Azurite]:
    """Microsoft's storage emulator, one for all tests; `account()` is an empty storage account."""
    with emulator.running() as running_emulator:
        yield running_emulator


@dataclass
class Running:
    """A gateway that serves on `url`; `http` is a client, `get` and `post` add the base URL."""

    url: str
    gateway: Gateway
    http: aiohttp.ClientSession

    async def call(self, method: str, path: str, **options: Any) -> Reply:
        """One request, its answer read to the end."""
        options.setdefault("allow_redirects", False)
        async with self.http.request(method, self.url + path, **options) as response:
            return Reply(response.status, response.headers, await response.read(), response)

    async def send(self, body: Any = None, key: str | None = KEYS["app"], **options: Any) -> Reply:
        """POST to the native door; `body` is JSON unless it is bytes."""
        headers = {**({"Authorization": f"Bearer {key}"} if key else {}), **options.pop("headers", {})}
        content = {"data": io.BytesIO(body)} if isinstance(body, bytes) else {"json": body}
        return await self.call("POST", "/v1/notifications", headers=headers, **content, **options)

    async def mails(self, count: int = 1, **query: str) -> list[Any]:
        """All captured mails, as soon as there are `count`."""
        for _ in range(1000):
            params = {"wait": "10", "limit": "1000", **query}
            reply = await self.call("GET", "/v1/captured", params=params, headers={"x-api-key": KEYS["admin"]})
            if len(reply.json["items"]) >= count:
                return list(reply.json["items"])
            await asyncio.sleep(0.02)
        raise AssertionError(f"there are only {len(reply.json['items'])} mails")

    async def status(self, id: str, *, wait: bool = True) -> Any:
        """A notification as an operator sees it, once nothing of it is open any more."""
        for _ in range(500):
            shown = (await self.call("GET", f"/v1/notifications/{id}", headers={"x-api-key": KEYS["admin"]})).json
            if not wait or shown["status"] not in OPEN:
                return shown
            await asyncio.sleep(0.02)
        raise AssertionError(f"it did not end: {shown}")


@dataclass
class Reply:
    """An answer: status, headers, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    response: aiohttp.ClientResponse

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def code(self) -> tuple[int, str]:
        """Status and problem code."""
        return self.status, self.json.get("code", "")


class Start(Protocol):
    """Starts gateways."""

    async def __call__(self, config: str = CONFIG, **environ: str) -> Running:
        """One gateway; it ends with the test."""
        ...


@asynccontextmanager
async def running(folder: Path, config: str = CONFIG, **environ: str) -> AsyncIterator[Running]:
    """A whole gateway for the length of a block: HTTP, doorbells, timers, on a store of its own in `folder`."""
    file = folder / "gateway.yaml"
    file.write_text(with_hashes(config), "utf-8")
    environ = {
        "GATEWAY_ENVIRONMENT": "test",
        "GATEWAY_CONFIG": str(file),
        "GATEWAY_STORE": f"sqlite:{folder / 'gateway.db'}",
        **environ,
    }
    settings = Settings.read(environ)
    access = guard.listener("127.0.0.1", (), settings.environment, opened=False)
    gateway = await wiring.build(settings, environ, access)
    try:
        server = serve(gateway.app, lifespan="off", protocol=limited(Connections(Patience())))
        async with working(gateway), server as url, aiohttp.ClientSession() as http:
            yield Running(url, gateway, http)
    finally:
        await gateway.close()


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Start a gateway with a configuration and environment of the test's choice."""
    async with AsyncExitStack() as stack:

        async def begin(config: str = CONFIG, **environ: str) -> Running:
            return await stack.enter_async_context(running(tmp_path, config, **environ))

        yield begin


@pytest.fixture
async def gateway(start: Start) -> Running:
    """A gateway with the tests' configuration."""
    return await start()
