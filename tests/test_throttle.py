"""The limiter: no more than the limit in any window, whoever counts; few calls; nobody waits for a slow store."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway import throttle, waiting
from gateway.config import Source
from gateway.errors import StoreUnavailable
from gateway.stores.sqlite import SqliteStore
from gateway.throttle import FORM, OPEN, Limits, Rates, Throttle, limits_of

START = datetime(2026, 11, 28, 12, tzinfo=UTC)
A, B = ("a" * 16,), ("b" * 16,)
UNLIMITED = Rates(0, 0)


@dataclass
class Clock:
    """The time, as the test says."""

    at: datetime = START

    def __call__(self) -> datetime:
        """Now."""
        return self.at

    def go(self, seconds: float) -> None:
        """Later."""
        self.at += timedelta(seconds=seconds)


@dataclass
class Watched:
    """The store's verbs, counted; `hang` makes them slow, `broken` makes them fail."""

    store: SqliteStore
    calls: list[str] = field(default_factory=list)
    broken: bool = False
    hang: asyncio.Event | None = None

    async def _pass(self, verb: str) -> None:
        self.calls.append(verb)
        if self.hang:
            await self.hang.wait()
        if self.broken:
            raise StoreUnavailable("gone")

    async def read(self, key: str) -> tuple[bytes, str] | None:
        """As the store does."""
        await self._pass("read")
        return await self.store.read(key)

    async def write(self, key: str, value: bytes, version: str | None) -> bool:
        """As the store does."""
        await self._pass("write")
        return await self.store.write(key, value, version)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """A store of the test's own."""
    opened = await SqliteStore.open(str(tmp_path / "gateway.db"))
    yield opened
    await opened.close()


@pytest.fixture
def clock() -> Clock:
    """The test's clock."""
    return Clock()


async def passed(limiter: Throttle, client: tuple[str, ...], count: int, limits: Limits = FORM) -> int:
    """How many of so many posts pass."""
    waits = [await limiter.take("contact", limits, client) for _ in range(count)]
    return waits.count(0)


def most(went: list[datetime], window: timedelta) -> int:
    """The most posts that any window of this length has."""
    return max(sum(at <= other < at + window for other in went) for at in went)


async def test_one_client_has_its_limit_a_minute_and_an_hour(store: SqliteStore, clock: Clock) -> None:
    """5 and 30; another client still has its own."""
    limiter = Throttle(store, clock)

    by_minute = []
    for _ in range(8):
        by_minute.append(await passed(limiter, A, 10))
        clock.go(60)

    assert [5, 5, 5, 5, 5, 5, 0, 0] == by_minute
    assert 5 == await passed(limiter, B, 10)


async def test_a_source_has_a_limit_over_all_clients(store: SqliteStore, clock: Clock) -> None:
    """30 a minute, however many ask; a client who got nothing has used nothing up."""
    limiter = Throttle(store, clock)

    assert 30 == sum([await passed(limiter, (f"{n:016x}",), 1) for n in range(100)])

    clock.go(60)
    assert 5 == await passed(limiter, (f"{99:016x}",), 9)


async def test_the_wait_is_until_a_place_is_free_and_not_longer(store: SqliteStore, clock: Clock) -> None:
    """A place comes when the oldest post leaves the window."""
    limiter = Throttle(store, clock)
    for _ in range(5):
        await limiter.take("contact", FORM, A)
        clock.go(2)

    wait = await limiter.take("contact", FORM, A)

    assert 50_000 == wait == limiter.wait("contact", FORM, A)
    clock.go(49.9)
    assert 100 == await limiter.take("contact", FORM, A)
    clock.go(0.1)
    assert 0 == await limiter.take("contact", FORM, A)


async def test_no_window_of_any_minute_ever_has_more(store: SqliteStore, clock: Clock) -> None:
    """Not at its end and its beginning either, where fixed windows let twice as many pass."""
    chance = random.Random(7)
    limiter = Throttle(store, clock)
    went: list[datetime] = []

    for _ in range(3000):
        clock.go(chance.choice([0.01, 0.3, 2, 7]))
        if not await limiter.take("contact", FORM, A):
            went.append(clock.at)

    assert (5, 30) == (most(went, timedelta(minutes=1)), most(went, timedelta(hours=1)))


@pytest.mark.parametrize("clients", [1, 40])
@pytest.mark.parametrize("workers", [2, 4])
async def test_several_workers_let_no_more_pass_than_one_and_their_spare(
    store: SqliteStore, clock: Clock, workers: int, clients: int
) -> None:
    """For every further worker at most what it lets pass before it tells the others."""
    limiters = [Throttle(store, clock) for _ in range(workers)]
    limit, spare = (5, FORM.address.spare) if clients == 1 else (30, FORM.source.spare)
    asked = [(limiter, (f"{n % clients:016x}",)) for n in range(80) for limiter in limiters]

    answers = await asyncio.gather(*(limiter.take("contact", FORM, client) for limiter, client in asked))

    assert limit <= answers.count(0) <= limit + (workers - 1) * spare
    assert (1, 3) == (FORM.address.spare, FORM.source.spare)


async def test_no_window_has_more_whoever_of_three_is_asked_and_when(store: SqliteStore, clock: Clock) -> None:
    """Over an hour and more, with posts close together and far apart; each further worker adds its spare, once."""
    chance = random.Random(3)
    limiters = [Throttle(store, clock) for _ in range(3)]
    went: list[datetime] = []

    for _ in range(1000):
        clock.go(chance.choice([0.01, 0.5, 3, 11]))
        if not await chance.choice(limiters).take("contact", FORM, A):
            went.append(clock.at)

    assert most(went, timedelta(minutes=1)) in range(5, 5 + 2 * FORM.address.spare + 1)
    assert most(went, timedelta(hours=1)) in range(30, 30 + 2 * FORM.address.spare + 1)


async def test_a_quiet_source_costs_at_most_a_call_for_each_post(store: SqliteStore, clock: Clock) -> None:
    """Whether it is always another visitor or always the same one, and with two workers in turn."""
    costs = []
    for source, clients, workers in (("one", 1, 1), ("many", 100, 1), ("two", 100, 2)):
        watched = Watched(store)
        limiters = [Throttle(watched, clock) for _ in range(workers)]
        for number in range(40):
            clock.go(121)
            client = (f"{number % clients:016x}",)
            assert 0 == await limiters[number % workers].take(source, FORM, client)
        costs.append(len(watched.calls) / 40)

    assert [] == [cost for cost in costs if cost > 1]


async def test_whoever_is_over_the_limit_costs_no_call(store: SqliteStore, clock: Clock) -> None:
    """A flood is refused in the process."""
    watched = Watched(store)
    limiter = Throttle(watched, clock)
    await passed(limiter, A, 5)
    before = len(watched.calls)

    assert 0 == await passed(limiter, A, 1000)
    assert before == len(watched.calls)


async def test_a_flood_at_once_costs_no_more_than_what_passes(store: SqliteStore, clock: Clock) -> None:
    """Posts that come together ask the store together."""
    watched = Watched(store)
    limiter = Throttle(watched, clock)

    answers = await asyncio.gather(*(limiter.take("contact", FORM, (f"{n:016x}",)) for n in range(1000)))

    assert 30 == answers.count(0)
    assert len(watched.calls) <= 30


async def test_a_store_that_fails_holds_nobody_up_and_each_worker_goes_on_alone(
    store: SqliteStore, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """The limit holds in the process; one line says so; afterwards the store is told what passed."""
    watched = Watched(store, broken=True)
    limiter = Throttle(watched, clock)

    assert 5 == await passed(limiter, A, 20)
    assert ["limits_local"] == [json.loads(message)["event"] for message in caplog.messages]
    assert 1 == len(watched.calls)


async def test_a_store_that_hangs_costs_one_request_half_a_second(
    store: SqliteStore, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The others do not wait at all, and when it is back it learns what passed."""
    monkeypatch.setattr(waiting, "SECONDS", 0.05)
    watched = Watched(store, hang=asyncio.Event())
    limiter, other = Throttle(watched, clock), Throttle(store, clock)
    loop = asyncio.get_running_loop()
    begin = loop.time()

    assert 5 == await passed(limiter, A, 20)

    assert loop.time() - begin < 1
    assert ["limits_local"] == [json.loads(message)["event"] for message in caplog.messages]
    assert watched.hang
    watched.hang.set()
    under_way = limiter._books["contact"].waiting._task
    assert under_way
    await under_way
    assert FORM.address.spare == await passed(other, A, 20)


async def test_what_is_stored_stays_small_whoever_knocks(store: SqliteStore, clock: Clock) -> None:
    """Under any number of addresses the value has an end, and so has what the process remembers."""
    limiter = Throttle(store, clock)
    limits = Limits(FORM.address, UNLIMITED)

    for number in range(2500):
        clock.go(0.1)
        await limiter.take("contact", limits, (f"{number:016x}",))

    stored = await store.read(f"{throttle.PREFIX}contact")
    assert stored
    assert len(stored[0]) < 100_000
    assert len(limiter._books["contact"].known.clients) <= throttle.MOST


async def test_what_passed_at_high_rates_is_counted_in_few_steps(store: SqliteStore, clock: Clock) -> None:
    """An unusual limit makes no large value."""
    limiter = Throttle(store, clock)
    limits = Limits(UNLIMITED, Rates(3000, 100_000))

    assert 3000 == await passed(limiter, A, 3100, limits)

    for _ in range(80):
        clock.go(50)
        await passed(limiter, A, 100, limits)
    stored = await store.read(f"{throttle.PREFIX}contact")
    assert stored
    assert len(stored[0]) < 6000


async def test_midnight_is_no_way_to_a_second_limit(store: SqliteStore, clock: Clock) -> None:
    """The hash of a client changes; in the hour after it the old one counts as well."""
    limiter = Throttle(store, clock)
    assert 5 == await passed(limiter, A, 9)

    assert 0 == await passed(limiter, (*B, *A), 9)
    assert 5 == await passed(limiter, B, 9)


async def test_who_is_not_let_in_uses_up_his_own_limit_only(store: SqliteStore, clock: Clock) -> None:
    """Or wrong keys would close a source to everybody."""
    limiter = Throttle(store, clock)

    for number in range(100):
        await limiter.take("contact", FORM, (f"{number:016x}",), whole=False)

    assert [0] * 5 == [await limiter.take("contact", FORM, A, whole=False) for _ in range(5)]
    assert 60_000 == await limiter.take("contact", FORM, A)
    assert 0 == await limiter.take("contact", FORM, B)


async def test_a_clock_that_is_ahead_elsewhere_locks_nobody_out_for_long(store: SqliteStore, clock: Clock) -> None:
    """What another worker wrote with a later time counts as now."""
    ahead = Throttle(store, Clock(START + timedelta(hours=5)))
    await passed(ahead, A, 5)

    limiter = Throttle(store, clock)
    await passed(limiter, A, 2)
    clock.go(61)

    assert 5 == await passed(limiter, A, 9)


@pytest.mark.parametrize("back", [30, 3600, 86_400])
async def test_a_clock_that_is_set_back_locks_nobody_out_for_long(
    store: SqliteStore, clock: Clock, back: float
) -> None:
    """What passed before counts as if it were now, here and once more where the store is read, and no longer."""
    limiter = Throttle(store, clock)
    await passed(limiter, A, 5)
    clock.go(-back)

    assert 0 < await limiter.take("contact", FORM, A) <= 60_000
    assert 0 < limiter.wait("contact", FORM, A) <= 60_000
    clock.go(61)
    assert 1 <= await passed(limiter, A, 9)
    clock.go(61)
    assert 5 == await passed(limiter, A, 9)


async def test_old_values_are_purged(store: SqliteStore, clock: Clock) -> None:
    """A form that nobody uses any more leaves nothing of its visitors."""
    limiter = Throttle(store, clock)
    await passed(limiter, A, 5)
    await limiter.take("other", FORM, A)

    assert 0 == await throttle.purge(store, clock.at + timedelta(hours=1))
    assert 1 == await throttle.purge(store, clock.at + timedelta(hours=3))
    assert await store.read(f"{throttle.PREFIX}contact") is None


@pytest.mark.parametrize(
    ("kind", "written", "limits"),
    [
        ("form", {}, FORM),
        ("form", {"limit": None}, FORM),
        ("form", {"limit": "off"}, OPEN),
        ("form", {"limit": False}, OPEN),
        ("form", {"limit": {"address": {"minute": 2}}}, Limits(Rates(2, 30), FORM.source)),
        ("form", {"limit": {"address": "off"}}, Limits(UNLIMITED, FORM.source)),
        ("form", {"limit": {"source": {"hour": False}}}, Limits(FORM.address, Rates(30, 0))),
        ("alertmanager", {}, OPEN),
        ("alertmanager", {"limit": {"source": {"minute": 600}}}, Limits(UNLIMITED, Rates(600, 0))),
        ("native", {"limit": {"address": {"hour": 9}}}, Limits(Rates(0, 9), UNLIMITED)),
    ],
)
def test_what_is_not_written_is_as_usual_for_the_kind(kind: str, written: dict[str, object], limits: Limits) -> None:
    """On every form, and nowhere else unless it says so."""
    assert limits == limits_of(Source.model_validate({"kind": kind, "sender": "x", **written}))
