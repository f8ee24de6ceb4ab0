"""Microsoft Graph under test: a mode comes in, the real transport against the fake goes out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from gateway.message import Transport
from gateway.transports.graph import Graph
from gateway.transports.graph_client import Account, Cloud
from gateway.transports.graph_payload import Options
from gateway.transports.identity import Identity
from tests.servers.graph import TOKEN, FakeGraph
from tests.servers.graph_mailbox import Sent
from tests.servers.serve import serve
from tests.transports.ways import Arrived, Clock, Token


class GraphWay:
    """The real client against the fake; both live in the same time."""

    def __init__(self, fake: FakeGraph, url: str, clock: Clock, options: Options) -> None:
        """`options` as a sender has them."""
        self.fake = fake
        self.url = url
        self.clock = clock
        self.graph = Graph(self.account(), options)
        self.transport: Transport = self.graph
        self.draft = options.mode == "draft"
        self.one_body = self.draft
        self.large = 7 * 1024 * 1024 if self.draft else 2 * 1024 * 1024

    def account(self, cloud: Cloud | None = None, token: str = TOKEN) -> Account:
        """Another connection to the same fake."""
        return Account(self.url, lambda: Identity(Token(token)), clock=self.clock, cloud=cloud)

    async def truth(self) -> list[Arrived]:
        """The fake's log."""
        return [as_arrived(one) for one in self.fake.sent]

    def later(self) -> None:
        """Longer than any look waits for the next, several times less than what ends the waiting."""
        self.clock.pass_by(120)

    @asynccontextmanager
    async def broken(self, fault: str, *, asking: bool = False) -> AsyncIterator[None]:
        """A fault of one operation: `send/accept-then-503`; a hanging one is cut soon."""
        operation, _, word = fault.partition("/")
        # aiohttp asks once more when a kept connection ends before an answer to a GET, so that fault must last.
        self.fake.faults[operation].extend([word, word] if asking and word == "drop" else [word])
        self.graph.deadline = 0.3 if "hang" in word else 30.0
        yield
        self.graph.deadline = 30.0
        self.fake.faults.clear()


def as_arrived(sent: Sent) -> Arrived:
    """A mail of the sent log; MIME has inline images in front of files."""
    mail = sent.mail
    files = tuple(
        (one.name, one.kind, one.content, one.content_id)
        for one in sorted(mail.files, key=lambda one: mail.mime and bool(one.content_id))
    )
    return Arrived(mail.subject, mail.text, mail.html, mail.to, mail.cc, mail.bcc, mail.reply_to, files, mail.headers)


@asynccontextmanager
async def graph_way(**options: Any) -> AsyncIterator[GraphWay]:
    """A fake and a transport, closed before it."""
    async with AsyncExitStack() as stack:
        clock = Clock()
        fake = FakeGraph(clock=clock)
        url = await stack.enter_async_context(serve(fake, lifespan="off"))
        way = GraphWay(fake, url, clock, Options(**options))
        stack.push_async_callback(way.transport.close)
        yield way
