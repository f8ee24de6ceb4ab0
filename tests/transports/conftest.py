"""The ways out under test: a name comes in, a Way goes out, with its truth and with every way it can break.

To add a transport: write a Way, and put it into WAYS; the words of its faults then run through the suite.
"""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import TransportError
from gateway.message import Message, Transport
from gateway.stores.sqlite import SqliteStore
from gateway.transports.acs import Acs
from gateway.transports.capture import Capture
from tests.factories import make_message
from tests.servers.acs import KEY, FakeAcs, Sent
from tests.servers.serve import serve
from tests.transports.graph_way import GraphWay, graph_way
from tests.transports.ways import Arrived, MemoryFence, Way


async def failure(
    transport: Transport, message: Message | None = None, attempt: int = 1, fence: MemoryFence | None = None
) -> TransportError:
    """How this submission fails."""
    with pytest.raises(TransportError) as caught:
        await transport.send(message or make_message(), attempt, fence or MemoryFence())
    return caught.value


# ------------------------------------------------------------------------------------------------------------- capture


class CaptureWay:
    """Capture on a real store."""

    one_body = False
    large = 7 * 1024 * 1024

    def __init__(self, path: Path, store: SqliteStore) -> None:
        """`store` is open on `path`."""
        self.path = path
        self.store = store
        self.transport: Transport = Capture(store)

    async def close(self) -> None:
        """Close the store that is open now."""
        await self.store.close()

    async def truth(self) -> list[Arrived]:
        """What the store shows."""
        return [kept_as_arrived(one.message) for one in await self.store.captured(after="", since=None, limit=1000)]

    def later(self) -> None:
        """Nothing waits for it."""

    @asynccontextmanager
    async def broken(self, fault: str, *, asking: bool = False) -> AsyncIterator[None]:
        """Another process keeps the file locked, or the store is closed."""
        del asking
        if fault == "locked":
            other = sqlite3.connect(self.path, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            yield
            other.close()
        else:
            await self.store.close()
            yield
            self.store = await open_store(self.path)
            self.transport = Capture(self.store)


def open_store(path: Path) -> Any:
    """A store that does not wait long for a lock."""
    return SqliteStore.open(path, busy=0.05)


def kept_as_arrived(message: Message) -> Arrived:
    """A captured message."""
    to, cc, bcc, reply_to = (
        tuple((one.email, one.name) for one in addresses)
        for addresses in (message.to, message.cc, message.bcc, message.reply_to)
    )
    files = tuple((one.name, one.content_type, one.content, one.content_id or "") for one in message.attachments)
    return Arrived(message.subject, message.text, message.html, to, cc, bcc, reply_to, files, message.headers)


# ----------------------------------------------------------------------------------------------------------------- acs


class AcsWay:
    """The real client against the fake."""

    one_body = False
    large = 7 * 1024 * 1024

    def __init__(self, fake: FakeAcs, url: str) -> None:
        """By access key."""
        self.fake = fake
        self.url = url
        self.acs = Acs.from_connection_string(f"endpoint={url}/;accesskey={KEY}")
        self.transport: Transport = self.acs

    async def truth(self) -> list[Arrived]:
        """The fake's log."""
        return [sent_as_arrived(one) for one in self.fake.sent]

    def later(self) -> None:
        """Nothing waits for it."""

    @asynccontextmanager
    async def broken(self, fault: str, *, asking: bool = False) -> AsyncIterator[None]:
        """One fault of the fake's menu; a hanging one is cut soon."""
        faults = self.fake.get_faults if asking else self.fake.faults
        # aiohttp asks once more when a kept connection ends before an answer to a GET, so that fault must last.
        faults.extend([fault, fault] if asking and fault == "drop" else [fault])
        self.acs.deadline = 0.15 if "hang" in fault else 30.0
        yield
        self.acs.deadline = 30.0
        faults.clear()


def sent_as_arrived(sent: Sent) -> Arrived:
    """A payload of emails:send."""
    mail = sent.payload
    to, cc, bcc, reply_to = (
        tuple((one["address"], one.get("displayName", "")) for one in addresses)
        for addresses in (*(mail["recipients"].get(kind, []) for kind in ("to", "cc", "bcc")), mail.get("replyTo", []))
    )
    files = tuple(
        (one["name"], one["contentType"], base64.b64decode(one["contentInBase64"]), one.get("contentId", ""))
        for one in mail.get("attachments", [])
    )
    content = mail["content"]
    return Arrived(
        content["subject"],
        content.get("plainText", ""),
        content.get("html", ""),
        to,
        cc,
        bcc,
        reply_to,
        files,
        mail.get("headers", {}),
    )


# ---------------------------------------------------------------------------------------------------------------- all

BROKEN = (
    "drop-before-accept",
    "accept-then-drop",
    "hang",
    "accept-then-hang",
    "garbage",
    "accept-then-garbage",
    "accept-then-cut",
    *(f"accept-then-{status}" for status in (500, 501, 502, 503, 504)),
)
"""Ways to break a submission that every provider may have."""

ANSWERS = (*map(str, (301, 307, 400, 401, 403, 404, 408, 409, 413, 429, 500, 501, 502, 503, 504, 507)), "429:30")
"""Answers of Graph that are no yes, none of which lets the mail out."""

FAULTS: dict[str, tuple[str, ...]] = {
    "capture": ("locked", "closed"),
    "acs": (
        *BROKEN,
        "accept-then-nonsense",
        *map(str, (200, 204, 301, 302, 307, 308)),
        *map(str, (400, 401, 403, 404, 405, 408, 409, 410, 412, 413, 415, 422, 425, 429, 431, 451)),
        *map(str, (500, 501, 502, 503, 504, 507)),
        "429:30",
        "failed",
    ),
    "graph-direct": tuple(f"send-mail/{word}" for word in (*BROKEN, *ANSWERS)),
    "graph-draft": (
        *(f"send/{word}" for word in (*BROKEN, *ANSWERS)),
        *(f"create/{word}" for word in ("drop-before-accept", "accept-then-drop", "hang", "accept-then-hang")),
        *(f"create/{word}" for word in ("accept-then-503", "accept-then-nonsense", "400", "401", "429:30", "500")),
    ),
}
"""Every way a submission can fail, by transport."""

ASKING_FAULTS: dict[str, tuple[str, ...]] = {
    "capture": ("closed",),
    "acs": ("drop", "hang", "garbage", "accept-then-cut", "302", "400", "401", "403", "408", "429:30", "500", "503"),
    "graph-direct": (),
    "graph-draft": (
        *(f"search/{word}" for word in ("drop", "hang", "garbage", "accept-then-cut", "accept-then-nonsense")),
        *(f"search/{word}" for word in ("302", "400", "401", "403", "404", "408", "429:30", "500", "503")),
    ),
}
"""Every way a question can fail, by transport; after a direct submission to Graph there is nobody to ask."""


async def capture_way(stack: AsyncExitStack, folder: Path) -> Way:
    """Capture, closed at the end."""
    way = CaptureWay(folder / "gateway.db", await open_store(folder / "gateway.db"))
    stack.push_async_callback(way.close)
    return way


async def acs_way(stack: AsyncExitStack, folder: Path) -> AcsWay:
    """Acs, closed before its fake."""
    del folder
    fake = FakeAcs()
    way = AcsWay(fake, await stack.enter_async_context(serve(fake, lifespan="off")))
    stack.push_async_callback(way.transport.close)
    return way


async def draft_way(stack: AsyncExitStack, folder: Path) -> GraphWay:
    """Graph by draft."""
    del folder
    return await stack.enter_async_context(graph_way(mode="draft"))


async def direct_way(stack: AsyncExitStack, folder: Path) -> GraphWay:
    """Graph directly."""
    del folder
    return await stack.enter_async_context(graph_way(mode="direct"))


WAYS: dict[str, Callable[[AsyncExitStack, Path], Any]] = {
    "capture": capture_way,
    "acs": acs_way,
    "graph-draft": draft_way,
    "graph-direct": direct_way,
}


@pytest.fixture
async def way(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Way]:
    """The Way named by the parameter."""
    async with AsyncExitStack() as stack:
        yield await WAYS[request.param](stack, tmp_path)


@pytest.fixture
async def acs(tmp_path: Path) -> AsyncIterator[AcsWay]:
    """The ACS way alone."""
    async with AsyncExitStack() as stack:
        yield await acs_way(stack, tmp_path)


@pytest.fixture
async def draft(tmp_path: Path) -> AsyncIterator[GraphWay]:
    """Graph by draft alone."""
    async with AsyncExitStack() as stack:
        yield await draft_way(stack, tmp_path)


@pytest.fixture
async def direct(tmp_path: Path) -> AsyncIterator[GraphWay]:
    """Graph directly alone."""
    async with AsyncExitStack() as stack:
        yield await direct_way(stack, tmp_path)
