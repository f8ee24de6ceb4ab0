"""What large bodies and mails take of the process's memory, by the peak of a real one."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from urllib.request import urlopen

import pytest

from gateway.clock import wall_clock
from gateway.stores.sqlite import SqliteStore
from tests.factories import make_attachment
from tests.gateway_process import GatewayProcess, running_gateway
from tests.memory import MEASURABLE, MIB, TEN, Growth, Post, at_once, bombs, form, native, send, text
from tests.stores.steps import added

pytestmark = pytest.mark.skipif(not MEASURABLE, reason="/proc tells what a process takes")

BUDGET = 128
MARGIN = 16 * MIB
"""For what is no copy of a body: connections, threads, SQLite's pages, and the allocator's habits."""

SOON = wall_clock() + timedelta(days=300)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    """A fresh process that has answered once, with room for two bodies of 10 MiB and a part."""
    variables = {"GATEWAY_MEMORY_BUDGET": str(BUDGET)}
    program = ("-m", "tests.impatient")
    with running_gateway(store=tmp_path / "gateway.db", variables=variables, program=program) as process:
        assert send(process.port, Post("/v1/notifications", b'{"to": "ops@example.com", "text": "x"}')) == 202
        yield process


def small(gateway: GatewayProcess) -> None:
    """Somebody else is served while the others wait."""
    for _ in range(5):
        began = time.monotonic()
        assert send(gateway.port, Post("/v1/notifications", b'{"to": "ops@example.com", "text": "x"}')) == 202
        assert time.monotonic() - began < 3
        time.sleep(0.2)


@pytest.mark.parametrize("made", [native, text, form])
def test_one_large_body_takes_at_most_four_times_its_size(gateway: GatewayProcess, made: Callable[[int], Post]) -> None:
    """From its first byte until it is stored, and captured."""
    post = made(TEN)
    growth = Growth(gateway.process.pid)

    assert send(gateway.port, post) in {200, 202}
    time.sleep(1)
    assert growth.most < 4 * len(post.body) + MARGIN


def test_a_text_with_one_emoji_is_not_copied_again_and_again(gateway: GatewayProcess) -> None:
    """Python then needs four bytes for each of its characters, which is all a webhook's text may take."""
    key = {"x-api-key": "example-key-alertmanager", "content-type": "text/plain"}
    post = Post("/v1/webhooks/alertmanager", "\U0001f468".encode() + b"a" * (TEN - 4), key)
    growth = Growth(gateway.process.pid)

    assert send(gateway.port, post) == 200
    time.sleep(1)
    assert growth.most < 4 * len(post.body) + MARGIN


def test_many_large_bodies_keep_within_the_budget(gateway: GatewayProcess) -> None:
    """Sixteen at once: each is taken or told to come again, and small ones are served meanwhile."""
    growth = Growth(gateway.process.pid)
    answers = at_once(gateway.port, native(TEN, send_at=SOON.isoformat()), 16, lambda: small(gateway))

    assert answers.keys() <= {202, 503}
    assert answers[202] >= 2
    assert growth.most < BUDGET * MIB + MARGIN


@pytest.mark.parametrize("character", ["\u20ac", "\U0001f468", "\\ud83d\\udc68"])
def test_large_texts_of_wide_characters_keep_within_the_budget(gateway: GatewayProcess, character: str) -> None:
    """One of them makes Python store each character of a text in two bytes, or in four."""
    fields = f'"to": "ops@example.com", "send_at": "{SOON.isoformat()}", "text": "{character}{"a" * (TEN - 200)}"'
    growth = Growth(gateway.process.pid)
    answers = at_once(gateway.port, Post("/v1/notifications", f"{{{fields}}}".encode()), 8)

    assert answers.keys() <= {202, 503}
    assert answers[202] >= 1
    assert growth.most < BUDGET * MIB + MARGIN


def test_bodies_that_do_not_end_keep_within_the_budget(gateway: GatewayProcess) -> None:
    """Forty callers declare 10 MB, send 9.9 and wait: they were too slow, or there was no room."""
    growth = Growth(gateway.process.pid)
    head = b"POST /v1/notifications HTTP/1.1\r\nHost: localhost\r\nx-api-key: example-key-app\r\n"

    def stall(_: int) -> int:
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as connection:
            connection.sendall(head + b"Content-Length: 10000000\r\n\r\n")
            connection.sendall(b" " * 9_900_000)
            return int(connection.recv(4096).split()[1])

    with ThreadPoolExecutor(40) as pool:
        answers = pool.map(stall, range(40))
        small(gateway)
        found = Counter(answers)

    assert found.keys() <= {408, 503}
    assert growth.most < BUDGET * MIB + MARGIN


def test_large_mails_are_delivered_within_the_budget(tmp_path: Path) -> None:
    """Sixteen of 10 MB that are due at once, from the store to the provider, here the inbox."""
    asyncio.run(prepared(tmp_path / "gateway.db", 16))
    variables = {"GATEWAY_MEMORY_BUDGET": str(BUDGET)}
    with running_gateway(store=tmp_path / "gateway.db", variables=variables) as gateway:
        growth = Growth(gateway.process.pid)
        for _ in range(300):
            if len(gateway.events("captured")) == 16:
                break
            time.sleep(0.2)

        assert len(gateway.events("captured")) == 16
        assert growth.most < BUDGET * MIB + MARGIN
        with urlopen(f"{gateway.url}/v1/captured?limit=1") as answer:
            assert len(json.loads(answer.read())["items"]) == 1


async def prepared(file: Path, count: int) -> None:
    """A store with so many large mails that are due in a moment."""
    store = await SqliteStore.open(file)
    for _ in range(count):
        attachment = make_attachment(content=bytes(10_000_000))
        await added(store, wall_clock() + timedelta(seconds=5), attachments=(attachment,))
    await store.close()


@pytest.mark.parametrize("name", bombs(1))
def test_many_small_values_take_little(gateway: GatewayProcess, name: str) -> None:
    """9.9 MB of them: refused before they are parsed, or mailed as text."""
    post = bombs(9_900_000)[name]
    growth = Growth(gateway.process.pid)
    status = send(gateway.port, post)

    assert status == (200 if "alertmanager" in name else 413)
    assert growth.most < 4 * len(post.body) + MARGIN
