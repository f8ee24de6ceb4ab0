"""The whole gateway on Azure storage: two processes on one account, kills, lost doorbells, storage that fails."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import aiohttp

from gateway.message import Priority
from gateway.settings import Settings
from gateway.stores.azure import AzureStore
from tests import gateway_process
from tests.azurite import Azurite
from tests.conftest import Start
from tests.end_to_end.test_kill import free_port, post, reached, settled
from tests.factories import make_entry, make_message
from tests.faultproxy import Fault, proxied
from tests.gateway_process import GatewayProcess

POSTS = 100
KILLS = 3


async def test_two_processes_of_which_one_is_killed_capture_each_mail_once(azurite: Azurite) -> None:
    """Posts go to both, kill -9 hits one and then the other, and both hear all doorbells."""
    variables = {"AzureWebJobsStorage": azurite.account()}
    ports = [free_port(), free_port()]
    accepted: dict[str, int] = {}
    numbers = list(range(POSTS))

    async def begin(port: int) -> GatewayProcess:
        return await asyncio.to_thread(gateway_process.start, store="azure", port=port, variables=variables)

    gateways = [await begin(port) for port in ports]
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:
            posting = [asyncio.create_task(post(http, gateways[n % 2].url, numbers, accepted)) for n in range(4)]
            for kill in range(1, KILLS + 1):
                await reached(accepted, POSTS * kill // (KILLS + 1))
                await asyncio.sleep(random.random() * 0.02)
                await asyncio.to_thread(gateways[kill % 2].kill)
                gateways[kill % 2] = await begin(ports[kill % 2])
            await asyncio.gather(*posting)
            counts = await settled(http, gateways[0].url, set(accepted))
    finally:
        for gateway in gateways:
            gateway.kill()

    assert len(accepted) == POSTS
    assert [id for id in accepted if id not in counts] == []
    assert {id: count for id, count in counts.items() if count > 1} == {}


async def test_a_message_without_a_doorbell_is_found_by_the_sweep(azurite: Azurite, start: Start) -> None:
    """Whoever deleted it, and whatever else rings."""
    storage = azurite.account()
    store = await AzureStore.open(Settings(storage=storage))
    gateway = await start(GATEWAY_STORE="azure", AzureWebJobsStorage=storage)
    message = make_message(created=datetime.now(UTC))
    await store._messages.add(make_entry(message), [message], message.created)
    for noise in ("noise", "nobody-1", "e30=", "<&>", message.id):
        await store.ring(noise, Priority.HIGH, message.created, message.created)

    mails = await gateway.mails()
    await store.close()

    assert [mail["id"] for mail in mails] == [message.id]


async def test_a_storm_is_delivered_in_time_and_once(azurite: Azurite, start: Start) -> None:
    """200 notifications at once, ten of them urgent."""
    gateway = await start(GATEWAY_STORE="azure", AzureWebJobsStorage=azurite.account())
    bodies: list[Any] = [
        {"to": "ops@example.com", "subject": f"n{n}", "text": "x", "priority": "normal" if n % 20 else "high"}
        for n in range(200)
    ]

    answers = await asyncio.gather(*(gateway.send(body) for body in bodies))
    mails = await gateway.mails(200)

    assert Counter(answer.status for answer in answers) == {202: 200}
    assert sorted(mail["subject"] for mail in mails) == sorted(body["subject"] for body in bodies)


async def test_storage_that_fails_refuses_and_then_goes_on(azurite: Azurite, start: Start) -> None:
    """503 for the caller, who tries again; what was accepted before is delivered afterwards."""
    async with proxied(azurite) as proxy:
        gateway = await start(GATEWAY_STORE="azure", AzureWebJobsStorage=proxy.account()[0])
        body = {"to": "ops@example.com", "subject": "before", "text": "x"}
        before = await gateway.send(body)
        proxy.spoil(Fault.DROP)
        during = await gateway.send(body | {"subject": "during"})
        proxy.spoil(None)
        after = await gateway.send(body | {"subject": "after"})
        mails = await gateway.mails(2)

    assert [answer.status for answer in (before, during, after)] == [202, 503, 202]
    assert during.code == (503, "store_unavailable")
    assert sorted(mail["subject"] for mail in mails) == ["after", "before"]
