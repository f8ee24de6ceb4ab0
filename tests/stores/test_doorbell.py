"""The embedded doorbell: who is handed over when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.ledger import Due
from gateway.message import Priority
from gateway.stores.doorbell import Doorbell
from gateway.stores.sqlite import SqliteStore
from tests.factories import NOW, make_entry, make_message, make_messages

HIGH, NORMAL = Priority.HIGH, Priority.NORMAL
SOON = timedelta(seconds=0.1)


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        """It is NOW."""
        self.now = NOW

    def __call__(self) -> datetime:
        """What it shows."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The bell's clock."""
    return Clock()


@pytest.fixture
async def bell(clock: Clock) -> AsyncIterator[Doorbell]:
    """A bell that nobody has rung."""
    bell = Doorbell(clock)
    yield bell
    bell.close()


async def all_of(bell: Doorbell) -> list[str]:
    """Everything that can be had at once."""
    found = []
    while True:
        try:
            async with asyncio.timeout(0.01):
                found.append((await bell.next()).id)
        except TimeoutError:
            return found


async def test_high_priority_comes_before_normal(bell: Doorbell) -> None:
    """An urgent message never stands behind a storm; within a priority the first comes first."""
    for id, priority in (("a", NORMAL), ("b", HIGH), ("c", NORMAL), ("d", HIGH)):
        bell.ring(id, priority, NOW)

    assert [await bell.next() for _ in range(4)] == [Due("b", HIGH), Due("d", HIGH), Due("a", NORMAL), Due("c", NORMAL)]


async def test_a_later_ring_waits_for_its_time(bell: Doorbell, clock: Clock) -> None:
    """However urgent it is."""
    bell.ring("later", HIGH, NOW + SOON)
    bell.ring("now", NORMAL, NOW)
    bell.ring("past", NORMAL, NOW - SOON)

    before = await all_of(bell)
    clock.now += SOON
    bell.ring("earliest", NORMAL, NOW + timedelta(microseconds=1))

    assert before == ["now", "past"]
    assert await bell.next() == Due("earliest", NORMAL)


async def test_a_message_that_waits_is_not_queued_twice(bell: Doorbell) -> None:
    """A sweep that rings for everything again does not make the queue longer."""
    for _ in range(3):
        bell.ring("a", NORMAL, NOW)

    assert await all_of(bell) == ["a"]
    bell.ring("a", NORMAL, NOW)
    assert await all_of(bell) == ["a"]


async def test_an_earlier_ring_replaces_a_later_one(bell: Doorbell, clock: Clock) -> None:
    """And the later one is silent then."""
    bell.ring("a", NORMAL, NOW + SOON)
    bell.ring("a", NORMAL, NOW)

    first = await all_of(bell)
    clock.now += 2 * SOON
    bell.ring("b", NORMAL, clock.now + timedelta(microseconds=1))
    clock.now += SOON

    assert first == ["a"]
    assert await bell.next() == Due("b", NORMAL)
    assert await all_of(bell) == []


async def test_a_ring_wakes_who_waits_already() -> None:
    """By the real clock, at its time and not before."""
    bell = Doorbell()
    waiter = asyncio.create_task(bell.next())
    at = datetime.now(UTC) + timedelta(seconds=0.05)
    bell.ring("later", NORMAL, at + SOON)
    bell.ring("soon", NORMAL, at)

    found = await waiter

    assert found.id == "soon"
    assert at <= datetime.now(UTC) < at + SOON
    bell.close()


async def test_several_waiters_get_one_ring_each(bell: Doorbell) -> None:
    """And one that gave up takes nothing with it."""
    waiters = [asyncio.create_task(bell.next()) for _ in range(3)]
    await asyncio.sleep(0)
    bell.ring("a", NORMAL, NOW)
    waiters[0].cancel()
    bell.ring("b", NORMAL, NOW)

    assert {(await waiter).id for waiter in waiters[1:]} == {"a", "b"}


async def test_the_store_rings_for_what_it_added(tmp_path: Path, clock: Clock) -> None:
    """At the due time, each message once, and not for what was there already."""
    store = await SqliteStore.open(tmp_path / "gateway.db", clock=clock)
    normal, high = make_messages(2)[0], make_message(priority=HIGH)
    for message in (normal, high, normal):
        await store.add(make_entry(message), [message], NOW)
    later = make_message()
    await store.add(make_entry(later), [later], NOW + SOON)

    rung = [await store.doorbell(), await store.doorbell()]
    clock.now += SOON
    await store.ring("again-1", NORMAL, NOW + timedelta(microseconds=1), NOW)
    again = await store.doorbell()

    assert [due.id for due in rung] == [high.id, normal.id]
    assert again.id == "again-1"
    await store.close()
