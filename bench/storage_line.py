"""The whole line on Azure's storage: a connection string comes in, what one notification costs in calls is printed.

Accepted and delivered through everything there is between the doors and a fake provider: suppressions and quotas call
the storage too.
"""

from __future__ import annotations

import json
import tempfile
import time
from asyncio import gather
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

from bench.sending import fake_acs
from gateway import sources, wiring
from gateway.settings import Settings
from gateway.stores.azure_rest import Answer, Request, Rest
from tests.servers.acs import KEY

ALONE, STORM, CONCURRENCY = 12, 200, 16
GOAL = 6

CONFIG = """
senders:
  noreply: {{transport: acs, address: noreply@example.com, name: Example, live: true, rate: {rate}}}
sources:
  app:
    kind: native
    keys: ["sha256:a92f2a480271adf247da46968fe9c89307c2c9d24f362ff4c2c641ddd39adf2e"]
    sender: noreply
    allow: ["*@example.com"]
"""
BODY = {"to": ["ops@example.com"], "subject": "Nightly backup of db-1 failed", "text": "It ended with code 2.\n" * 40}


async def measure(storage: str, other: str) -> None:
    """On an account of their own: notifications one after another, the first of a process, and many at once."""
    print(f"the whole line, to a fake ACS: storage calls per notification (goal <= {GOAL})")
    with fake_acs() as url, tempfile.TemporaryDirectory() as folder:
        acs = f"endpoint={url}/;accesskey={KEY}"
        for rate, account in (("acs-custom", storage), ("{minute: 60000, hour: 600000}", other)):
            file = Path(folder) / "gateway.yaml"
            file.write_text(CONFIG.format(rate=rate), "utf-8")
            settings = Settings(str(file), "azure", "local", acs_connection_string=acs, storage=account)
            await _counted(settings, "", 1)  # makes table and queue
            if account == storage:
                await _counted(settings, "the first of a process", 1)
                await _counted(settings, "one after another", ALONE, warm=True)
            else:
                await _counted(settings, "many at once, a wide quota", STORM, warm=True)


async def _counted(settings: Settings, name: str, count: int, *, warm: bool = False) -> None:
    """Accept and deliver `count` notifications, together if they are a storm."""
    gateway = await wiring.build(settings, {})
    send = Rest.send
    calls: Counter[str] = Counter()

    async def counting(self: Rest, request: Request, total: float = 10.0) -> Answer:
        calls[request.service] += 1
        return await send(self, request, total)

    async def one() -> None:
        notifications = sources.read("native", json.dumps(BODY).encode(), {}, "app")
        accepted = await gateway.line.accept("app", notifications)
        status = await gateway.delivery.deliver(f"{accepted.ids[0]}-1")
        assert status == "sent", status

    async def worker(waiting: Iterator[int]) -> None:
        for _ in waiting:
            await one()

    with patch.object(Rest, "send", counting):
        for _ in range(warm):
            await one()
        calls.clear()
        began = time.perf_counter()
        waiting = iter(range(count))
        await gather(*(worker(waiting) for _ in range(CONCURRENCY if count == STORM else 1)))
        spent = time.perf_counter() - began
    await gateway.close()
    if name:
        found = ", ".join(f"{service} {number / count:.2f}" for service, number in sorted(calls.items()))
        print(f"  {name:<27} {calls.total() / count:5.2f} ({found})  {spent / count * 1000:6.2f} ms each")
