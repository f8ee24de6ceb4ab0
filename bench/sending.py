"""Sending to ACS: CPU and rate of one message by four ways, as ratios to a bare loop of the SDK's `begin_send`.

`begin_send` and `Acs.send` are the call alone, `raw POST` the floor: the same bytes, signed, over aiohttp. `Delivery`
is doorbell to settled: claim, suppression list, quota, the call, settle, on SQLite. Then the storm: how long a message
of high priority takes from accepted to `sent` while thousands of others wait. The fake ACS has a process of its own.
Medians of five rounds; all ways take turns within each round.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from email.utils import formatdate
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import aiohttp
from azure.communication.email.aio import EmailClient
from azure.core.credentials import AzureKeyCredential

from gateway.address import Address
from gateway.delivery import Delivery
from gateway.ledger import MessageState
from gateway.message import Message, Priority, Status
from gateway.pacing import Account, Pacer
from gateway.pacing.lanes import Limits
from gateway.stores.sqlite import SqliteStore
from gateway.suppressions import Suppressions
from gateway.transports.acs import Acs
from gateway.transports.acs_payload import payload
from gateway.ways import Way
from tests.factories import make_entry, make_message, new_id
from tests.servers.acs import KEY
from tests.servers.acs_contract import content_hash, signature
from tests.transports.ways import MemoryFence

ROUNDS = 5
COUNT = 800
CONCURRENCY = 16
STORM = 4_000
URGENT = 200
WORKERS = 64
TARGET = "/emails:send?api-version=2025-09-01"
ACCOUNT = Account("acs|bench", Limits(1_000_000, 10_000_000))

Send = Callable[[Message], Awaitable[object]]


class Cost(NamedTuple):
    """Microseconds of CPU for a message, and messages per second."""

    used: float
    rate: float


@contextmanager
def fake_acs() -> Iterator[str]:
    """The URL of a fake in another process."""
    command = [sys.executable, "-m", "tests.servers", "acs"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().partition("endpoint=")[2].partition("/;")[0]
        finally:
            process.terminate()


def mail(priority: Priority = Priority.NORMAL) -> Message:
    """A notification of about a kilobyte, each to somebody else."""
    to = (Address(email=f"{new_id()}@example.com"),)
    text, html = "x" * 400, f"<p>{'x' * 600}</p>"
    return make_message(transport="acs", to=to, text=text, html=html, priority=priority, created=datetime.now(UTC))


async def cost(send: Send, messages: list[Message]) -> Cost:
    """What sending these takes."""
    waiting = iter(messages)

    async def worker() -> None:
        for message in waiting:
            await send(message)

    began, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*(worker() for _ in range(CONCURRENCY)))
    return Cost((time.process_time() - used) / COUNT * 1e6, COUNT / (time.perf_counter() - began))


@asynccontextmanager
async def raw(url: str) -> AsyncIterator[Send]:
    """The floor: payload, signature, one POST over a kept connection."""
    host = url.removeprefix("http://")
    async with aiohttp.ClientSession() as session:

        async def post(message: Message) -> object:
            body = json.dumps(payload(message)).encode()
            date = formatdate(usegmt=True)
            signed = signature(KEY, "POST", TARGET, date, host, body)
            headers = {
                "x-ms-date": date,
                "x-ms-content-sha256": content_hash(body),
                "Authorization": f"HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature={signed}",
                "Operation-Id": message.operation_id,
                "Content-Type": "application/json",
            }
            async with session.post(url + TARGET, data=BytesIO(body), headers=headers) as answer:
                assert answer.status == 202
                return await answer.json()

        yield post


async def add(store: SqliteStore, message: Message) -> None:
    """Durable, and rung."""
    state = MessageState(id=message.id, to=message.to, sender=message.sender, status=Status.QUEUED)
    await store.add(make_entry(message, messages=(state,)), [message], datetime.now(UTC))


@asynccontextmanager
async def whole(acs: Acs, folder: Path) -> AsyncIterator[tuple[SqliteStore, Delivery]]:
    """Everything a doorbell wakes; the quota is too large to be met, but is kept."""
    store = await SqliteStore.open(folder / "gateway.db")
    ways: Mapping[str, Way] = {"noreply": Way("acs", Address(email="noreply@example.com"), ACCOUNT)}
    yield store, Delivery(store, lambda *_: acs, ways=ways, pacer=Pacer(store), suppressions=Suppressions(store))
    await store.close()


async def measure(url: str, folder: Path) -> dict[str, Cost]:
    """The median cost and rate of each way."""
    acs = Acs(url, key=KEY)
    client = EmailClient(url, AzureKeyCredential(KEY), retry_total=0)
    async with client, raw(url) as floor, whole(acs, folder) as (store, delivery):

        async def bare(message: Message) -> object:
            poller = await client.begin_send(payload(message), operation_id=message.operation_id, polling=False)
            return await poller.result()

        async def ours(message: Message) -> object:
            return await acs.send(message, 1, MemoryFence())

        async def delivered(message: Message) -> object:
            assert await delivery.deliver(message.id) is Status.SENT
            return None

        ways: dict[str, Send] = {"begin_send": bare, "raw POST": floor, "Acs.send": ours, "Delivery": delivered}
        found: dict[str, list[Cost]] = {name: [] for name in ways}
        for _ in range(ROUNDS + 1):
            for name, send in ways.items():
                messages = [mail() for _ in range(COUNT)]
                if name == "Delivery":
                    await asyncio.gather(*(add(store, message) for message in messages))
                found[name].append(await cost(send, messages))
    await acs.close()
    return {name: _median(rounds[1:]) for name, rounds in found.items()}


def _median(rounds: list[Cost]) -> Cost:
    return Cost(statistics.median(one.used for one in rounds), statistics.median(one.rate for one in rounds))


async def storm(url: str, folder: Path) -> tuple[list[float], float]:
    """Milliseconds from accepted to sent for each urgent message, and messages per second of all."""
    acs = Acs(url, key=KEY)
    took: list[float] = []
    begun: dict[str, float] = {}
    async with whole(acs, folder) as (store, delivery):
        await asyncio.gather(*(add(store, mail()) for _ in range(STORM)))
        settled: list[str] = []
        done = asyncio.Event()

        async def worker() -> None:
            while True:
                message = (await store.doorbell()).id
                await delivery.deliver(message)
                settled.append(message)
                if len(settled) == STORM + URGENT:
                    done.set()
                if message in begun:
                    took.append((time.perf_counter() - begun[message]) * 1000)

        async def alarms() -> None:
            for _ in range(URGENT):
                message = mail(Priority.HIGH)
                begun[message.id] = time.perf_counter()
                await add(store, message)
                await asyncio.sleep(0.01)

        began = time.perf_counter()
        workers = [asyncio.create_task(worker()) for _ in range(WORKERS)]
        await alarms()
        await done.wait()
        seconds = time.perf_counter() - began
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    await acs.close()
    return sorted(took), (STORM + URGENT) / seconds


def main() -> None:
    """Print both tables."""
    with fake_acs() as url, tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        found = asyncio.run(measure(url, Path(first)))
        bare, floor = found["begin_send"], found["raw POST"]
        print(f"{'':<12}{'µs CPU':>10}{'per s':>8}   CPU as ratio to begin_send, rate to begin_send, rate to raw POST")
        for name, one in found.items():
            ratios = f"{one.used / bare.used:4.2f}  {one.rate / bare.rate:4.2f}  {one.rate / floor.rate:4.2f}"
            print(f"{name:<12}{one.used:>10.0f}{one.rate:>8.0f}   {ratios}")
        took, rate = asyncio.run(storm(url, Path(second)))
        print(
            f"\nhigh priority among {STORM:,} others: median {statistics.median(took):.0f} ms, "
            f"p99 {took[int(len(took) * 0.99) - 1]:.0f} ms, at {rate:.0f} messages/s in all"
        )


if __name__ == "__main__":
    main()
