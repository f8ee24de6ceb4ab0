"""Two workers, one of whom stands still longer than its claim and then goes on: what was promised holds all the same.

Where no client can do anything about it (the provider sends one key twice), no test says otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_args

import pytest

from gateway.message import Status
from gateway.transports.acs import Acs
from gateway.transports.graph import Graph
from gateway.transports.graph_client import Account, Answer
from gateway.transports.graph_payload import Options
from gateway.transports.identity import Identity
from tests.factories import make_attachment, make_message
from tests.servers.acs import KEY, FakeAcs, Repeated
from tests.servers.graph import TOKEN
from tests.servers.graph_mailbox import Second
from tests.servers.serve import serve
from tests.transports.graph_way import GraphWay, graph_way
from tests.transports.line import Line, line
from tests.transports.ways import Clock, Token

LONG = 120.0
"""Seconds that a worker stands still; a claim lasts sixty."""


class Stop:
    """A place where one worker stands still until it is let go."""

    def __init__(self, method: str, path: str) -> None:
        """In front of the first call like this."""
        self.method = method
        self.path = path
        self.there = asyncio.Event()
        self.on = asyncio.Event()

    async def __call__(self, method: str, path: str) -> None:
        """Stand still, once."""
        if method == self.method and path.partition("?")[0].endswith(self.path) and not self.there.is_set():
            self.there.set()
            await self.on.wait()


class Stopping(Account):
    """Graph's client of a worker that stands still."""

    stop: Stop

    async def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """Stand still in front of the call."""
        await self.stop(method, path)
        return await super().call(method, path, body, headers)


def stopping(way: GraphWay, stop: Stop) -> Graph:
    """The same sender in another process, which stops there."""
    account = Stopping(way.url, lambda: Identity(Token(TOKEN)), clock=way.clock)
    account.stop = stop
    return Graph(account, way.graph.options)


@asynccontextmanager
async def frozen(line: Line, message: Any, transport: Any, stop: Stop) -> AsyncIterator[None]:
    """A worker has claimed the message and stands still; time passes; at the end it goes on, however that ends."""
    await line.accept(message)
    zombie = asyncio.create_task(line.worker(transport).deliver(message.id))
    await asyncio.wait_for(stop.there.wait(), 20)
    line.clock.pass_by(LONG)
    yield
    stop.on.set()
    await zombie
    await transport.close()


STOPS = {
    "before it makes the draft": ("POST", "/messages"),
    "before it attaches": ("POST", "/attachments"),
    "before it sends": ("POST", "/send"),
}


CELLS = [
    (place, second)
    for place in STOPS
    for second in get_args(Second)
    # No client can hinder a provider who sends one draft twice.
    if (place, second) != ("before it sends", "202-sends-again")
]


@pytest.mark.parametrize(("place", "second"), CELLS)
async def test_by_draft_a_worker_that_comes_back_sends_nothing_twice(
    tmp_path: Path, place: str, second: Second
) -> None:
    """Its own draft is not the recorded one, or it sends the same draft a second time."""
    async with graph_way(mode="draft") as way, line(tmp_path, way.clock) as workers:
        way.fake.ways.second = second
        stop = Stop(*STOPS[place])
        big = tuple(make_attachment(name=f"{number}.bin", content=b"x" * 2_000_000) for number in range(2))
        message = make_message(created=way.clock(), transport="graph", attachments=big)
        async with frozen(workers, message, stopping(way, stop), stop):
            status = await workers.end(message, workers.worker(way.graph))
        left = [item for item in way.fake.boxes.items["noreply@example.com"] if item.draft]
        ended = (status, await workers.status(message), len(way.fake.sent), left)
    assert ended == (Status.SENT, Status.SENT, 1, [])


async def test_by_draft_two_zombies_are_no_worse_than_one(tmp_path: Path) -> None:
    """Each made a draft of its own and lost its claim; both drafts go."""
    async with graph_way(mode="draft") as way, line(tmp_path, way.clock) as workers:
        stops = [Stop("POST", "/messages"), Stop("POST", "/messages")]
        message = make_message(created=way.clock(), transport="graph")
        async with frozen(workers, message, stopping(way, stops[0]), stops[0]):
            other = stopping(way, stops[1])
            # The first claim is over, so that the second asks: nothing was told to go. Then it makes a draft.
            worker = workers.worker(other)
            await worker.deliver(message.id)
            way.clock.pass_by(LONG)
            second = asyncio.create_task(worker.deliver(message.id))
            await asyncio.wait_for(stops[1].there.wait(), 20)
            way.clock.pass_by(LONG)
            status = await workers.end(message, workers.worker(way.graph))
            stops[1].on.set()
            await second
            await other.close()
        left = [item for item in way.fake.boxes.items["noreply@example.com"] if item.draft]
        ended = (status, len(way.fake.sent), left, len(way.fake.calls("create")))
    assert ended == (Status.SENT, 1, [], 3)


@pytest.mark.parametrize("on_unknown", ["park", "resend"])
async def test_a_direct_submission_is_made_by_one_worker_only(tmp_path: Path, on_unknown: Any) -> None:
    """The one that stood still right before its call still makes it; nobody else did, unless that was wished for."""
    async with graph_way(mode="direct", on_unknown=on_unknown) as way, line(tmp_path, way.clock) as workers:
        stop = Stop("POST", "/sendMail")
        message = make_message(created=way.clock(), transport="graph")
        async with frozen(workers, message, stopping(way, stop), stop):
            status = await workers.end(message, workers.worker(way.graph))
        ended = (status, await workers.status(message), len(way.fake.sent))
    expected = (Status.UNKNOWN, 1) if on_unknown == "park" else (Status.SENT, 2)
    assert ended == (expected[0], *expected)


async def test_a_direct_submission_whose_worker_stopped_before_the_fence_is_made_by_the_next(tmp_path: Path) -> None:
    """Nothing had left, and nothing will: its fence does not hold any more."""
    async with graph_way(mode="direct") as way, line(tmp_path, way.clock) as workers:
        message = make_message(created=way.clock(), transport="graph")
        there, on = asyncio.Event(), asyncio.Event()
        options = Options(mode="direct")

        class Late(Graph):
            """Stands still with its claim before it has recorded anything."""

            async def send(self, message: Any, attempt: int, fence: Any) -> Any:
                there.set()
                await on.wait()
                return await super().send(message, attempt, fence)

        late = Late(way.account(), options)
        await workers.accept(message)
        zombie = asyncio.create_task(workers.worker(late).deliver(message.id))
        await asyncio.wait_for(there.wait(), 20)
        way.clock.pass_by(LONG)
        status = await workers.end(message, workers.worker(way.graph))
        on.set()
        ended = (status, await zombie, len(way.fake.sent))
        await late.close()
    assert ended == (Status.SENT, None, 1)


# ----------------------------------------------------------------------------------------------------------------- acs


class StoppingAcs(Acs):
    """ACS's client of a worker that stands still."""

    stop: Stop

    async def _call(self, method: str, path: str, headers: dict[str, str], body: str | bytes | None) -> Any:
        await self.stop(method, path)
        return await super()._call(method, path, headers, body)


@pytest.mark.parametrize("repeated", ["replay202", "400", "409", "501"])
@pytest.mark.parametrize("fault", ["ok", "503", "accept-then-503", "accept-then-drop", "429"])
async def test_by_acs_a_worker_that_comes_back_sends_nothing_twice(
    tmp_path: Path, fault: str, repeated: Repeated
) -> None:
    """As long as ACS tells a repeated operation id, whatever it answers to it."""
    clock = Clock()
    fake = FakeAcs()
    async with serve(fake, lifespan="off") as url, line(tmp_path, clock) as workers:
        fake.repeated = repeated
        fake.faults.append(fault)
        stop = Stop("POST", "/emails:send")
        zombie, acs = StoppingAcs(url, key=KEY), Acs(url, key=KEY)
        zombie.stop = stop
        message = make_message(transport="acs")
        async with frozen(workers, message, zombie, stop):
            status = await workers.end(message, workers.worker(acs))
        ended = (status, await workers.status(message), len(fake.sent))
        await acs.close()
    assert ended == (Status.SENT, Status.SENT, 1)
