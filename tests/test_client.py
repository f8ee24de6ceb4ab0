"""Who a request comes from: the peer, or whom a trusted proxy speaks for; never more of it than a day's hash."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.asgi import _scope
from gateway.client import Clients, networks, shown
from gateway.store_secret import StoreSecret
from gateway.stores.sqlite import SqliteStore

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
PROXIES = ("10.0.0.0/8", "192.0.2.1", "2001:db8:f::/48")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """A store of the test's own."""
    opened = await SqliteStore.open(str(tmp_path / "gateway.db"))
    yield opened
    await opened.close()


def at(moment: datetime, store: SqliteStore, trusted: tuple[str, ...] = ()) -> Clients:
    return Clients(StoreSecret(store), networks(trusted), lambda: moment)


def scope(peer: str, forwarded: str = "") -> dict[str, Any]:
    headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
    return {"type": "http", "client": (peer, 50123), "headers": headers}


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.7", "", "203.0.113.7"),
        ("203.0.113.7", "198.51.100.1", "203.0.113.7"),
        ("203.0.113.7", "10.0.0.1", "203.0.113.7"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1, 10.9.9.9, 192.0.2.1", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1:50123", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1 ,\t10.1.1.1:80 ", "198.51.100.1"),
        ("10.0.0.1", "[2001:db8:1:2:3::4]:567", "2001:db8:1:2::/64"),
        ("10.0.0.1", "[2001:db8:1:2:3::4]", "2001:db8:1:2::/64"),
        ("10.0.0.1", "2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("10.0.0.1", "198.51.100.1, unknown", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, _hidden, 10.5.5.5", "10.5.5.5"),
        ("10.0.0.1", "198.51.100.1, 999.1.1.1", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1,", "10.0.0.1"),
        ("10.0.0.1", "10.2.2.2, 10.3.3.3", "10.2.2.2"),
        ("192.0.2.1", "198.51.100.1", "198.51.100.1"),
        ("192.0.2.2", "198.51.100.1", "192.0.2.2"),
        ("2001:db8:f::1", "198.51.100.1", "198.51.100.1"),
        ("2001:db8:a:b:ffff::9", "", "2001:db8:a:b::/64"),
        ("::ffff:203.0.113.7", "", "203.0.113.7"),
        ("::ffff:10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"),
        ("fe80::1%eth0", "", "fe80::/64"),
        ("testclient", "", ""),
    ],
)
async def test_the_client_is_the_last_address_that_is_no_trusted_proxy(
    store: SqliteStore, peer: str, forwarded: str, client: str
) -> None:
    """A stranger's X-Forwarded-For is not believed, nor what stands left of the first stranger; garbage neither."""
    clients = at(NOON, store, PROXIES)

    assert client == clients.client(scope(peer, forwarded))


async def test_a_proxy_on_this_machine_that_is_not_trusted_is_pointed_out_once(
    store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Or all visitors would share one limit, and nobody knew why; a stranger cannot write the line."""
    clients, trusting = at(NOON, store), at(NOON, store, ("127.0.0.1",))
    for peer in ("203.0.113.7", "127.0.0.1", "127.0.0.1", "::1"):
        clients.client(scope(peer, "198.51.100.1"))
    clients.client(scope("127.0.0.1"))
    trusting.client(scope("127.0.0.1", "198.51.100.1"))

    (line,) = [json.loads(message) for message in caplog.messages]
    assert {"event": "proxy_untrusted", "problem": "a proxy on this machine is not in trusted_proxies"} == line


@pytest.mark.parametrize(
    ("forwarded", "trusted", "client"),
    [
        ("1.1.1.1, 198.51.100.1:567", (), "198.51.100.1"),
        ("1.1.1.1,[2001:db8:1:2::4]:567", (), "2001:db8:1:2::/64"),
        ("1.1.1.1, 198.51.100.1, 147.243.0.9:567", ("147.243.0.0/16",), "198.51.100.1"),
        ("1.1.1.1, 198.51.100.1, 147.243.0.9:567", (), "147.243.0.9"),
        ("", (), ""),
    ],
)
async def test_under_functions_the_front_ends_entry_is_the_peer(
    store: SqliteStore, forwarded: str, trusted: tuple[str, ...], client: str
) -> None:
    """Azure's front end writes the last entry; a Front Door before it has to be named."""
    headers = {"x-forwarded-for": forwarded} if forwarded else {}

    assert client == at(NOON, store, trusted).client(_scope("POST", "https://h/v1/forms/x", headers))


async def test_all_workers_have_the_same_hash_and_it_changes_every_day(store: SqliteStore) -> None:
    """In the first hour of a day the one before is told too."""
    here, there = at(NOON, store), at(NOON, store)
    late, night, morning = (
        at(datetime(2026, 11, 29, hour, minute, tzinfo=UTC), store) for hour, minute in ((0, 0), (0, 59), (1, 0))
    )
    tags = [await clients.tags(scope("203.0.113.7")) for clients in (here, there, late, night, morning)]

    assert tags[0] == tags[1]
    assert [1, 1, 2, 2, 1] == [len(tag) for tag in tags]
    assert tags[2] == tags[3] == (*tags[4], *tags[0])
    assert len({*tags[0], *tags[4]}) == 2


async def test_a_hash_is_of_the_store_and_of_the_client(store: SqliteStore, tmp_path: Path) -> None:
    """Nobody who has a hash can try all addresses, since he lacks the store's secret."""
    other = await SqliteStore.open(str(tmp_path / "other.db"))
    peers = ("203.0.113.7", "203.0.113.8", "2001:db8::1", "2001:db8:0:1::1")
    hashes = [(await at(NOON, kept).tags(scope(peer)))[0] for kept in (store, other) for peer in peers]
    await other.close()

    assert len(hashes) == len(set(hashes))
    assert all(re.fullmatch("[0-9a-f]{16}", tag) for tag in hashes)
    assert shown((hashes[0],)) == hashes[0][:8]
    one, same = [await at(NOON, store).tags(scope(peer)) for peer in ("2001:db8::1", "2001:db8::ffff")]
    assert one == same


async def test_many_processes_make_one_secret(store: SqliteStore) -> None:
    """Whoever inserts first has made everybody's; each purpose has a key of its own."""
    secrets = [StoreSecret(store) for _ in range(20)]

    keys = await asyncio.gather(*(secret.key("client") for secret in secrets))

    assert 1 == len(set(keys))
    assert len({keys[0], await secrets[0].key("link"), await secrets[1].key("link")}) == 2
    assert keys[0].hex() not in repr(secrets[0])


async def test_without_the_store_a_process_counts_by_a_key_of_its_own(store: SqliteStore) -> None:
    """Nobody is refused because the secret cannot be read."""
    await store.close()

    clients = at(NOON, store)
    first, second = [await clients.tags(scope("203.0.113.7")) for _ in range(2)]

    assert first == second
    assert len(first[0]) == 16
    assert first != await at(NOON + timedelta(seconds=1), store).tags(scope("203.0.113.7"))
