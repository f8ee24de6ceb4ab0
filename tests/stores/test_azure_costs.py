"""What the store on Azure costs: calls to the storage account, verb by verb, and that none of it grows."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest

from gateway.ledger import Amendment, Report
from gateway.message import Message, Priority, Status
from gateway.settings import Settings
from gateway.stores.azure import AzureStore
from gateway.stores.azure_messages import MOST_MESSAGES
from tests.azurite import Azurite
from tests.factories import NOW, make_attachment, make_entry, make_message, make_messages, new_id
from tests.faultproxy import FaultProxy, proxied
from tests.stores.steps import LEASES, MINUTE, added, claimed, settlement

LARGE = make_attachment(content=bytes(range(256)) * 1200)
MANY = 20_000 if os.environ.get("SOAK") == "1" else 4_000


@pytest.fixture
async def proxy(azurite: Azurite) -> AsyncIterator[FaultProxy]:
    """A proxy that only counts."""
    async with proxied(azurite) as proxy:
        yield proxy


@pytest.fixture
async def counted(proxy: FaultProxy) -> AsyncIterator[AzureStore]:
    """A store whose table, queues and containers are there, behind the proxy."""
    store = await AzureStore.open(Settings(storage=proxy.account()[0]))
    await added(store, priority="high", attachments=(LARGE,))
    await added(store, due=NOW + 1000 * MINUTE)
    await store.keep(make_message(attachments=(LARGE,)), NOW)
    yield store
    await store.close()


def report(message: Message) -> Report:
    """A provider's word."""
    return Report(operation=message.operation_id, recipient="info@example.com", status=Status.DELIVERED, at=NOW)


async def calls(proxy: FaultProxy, work: Awaitable[Any]) -> tuple[Counter[str], Any]:
    """How often each service was called, and what the work gave."""
    proxy.spoil(None)
    result = await work
    return Counter(call.service for call in proxy.calls), result


# ----------------------------------------------------------------------------------------------------------- costs


async def test_a_message_that_succeeds_at_first_costs_five_transactions(proxy: FaultProxy, counted: AzureStore) -> None:
    """Two to accept, three to deliver; the goal is six. Whoever reports on it costs three more."""
    message = make_message(transport="acs")

    accepted, _ = await calls(proxy, counted.add(make_entry(message), [message], NOW))
    taken, claim = await calls(proxy, counted.claim(message.id, "me", NOW, LEASES))
    ended, settled = await calls(proxy, counted.settle(claim, settlement(facts={"fact": "1"})))
    reported, found = await calls(proxy, counted.report(report(message)))

    assert (settled, found) == (True, message.id)
    assert (accepted, taken, ended) == ({"table": 1, "queue": 1}, {"table": 2}, {"table": 1})
    assert reported == {"table": 3}


COSTS = {
    "add, too large for a row": 3,
    "add, two messages": 3,
    "add, already there": 3,
    "claim, nothing to do": 1,
    "record": 1,
    "ring": 1,
    "amend": 2,
    "report, nothing new": 2,
    "report, somebody else's": 1,
    "due": 16,
    "beginning": 17,
    "get": 1,
    "list": 19,
    "keep": 1,
    "kept": 1,
    "captured, nothing new": 1,
    "captured_one": 2,
    "latest": 2,
    "put": 1,
    "fetch": 1,
    "write": 1,
    "read": 1,
    "scan": 16,
    "usage": 16,
    "queue_length": 1,
}
"""Calls of each verb."""


async def test_what_each_verb_costs(proxy: FaultProxy, counted: AzureStore) -> None:
    """In calls; those that look into all partitions make 16, and a page one more for each notification it shows."""
    large = make_message(attachments=(LARGE,))
    small = await added(counted)
    claim = await claimed(counted, small)
    waiting = await added(counted)
    reported = await added(counted, transport="acs")
    await counted.report(report(reported))
    stop = Amendment(allowed=frozenset({Status.QUEUED}), status=Status.CANCELLED, event="cancelled", at=NOW)
    cursor = (await counted.captured(after="", since=None, limit=1))[0].cursor
    verbs: dict[str, Awaitable[Any]] = {
        "add, too large for a row": counted.add(make_entry(large), [large], NOW),
        "add, two messages": counted.add(make_entry(*(two := make_messages(2))), two, NOW),
        "add, already there": counted.add(make_entry(small), [small], NOW),
        "claim, nothing to do": counted.claim(small.id, "other", NOW, LEASES),
        "record": counted.record(claim, {"draft": "1"}),
        "ring": counted.ring(small.id, Priority.NORMAL, NOW + 9 * MINUTE, NOW),
        "amend": counted.amend(waiting.id, stop),
        "report, nothing new": counted.report(report(reported)),
        "report, somebody else's": counted.report(report(make_message())),
        "due": counted.due(NOW, 100),
        "beginning": counted.beginning(small.notification[:8], 10),
        "get": counted.get(small.notification),
        "list": counted.list(status="", source="", since=None, cursor="", limit=3),
        "keep": counted.keep(small, NOW),
        "kept": counted.kept(small.id),
        "captured, nothing new": counted.captured(after=cursor, since=NOW + MINUTE, limit=100),
        "captured_one": counted.captured_one(small.id),
        "latest": counted.latest(before="", limit=1),
        "put": counted.put("name", b"content"),
        "fetch": counted.fetch("name"),
        "write": counted.write("key", b"1", None),
        "read": counted.read("key"),
        "scan": counted.scan("key", "", 10),
        "usage": counted.usage(),
        "queue_length": counted.queue_length("outbox"),
    }

    found = {name: sum((await calls(proxy, work))[0].values()) for name, work in verbs.items()}

    assert found == COSTS


async def test_nothing_is_called_at_start_and_things_are_made_once(proxy: FaultProxy) -> None:
    """The first message of an account finds no table and no queue; the second finds both."""
    store = await AzureStore.open(Settings(storage=proxy.account()[0]))
    at_start = len(proxy.calls)

    first, _ = await calls(proxy, added(store))
    second, _ = await calls(proxy, added(store))
    await store.close()

    assert at_start == 0
    assert first == {"table": 3, "queue": 3}
    assert second == {"table": 1, "queue": 1}


# ---------------------------------------------------------------------------------------------------------- growth


async def cost(proxy: FaultProxy, store: AzureStore) -> dict[str, tuple[int, int, int]]:
    """Calls, bytes sent and bytes received of a message's way and of a sweep."""
    message = make_message(notification=f"{new_id()[:-1]}a", transport="acs")
    found = {}
    claim = None
    for verb in ("add", "claim", "settle", "report", "due"):
        proxy.spoil(None)
        if verb == "add":
            await store.add(make_entry(message), [message], NOW)
        elif verb == "claim":
            claim = await claimed(store, message)
        elif verb == "settle":
            assert claim is not None
            assert await store.settle(claim, settlement()) is True
        elif verb == "report":
            assert await store.report(report(message)) == message.id
        else:
            assert await store.due(NOW, 100) == []
        found[verb] = (
            len(proxy.calls),
            sum(call.sent for call in proxy.calls),
            sum(call.received for call in proxy.calls),
        )
    await store.purge(bodies=NOW + MINUTE, ledger=NOW + MINUTE, captured=NOW)
    return found


async def fill(store: AzureStore, count: int) -> None:
    """Open messages that wait for later."""
    for start in range(0, count // MOST_MESSAGES, 8):
        notifications = [make_messages(MOST_MESSAGES) for _ in range(start, min(start + 8, count // MOST_MESSAGES))]
        later = NOW + 1000 * MINUTE
        await asyncio.gather(*(store._messages.add(make_entry(*items), items, later) for items in notifications))


async def test_a_backlog_costs_nothing(proxy: FaultProxy) -> None:
    """The same calls and the same bytes with 1,000 open messages and with many more."""
    through, past = proxy.account()
    store, direct = [await AzureStore.open(Settings(storage=storage)) for storage in (through, past)]
    await fill(direct, 1_000)
    await store.ring("warm-1", Priority.NORMAL, NOW, NOW)

    few = await cost(proxy, store)
    await fill(direct, MANY - 1_000)
    many = await cost(proxy, store)
    await store.close()
    await direct.close()

    calls_of = {verb: figures[0] for verb, figures in few.items()}
    assert calls_of == {"add": 2, "claim": 2, "settle": 1, "report": 3, "due": 16}
    assert many == few
