"""Bounds on what waits and on what is kept: when nothing more is taken, what is asked for it, and who is warned."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.capacity import EVERY, FORGOTTEN, FULL_RECOUNT, KEY, Capacity
from gateway.config import Bounds
from gateway.errors import StoreUnavailable
from gateway.ledger import Amendment, Usage
from gateway.message import OPEN, Message, Status
from gateway.stores.sqlite import SqliteStore
from gateway.telemetry import LOGGER, Line
from tests.factories import NOW, make_attachment, make_entry, make_message

BOUNDS = Bounds(open=10, size=2 * 1024**2, free=0)


class Counted(SqliteStore):
    """A real store that remembers what it was asked, and can be told what it holds, or not to answer."""

    asked: list[str]
    told: Usage | None
    broken: bool

    async def usage(self) -> Usage:
        """Counted, told, or an error."""
        self.asked.append("usage")
        if self.broken:
            raise StoreUnavailable("not now")
        return self.told or await super().usage()

    async def read(self, key: str) -> tuple[bytes, str] | None:
        """Remembered."""
        self.asked.append("read")
        return await super().read(key)


@dataclass
class Clock:
    """A clock that a test moves."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        """The time."""
        return self.now


@dataclass
class World:
    """A store, one process's capacity, and their clock."""

    store: Counted
    clock: Clock = field(default_factory=Clock)
    capacity: Capacity = field(init=False)

    def __post_init__(self) -> None:
        """The first process."""
        self.capacity = self.process()

    def process(self, bounds: Bounds = BOUNDS) -> Capacity:
        """One more process on the same store."""
        return Capacity(self.store, bounds, self.clock)

    async def take(self, source: str = "web", count: int = 1, **values: object) -> list[str]:
        """What becomes of so many notifications, one after the other: "" or why it was refused."""
        codes = []
        for _ in range(count):
            full = await self.capacity.check(source)
            if full is None:
                await self.add(source, **values)
            codes.append(full.code if full else "")
        return codes

    async def add(self, source: str = "web", **values: object) -> Message:
        """One that is open."""
        message = make_message(source=source, **values)
        await self.store.add(make_entry(message), [message], NOW + timedelta(days=1))
        self.capacity.took(source, [message])
        return message

    async def cancel(self, message: Message) -> None:
        """It is open no more."""
        await self.store.amend(
            message.id, Amendment(allowed=OPEN, status=Status.CANCELLED, event="cancelled", at=self.clock())
        )

    async def settled(self) -> None:
        """What runs beside has ended."""
        await self.capacity.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """An empty store."""
    store = await Counted.open(tmp_path / "gateway.db")
    assert isinstance(store, Counted)
    store.asked, store.told, store.broken = [], None, False
    world = World(store)
    yield world
    await world.settled()
    await store.close()


async def test_a_source_may_have_so_many_open_messages_and_no_more(world: World) -> None:
    """The others go on."""
    await world.capacity.count()

    assert [""] * 10 + ["source_full"] * 2 == await world.take(count=12)
    assert [""] == await world.take("other")


async def test_there_is_room_again_when_messages_have_ended(world: World) -> None:
    """At the next count, which comes soon while callers are refused."""
    await world.capacity.count()
    messages = [await world.add() for _ in range(10)]
    world.clock.now += timedelta(seconds=5)
    assert ["source_full"] == await world.take()
    await world.cancel(messages[0])

    assert ["source_full"] == await world.take()
    world.clock.now += FULL_RECOUNT

    assert ["", "source_full"] == await world.take(count=2)


async def test_who_takes_much_and_sends_as_much_is_never_refused(world: World) -> None:
    """What was taken since the last count may have left meanwhile, so it is counted before anybody is refused."""
    await world.capacity.count()
    codes = []
    for _ in range(5):
        world.clock.now += timedelta(seconds=1)
        messages = [await world.add() for _ in range(9)]
        codes += [full.code if (full := await world.capacity.check("web")) else ""]
        for message in messages:
            await world.cancel(message)

    assert [""] * 5 == codes


async def test_the_store_may_hold_so_many_bytes_and_no_more(world: World) -> None:
    """Of all sources together; what was just taken counts at once, since a minute is enough to fill a disk."""
    await world.capacity.count()
    codes = await world.take(count=5, attachments=(make_attachment(content=bytes(200 * 1024)),))

    assert [*[""] * 4, "store_full"] == codes
    assert ["store_full"] == await world.take("other")


async def test_some_of_the_disk_stays_free(world: World) -> None:
    """Others need it too, and SQLite its log."""
    world.store.told = Usage({}, 0, 600 * 1024**2)
    bounds = Bounds()
    world.capacity = world.process(bounds)
    await world.capacity.count()
    assert [""] == await world.take()

    world.store.told = Usage({}, 0, bounds.free - 1)
    await world.capacity.count()
    assert ["store_full"] == await world.take()


async def test_what_a_file_held_and_was_deleted_is_room_again(world: World) -> None:
    """The file does not shrink, and need not."""
    await world.store.put("large", bytes(3 * 1024**2))
    await world.capacity.count()
    assert ["store_full"] == await world.take()

    await world.store.purge(bodies=NOW, ledger=datetime.now(UTC) + timedelta(days=1), captured=NOW)
    await world.capacity.count()

    assert [""] == await world.take()


async def test_nothing_is_refused_while_nobody_can_count(world: World) -> None:
    """From the start, and when the last figures are too old to mean anything."""
    world.store.broken = True
    assert [""] * 15 == await world.take(count=15)

    world.store.broken = False
    world.clock.now += EVERY
    await world.capacity.count()
    world.store.broken = True
    assert ["source_full"] == await world.take()
    world.clock.now += FORGOTTEN + EVERY
    assert [""] == await world.take()


# ------------------------------------------------------------------------------------------------ what it costs


async def test_a_post_asks_nothing_of_the_store(world: World) -> None:
    """The figures of the timer do for all processes; each reads them once a minute, beside its work."""
    await world.process().count()
    world.store.asked.clear()
    bounds = Bounds()
    world.capacity = world.process(bounds)

    await world.take(count=50)
    await world.settled()
    await world.take(count=50)
    await world.settled()
    assert ["read"] == world.store.asked

    world.clock.now += EVERY
    await world.take(count=50)
    await world.settled()
    assert ["read"] * 2 == world.store.asked


async def test_without_a_timer_a_process_counts_itself(world: World) -> None:
    """Its figures then serve the others."""
    await world.take()
    await world.settled()
    assert "usage" in world.store.asked
    world.store.asked.clear()

    world.capacity = world.process()
    await world.take()
    await world.settled()
    assert ["read"] == world.store.asked


async def test_a_thousand_refused_callers_count_once(world: World) -> None:
    """They wait for the same count, and then for ten seconds."""
    world.store.told = Usage({"web": 10})
    await world.capacity.count()
    world.clock.now += timedelta(seconds=2)
    world.store.asked.clear()

    codes = await asyncio.gather(*(world.capacity.check("web") for _ in range(1000)))
    codes += [await world.capacity.check("web") for _ in range(1000)]

    assert {"source_full"} == {full.code if full else "" for full in codes}
    assert 1 == world.store.asked.count("usage")


async def test_another_process_knows_what_one_has_counted(world: World) -> None:
    """Before it refuses it looks for itself."""
    world.store.told = Usage({"web": 10}, 5, 6)
    await world.capacity.count()

    world.capacity = world.process()
    await world.take()
    await world.settled()

    assert Usage({"web": 10}, 5, 6) == world.capacity.usage
    found = await world.store.read(KEY)
    assert found is not None
    assert {"at": NOW.isoformat(), "open": {"web": 10}, "size": 5, "free": 6} == json.loads(found[0])


@pytest.mark.parametrize(("open_", "counts"), [(3, 2), (5, 10)])
async def test_the_timer_counts_seldom_while_all_bounds_are_far(world: World, open_: int, counts: int) -> None:
    """On Azure each count is paid for."""
    world.store.told = Usage({"web": open_})

    for _ in range(10):
        await world.capacity.watch()
        world.clock.now += EVERY

    assert counts == world.store.asked.count("usage")


# ------------------------------------------------------------------------------------------------ who is warned


@pytest.mark.parametrize(
    ("usage", "lines"),
    [
        (Usage({"web": 7}, 1024**2, 10**9), []),
        (Usage({"web": 8}), [("bound_near", "source_full", "web", "8 of 10 open messages")]),
        (Usage({"web": 10, "b": 1}), [("bound_reached", "source_full", "web", "10 of 10 open messages")]),
        (Usage({}, 1800 * 1024), [("bound_near", "store_full", None, "1.758 MB of 2 MB")]),
        (Usage({}, 2**21), [("bound_reached", "store_full", None, "2 MB of 2 MB")]),
        (
            Usage({}, None, 10 * 1024),
            [("bound_reached", "store_full", None, "10 KB free on the disk, 10 KB are kept free")],
        ),
        (
            Usage({}, None, 12 * 1024),
            [("bound_near", "store_full", None, "12 KB free on the disk, 10 KB are kept free")],
        ),
    ],
)
async def test_operators_are_told_before_a_bound_is_reached(
    world: World, caplog: pytest.LogCaptureFixture, usage: Usage, lines: list[tuple[str, ...]]
) -> None:
    """At four fifths, by one line a minute; and again by another word once callers are refused."""
    world.store.told = usage
    world.capacity = world.process(BOUNDS.model_copy(update={"free": 10 * 1024}))

    with caplog.at_level(logging.INFO, LOGGER.name):
        await world.capacity.watch()

    told = [record.msg for record in caplog.records if isinstance(record.msg, Line)]
    assert lines == [(line.event, *(line.facts.get(name) for name in ("code", "source", "problem"))) for line in told]
