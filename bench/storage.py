"""Storage: what the store on Azure costs on Azurite, as ratios to bare calls, and between few and many open messages.

The bare pair is what accepting needs at least: the same entity-group transaction and the same doorbell, byte for byte,
over aiohttp with signatures made beforehand. Growth is measured from 1,000 to 5,000 open messages, `--full` to 50,000.
Azurite's own time grows with its tables: so processor time of our side is compared, and calls and rows, beside it.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from typing import NamedTuple
from unittest.mock import patch

import aiohttp
import pytest

from bench import storage_line
from bench.storage_client import Bare, Counting
from gateway.ledger import Claim, Report
from gateway.message import Message, Status
from gateway.stores import azure_rest
from gateway.stores.azure import AzureStore
from gateway.stores.azure_messages import MOST_MESSAGES
from tests.azurite import Azurite, running
from tests.factories import NOW, make_entry, make_message, make_messages, new_id
from tests.stores.steps import claimed, settlement

FEW, MANY, FULL = 1_000, 5_000, 50_000
COUNT = 160
CONCURRENCY = 16
ROUNDS = 12
REPEATS = 60
PAGE = 10
MOST_CALLS = 6
MOST_CAPTURED = MOST_MESSAGES * 3 // 2
SLOW = 60.0
LATER = NOW + timedelta(days=8)
"""No doorbell is rung for what waits longer than seven days."""

Work = Callable[[Message], Awaitable[object]]


def _fresh() -> Message:
    """A message of an ordinary size, always of the same length and in the same partition."""
    return make_message(notification=f"{new_id()[:-1]}a", transport="acs", text="x" * 400, html=f"<p>{'x' * 600}</p>")


def _middle(values: Iterable[float]) -> float:
    return statistics.median(list(values))


# ---------------------------------------------------------------------------------------------------------- accept


class Rate(NamedTuple):
    """Messages a second, and microseconds of our processor for each."""

    second: float
    cpu: float


async def _rate(work: Work, concurrency: int) -> Rate:
    waiting = iter([_fresh() for _ in range(COUNT)])

    async def worker() -> None:
        for message in waiting:
            await work(message)

    began, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    return Rate(COUNT / (time.perf_counter() - began), (time.process_time() - used) / COUNT * 1e6)


async def _round(emulator: Azurite, concurrency: int, number: int) -> tuple[Rate, Rate]:
    """The bare pair and ours, each on an account of its own, since Azurite slows down with what it holds."""
    found = {}
    for bare in (True, False) if number % 2 else (False, True):
        rest = Counting(emulator.account())
        store = AzureStore(rest)

        async def ours(message: Message, store: AzureStore = store) -> object:
            return await store.add(make_entry(message), [message], NOW)

        await ours(_fresh())  # makes table and queue
        rest.forget()
        await ours(recorded := _fresh())
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            pair = await Bare.of(session, rest, recorded)
            found[bare] = await _rate(pair.add if bare else ours, concurrency)
        await store.close()
    return found[True], found[False]


async def accept(emulator: Azurite) -> None:
    """`add` against the bare pair."""
    print("accept: one entity-group transaction and one doorbell")
    for concurrency in (1, CONCURRENCY):
        rounds = [await _round(emulator, concurrency, number) for number in range(ROUNDS)]
        for number, name in enumerate(("bare pair", "store.add")):
            second, cpu = (_middle(pair[number][part] for pair in rounds) for part in (0, 1))
            ratio = _middle(pair[number].second / pair[0].second for pair in rounds)
            print(f"  {name} x{concurrency:<3} {second:6.0f}/s {cpu:6.0f} us CPU   ratio {ratio:4.2f}")


# --------------------------------------------------------------------------------------------------------- deliver


class Cost(NamedTuple):
    """Of one verb: milliseconds, microseconds of our processor, calls, and rows read."""

    time: float
    cpu: float
    calls: int
    rows: int


async def _cost(rest: Counting, work: Awaitable[object]) -> Cost:
    rest.forget()
    began, used = time.perf_counter(), time.process_time()
    await work
    spent, own = time.perf_counter() - began, time.process_time() - used
    return Cost(spent * 1000, own * 1e6, len(rest.requests), rest.rows)


async def _way(rest: Counting, store: AzureStore) -> dict[str, Cost]:
    """Each verb of one message's way."""
    message = _fresh()
    taken: list[Claim] = []

    async def take() -> None:
        taken.append(await claimed(store, message))

    report = Report(operation=message.operation_id, recipient="info@example.com", status=Status.DELIVERED, at=NOW)
    return {
        "add": await _cost(rest, store.add(make_entry(message), [message], NOW)),
        "claim": await _cost(rest, take()),
        "settle": await _cost(rest, store.settle(taken[0], settlement())),
        "report": await _cost(rest, store.report(report)),
    }


def _middles(costs: list[Cost]) -> Cost:
    """The median time, the least CPU, to which neighbours only add; what is counted is the same in all, or the most."""
    return Cost(
        _middle(cost.time for cost in costs),
        min(cost.cpu for cost in costs),
        max(cost.calls for cost in costs),
        max(cost.rows for cost in costs),
    )


async def deliver(emulator: Azurite) -> None:
    """A message's way through the store, with nobody else around."""
    rest = Counting(emulator.account())
    store = AzureStore(rest)
    await _way(rest, store)
    ways = [await _way(rest, store) for _ in range(REPEATS)]
    found = {verb: _middles([way[verb] for way in ways]) for verb in ways[0]}
    print("a message's way, one after another")
    for verb, cost in found.items():
        print(f"  {verb:<8} {cost.calls} calls {cost.time:6.2f} ms {cost.cpu:6.0f} us CPU")
    calls = sum(cost.calls for verb, cost in found.items() if verb != "report")
    print(f"  to accept and deliver at the first try: {calls} transactions (goal <= {MOST_CALLS})")
    await store.close()


# ---------------------------------------------------------------------------------------------------------- growth


async def _fill(store: AzureStore, count: int, together: int) -> None:
    """Open messages, so many in each notification, older than any other; one transaction after the other.

    Azurite looks through a partition for each row it inserts, which takes seconds in the end.
    """
    created = NOW - timedelta(days=together)
    with patch.object(azure_rest, "TRY_SECONDS", SLOW):
        for _ in range(count // together):
            messages = make_messages(together, created=created)
            await store.add(make_entry(*messages), messages, LATER)


async def _verbs(rest: Counting, store: AzureStore) -> dict[str, Cost]:
    """What must not grow."""
    way = await _way(rest, store)

    async def page() -> None:
        await store.list(status="", source="", since=None, cursor="", limit=PAGE)

    return {
        **way,
        "due, nothing": await _cost(rest, store.due(NOW, PAGE)),
        "due, all": await _cost(rest, store.due(LATER + timedelta(days=1), PAGE)),
        "list": await _cost(rest, page()),
    }


async def _grown(rest: Counting, store: AzureStore) -> dict[str, Cost]:
    found = [await _verbs(rest, store) for _ in range(REPEATS)]
    return {verb: _middles([costs[verb] for costs in found]) for verb in found[0]}


async def growth(emulator: Azurite, most: int) -> None:
    """The same verbs with few and with many open messages."""
    rest = Counting(emulator.account())
    store = AzureStore(rest)
    await _way(rest, store)  # makes table and queue
    await _fill(store, FEW, 1)
    few = await _grown(rest, store)
    await _fill(store, most - FEW, MOST_CAPTURED)
    many = await _grown(rest, store)
    print(f"growth from {FEW:,} to {most:,} open messages: our CPU (goal <= 1.2), Azurite's time, what is counted")
    for verb, before in few.items():
        after = many[verb]
        same = before[2:] == after[2:]
        counted = f"{after.calls} calls, {after.rows} rows" + ("" if same else f" INSTEAD OF {before[2:]}")
        cpu, spent = after.cpu / before.cpu, after.time / before.time
        print(
            f"  {verb:<13} {after.cpu:6.0f} us  ratio {cpu:4.2f}   {after.time:7.2f} ms  ratio {spent:5.2f}   {counted}"
        )
    await store.close()


async def measure(emulator: Azurite, most: int) -> None:
    """All of it."""
    await accept(emulator)
    await deliver(emulator)
    await storage_line.measure(emulator.account(), emulator.account())
    await growth(emulator, most)


def main() -> None:
    """Print the tables; `--full` at the size of the goal."""
    try:
        with running() as emulator:
            asyncio.run(measure(emulator, FULL if "--full" in sys.argv else MANY))
    except pytest.skip.Exception as reason:
        print(f"left out: {reason}")


if __name__ == "__main__":
    main()
