"""The gateway as Azure runs it, for tests: a storage account comes in, a gateway under the Functions host goes out.

`Running` is that of the embedded host, so that a test of the way does not know which of the two it talks to.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from azure.data.tables.aio import TableServiceClient

from gateway import wiring
from gateway.settings import Settings
from tests.conftest import CONFIG, Running, with_hashes
from tests.worker import process
from tests.worker.process import ROOT, HostProcess
from tests.worker.storage import Queue, Storage, StorageFailed

OUTBOXES = ("outbox", "outbox-high")
CONTAINERS = ("captured", "payloads")
QUEUES = tuple(f"{name}{end}" for name in ("notifications", *OUTBOXES, "delivery-reports") for end in ("", "-poison"))


def settings(folder: Path, account: str, config: str = CONFIG, **environ: str) -> dict[str, str]:
    """An app's settings; its configuration is a file in `folder`."""
    file = folder / "gateway.yaml"
    file.write_text(with_hashes(config), "utf-8")
    return {
        "GATEWAY_ENVIRONMENT": "test",
        "GATEWAY_CONFIG": str(file),
        "GATEWAY_STORE": "azure",
        "AzureWebJobsStorage": account,
        **environ,
    }


def in_a_hurry(folder: Path, before: str = "", **queues: Any) -> Path:
    """Our function_app.py with our host.json, in which nothing waits long: for tests of what happens, not when.

    `before` is Python that runs before it.
    """
    folder.mkdir(exist_ok=True)
    (folder / "function_app.py").write_text(before + (ROOT / "function_app.py").read_text("utf-8"), "utf-8")
    content = json.loads((ROOT / "host.json").read_text("utf-8"))
    content["extensions"]["queues"] |= {"maxPollingInterval": "00:00:00.2", "visibilityTimeout": "00:00:01"} | queues
    (folder / "host.json").write_text(json.dumps(content), "utf-8")
    return folder


@asynccontextmanager
async def client(host: HostProcess, environ: dict[str, str]) -> AsyncIterator[Running]:
    """Somebody who calls it; `gateway` is one of the test's own on the same account, which does no work by itself."""
    gateway = await wiring.build(Settings.read(environ), environ)
    try:
        async with aiohttp.ClientSession() as http:
            yield Running(host.url, gateway, http)
    finally:
        await gateway.close()


@asynccontextmanager
async def running(folder: Path, environ: dict[str, str], *, lease: float | None = None) -> AsyncIterator[Running]:
    """A host in a hurry, and its caller, for the length of a block."""
    app = in_a_hurry(folder / "app")
    async with process.running(app, folder / "log", environ, lease=lease) as host, client(host, environ) as caller:
        yield caller


async def emptied(storage: Storage, account: str) -> None:
    """Let the next test find an account as good as new, once the doorbells of the last one are answered.

    A message that waits for hours keeps its doorbell, so nobody waits long for that.
    """
    for _ in range(25):
        if sum([await length(storage.queue(name)) for name in OUTBOXES]) == 0:
            break
        await asyncio.sleep(0.02)
    async with TableServiceClient.from_connection_string(account) as tables:
        await tables.delete_table("gateway")
    for service, query, names in (("queue", {}, QUEUES), ("blob", {"restype": "container"}, CONTAINERS)):
        for name in names:
            await storage.delete(service, name, query)


async def length(queue: Queue) -> int:
    """How many messages a queue has; none if it was never there."""
    try:
        return await queue.length()
    except StorageFailed:
        return 0
