"""What every store promises about captured mail, blobs and small shared values."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from gateway.errors import Rejected
from gateway.ledger import Captured, Store
from gateway.message import Message
from tests.factories import NOW, make_attachment, make_message
from tests.stores.conftest import Place

NAMES = [
    "a",
    "a/b",
    "a\\b",
    "a#b",
    "a?b=c",
    "a b",
    "ü世🎉",
    "%2F",
    "%",
    "'; --",
    "A",
    "a.b..c",
    "x" * 200,
    "a/b/",
    "\u202e",
]
"""Names that some storage gives a meaning of its own; all are different."""


async def kept(store: Store, count: int) -> list[Message]:
    """Captured mails, a second between each."""
    messages = [make_message(subject=f"Mail {number}") for number in range(count)]
    for number, message in enumerate(messages):
        await store.keep(message, NOW + timedelta(seconds=number))
    return messages


# -------------------------------------------------------------------------------------------------------- captured


async def test_captured_mail_comes_back_whole_and_in_order(place: Place) -> None:
    """Oldest first, also after a restart."""
    store = await place.open()
    message = make_message(attachments=(make_attachment(content=bytes(range(256)) * 4000),), text="ü \x00 \u2028")
    first = await kept(store, 2)
    await store.keep(message, NOW + timedelta(microseconds=2_000_001))

    items = await (await place.reopen()).captured(after="", since=None, limit=10)

    assert [item.message for item in items] == [*first, message]
    assert [item.at - NOW for item in items] == [
        timedelta(),
        timedelta(seconds=1),
        timedelta(seconds=2, microseconds=1),
    ]


async def test_captured_mail_is_read_on_from_a_cursor(store: Store) -> None:
    """Page by page, and later what has come since."""
    messages = await kept(store, 5)
    pages: list[list[Message]] = []
    cursor = ""
    while items := await store.captured(after=cursor, since=None, limit=2):
        pages.append([item.message for item in items])
        cursor = items[-1].cursor
    new = (await kept(store, 1))[0]

    assert pages == [messages[:2], messages[2:4], messages[4:]]
    assert [item.message for item in await store.captured(after=cursor, since=None, limit=2)] == [new]


async def test_captured_mail_can_be_asked_since_a_time(store: Store) -> None:
    """The moment itself included."""
    messages = await kept(store, 4)

    items = await store.captured(after="", since=NOW + timedelta(seconds=2), limit=10)

    assert [item.message for item in items] == messages[2:]


async def test_the_latest_captured_mail_comes_newest_first(store: Store) -> None:
    """Page by page back to the first."""
    messages = await kept(store, 5)
    pages: list[list[Message]] = []
    cursor = ""
    while items := await store.latest(before=cursor, limit=2):
        pages.append([item.message for item in items])
        cursor = items[-1].cursor

    assert pages == [[messages[4], messages[3]], [messages[2], messages[1]], [messages[0]]]


async def test_mail_captured_twice_is_there_twice(store: Store) -> None:
    """A duplicate must show."""
    message = make_message()
    for seconds in (0, 1):
        await store.keep(message, NOW + timedelta(seconds=seconds))

    items = await store.captured(after="", since=None, limit=10)

    assert [(item.message, item.at) for item in items] == [(message, NOW), (message, NOW + timedelta(seconds=1))]
    assert items[0].cursor != items[1].cursor
    assert await store.captured_one(message.id) == items[0]


async def test_a_captured_mail_is_found_by_its_id(store: Store) -> None:
    """Or not."""
    message = (await kept(store, 3))[1]

    found = await store.captured_one(message.id)

    assert isinstance(found, Captured)
    assert (found.message, found.at) == (message, NOW + timedelta(seconds=1))
    assert [await store.kept(id) for id in (message.id, "nobody-1", "a/b#c?d", "")] == [True, False, False, False]
    assert [await store.captured_one(id) for id in ("nobody-1", "a/b#c?d", "")] == [None] * 3


async def test_forgotten_captured_mail_is_gone_and_cursors_go_on(store: Store) -> None:
    """Who reads on from an old cursor sees what comes afterwards."""
    messages = await kept(store, 3)
    last = (await store.captured(after="", since=None, limit=10))[-1].cursor

    counts = [await store.forget_captured() for _ in range(2)]
    new = await kept(store, 2)

    assert counts == [3, 0]
    assert [item.message for item in await store.captured(after=last, since=None, limit=10)] == new
    assert await store.kept(messages[0].id) is False


@pytest.mark.parametrize("cursor", ["x", "ü", "1 OR 1=1", "9" * 40, "🎉", "\x00"])
async def test_a_foreign_captured_cursor_is_refused_to_its_caller(store: Store, cursor: str) -> None:
    """It is the caller's mistake."""
    await kept(store, 1)

    with pytest.raises(Rejected) as refusal:
        await store.captured(after=cursor, since=None, limit=10)

    assert (refusal.value.status, refusal.value.code) == (422, "invalid_cursor")


# ----------------------------------------------------------------------------------------------------------- blobs


async def test_blobs_keep_any_bytes_under_any_name(place: Place) -> None:
    """Names that mean something to a storage mean nothing to us; nothing is lost in a restart."""
    store = await place.open()
    contents = {name: name.encode() + bytes(range(256)) for name in NAMES} | {"empty": b""}

    written = [await store.put(name, content) for name, content in contents.items()]

    store = await place.reopen()
    assert written == [True] * len(contents)
    assert {name: await store.fetch(name) for name in contents} == contents


async def test_a_blob_is_never_overwritten(store: Store) -> None:
    """The first content stays, whoever comes later or at the same time."""
    results = await asyncio.gather(*(store.put("b", f"content {number}".encode()) for number in range(20)))
    content = await store.fetch("b")

    assert results.count(True) == 1
    assert content == f"content {results.index(True)}".encode()
    assert await store.put("b", b"late") is False
    assert await store.fetch("b") == content


async def test_a_missing_blob_is_nothing(store: Store) -> None:
    """Not empty."""
    assert await store.fetch("nobody") is None


async def test_a_blob_of_twelve_megabytes_survives(store: Store) -> None:
    """Larger than any body the HTTP door takes."""
    content = bytes(range(256)) * (12 * 1024 * 4)

    assert await store.put("large", content) is True
    assert await store.fetch("large") == content


# ----------------------------------------------------------------------------------------------------------- state


async def test_shared_values_live_under_any_key(place: Place) -> None:
    """Keys are told apart to the letter, values to the byte."""
    store = await place.open()
    values = {key: key.encode() + b"\x00\xff" for key in NAMES} | {"empty": b""}

    written = [await store.write(key, value, None) for key, value in values.items()]

    store = await place.reopen()
    assert written == [True] * len(values)
    assert {key: (await store.read(key) or (None,))[0] for key in values} == values


async def test_a_value_changes_only_for_who_saw_the_last_one(store: Store) -> None:
    """Compare-and-set, with a new version each time."""
    assert await store.read("k") is None
    assert await store.write("k", b"1", None) is True
    assert await store.write("k", b"x", None) is False
    first = await store.read("k")
    assert first is not None
    assert await store.write("k", b"2", first[1]) is True
    assert await store.write("k", b"x", first[1]) is False
    second = await store.read("k")

    assert second is not None
    assert (first[0], second[0]) == (b"1", b"2")
    assert first[1] != second[1]


async def test_a_value_that_is_not_there_has_no_version(store: Store) -> None:
    """A version from elsewhere writes nothing."""
    await store.write("other", b"1", None)
    other = await store.read("other")
    assert other is not None

    assert await store.write("k", b"1", other[1]) is False
    assert await store.read("k") is None


async def test_racing_counters_lose_no_count(place: Place) -> None:
    """Ten writers, two processes: each retries until its own step is in."""
    stores = [await place.open(), await place.open()]
    await stores[0].write("count", b"0", None)

    async def count(store: Store) -> None:
        for _ in range(5):
            while True:
                found = await store.read("count")
                assert found is not None
                if await store.write("count", str(int(found[0]) + 1).encode(), found[1]):
                    break

    await asyncio.gather(*(count(stores[number % 2]) for number in range(10)))

    assert ((await stores[0].read("count")) or (b"",))[0] == b"50"
