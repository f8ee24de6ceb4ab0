"""The ways out under test: a name comes in, a Way goes out, with its truth and with every way it can break.

To add a transport: write a Way, and put it into WAYS; the words of its faults then run through the suite.
"""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pytest

from gateway.errors import TransportError
from gateway.message import Message, Transport
from gateway.stores.sqlite import SqliteStore
from gateway.transports.acs import Acs
from gateway.transports.capture import Capture
from tests.factories import make_message
from tests.servers.acs import KEY, FakeAcs, Sent
from tests.servers.serve import serve


class Arrived(NamedTuple):
    """One mail as the other side has it."""

    subject: str
    text: str
    html: str
    to: tuple[tuple[str, str], ...]
    cc: tuple[tuple[str, str], ...]
    bcc: tuple[tuple[str, str], ...]
    reply_to: tuple[tuple[str, str], ...]
    attachments: tuple[tuple[str, str, bytes, str], ...]
    headers: dict[str, str]


class MemoryFence:
    """A fence that always holds."""

    def __init__(self) -> None:
        """Nothing is recorded yet."""
        self.facts: dict[str, str] = {}

    async def record(self, **facts: str) -> None:
        """Remember."""
        self.facts |= facts


class Way(Protocol):
    """One transport and what is behind it."""

    transport: Transport

    async def truth(self) -> list[Arrived]:
        """Every mail that went out, oldest first."""
        ...

    def broken(self, fault: str, *, asking: bool = False) -> AbstractAsyncContextManager[None]:
        """The next submission (or question) meets this fault; afterwards all is well again."""
        ...


async def failure(transport: Acs, message: Message | None = None, attempt: int = 1) -> TransportError:
    """How this submission fails."""
    with pytest.raises(TransportError) as caught:
        await transport.send(message or make_message(), attempt, MemoryFence())
    return caught.value


# ------------------------------------------------------------------------------------------------------------- capture


class CaptureWay:
    """Capture on a real store."""

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

    def __init__(self, fake: FakeAcs, url: str) -> None:
        """By access key."""
        self.fake = fake
        self.url = url
        self.acs = Acs.from_connection_string(f"endpoint={url}/;accesskey={KEY}")
        self.transport: Transport = self.acs

    async def truth(self) -> list[Arrived]:
        """The fake's log."""
        return [sent_as_arrived(one) for one in self.fake.sent]

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

FAULTS: dict[str, tuple[str, ...]] = {
    "capture": ("locked", "closed"),
    "acs": (
        "drop-before-accept",
        "accept-then-drop",
        "hang",
        "accept-then-hang",
        "garbage",
        "accept-then-garbage",
        "accept-then-nonsense",
        "accept-then-cut",
        *(f"accept-then-{status}" for status in (500, 501, 502, 503, 504)),
        *map(str, (200, 204, 301, 302, 307, 308)),
        *map(str, (400, 401, 403, 404, 405, 408, 409, 410, 412, 413, 415, 422, 425, 429, 431, 451)),
        *map(str, (500, 501, 502, 503, 504, 507)),
        "429:30",
        "failed",
    ),
}
"""Every way a submission can fail, by transport."""

ASKING_FAULTS: dict[str, tuple[str, ...]] = {
    "capture": ("closed",),
    "acs": ("drop", "hang", "garbage", "accept-then-cut", "302", "400", "401", "403", "408", "429:30", "500", "503"),
}
"""Every way a question can fail, by transport."""


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


WAYS: dict[str, Callable[[AsyncExitStack, Path], Any]] = {"capture": capture_way, "acs": acs_way}


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
