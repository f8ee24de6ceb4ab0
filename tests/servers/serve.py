"""Run an ASGI app on uvicorn: an app comes in, its address on a free port goes out, for as long as the block lasts.

    async with serve(app) as url:
        ...  # url is http://127.0.0.1:PORT

The server runs in the caller's loop, so a test may look at the app's attributes. Leaving the block closes every
connection at once, also those of a handler that hangs on purpose.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, Literal

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

Scope = MutableMapping[str, Any]
ASGIMessage = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[ASGIMessage]]
Send = Callable[[ASGIMessage], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

WIRE = "wire"
"""`scope["extensions"][WIRE]["transport"]` is the connection itself, for a fake that must break it."""


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol, which also shows its connection to the app."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {WIRE: {"transport": self.transport}}


class _Server(uvicorn.Server):
    """uvicorn without its clock: it tells when it has started and stops at once, not at the next tenth of a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self.stop = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:
            raise RuntimeError("the app did not start") from None
        self.ready.set()

    async def main_loop(self) -> None:
        await self.stop.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listener in (*self.servers, *(sockets or ())):
            listener.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.lifespan.shutdown()


def listen(port: int = 0) -> socket.socket:
    """A listening socket on 127.0.0.1; the system chooses a free port."""
    # asyncio turns Nagle off only where the protocol is named; with it, every answer waits 40 ms for an ACK.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(2048)
    return listener


@asynccontextmanager
async def serve(
    app: App,
    *,
    port: int = 0,
    lifespan: Literal["auto", "on", "off"] = "auto",
    protocol: type[asyncio.Protocol] | None = None,
) -> AsyncIterator[str]:
    """The app's base URL while the block runs; a start-up that fails raises here. `protocol` is uvicorn's, or ours."""
    listener = listen(port)
    config = uvicorn.Config(
        app,
        http=protocol or _Protocol,
        ws="none",
        lifespan=lifespan,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    server = _Server(config)
    running = asyncio.create_task(server._serve([listener]))
    ready = asyncio.create_task(server.ready.wait())
    try:
        await asyncio.wait((running, ready), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        ready.cancel()
        server.stop.set()
        await asyncio.gather(running, return_exceptions=True)
        listener.close()
