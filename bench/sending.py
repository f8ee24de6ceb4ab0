"""Sending: CPU time of one submission to ACS, ours as a ratio to a bare loop of the SDK's `begin_send`.

The fake ACS has a process of its own, so the figures are the client's alone: building the payload, signing, one HTTP
call over a kept connection, reading the answer. Medians of five rounds; both ways take turns within each round.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from azure.communication.email.aio import EmailClient
from azure.core.credentials import AzureKeyCredential

from gateway.message import Message
from gateway.transports.acs import Acs
from gateway.transports.acs_payload import payload
from tests.factories import make_message
from tests.servers.acs import KEY
from tests.transports.conftest import MemoryFence

ROUNDS = 5
COUNT = 800
CONCURRENCY = 16

Send = Callable[[Message], Awaitable[object]]


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


async def cost(send: Send) -> tuple[float, float]:
    """Microseconds of CPU a message, and messages per second."""
    messages = [make_message(transport="acs", text="x" * 400, html=f"<p>{'x' * 600}</p>") for _ in range(COUNT)]
    waiting = iter(messages)

    async def worker() -> None:
        for message in waiting:
            await send(message)

    began, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*(worker() for _ in range(CONCURRENCY)))
    return (time.process_time() - used) / COUNT * 1e6, COUNT / (time.perf_counter() - began)


async def measure(url: str) -> dict[str, tuple[float, float]]:
    """The median cost and rate of each way."""
    acs = Acs(url, key=KEY)
    async with EmailClient(url, AzureKeyCredential(KEY), retry_total=0) as client:

        async def bare(message: Message) -> object:
            poller = await client.begin_send(payload(message), operation_id=message.operation_id, polling=False)
            return await poller.result()

        async def ours(message: Message) -> object:
            return await acs.send(message, 1, MemoryFence())

        ways = {"begin_send": bare, "Acs.send": ours}
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(ROUNDS + 1):
            for name, send in ways.items():
                found[name].append(await cost(send))
    await acs.close()
    return {name: _median(rounds[1:]) for name, rounds in found.items()}


def _median(rounds: list[tuple[float, float]]) -> tuple[float, float]:
    return statistics.median(cost for cost, _ in rounds), statistics.median(rate for _, rate in rounds)


def main() -> None:
    """Print the table."""
    with fake_acs() as url:
        found = asyncio.run(measure(url))
    bare = found["begin_send"][0]
    for name, (used, rate) in found.items():
        print(f"{name:<12} {used:7.0f} µs CPU  {rate:7.0f}/s  ratio {used / bare:4.2f}")


if __name__ == "__main__":
    main()
