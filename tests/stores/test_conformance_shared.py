"""What every store promises about scanning and removing shared values, ids that begin alike, and blobs that are old."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from gateway.ledger import Store, Value
from tests.factories import NOW, make_entry, make_messages, new_id
from tests.stores.conftest import Place
from tests.stores.steps import added, claimed, settlement
from tests.stores.test_conformance_values import NAMES

DAY = timedelta(days=1)
LONG = ["x" * 425 + letter for letter in "ab"] + ["y" * 600 + letter for letter in "ab"]


async def scanned(store: Store, prefix: str, limit: int) -> list[Value]:
    """All pages."""
    found: list[Value] = []
    while page := await store.scan(prefix, found[-1].key if found else "", limit):
        found += page
        assert len(page) <= limit
    return found


async def written(store: Store, *keys: str) -> None:
    """Values that say which they are."""
    for key in keys:
        assert await store.write(key, key.encode(), None) is True


# ------------------------------------------------------------------------------------------------------------ scan


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
async def test_a_scan_finds_what_begins_alike_in_order(store: Store, limit: int) -> None:
    """Page by page, and nothing of its neighbours."""
    keys = [f"suppressed/{name}@example.com" for name in ("ann", "Bob", "bob", "b-o-b", "bo", "ü", "_", "~", "b_b")]
    await written(store, *keys, "suppressed", "suppressed.", "suppressed0", "Suppressed/x", "state/x", "t")

    found = await scanned(store, "suppressed/", limit)

    assert [value.key for value in found] == sorted(keys)
    assert [value.value.decode() for value in found] == sorted(keys)


async def test_keys_fall_in_the_order_of_their_letters(store: Store) -> None:
    """Whatever letters they have, and however a storage writes them."""
    letters = [chr(number) for number in range(1, 0x80)] + ["\x80", "ü", "\u07ff", "\u0800", "\uffff", "🎉"]
    keys = [f"k{letter}" for letter in letters] + [f"k{letter}0" for letter in letters]
    await asyncio.gather(*(store.write(key, b"", None) for key in keys))

    found = await store.scan("k", "", 1000)

    assert [value.key for value in found] == sorted(keys)


async def test_a_scan_of_everything_finds_any_key(store: Store) -> None:
    """Long ones too, each once."""
    keys = [*NAMES, *LONG]
    await written(store, *keys)

    found = await scanned(store, "", 5)

    assert sorted(value.key for value in found) == sorted(keys)
    assert {value.key for value in await store.scan("y", "", 10)} == set(LONG[2:])


async def test_a_scan_goes_on_behind_a_key_that_is_gone(store: Store) -> None:
    """A cursor is a place, not a value."""
    await written(store, "a1", "a3", "b1")

    assert [value.key for value in await store.scan("a", "a2", 10)] == ["a3"]
    assert [value.key for value in await store.scan("a", "a1", 10)] == ["a3"]
    assert await store.scan("a", "a3", 10) == []
    assert await store.scan("nobody", "", 10) == []


async def test_a_scanned_version_is_good_for_the_next_step(store: Store) -> None:
    """As if the value had been read."""
    await written(store, "k/1", "k/2")

    first, second = await store.scan("k/", "", 10)

    assert [first.version, second.version] == [(await store.read(key) or ("", ""))[1] for key in ("k/1", "k/2")]
    assert await store.write(first.key, b"new", first.version) is True
    assert await store.remove(second.key, second.version) is True
    assert [(value.key, value.value) for value in await store.scan("k/", "", 10)] == [("k/1", b"new")]


# ---------------------------------------------------------------------------------------------------------- remove


async def test_a_value_is_removed_only_by_who_saw_the_last_one(place: Place) -> None:
    """And is gone for everybody."""
    store = await place.open()
    await written(store, "k")
    old = (await store.read("k") or (b"", ""))[1]
    await store.write("k", b"2", old)
    new = (await store.read("k") or (b"", ""))[1]

    results = [await store.remove("k", version) for version in (old, new, new)]

    assert results == [False, True, False]
    assert await (await place.reopen()).read("k") is None


async def test_an_old_version_never_fits_a_new_value(store: Store) -> None:
    """What was written after a removal is another value, even if it is the same one."""
    await written(store, "k")
    old = (await store.read("k") or (b"", ""))[1]
    assert await store.remove("k", old) is True
    await written(store, "k")

    assert await store.write("k", b"x", old) is False
    assert await store.remove("k", old) is False
    assert (await store.read("k") or (b"", ""))[0] == b"k"


async def test_of_twenty_that_remove_at_once_one_is_told_so(place: Place) -> None:
    """In two processes."""
    stores = [await place.open(), await place.open()]
    await written(stores[0], "k")
    version = (await stores[0].read("k") or (b"", ""))[1]

    results = await asyncio.gather(*(stores[number % 2].remove("k", version) for number in range(20)))

    assert results.count(True) == 1


# ------------------------------------------------------------------------------------------------------- beginning


async def test_a_notification_is_found_by_how_its_id_begins(store: Store) -> None:
    """All of it, in the order of the ids, and no other."""
    ids = [f"0123456789abcdef-{end}" for end in ("0", "1a", "f")]
    for id in reversed(ids):
        messages = make_messages(2, notification=id)
        await store.add(make_entry(*messages), messages, NOW)
    await store.add(make_entry(id="0123456789abcde"), [], NOW)
    await added(store)

    found = await store.beginning("0123456789abcdef", 10)

    assert list(found) == [await store.get(id) for id in ids]
    assert [entry.id for entry in await store.beginning("0123456789abcdef-1", 10)] == [ids[1]]
    assert [entry.id for entry in await store.beginning("0123456789", 2)] == ["0123456789abcde", ids[0]]
    assert [entry.id for entry in await store.beginning(ids[2], 10)] == [ids[2]]
    assert list(await store.beginning("0123456789abcdef-2", 10)) == []


@pytest.mark.parametrize("prefix", ["a/b#c?d\\e", "%00%00%00", "'; -- '; --", "üüüüüüüü", "________", "~~~~~~~~"])
async def test_a_strange_beginning_is_the_beginning_of_nothing(store: Store, prefix: str) -> None:
    """Whatever an operator typed."""
    await added(store)

    assert list(await store.beginning(prefix, 10)) == []


async def test_many_with_one_beginning_are_cut_at_the_limit(store: Store) -> None:
    """The first ones by their ids."""
    ids = [f"same-beginning-{number:02d}{new_id()}" for number in range(30)]
    await asyncio.gather(*(added(store, notification=id) for id in ids))

    assert [entry.id for entry in await store.beginning("same-beginning", 7)] == ids[:7]


# ----------------------------------------------------------------------------------------------- retention of blobs


async def test_blobs_go_with_the_ledgers_retention(store: Store) -> None:
    """By the storage's clock; shared values stay, and so does what belongs to a message."""
    message = await added(store)
    await store.put("a/b", b"content")
    await written(store, "k")
    today = datetime.now(UTC)

    kept = await store.purge(bodies=NOW, ledger=today - DAY, captured=NOW)
    between = await store.fetch("a/b")
    gone = await store.purge(bodies=NOW, ledger=today + DAY, captured=NOW)

    assert (kept, between, gone, await store.fetch("a/b")) == (0, b"content", 1, None)
    assert await store.read("k") is not None
    assert await store.settle(await claimed(store, message), settlement()) is True
    assert await store.put("a/b", b"again") is True
