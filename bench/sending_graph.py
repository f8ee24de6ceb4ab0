"""Sending to Graph: mails go directly and by draft, CPU and rate of one message come out, as ratios to bare loops.

`raw aiohttp` is the floor: the same bytes over kept connections. `azure-core` makes the same calls with the policies of
Azure's own clients. `Graph.send` is the transport alone. `Delivery` is doorbell to settled: claim, suppression list,
quota, the calls, settle, on SQLite. `the body alone` is in all of them: mail with text and html goes directly as MIME.

A server that answers at once has a process of its own, since the fake Graph takes longer for a mail than sending does;
first, every way sends some mails to the fake, where all must arrive. Sixteen messages are under way, four in each of
four mailboxes, as many as Graph allows. Medians of five rounds, ratios within each; all ways take turns.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import aiohttp
from azure.core import AsyncPipelineClient
from azure.core.pipeline import policies
from azure.core.rest import AsyncHttpResponse, HttpRequest
from yarl import URL

from bench.sending import Cost, Send, add
from gateway.address import Address
from gateway.delivery import Delivery
from gateway.message import Message, Status
from gateway.pacing import Account as Quota
from gateway.pacing import Pacer
from gateway.pacing.lanes import Limits
from gateway.stores.sqlite import SqliteStore
from gateway.suppressions import Suppressions
from gateway.transports.graph import Graph
from gateway.transports.graph_client import SLOTS, Account, Cloud, box
from gateway.transports.graph_payload import Options, draft, submission
from gateway.transports.identity import Identity
from gateway.ways import Way
from tests.factories import make_message, new_id
from tests.servers.graph import TOKEN
from tests.transports.ways import MemoryFence, Token

ROUNDS = 5
COUNT = 640
MAILBOXES = 4
CONCURRENCY = MAILBOXES * SLOTS
TRIED = 2 * MAILBOXES
RAW, AZURE, BODY = "raw aiohttp", "azure-core", "the body alone"
HEADERS = {"Accept": "application/json", "User-Agent": "notification-gateway"}
IMMUTABLE = {"Prefer": 'IdType="ImmutableId"'}

Mode = Literal["direct", "draft"]
Post = Callable[[str, str | None, dict[str, str]], Awaitable[Any]]
"""Path, content and headers in; the JSON of a 201 out."""


@contextmanager
def server(*module: str) -> Iterator[str]:
    """The URL of a Graph in another process."""
    with subprocess.Popen([sys.executable, "-m", *module], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().partition("=")[2].strip()
        finally:
            process.terminate()


def mails(count: int) -> list[Message]:
    """Notifications of about a kilobyte, each to somebody else, from the mailboxes in turn."""
    return [_mail(f"sender{number % MAILBOXES}") for number in range(count)]


def _mail(sender: str) -> Message:
    to = (Address(email=f"{new_id()}@example.com"),)
    from_, text, html = Address(email=f"{sender}@example.com"), "x" * 400, f"<p>{'x' * 600}</p>"
    return make_message(
        transport="graph", sender=sender, from_=from_, to=to, text=text, html=html, created=datetime.now(UTC)
    )


# ------------------------------------------------------------------------------------------------------- bare loops


def bodies(message: Message, mode: Mode) -> tuple[str, dict[str, str]]:
    """The first request's content, and its headers."""
    if mode == "draft":
        return json.dumps(draft(message, Cloud())[0]), {"Content-Type": "application/json", **IMMUTABLE}
    body = submission(message, Options(mode="direct"), Cloud())
    if isinstance(body, str):
        return body, {"Content-Type": "text/plain"}
    return json.dumps(body), {"Content-Type": "application/json"}


def bare(post: Post, mode: Mode) -> Send:
    """The calls of a mode, and nothing else."""

    async def direct(message: Message) -> object:
        return await post(f"{box(message.from_.email)}/sendMail", *bodies(message, mode))

    async def by_draft(message: Message) -> object:
        place = f"{box(message.from_.email)}/messages"
        created = await post(place, *bodies(message, mode))
        return await post(f"{place}/{quote(created['id'], safe='')}/send", None, {"Content-Length": "0", **IMMUTABLE})

    return direct if mode == "direct" else by_draft


@asynccontextmanager
async def raw(url: str) -> AsyncIterator[Post]:
    """The floor."""
    always = {**HEADERS, "Authorization": f"Bearer {TOKEN}"}
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:

        async def post(path: str, content: str | None, headers: dict[str, str]) -> Any:
            place = URL(f"{url}/v1.0{path}", encoded=True)
            async with session.post(place, data=content, headers={**always, **headers}) as answer:
                assert answer.status in (201, 202)
                read = await answer.read()
                return json.loads(read) if answer.status == 201 else None

        yield post


@asynccontextmanager
async def azure_core(url: str) -> AsyncIterator[Post]:
    """The policies that Azure's own clients have, in their order; none repeats anything."""
    chain = [
        policies.RequestIdPolicy(),
        policies.HeadersPolicy(),
        policies.UserAgentPolicy(),
        policies.ProxyPolicy(),
        policies.ContentDecodePolicy(),
        policies.AsyncRedirectPolicy(),
        policies.AsyncRetryPolicy(retry_total=0),
        policies.AsyncBearerTokenCredentialPolicy(Identity(Token(TOKEN)), f"{url}/.default"),
        policies.CustomHookPolicy(),
        policies.NetworkTraceLoggingPolicy(),
        policies.DistributedTracingPolicy(),
        policies.SensitiveHeaderCleanupPolicy(),
        policies.HttpLoggingPolicy(),
    ]
    client: AsyncPipelineClient[HttpRequest, AsyncHttpResponse] = AsyncPipelineClient(url, policies=chain)
    async with client:

        async def post(path: str, content: str | None, headers: dict[str, str]) -> Any:
            request = HttpRequest("POST", f"{url}/v1.0{path}", content=content, headers={**HEADERS, **headers})
            answer = await client.send_request(request, enforce_https=False)
            assert answer.status_code in (201, 202)
            return answer.json() if answer.status_code == 201 else None

        yield post


# ------------------------------------------------------------------------------------------------------------- ours


@asynccontextmanager
async def ours(url: str, mode: Mode, store: SqliteStore) -> AsyncIterator[dict[str, Send]]:
    """The transport, and all that a doorbell wakes; the quotas are too large to be met, but are kept."""
    graph = Graph(Account(url, lambda: Identity(Token(TOKEN))), Options(mode=mode))
    senders = [f"sender{number}" for number in range(MAILBOXES)]
    ways = {
        name: Way("graph", Address(email=f"{name}@example.com"), Quota(f"graph|{name}", Limits(1_000_000, 10_000_000)))
        for name in senders
    }
    delivery = Delivery(store, lambda *_: graph, ways=ways, pacer=Pacer(store), suppressions=Suppressions(store))

    async def transport(message: Message) -> object:
        return await graph.send(message, 1, MemoryFence())

    async def delivered(message: Message) -> object:
        assert await delivery.deliver(message.id) is Status.SENT
        return None

    yield {"Graph.send": transport, "Delivery": delivered}
    await graph.close()


@asynccontextmanager
async def every(url: str, mode: Mode) -> AsyncIterator[tuple[SqliteStore, dict[str, Send]]]:
    """Each way by its name, and the store where `Delivery` looks for a message."""
    with tempfile.TemporaryDirectory() as folder:
        store = await SqliteStore.open(Path(folder) / "gateway.db")
        async with raw(url) as floor, azure_core(url) as core, ours(url, mode, store) as both:
            yield store, {RAW: bare(floor, mode), AZURE: bare(core, mode), **both}
        await store.close()


# -------------------------------------------------------------------------------------------------------- measuring


async def cost(send: Send, messages: list[Message]) -> Cost:
    """What sending these takes; each mailbox has as many workers as slots."""

    async def worker(mine: list[Message]) -> None:
        for message in mine:
            await send(message)

    began, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*(worker(messages[first::CONCURRENCY]) for first in range(CONCURRENCY)))
    spent, own = time.perf_counter() - began, time.process_time() - used
    return Cost(own / len(messages) * 1e6, len(messages) / spent)


async def prepared(store: SqliteStore, count: int) -> list[Message]:
    """Mails that are durable, and rung."""
    messages = mails(count)
    await asyncio.gather(*(add(store, message) for message in messages))
    return messages


async def arrive(url: str, mode: Mode) -> None:
    """Every way's mails must be in the fake's log, each once, or its figure would mean nothing."""
    async with every(url, mode) as (store, ways), aiohttp.ClientSession() as session:
        for name, send in ways.items():
            (await session.post(f"{url}/_control", json={"clear": True})).raise_for_status()
            messages = await prepared(store, TRIED)
            await cost(send, messages)
            async with session.get(f"{url}/_sent") as answer:
                found = sorted(address for mail in await answer.json() for address, _ in mail["to"])
            assert found == sorted(message.to[0].email for message in messages), f"{mode}, {name}"


async def measure(url: str, mode: Mode) -> dict[str, list[Cost]]:
    """Each way's rounds; the first, in which connections are made, is left out."""

    async def body(message: Message) -> object:
        return bodies(message, mode)

    async with every(url, mode) as (store, ways):
        ways[BODY] = body
        found: dict[str, list[Cost]] = {name: [] for name in ways}
        for number in range(ROUNDS + 1):
            for name in list(ways)[:: 1 if number % 2 else -1]:
                found[name].append(await cost(ways[name], await prepared(store, COUNT)))
    return {name: rounds[1:] for name, rounds in found.items()}


def show(mode: Mode, found: dict[str, list[Cost]]) -> None:
    """One table."""
    calls = "POST sendMail" if mode == "direct" else "POST messages, POST send"
    print(f"{mode}: {calls}\n{'':<16}{'µs CPU':>8}{'per s':>7}   CPU, rate as ratio to {RAW}   to {AZURE}")
    for name, rounds in found.items():
        used, rate = (statistics.median(one[part] for one in rounds) for part in (0, 1))
        ratios = [_ratio(rounds, found[other], part) for other in (RAW, AZURE) for part in (0, 1)]
        if name == BODY:
            print(f"{name:<16}{used:>8.0f}{'':>7}{ratios[0]:>14.2f}{'':>20}{ratios[2]:>8.2f}")
        else:
            print(
                f"{name:<16}{used:>8.0f}{rate:>7.0f}{ratios[0]:>14.2f}{ratios[1]:>7.2f}{ratios[2]:>21.2f}{ratios[3]:>7.2f}"
            )


def _ratio(rounds: list[Cost], others: list[Cost], part: int) -> float:
    return statistics.median(one[part] / other[part] for one, other in zip(rounds, others, strict=True))


def main() -> None:
    """Print both tables."""
    modes: tuple[Mode, Mode] = ("direct", "draft")
    with server("tests.servers", "graph") as url:
        for mode in modes:
            asyncio.run(arrive(url, mode))
    with server("bench._graph_line") as url:
        for mode in modes:
            show(mode, asyncio.run(measure(url, mode)))
            print()


if __name__ == "__main__":
    main()
