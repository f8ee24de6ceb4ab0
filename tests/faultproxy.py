"""A proxy in front of a storage emulator: requests come in, they are counted, forwarded or spoiled as planned.

async with proxied(azurite) as proxy:
    proxy.spoil(Fault.CUT, number=2)     # the second call from now on
    ...                                  # talk to proxy.account()
    proxy.calls                          # what went over the wire
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from tests.azurite import Azurite, connection_string
from tests.servers import wire
from tests.servers.serve import App, Receive, Scope, Send, serve

_HOP_BY_HOP = frozenset({"connection", "content-length", "date", "keep-alive", "server", "transfer-encoding"})


class Fault(Enum):
    """What happens to one call."""

    DROP = "the connection ends before the request is forwarded"
    CUT = "the request is applied, then the connection ends without an answer"
    HALF = "the request is applied, then the connection ends within the answer"
    BUSY = "503, and nothing is forwarded"
    BROKEN = "the request is applied, and answered with 500"
    STALL = "the request is applied, and no answer comes"
    LATE = "nothing comes, and the request is applied after its caller has given up"
    SLOW = "the request is forwarded after a moment"


class Call(NamedTuple):
    """One request and the size of what went both ways."""

    service: str
    method: str
    path: str
    sent: int
    received: int


@dataclass
class FaultProxy:
    """Three ports that behave as the emulator's, but for what is planned."""

    azurite: Azurite
    http: aiohttp.ClientSession
    ports: dict[str, int] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    fault: Fault | None = None
    number: int | None = None
    seen: int = 0
    late: set[asyncio.Task[None]] = field(default_factory=set)

    def account(self) -> tuple[str, str]:
        """The connection strings of an account nobody has used: through this proxy, and past it."""
        name = next(self.azurite.unused)
        return connection_string(self.ports, name), connection_string(self.azurite.ports, name)

    def spoil(self, fault: Fault | None, number: int | None = None) -> None:
        """From now on: call `number` (from 1), or every call; None ends it."""
        self.fault, self.number, self.seen = fault, number, 0
        self.calls.clear()

    async def quiet(self) -> None:
        """Wait until every late request has landed."""
        await asyncio.gather(*self.late)

    def app(self, service: str) -> App:
        """The ASGI app of one service."""

        async def handle(scope: Scope, receive: Receive, send: Send) -> None:
            request = await wire.read(scope, receive)
            self.seen += 1
            spoiled = self.number is None or self.number == self.seen
            await self._handle(service, request, receive, send, self.fault if spoiled else None)

        return handle

    async def _handle(
        self, service: str, request: wire.Request, receive: Receive, send: Send, fault: Fault | None
    ) -> None:
        if fault is Fault.LATE:
            await wire.gone(receive)
            task = asyncio.create_task(self._land(service, request))
            self.late.add(task)
            return
        if fault is Fault.DROP:
            await wire.drop(request, receive)
            return
        if fault is Fault.BUSY:
            await wire.answer(send, 503)
            return
        if fault is Fault.SLOW:
            await asyncio.sleep(0.05)
        status, headers, body = await self._forward(service, request)
        if fault is Fault.CUT:
            await wire.drop(request, receive)
        elif fault is Fault.STALL:
            await wire.gone(receive)
        elif fault is Fault.HALF:
            await wire.drop(request, receive, b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n<?xml")
        elif fault is Fault.BROKEN:
            await wire.answer(send, 500)
        else:
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    async def _land(self, service: str, request: wire.Request) -> None:
        await self._forward(service, request)

    async def _forward(self, service: str, request: wire.Request) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """What the emulator answers."""
        url = URL(f"http://127.0.0.1:{self.azurite.ports[service]}{request.target}", encoded=True)
        async with self.http.request(
            request.method,
            url,
            headers=request.headers,
            data=io.BytesIO(request.body) if request.body else None,
            skip_auto_headers=("accept", "content-type", "user-agent", "accept-encoding"),
        ) as response:
            body = await response.read()
            headers = [(n.lower(), v) for n, v in response.raw_headers if n.lower().decode() not in _HOP_BY_HOP]
            length = response.headers.get("content-length", "0") if request.method == "HEAD" else str(len(body))
            headers.append((b"content-length", length.encode()))
        path = urlsplit(request.target).path
        self.calls.append(Call(service, request.method, path, len(request.body), len(body)))
        return response.status, headers, body


@asynccontextmanager
async def proxied(azurite: Azurite) -> AsyncIterator[FaultProxy]:
    """A proxy in front of this emulator while the block runs."""
    async with AsyncExitStack() as stack:
        connector = aiohttp.TCPConnector(limit=0)
        http = await stack.enter_async_context(
            aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)
        )
        proxy = FaultProxy(azurite, http)
        for service in azurite.ports:
            url = await stack.enter_async_context(serve(proxy.app(service), lifespan="off"))
            proxy.ports[service] = int(url.rpartition(":")[2])
        yield proxy
        await proxy.quiet()
