"""Large bodies and mails wait for room in memory, small ones do not wait for large ones."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.budget import BODY_GROWTH, MIB, MOST_WAITING, SMALL, Budget, default
from gateway.clock import wall_clock
from gateway.delivery import Delivery
from gateway.errors import ConfigurationError, NoRoom
from gateway.message import Status
from gateway.settings import Settings
from gateway.stores.sqlite import SqliteStore
from gateway.transports.capture import Capture
from tests.conftest import KEYS, Running
from tests.factories import NOW, make_attachment
from tests.stores.steps import added, state

TEN = 10 * MIB


async def turns(budget: Budget, *sizes: int) -> list[asyncio.Task[bool]]:
    """Holds that ask for room one after the other, none of which gives any back."""
    tasks = []
    for size in sizes:
        tasks.append(asyncio.create_task(budget.hold().take(size, BODY_GROWTH, 5)))
        await asyncio.sleep(0)
    return tasks


async def test_large_ones_take_their_turns_and_small_ones_pass_them() -> None:
    """With 256 MiB four bodies of 10 MiB have room; a smaller large one waits behind the fifth."""
    budget = Budget(256 * MIB)
    holds = [budget.hold() for _ in range(4)]
    for hold in holds:
        assert await hold.take(TEN, BODY_GROWTH, 0)
    fifth, later = await turns(budget, TEN, 2 * MIB)

    assert await budget.hold().take(SMALL, BODY_GROWTH, 0)
    assert (fifth.done(), later.done(), holds[0].contested) == (False, False, True)
    holds[0].release()
    assert await fifth
    assert await later
    assert not holds[1].contested


async def test_whoever_gives_up_lets_the_next_one_pass() -> None:
    """Whether its time was over or its caller went."""
    budget = Budget(100 * MIB)
    first = budget.hold()
    assert await first.take(TEN, BODY_GROWTH, 0)
    gone, waits = await turns(budget, 15 * MIB, 5 * MIB)
    gone.cancel()

    assert await waits
    assert await budget.hold().take(TEN, BODY_GROWTH, 0.01) is False
    first.release()
    assert await budget.hold().take(TEN, BODY_GROWTH, 0)


async def test_a_turn_that_comes_to_somebody_gone_is_given_back() -> None:
    """Cancelled between the turn and its use, nothing stays taken."""
    budget = Budget(100 * MIB)
    first = budget.hold()
    assert await first.take(TEN, BODY_GROWTH, 0)
    (gone,) = await turns(budget, TEN)
    first.release()
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)

    assert budget.large.free == budget.large.size


async def test_what_is_larger_than_all_there_is_has_it_alone() -> None:
    """Rather slowly than never."""
    budget = Budget(16 * MIB)
    hold = budget.hold()

    assert await hold.take(TEN, BODY_GROWTH, 0)
    assert not budget.hold().try_take(MIB, BODY_GROWTH)
    hold.keep(MIB, BODY_GROWTH)
    assert budget.hold().try_take(MIB, BODY_GROWTH)


async def test_a_caller_is_told_when_there_is_no_room(gateway: Running) -> None:
    """After five seconds, with 503; a small body is taken meanwhile, and the large one later."""
    hold = gateway.gateway.budget.hold()
    assert await hold.take(100 * MIB, BODY_GROWTH, 0)
    large = {"to": "ops@example.com", "text": "x " * 500_000}
    refused = asyncio.create_task(gateway.send(large))
    closed = {"connection": "close"}  # or the next request might meet its end, after just as many idle seconds
    small = await gateway.send({"to": "ops@example.com", "text": "x"}, headers=closed)
    assert (small.status, refused.done()) == (202, False)

    assert (await refused).code == (503, "busy")
    assert refused.result().headers["retry-after"] == "5"
    hold.release()
    assert (await gateway.send(large)).status == 202


async def test_a_body_that_comes_slowly_makes_room_for_those_who_wait(
    gateway: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger could hold all of it for hours otherwise, at the least rate; alone it may take its time."""
    monkeypatch.setattr("gateway.web.CONTESTED_SECONDS", 0.5)
    budget = gateway.gateway.budget
    others = budget.hold()
    assert await others.take((budget.large.size - 5 * MIB) // BODY_GROWTH, BODY_GROWTH, 0)

    async def slowly() -> AsyncIterator[bytes]:
        yield b'{"to": "ops@example.com", "text": "'
        for _ in range(100):
            yield b"x" * 1000
            await asyncio.sleep(0.1)

    headers = {"x-api-key": KEYS["app"], "content-length": "1000000"}
    slow = asyncio.create_task(gateway.call("POST", "/v1/notifications", data=slowly(), headers=headers))
    await asyncio.sleep(1.5)
    assert not slow.done()
    quick = await gateway.send({"to": "ops@example.com", "text": "x" * 1_000_000})

    assert quick.status == 202
    assert (await slow).code == (408, "too_slow")


async def test_where_many_wait_nobody_else_begins_to(gateway: Running) -> None:
    """A large body is refused at once then, and a small one taken."""
    budget = gateway.gateway.budget
    assert await budget.hold().take(100 * MIB, BODY_GROWTH, 0)
    waiting = await turns(budget, *[MIB] * MOST_WAITING)
    reply = await asyncio.wait_for(gateway.send({"to": "ops@example.com", "text": "x" * 1_000_000}), 3)

    assert reply.code == (503, "busy")
    assert (await gateway.send({"to": "ops@example.com", "text": "x"})).status == 202
    for task in waiting:
        task.cancel()


async def test_callers_who_send_nothing_of_what_they_said_hold_up_no_usual_one(gateway: Running) -> None:
    """All that is for small bodies is held, and as many wait as may; an alert has some kilobytes and is taken."""
    lane = gateway.gateway.budget.small
    held = [gateway.gateway.budget.hold() for _ in range(lane.size // SMALL // BODY_GROWTH)]
    assert all([await hold.take(SMALL, BODY_GROWTH, 0) for hold in held])
    waiting = await turns(gateway.gateway.budget, *[SMALL] * MOST_WAITING)
    mail = {"to": "ops@example.com", "text": "x" * 15_000}

    async def chunks() -> AsyncIterator[bytes]:
        yield json.dumps(mail).encode()

    headers = {"x-api-key": KEYS["app"], "content-type": "application/json"}
    chunked = await gateway.call("POST", "/v1/notifications", data=chunks(), headers=headers)
    assert ((await gateway.send(mail)).status, chunked.status) == (202, 202)
    for task in waiting:
        task.cancel()


@pytest.mark.parametrize("size", [1000, 20_000, SMALL + 1, 3 * MIB])
async def test_a_body_of_unknown_length_takes_what_it_needs_and_gives_it_back(gateway: Running, size: int) -> None:
    """Sent in chunks, without a Content-Length."""
    budget = gateway.gateway.budget

    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"to": "ops@example.com", "text": "'
        for _ in range(size // 1000):
            yield b"x" * 1000
        yield b'"}'

    headers = {"x-api-key": KEYS["app"], "content-type": "application/json"}
    reply = await gateway.call("POST", "/v1/notifications", data=chunks(), headers=headers)

    assert reply.status == 202
    assert (budget.small.free, budget.large.free) == (budget.small.size, budget.large.size)


async def test_a_large_mail_waits_before_it_is_claimed_and_small_ones_pass(gateway: Running) -> None:
    """Seventy of them, more than are delivered at once: a small one goes out all the same."""
    hold, store = gateway.gateway.budget.hold(), gateway.gateway.store
    assert await hold.take(100 * MIB, BODY_GROWTH, 0)
    due = wall_clock()
    large = [await added(store, due, attachments=(make_attachment(content=b"x" * MIB),)) for _ in range(70)]
    small = await gateway.send({"to": "ops@example.com", "subject": "small", "text": "x"})

    assert (await gateway.status(small.json["id"]))["status"] == "captured"
    waits = await gateway.status(large[0].notification, wait=False)
    assert (waits["status"], waits["messages"][0]["attempts"]) == ("queued", 0)
    hold.release()
    for message in large:
        assert (await gateway.status(message.notification))["status"] == "captured"


async def test_a_mail_without_room_is_no_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is as it was, and goes out the next time."""
    monkeypatch.setattr("gateway.delivery.DELIVERY_SECONDS", 0.01)
    store = await SqliteStore.open(tmp_path / "gateway.db")
    budget = Budget(100 * MIB)
    delivery = Delivery(store, lambda *_: Capture(store), clock=lambda: NOW, budget=budget)
    message = await added(store, attachments=(make_attachment(content=b"x" * MIB),))
    hold = budget.hold()
    assert await hold.take(100 * MIB, BODY_GROWTH, 0)

    with pytest.raises(NoRoom):
        await delivery.deliver(message.id)
    assert (await state(store, message)).attempts == 0
    hold.release()
    assert await delivery.deliver(message.id) is Status.CAPTURED
    assert budget.large.free == budget.large.size
    await store.close()


@pytest.mark.parametrize("text", ["15", "0", "-1", "100000", "1.5", "256MB", "\u0661\u0666"])
def test_a_budget_that_cannot_be_one_is_a_mistake_of_the_environment(text: str) -> None:
    """Named with its variable."""
    with pytest.raises(ConfigurationError, match="GATEWAY_MEMORY_BUDGET: must be a whole number"):
        Settings.read({"GATEWAY_MEMORY_BUDGET": text})


def test_the_budget_comes_from_the_memory_there_is_unless_it_is_said() -> None:
    """An eighth of it, and 256 MiB at most."""
    assert Settings.read({"GATEWAY_MEMORY_BUDGET": "16"}).budget == 16 * MIB
    assert Settings.read({}).budget == default() <= 256 * MIB


@pytest.mark.parametrize(
    ("limit", "expected"), [("536870912", 64 * MIB), ("max", None), ("17179869184", 256 * MIB), ("", None)]
)
def test_a_container_with_little_memory_has_a_smaller_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, expected: int | None
) -> None:
    """512 MB: 64 MiB. Without a limit the machine's memory counts."""
    unlimited = default()
    (tmp_path / "memory.max").write_text(limit)
    monkeypatch.setattr("gateway.budget.CGROUPS", (str(tmp_path / "nothing"), str(tmp_path / "memory.max")))

    assert default() == min(unlimited, expected or unlimited)
