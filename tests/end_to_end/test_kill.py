"""kill -9 at any moment: whatever was answered with 202 ends captured exactly once."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import requests

from tests import gateway_process
from tests.servers.serve import listen

POSTS = 300
KILLS = 6
KEY = {"x-api-key": "example-key-app"}


def free_port() -> int:
    """A port that is free now; the gateway takes it again after each crash."""
    with listen() as socket:
        return int(socket.getsockname()[1])


async def post(http: aiohttp.ClientSession, url: str, numbers: list[int], accepted: dict[str, int]) -> None:
    """Post until there are no more numbers; only a 202 counts, a crash in between is the caller's to repeat."""
    while numbers:
        number = numbers.pop()
        body = {"to": "ops@example.com", "subject": f"n{number}", "text": "x" * 500}
        try:
            async with http.post(f"{url}/v1/notifications", json=body, headers=KEY) as response:
                if response.status == 202:
                    accepted[(await response.json())["id"]] = number
                    continue
        except (aiohttp.ClientError, OSError, TimeoutError):
            pass
        numbers.append(number)
        await asyncio.sleep(0.05)


async def reached(accepted: dict[str, int], count: int) -> None:
    """Wait until so many were accepted."""
    for _ in range(60_000):
        if len(accepted) >= count:
            return
        await asyncio.sleep(0.001)
    raise AssertionError("posting came to a halt")


async def captured(http: aiohttp.ClientSession, url: str) -> list[Any]:
    async with http.get(f"{url}/v1/captured", params={"limit": "1000"}) as response:
        return list((await response.json())["items"])


async def test_every_202_is_captured_exactly_once_through_kills(tmp_path: Path) -> None:
    """300 notifications while the host is killed and restarted again and again."""
    store, port = tmp_path / "gateway.db", free_port()
    gateway = await asyncio.to_thread(gateway_process.start, store=store, port=port)
    numbers = list(range(POSTS))
    accepted: dict[str, int] = {}
    try:
        timeout = aiohttp.ClientTimeout(total=10)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            posting = [asyncio.create_task(post(http, gateway.url, numbers, accepted)) for _ in range(4)]
            for kill in range(1, KILLS + 1):
                await reached(accepted, POSTS * kill // (KILLS + 1))
                await asyncio.sleep(random.random() * 0.02)
                await asyncio.to_thread(gateway.kill)
                gateway = await asyncio.to_thread(gateway_process.start, store=store, port=port)
            await asyncio.gather(*posting)
            counts = await settled(http, gateway.url, set(accepted))
    finally:
        gateway.kill()

    assert POSTS == len(accepted)
    assert [] == [id for id in accepted if id not in counts]
    assert {} == {id: count for id, count in counts.items() if count > 1}


async def settled(http: aiohttp.ClientSession, url: str, wanted: set[str]) -> Counter[str]:
    """How often each notification was captured, once nothing is missing or half a minute has passed."""
    counts: Counter[str] = Counter()
    for _ in range(300):
        counts = Counter(item["notification"] for item in await captured(http, url))
        if wanted <= counts.keys():
            break
        await asyncio.sleep(0.1)
    return counts


def test_a_polite_stop_finishes_what_is_under_way(tmp_path: Path) -> None:
    """SIGTERM: exit status 0, and it says so."""
    gateway = gateway_process.start(store=tmp_path / "gateway.db")

    assert 0 == gateway.stop()
    assert 1 == len(gateway.events("stopped"))


def test_a_key_in_the_url_is_in_no_line_of_the_process(tmp_path: Path) -> None:
    """Request lines are not logged at all: they would hold `?code=`."""
    canary = "canary7f3a"
    with gateway_process.running_gateway(store=tmp_path / "gateway.db") as gateway:
        requests.post(f"{gateway.url}/v1/notifications?code={canary}", json={"to": canary}, timeout=10)
        requests.post(f"{gateway.url}/v1/webhooks/alertmanager?code=example-key-alertmanager", data=canary, timeout=10)

    assert 1 == len(gateway.events("accepted"))
    assert canary not in gateway.said()
    assert "example-key" not in gateway.said()
