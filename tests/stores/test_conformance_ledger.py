"""What every store promises to operators: the list with its filters and pages, and retention."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from gateway.errors import Rejected
from gateway.ledger import Entry, MessageState, Store
from gateway.message import Status
from tests.factories import NOW, make_entry, make_message, make_messages
from tests.stores.conftest import Place
from tests.stores.steps import LEASES, MINUTE, added, claimed, settlement, state

DAY = timedelta(days=1)
LONG_AGO = NOW - 1000 * DAY


async def listed(
    store: Store, limit: int = 100, *, status: str = "", source: str = "", since: datetime | None = None
) -> list[str]:
    """The ids of all pages, which have `limit` entries each but for the last."""
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await store.list(status=status, source=source, since=since, cursor=cursor, limit=limit)
        found += [entry.id for entry in page.entries]
        cursor = page.next
        assert cursor is None or len(page.entries) == limit
    return found


async def purged(
    store: Store, *, bodies: datetime = LONG_AGO, ledger: datetime = LONG_AGO, captured: datetime = LONG_AGO
) -> int:
    """A purge that deletes nothing but what is named."""
    return await store.purge(bodies=bodies, ledger=ledger, captured=captured)


async def in_state(store: Store, *statuses: Status) -> Entry:
    """A notification with one message in each of these final states."""
    messages = make_messages(len(statuses))
    await store.add(make_entry(*messages), messages, NOW)
    for message, status in zip(messages, statuses, strict=True):
        await store.settle(await claimed(store, message), settlement(status))
    entry = await store.get(messages[0].notification)
    assert entry is not None
    return entry


# ------------------------------------------------------------------------------------------------------------ list


async def test_the_list_is_newest_first_and_equal_times_fall_by_id(store: Store) -> None:
    """Whatever order they were added in."""
    order = [("b", 2), ("z", 1), ("a", 2), ("y", 3), ("c", 2)]
    for id, seconds in order:
        await added(store, notification=id, created=NOW + timedelta(seconds=seconds))

    assert await listed(store) == ["y", "c", "b", "a", "z"]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
async def test_pages_join_without_gap_or_doublet(store: Store, limit: int) -> None:
    """Also where many were created in one moment."""
    ids = [f"n{number}" for number in range(7)]
    for number in (2, 0, 6, 3, 5, 1, 4):
        await added(store, notification=ids[number], created=NOW + timedelta(seconds=number // 4))

    assert await listed(store, limit) == ids[:3:-1] + ids[3::-1]


async def test_a_page_stays_where_it_was_when_news_comes(store: Store) -> None:
    """A cursor is a place in time, not a count."""
    for number in range(4):
        await added(store, notification=f"n{number}", created=NOW + timedelta(seconds=number))
    first = await store.list(status="", source="", since=None, cursor="", limit=2)
    await added(store, notification="new", created=NOW + timedelta(seconds=9))

    assert first.next is not None
    second = await store.list(status="", source="", since=None, cursor=first.next, limit=2)

    assert [entry.id for entry in (*first.entries, *second.entries)] == ["n3", "n2", "n1", "n0"]


async def test_the_list_shows_what_get_shows(store: Store) -> None:
    """Messages, history and status included."""
    entries = [await in_state(store, Status.SENT, Status.FAILED), await in_state(store, Status.CAPTURED)]
    dead = make_entry(own=Status.FAILED, id="0")
    await store.add(dead, [], NOW)

    page = await store.list(status="", source="", since=None, cursor="", limit=10)

    assert sorted(page.entries, key=lambda entry: entry.id) == sorted(
        [*entries, await store.get("0")],
        key=lambda entry: entry.id if entry else "",
    )


async def test_the_list_can_be_filtered_by_source_and_time(store: Store) -> None:
    """Both together; `since` includes its own moment."""
    for number, source in enumerate(["contact", "crm", "contact", "crm"]):
        await added(store, notification=f"n{number}", source=source, created=NOW + timedelta(seconds=number))

    assert await listed(store, source="crm") == ["n3", "n1"]
    assert await listed(store, since=NOW + timedelta(seconds=2)) == ["n3", "n2"]
    assert await listed(store, source="contact", since=NOW + timedelta(seconds=1)) == ["n2"]
    assert await listed(store, source="nobody") == []
    assert await listed(store, limit=1, source="crm") == ["n3", "n1"]


async def test_the_list_can_be_filtered_by_the_worst_status(store: Store) -> None:
    """A notification is found under the status it shows, and under no other."""
    expected = {
        "failed": await in_state(store, Status.SENT, Status.FAILED, Status.UNKNOWN),
        "unknown": await in_state(store, Status.UNKNOWN, Status.SENT),
        "sent": await in_state(store, Status.CAPTURED, Status.SENT),
        "captured": await in_state(store, Status.CAPTURED),
    }
    skipped = make_entry(reason="duplicate")
    held = make_entry(own=Status.HELD)
    for entry in (skipped, held):
        await store.add(entry, [], NOW)
    queued = await added(store)
    sending = await added(store)
    await claimed(store, sending)
    ids = {status: [entry.id] for status, entry in expected.items()}
    ids |= {"skipped": [skipped.id], "held": [held.id], "queued": [queued.notification]}
    ids |= {"sending": [sending.notification]}

    found = {status.value: await listed(store, status=status.value) for status in Status}

    assert {status: entries for status, entries in found.items() if entries} == ids


async def test_a_status_follows_its_message(store: Store) -> None:
    """The list is never behind."""
    message = await added(store)

    seen = [await listed(store, status="queued")]
    claim = await claimed(store, message)
    seen += [await listed(store, status="queued"), await listed(store, status="sending")]
    await store.settle(claim, settlement())
    seen += [await listed(store, status="sending"), await listed(store, status="sent")]

    assert seen == [[message.notification], [], [message.notification], [], [message.notification]]


@pytest.mark.parametrize("word", ["nonsense", "SENT", "' OR 1=1 --", "sent captured"])
async def test_a_filter_that_fits_nothing_finds_nothing(store: Store, word: str) -> None:
    """What a caller wrote is compared, never run."""
    await in_state(store, Status.SENT)

    assert await listed(store, status=word) == []
    assert await listed(store, source=word) == []


@pytest.mark.parametrize("cursor", ["x", "ü", "!!!", "MTIz", "99999999999999999999999", "a b", "=", "\x00", "🎉"])
async def test_a_foreign_cursor_is_refused_to_its_caller(store: Store, cursor: str) -> None:
    """It is the caller's mistake, so it is no error of ours."""
    await added(store)

    with pytest.raises(Rejected) as refusal:
        await store.list(status="", source="", since=None, cursor=cursor, limit=10)

    assert (refusal.value.status, refusal.value.code, list(refusal.value.fields)) == (422, "invalid_cursor", ["cursor"])


# ----------------------------------------------------------------------------------------------------------- purge


async def finished(store: Store, days_ago: int, count: int = 1) -> Sequence[MessageState]:
    """A notification of that age whose messages ended at once."""
    at = NOW - days_ago * DAY
    messages = make_messages(count, created=at)
    await store.add(make_entry(*messages), messages, at)
    for message in messages:
        await store.settle(await claimed(store, message, at=at), settlement(at=at))
    return [await state(store, message) for message in messages]


async def test_a_purge_of_bodies_leaves_what_the_ledger_shows(place: Place) -> None:
    """Recipients, states and history stay; the content is gone and so is its room."""
    store = await place.open()
    old = make_message(created=NOW - 9 * DAY)
    await store.add(make_entry(old), [old], old.created)
    await store.settle(await claimed(store, old, at=old.created), settlement(at=NOW - 8 * DAY))
    young = await finished(store, 2)
    before = await store.get(old.notification)

    counts = [await purged(store, bodies=NOW - 7 * DAY) for _ in range(2)]

    assert counts[0] > 0
    assert counts[1] == 0
    assert await store.get(old.notification) == before
    assert await purged(store, bodies=NOW) > 0
    assert await state(store, make_message(id=young[0].id, notification=young[0].id[:-2])) == young[0]


async def test_a_purge_of_the_ledger_deletes_what_ended_altogether(store: Store) -> None:
    """With its messages, in the order of their end; a new one may take the id."""
    old, young = await finished(store, 100, count=3), await finished(store, 80)

    assert await purged(store, ledger=NOW - 90 * DAY) > 0
    assert await store.get(old[0].id[:-2]) is None
    assert await store.get(young[0].id[:-2]) is not None
    assert await listed(store) == [young[0].id[:-2]]
    assert await purged(store, ledger=NOW - 90 * DAY) == 0
    again = make_message(notification=old[0].id[:-2])
    assert await store.add(make_entry(again), [again], NOW) is None
    assert (await claimed(store, again)).attempt == 1


async def test_nothing_open_is_ever_purged(store: Store) -> None:
    """However old it is: a message that waits, one in somebody's hands, and their finished sibling."""
    long_ago = NOW - 500 * DAY
    waiting = await added(store, created=long_ago, due=NOW)
    sending, sent = make_messages(2, created=long_ago)
    await store.add(make_entry(sending, sent), [sending, sent], long_ago)
    await store.settle(await claimed(store, sent, at=long_ago), settlement(at=long_ago))
    claim = await claimed(store, sending, at=long_ago)

    await purged(store, ledger=NOW, captured=NOW, bodies=long_ago)

    assert (await claimed(store, waiting)).message == waiting
    assert await store.settle(claim, settlement()) is True
    assert [state.status for state in (await store.get(sent.notification) or make_entry()).messages] == [
        Status.SENT
    ] * 2


async def test_a_message_counts_from_its_end_not_from_its_beginning(store: Store) -> None:
    """An old notification that ended yesterday is kept."""
    message = await added(store, created=NOW - 100 * DAY)
    await store.settle(await claimed(store, message), settlement(at=NOW - DAY))

    assert await purged(store, ledger=NOW - 90 * DAY, bodies=NOW - 7 * DAY) == 0


async def test_notifications_without_messages_are_purged_by_their_age(store: Store) -> None:
    """Dead letters and skipped ones end when they begin; a held one has not ended."""
    entries = [make_entry(own=own, created=NOW - 100 * DAY) for own in (Status.FAILED, None, Status.HELD)]
    for entry in entries:
        await store.add(entry, [], NOW)

    await purged(store, ledger=NOW - 90 * DAY)

    assert await listed(store) == [entries[2].id]


async def test_many_old_rows_are_purged_in_one_call(store: Store) -> None:
    """However many there are."""
    for _ in range(230):
        await store.add(make_entry(own=Status.FAILED, created=NOW - 100 * DAY), [], NOW)

    assert await purged(store, ledger=NOW - 90 * DAY) >= 230
    assert await listed(store) == []


async def test_captured_mail_is_purged_by_its_age(store: Store) -> None:
    """The older one goes."""
    old, young = make_message(), make_message()
    await store.keep(old, NOW - 8 * DAY)
    await store.keep(young, NOW - 6 * DAY)

    assert await purged(store, captured=NOW - 7 * DAY) > 0
    assert [item.message for item in await store.captured(after="", since=None, limit=10)] == [young]
    assert await store.claim(young.id, "me", NOW + MINUTE, LEASES) is None
