"""A host for tests: HTTP requests, queue messages and times come in, the real worker is called, its answers go out.

Every rule is one of the Azure Functions host's, taken from its source (azure-functions-host, October 2024:
GrpcMessageConversionExtensions.cs, RawScriptResult.cs, HttpBinding.cs; aspnetcore: PathString.cs, HttpHeaders.cs;
queue_listener.py and timer_listener.py name theirs) or seen with host 4.1037.

`python -m tests.worker.fakehost FOLDER --port N` runs one app in a process of its own, with its settings from the
environment. `--lease SECONDS` is for tests that kill it: the real host keeps a message that it works on invisible for
ten minutes, and no test can wait that long to see it come back.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import socket
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

import uvicorn

from tests.worker import hostfile
from tests.worker.front import Front, Refused
from tests.worker.queue_listener import LEASE
from tests.worker.triggers import Triggers
from tests.worker.worker import InvocationFailed, Worker

LOGGER = logging.getLogger("host")


class Host:
    """One function app behind a port of 127.0.0.1: `async with Host(worker) as host: host.url`."""

    def __init__(
        self, worker: Worker, *, port: int = 0, lease: float = LEASE, environ: Mapping[str, str] = os.environ
    ) -> None:
        """A worker that has been started keeps its functions; port 0 takes a free one."""
        self.worker = worker
        self._port = port
        self._lease = lease
        self._environ = environ
        self._stack = AsyncExitStack()
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        self._server = _Server(await self._front())
        self._serving = asyncio.create_task(self._server.serve([listener]))
        await self._server.listening.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.should_exit = True
        await self.ended()
        await self._stack.aclose()

    async def ended(self) -> None:
        """Until somebody ends the process."""
        assert self._serving is not None
        await self._serving

    async def _front(self) -> Front | Refused:
        """A host.json that it cannot read: 503 everywhere. An app that it cannot import: no functions, so 404."""
        try:
            settings = hostfile.read(self.worker.folder / "host.json")
            if not self.worker.functions:
                await self.worker.start()
        except hostfile.HostFileError:
            LOGGER.exception("host.json cannot be used")
            return Refused(503)
        except InvocationFailed as error:
            LOGGER.exception("no functions: %s", error.stack)
            return Refused(404)
        triggers = Triggers(self.worker, settings.queues, self._environ, self._lease)
        await self._stack.enter_async_context(triggers)
        return Front(self.worker, settings, triggers, self._environ)


class _Server(uvicorn.Server):
    """A server that says when it listens."""

    def __init__(self, front: Front | Refused) -> None:
        super().__init__(
            uvicorn.Config(
                front,
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
            )
        )
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


async def _main(folder: Path, port: int, lease: float) -> None:
    async with Host(Worker(folder), port=port, lease=lease) as host:
        print(host.url, flush=True)
        await host.ended()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Run a function app as the Functions host would.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--lease", type=float, default=LEASE, help="seconds a message is invisible while worked on")
    arguments = parser.parse_args()
    # The worker sends every line of the root logger at INFO to the host, as it was formatted.
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s", stream=sys.stderr)
    asyncio.run(_main(arguments.folder.absolute(), arguments.port, arguments.lease))
