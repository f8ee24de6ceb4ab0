"""What only the embedded store does: commits in groups, room given back, plans without scans."""

from __future__ import annotations

import asyncio
import sqlite3
import struct
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.errors import StoreUnavailable
from gateway.stores import sqlite_later, sqlite_list, sqlite_messages, sqlite_purge
from gateway.stores.sqlite import SqliteStore
from tests.factories import NOW, make_entry, make_message
from tests.stores.steps import MINUTE, added, claimed, settlement


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the store's file will be."""
    return tmp_path / "gateway.db"


@pytest.fixture
async def store(file: Path) -> AsyncIterator[SqliteStore]:
    """An open store."""
    store = await SqliteStore.open(file)
    yield store
    await store.close()


def commits(file: Path) -> int:
    """How many transactions the write-ahead log holds: the frames that say how large the database is after them.

    The format is https://www.sqlite.org/fileformat2.html, section 4.1.
    """
    log = Path(f"{file}-wal").read_bytes()
    page_size, _, salt = struct.unpack(">8xII8s8x", log[:32])
    frames = [log[start : start + 24] for start in range(32, len(log), 24 + page_size)]
    return sum(1 for frame in frames if frame[4:8] != bytes(4) and frame[8:16] == salt)


# ----------------------------------------------------------------------------------------------------- group commit


async def test_concurrent_writes_share_their_commits(store: SqliteStore, file: Path) -> None:
    """Sixty-four at once are two transactions at most: those that came first, and the rest."""
    before = commits(file)

    await asyncio.gather(*(added(store) for _ in range(64)))

    assert 1 <= commits(file) - before <= 2


async def test_what_is_asked_during_a_commit_goes_into_the_next(store: SqliteStore, file: Path) -> None:
    """Sixteen callers, each with ten writes one after another, need far fewer commits than writes."""

    async def caller() -> None:
        for _ in range(10):
            await added(store)

    before = commits(file)
    await asyncio.gather(*(caller() for _ in range(16)))

    assert 10 <= commits(file) - before <= 80


async def test_what_waits_for_the_disk_goes_together(store: SqliteStore, file: Path) -> None:
    """Whoever comes in twenty turns of the loop while a commit is held up shares the next one."""
    before = commits(file)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        adding = []
        for _ in range(20):
            adding.append(asyncio.create_task(added(store)))
            await asyncio.sleep(0.001)
        other.execute("ROLLBACK")

    await asyncio.gather(*adding)

    assert commits(file) - before == 2


async def test_one_writer_alone_waits_for_nobody(store: SqliteStore, file: Path) -> None:
    """Its write is durable when it returns."""
    before = commits(file)

    for number in range(1, 4):
        await added(store)
        assert commits(file) - before == number


async def test_a_write_that_fails_in_a_group_fails_alone(store: SqliteStore) -> None:
    """The others of its transaction are written all the same, once each."""
    before, after = make_message(), make_message()

    def half(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO notifications (id, created, source, facts) VALUES ('half', 1, '', '{}')")
        connection.execute("INSERT INTO notifications (id) VALUES ('half')")

    good = [asyncio.create_task(store.add(make_entry(before), [before], NOW))]
    await asyncio.sleep(0)
    refused, bug = store._writer.do(half), store._writer.do(lambda _: 1 // 0)
    good += [asyncio.create_task(store.keep(after, NOW))]

    with pytest.raises(StoreUnavailable, match="NOT NULL"):
        await refused
    with pytest.raises(ZeroDivisionError):
        await bug
    assert await asyncio.gather(*good) == [None, None]
    assert await store.get(before.notification) is not None
    assert await store.get("half") is None
    assert [item.message for item in await store.captured(after="", since=None, limit=10)] == [after]


async def test_a_caller_that_went_away_does_not_disturb_the_group(store: SqliteStore) -> None:
    """Its write happens or not; the others' do."""
    messages = [make_message() for _ in range(3)]
    tasks = [asyncio.create_task(store.add(make_entry(message), [message], NOW)) for message in messages]
    await asyncio.sleep(0)

    tasks[1].cancel()

    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [type(None), asyncio.CancelledError, type(None)]


async def test_reading_does_not_wait_for_a_writer(store: SqliteStore, file: Path) -> None:
    """Another process may hold the file as long as it likes."""
    message = await added(store)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM messages")

        entry = await store.get(message.notification)

        other.execute("ROLLBACK")
    assert entry is not None
    assert entry.messages[0].id == message.id


async def test_every_commit_is_on_the_disk(store: SqliteStore) -> None:
    """SQLite's own words for it: FULL is 2."""
    words = ("synchronous", "journal_mode", "fullfsync")

    values = await store._writer.do(
        lambda connection: [connection.execute(f"PRAGMA {word}").fetchone()[0] for word in words]
    )

    assert values == [2, "wal", 1]


# -------------------------------------------------------------------------------------------------------- retention


@pytest.mark.parametrize("kind", ["bodies", "ledger"])
async def test_purged_contents_leave_the_file(store: SqliteStore, kind: str) -> None:
    """Their pages are free for the next messages; the content of an open message stays."""
    messages = [await added(store) for _ in range(5)]
    for message in messages[:3]:
        await store.settle(await claimed(store, message), settlement())
    before = {"bodies": NOW, "ledger": NOW, "captured": NOW, kind: NOW + MINUTE}

    await store.purge(**before)

    rows = await store._reader.do(lambda connection: connection.execute("SELECT count(*) FROM bodies").fetchall())
    assert rows == [(2,)]
    assert [(await claimed(store, message)).message for message in messages[3:]] == messages[3:]


# ------------------------------------------------------------------------------------------------------------ plans


@pytest.mark.parametrize(
    ("statement", "values", "index"),
    [
        (sqlite_messages.DUE, (1, 1), "messages_due"),
        (sqlite_messages.CLAIMABLE, (1, "a", 1, 1), "PRIMARY KEY"),
        (sqlite_messages.CLAIM, ("a", 1, 1, "", 1, 1), "PRIMARY KEY"),
        (sqlite_messages.HELD, ("a", 1, "a", 1), "PRIMARY KEY"),
        (sqlite_messages.SETTLE, tuple(range(11)), "PRIMARY KEY"),
        (sqlite_messages.GET, ("a",), "sqlite_autoindex_notifications_1"),
        (sqlite_later.BY_KEY, ("a", 1), "PRIMARY KEY"),
        (sqlite_later.BY_OPERATION, ("a",), "messages_operation"),
        (sqlite_later.BY_SUPERSEDED, ("a",), "sqlite_autoindex_superseded_1"),
        (sqlite_later.REPORT, tuple(range(7)), "PRIMARY KEY"),
        (sqlite_later.AMEND, tuple(range(11)), "PRIMARY KEY"),
        (sqlite_purge.OLD_BODIES, (1, 1), "messages_ended"),
        (sqlite_purge.OLD_NOTIFICATIONS, (1, 1, 1), "notifications_created"),
        (sqlite_purge.OLD_CAPTURED, (1, 1), "captured_at"),
        (sqlite_purge.OLD_BLOBS, (1, 1), "blobs_at"),
        (sqlite_list.BEGINNING, ("a", "b", 1), "sqlite_autoindex_notifications_1"),
        (sqlite_list.LIST, sqlite_list.parameters("", "", None, "", 1), "notifications_created"),
    ],
)
async def test_no_statement_reads_a_whole_table(
    store: SqliteStore, statement: str, values: dict[str, object] | tuple[object, ...], index: str
) -> None:
    """The cost of a message does not grow with the number of others."""
    plan = await plan_of(store, statement, values)

    assert [step for step in plan if step.startswith(("SCAN m", "SCAN n", "SCAN b", "SCAN captured"))] == []
    assert index in "\n".join(plan)


async def plan_of(store: SqliteStore, statement: str, values: dict[str, object] | tuple[object, ...]) -> list[str]:
    """SQLite's way to a statement's rows, step by step."""
    rows = await store._reader.do(
        lambda connection: connection.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
    )
    return [row[3] for row in rows]


async def test_the_due_work_is_not_sorted(store: SqliteStore) -> None:
    """The index is in the order of time, so the first of 50,000 cost as much as the first of ten."""
    plan = await plan_of(store, sqlite_messages.DUE, (1, 1))

    assert [step for step in plan if "TEMP B-TREE" in step] == []
    assert plan[0] == "SEARCH m USING INDEX messages_due (due<?)"


async def test_a_filtered_list_reads_back_from_its_cursor_only(store: SqliteStore) -> None:
    """Each page costs its own length."""
    plan = await plan_of(store, sqlite_list.LIST, sqlite_list.parameters("sent", "crm", NOW, "", 1))

    assert "SEARCH n USING INDEX notifications_created (created>? AND created<?)" in plan
