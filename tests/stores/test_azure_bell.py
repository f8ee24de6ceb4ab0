"""The doorbell on Azure's queues: what rings, when, in which order, and what a bad queue does."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from gateway.errors import StoreUnavailable
from gateway.ledger import Due
from gateway.message import Priority
from gateway.settings import Settings
from gateway.stores import azure_bell
from gateway.stores.azure_account import account
from gateway.stores.azure_bell import Bell
from gateway.stores.azure_queues import Queues, plain
from gateway.stores.azure_rest import Rest
from tests.azurite import Azurite
from tests.factories import NOW
from tests.faultproxy import Fault, proxied

SECOND = timedelta(seconds=1)


@pytest.fixture
async def queues(azurite: Azurite) -> AsyncIterator[Queues]:
    """Queues of an account of one's own."""
    rest = Rest(account(Settings(storage=azurite.account())))
    yield Queues(rest)
    await rest.close()


async def ring(bell: Bell, message: str, priority: Priority = Priority.NORMAL, after: timedelta = timedelta()) -> None:
    """A ring that is due some time from now."""
    await bell.ring(message, priority, NOW + after, NOW)


async def heard(bell: Bell, count: int) -> list[str]:
    """The next ids."""
    async with asyncio.timeout(10):
        return [(await bell.next()).id for _ in range(count)]


async def test_a_ring_is_heard_by_another_process_once(queues: Queues) -> None:
    """And gone from the queue."""
    here, there = Bell(queues), Bell(queues)
    await ring(here, "a-1")

    due = await there.next()
    await there.close()

    assert due == Due("a-1", Priority.NORMAL)
    assert await queues.length("outbox") == 0


async def test_urgent_ones_go_before_what_waits_already(queues: Queues) -> None:
    """Even before doorbells that were taken from the queue together."""
    bell = Bell(queues)
    for number in range(5):
        await ring(bell, f"normal-{number}")

    first = await heard(bell, 2)
    await ring(bell, "urgent-1", Priority.HIGH)
    rest = await heard(bell, 4)
    await bell.close()

    assert first == ["normal-0", "normal-1"]
    assert rest == ["urgent-1", "normal-2", "normal-3", "normal-4"]


async def test_an_urgent_one_from_elsewhere_waits_a_moment_at_most(
    queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While ordinary ones are at hand, the urgent queue is looked at now and then."""
    monkeypatch.setattr(azure_bell, "URGENT_SECONDS", 0.0)
    here, there = Bell(queues), Bell(queues)
    for number in range(3):
        await ring(here, f"normal-{number}")
    first = await heard(here, 1)
    await ring(there, "urgent-1", Priority.HIGH)

    assert [*first, *await heard(here, 3)] == ["normal-0", "urgent-1", "normal-1", "normal-2"]
    await here.close()


async def test_a_ring_for_later_is_not_heard_now(queues: Queues) -> None:
    """Its message is hidden in the queue until then; rounded up, since an early doorbell is for nothing."""
    bell = Bell(queues)
    await ring(bell, "later-1", after=timedelta(milliseconds=100))
    await ring(bell, "never-1", after=timedelta(days=7, seconds=1))
    started = asyncio.get_running_loop().time()

    found = await heard(bell, 1)
    await bell.close()

    assert found == ["later-1"]
    assert asyncio.get_running_loop().time() - started > 0.8
    assert await queues.length("outbox") == 0


async def test_a_waiting_process_hears_its_own_ring_at_once(queues: Queues, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it would have slept."""
    monkeypatch.setattr(azure_bell, "SHORTEST_PAUSE", 60.0)
    bell = Bell(queues)
    asleep = asyncio.Event()

    async def sleep(seconds: float) -> None:
        asleep.set()
        await Bell._sleep(bell, seconds)

    monkeypatch.setattr(bell, "_sleep", sleep)
    waiting = asyncio.create_task(heard(bell, 1))
    await asleep.wait()

    await ring(bell, "a-1")

    assert await waiting == ["a-1"]
    await bell.close()


async def test_what_rings_already_is_not_rung_again_for_a_while(queues: Queues) -> None:
    """Else a backlog would grow with every sweep. A ring for later always counts."""
    bell = Bell(queues)
    await ring(bell, "a-1")
    for seconds in (0, 2, 29):
        await bell.ring("a-1", Priority.NORMAL, NOW + seconds * SECOND, NOW + seconds * SECOND)
    lengths = [await queues.length("outbox")]
    await bell.ring("a-1", Priority.NORMAL, NOW + 35 * SECOND, NOW + 30 * SECOND)
    lengths.append(await queues.length("outbox"))
    await bell.ring("a-1", Priority.NORMAL, NOW + 66 * SECOND, NOW + 66 * SECOND)
    lengths.append(await queues.length("outbox"))
    await heard(bell, 1)
    await bell.close()
    await bell.ring("a-1", Priority.NORMAL, NOW + 67 * SECOND, NOW + 67 * SECOND)
    lengths.append(await queues.length("outbox"))

    assert lengths == [1, 2, 3, 3]


async def test_what_it_remembers_does_not_grow(queues: Queues) -> None:
    """Under Functions nobody hears the doorbells in the process that rings them."""
    bell = Bell(queues)
    for number in range(60):
        at = NOW + number * SECOND
        await bell.ring(f"n-{number}", Priority.NORMAL, at, at)

    assert len(bell._rung) <= 32


async def test_storage_that_fails_is_waited_for(azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> None:
    """The listener never ends with an error; it would take the host's deliveries with it."""
    monkeypatch.setattr("gateway.stores.azure_rest.PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(azure_bell, "LONGEST_PAUSE", 0.01)
    async with proxied(azurite) as proxy:
        rest = Rest(account(Settings(storage=proxy.account()[0])))
        bell = Bell(Queues(rest))
        proxy.spoil(Fault.BUSY)
        with pytest.raises(StoreUnavailable):
            await ring(bell, "a-1")
        failed = asyncio.Event()
        monkeypatch.setattr(azure_bell, "log", lambda *_, **__: failed.set())
        waiting = asyncio.create_task(heard(bell, 1))
        await failed.wait()
        proxy.spoil(None)
        await ring(bell, "a-1")

        assert await waiting == ["a-1"]
        await bell.close()
        await rest.close()


@pytest.mark.parametrize("id", ["6f0d8f4e-3c1b-5e0e-9a57-6b1f7a0c2d11-1", "a-1", "ü-12"])
def test_a_doorbell_may_be_plain_or_base64(id: str) -> None:
    """Whoever put it there: us, a portal, or a tool that encodes everything."""
    assert [plain(id), plain(f"{id}\r\n"), plain(base64.b64encode(id.encode()).decode())] == [id] * 3


@pytest.mark.parametrize("noise", ["", "noise", "\x00\x01", "////", "e30="])
def test_noise_is_no_error(noise: str) -> None:
    """It is some text that names no message."""
    assert isinstance(plain(noise), str)
