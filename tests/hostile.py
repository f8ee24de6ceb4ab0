"""A gateway without a socket, for what a hostile body costs: what the process spends is spent on it.

A body comes in as it really would: by the ASGI application, the queue's intake, the reader of delivery reports, or as a
mail whose pages somebody opens in the inbox.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway import reports, wiring
from gateway.queues import Intake, readable
from gateway.settings import Settings
from gateway.wiring import Gateway
from tests.conftest import CONFIG, KEYS, with_hashes
from tests.hostile_shapes import JSON, Hostile

ADMIN = {"x-api-key": KEYS["admin"]}
LOOKS = frozenset({"/v1/notifications", "/v1/captured", "/v1/suppressions", "/"})
HEADS = (
    ("POST", "/v1/forms/contact"),
    ("OPTIONS", "/v1/forms/contact"),
    ("POST", "/v1/webhooks/alertmanager"),
    ("GET", "/v1/webhooks/alertmanager"),
    ("POST", "/v1/notifications"),
    ("GET", "/v1/notifications"),
    ("GET", "/v1/captured"),
    ("GET", "/v1/suppressions"),
    ("GET", "/"),
    ("GET", "/health/ready"),
)

PATHS = {"form": "/v1/forms/contact", "webhook": "/v1/webhooks/alertmanager", "native": "/v1/notifications"}


@dataclass
class Doors:
    """A gateway without a socket: what it spends is all there is."""

    gateway: Gateway

    async def cost(self, door: str, hostile: Hostile, size: int) -> tuple[float, int, str]:
        """Processor seconds, the body's length and what became of it."""
        body = hostile.make(size)
        if door == "inbox":
            return await self._inbox(body)
        if door == "head":
            return await self._head(hostile, body.decode())
        begun = time.process_time()
        ended = await self._taken(door, body, hostile.headers)
        return time.process_time() - begun, len(body), ended

    async def _taken(self, door: str, body: bytes, headers: Mapping[str, str]) -> str:
        if door == "reports":
            try:
                return f"{len(reports.parse(readable(body)))} reports"
            except reports.Unreadable:
                return "unreadable"
        if door == "queue":
            named = body.replace(b"{", b'{"source": "app", ', 1)
            await Intake(self.gateway.config, self.gateway.store, lambda: self.gateway.line, None).take(named, "m")
            return "taken"
        key = {"form": {}, "webhook": {"x-api-key": KEYS["alertmanager"]}, "native": {"x-api-key": KEYS["app"]}}[door]
        status, answer = await self.request("POST", PATHS[door], body, {**headers, **key})
        return f"{status} {json.loads(answer).get('code', '')}".strip()

    async def _inbox(self, body: bytes) -> tuple[float, int, str]:
        status, answer = await self.request("POST", PATHS["native"], body, {**JSON, "x-api-key": KEYS["app"]})
        if status != 202:
            return 0.0, len(body), f"{status}"
        id = json.loads(answer)["id"] + "-1"
        await self.gateway.delivery.deliver(id)
        begun = time.process_time()
        (mail,) = await self.gateway.store.latest(before="", limit=1)
        ended = []
        for path in ("", "?view=text", "?view=headers", "?view=raw", "/html", "?view=attachments"):
            status, _ = await self.request("GET", f"/captured/{mail.message.id}{path}", b"", ADMIN)
            ended.append(str(status))
        spent = time.process_time() - begun
        await self.gateway.store.forget_captured()
        return spent, len(body), " ".join(ended)

    async def _head(self, hostile: Hostile, text: str) -> tuple[float, int, str]:
        """The same words to whoever reads a head: each door, and the routes that only look."""
        query, headers = "", []
        if hostile.name.startswith("query:"):
            query = text
        elif hostile.name.startswith("header:"):
            headers = [(hostile.headers["name"], text)]
        else:
            headers = [(name, value) for name, _, value in (line.partition(":") for line in text.splitlines())]
        begun = time.process_time()
        ended = []
        for method, path in HEADS:
            key = ADMIN if path in LOOKS and ("x-api-key", text) not in headers else {}
            status, _ = await self.request(method, f"{path}?{query}", b"a=b", [*key.items(), *headers])
            ended.append(f"{status}")
        return time.process_time() - begun, len(text) * len(HEADS), " ".join(ended)

    async def request(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str] | Sequence[tuple[str, str]]
    ) -> tuple[int, bytes]:
        """One request to the application."""
        given = headers.items() if isinstance(headers, Mapping) else headers
        path, _, query = path.partition("?")
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "server": ("127.0.0.1", 7071),
            "client": ("127.0.0.1", 50000),
            "headers": [(name.encode(), value.encode()) for name, value in (("host", "127.0.0.1:7071"), *given)],
        }
        waiting = [{"type": "http.request", "body": body, "more_body": False}]
        sent: list[Any] = []

        async def receive() -> Any:
            return waiting.pop() if waiting else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.gateway.app(scope, receive, send)
        return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


@asynccontextmanager
async def doors(folder: Path) -> AsyncIterator[Doors]:
    """A gateway on a store of its own, for the length of a block."""
    file = folder / "gateway.yaml"
    file.write_text(with_hashes(CONFIG), "utf-8")
    environ = {
        "GATEWAY_ENVIRONMENT": "test",
        "GATEWAY_CONFIG": str(file),
        "GATEWAY_STORE": f"sqlite:{folder / 'gateway.db'}",
    }
    gateway = await wiring.build(Settings.read(environ), environ)
    gateway.line.renderer.warm()
    try:
        yield Doors(gateway)
    finally:
        await gateway.close()
