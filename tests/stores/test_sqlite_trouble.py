"""The embedded store in trouble: a full disk, a lock that is not given back, files that are not its own, a stop."""

from __future__ import annotations

import asyncio
import os
import resource
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import pytest

from gateway.errors import ConfigurationError, StoreUnavailable
from gateway.message import Status
from gateway.stores.sqlite import SqliteStore
from gateway.stores.sqlite_file import SCHEMA_VERSION
from tests.factories import NOW, make_attachment, make_entry, make_message
from tests.stores.steps import LEASES, added, claimed, settlement

NOBODY = 65534
BUSY = 0.2


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the store's file will be."""
    return tmp_path / "gateway.db"


@pytest.fixture
async def store(file: Path) -> AsyncIterator[SqliteStore]:
    """An open store that does not wait long for a lock."""
    store = await SqliteStore.open(file, busy=BUSY)
    yield store
    await store.close()


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Somebody's text file."""
    file = tmp_path / "notes.txt"
    file.write_text("somebody's notes\n" * 100)
    return file


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size`: the kernel refuses the write (Python ignores SIGXFSZ)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def read_only(file: Path) -> Iterator[None]:
    """Nobody may write the file, or make one beside it."""
    file.chmod(0o444)
    file.parent.chmod(0o555)
    try:
        yield
    finally:
        file.parent.chmod(0o700)


@contextmanager
def without_rights() -> Iterator[None]:
    """Root may write to a read-only file, so it is nobody for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def content(file: Path) -> bytes:
    """The whole file."""
    return file.read_bytes()


def beside(file: Path) -> list[str]:
    """What is in the file's folder."""
    return [path.name for path in file.parent.iterdir()]


def log_size(file: Path) -> int:
    """How large the write-ahead log is now."""
    return Path(f"{file}-wal").stat().st_size


def integrity(file: Path) -> str:
    """SQLite's own verdict on a closed file."""
    with closing(sqlite3.connect(file)) as connection:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])


async def test_a_full_disk_refuses_and_loses_nothing(store: SqliteStore, file: Path) -> None:
    """What did not fit was not accepted; what was accepted is there; with room again everything works."""
    first = await added(store)
    large = make_message(attachments=(make_attachment(content=bytes(3 * 1024 * 1024)),))

    with full_disk(log_size(file) + 4096):
        for message in (large, make_message()):
            with pytest.raises(StoreUnavailable):
                await store.add(make_entry(message), [message], NOW)
        with pytest.raises(StoreUnavailable):
            await store.claim(first.id, "me", NOW, LEASES)

    assert await store.get(large.notification) is None
    assert (await claimed(store, first)).attempt == 1
    assert await store.add(make_entry(large), [large], NOW) is None
    assert (await claimed(store, large)).message == large
    await store.close()
    assert integrity(file) == "ok"


async def test_what_fits_on_the_disk_is_stored_beside_what_does_not(store: SqliteStore, file: Path) -> None:
    """One too large message does not take the others of its group with it."""
    large = make_message(attachments=(make_attachment(content=bytes(3 * 1024 * 1024)),))
    small = [make_message() for _ in range(3)]

    with full_disk(log_size(file) + 256 * 1024):
        results = await asyncio.gather(
            *(store.add(make_entry(message), [message], NOW) for message in (large, *small)), return_exceptions=True
        )

    assert [type(result) for result in results] == [StoreUnavailable, type(None), type(None), type(None)]
    assert [(await claimed(store, message)).message for message in small] == small


async def test_a_lock_that_is_not_given_back_refuses_the_whole_group_at_once(store: SqliteStore, file: Path) -> None:
    """Sixty-four callers wait as long as one; afterwards everything works."""
    message = make_message()
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        begun = monotonic()

        results = await asyncio.gather(*(added(store) for _ in range(64)), return_exceptions=True)

        took = monotonic() - begun
        other.execute("ROLLBACK")
    assert {type(result) for result in results} == {StoreUnavailable}
    assert BUSY <= took < 5 * BUSY
    assert await store.add(make_entry(message), [message], NOW) is None


async def test_a_short_lock_is_waited_for(file: Path) -> None:
    """Another process's transaction is no error."""
    store = await SqliteStore.open(file)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        adding = asyncio.create_task(added(store))
        await asyncio.sleep(0.05)
        assert not adding.done()
        other.execute("COMMIT")

    assert (await claimed(store, await adding)).attempt == 1
    await store.close()


async def test_a_read_only_file_cannot_be_used() -> None:
    """It is said when the store is opened, not when the first message comes."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "gateway.db"
        await (await SqliteStore.open(file)).close()
        with read_only(file), without_rights(), pytest.raises(StoreUnavailable):
            await SqliteStore.open(file)


async def test_a_folder_that_cannot_be_made_is_said(notes: Path) -> None:
    """The parent is a file."""
    with pytest.raises(StoreUnavailable, match="cannot be used"):
        await SqliteStore.open(notes / "gateway.db")


async def test_a_file_that_is_no_database_is_left_alone(notes: Path) -> None:
    """Whoever wrote it still has it."""
    before = content(notes)

    with pytest.raises(StoreUnavailable, match="not a database"):
        await SqliteStore.open(notes)
    assert content(notes) == before


async def test_another_programs_database_is_left_alone(file: Path) -> None:
    """A wrong path must not put our tables among theirs, or change their journal."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE invoices (id INTEGER)")
    before = content(file)

    with pytest.raises(ConfigurationError, match="another program's database"):
        await SqliteStore.open(file)
    assert content(file) == before


async def test_a_newer_schema_is_refused_and_named(file: Path) -> None:
    """After a step back to an older version nothing is damaged."""
    await (await SqliteStore.open(file)).close()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")

    with pytest.raises(ConfigurationError) as refusal:
        await SqliteStore.open(file)

    problem = refusal.value.problems[0]
    assert (problem.file, problem.field) == (str(file), "GATEWAY_STORE")
    assert f"has schema {SCHEMA_VERSION + 1}" in problem.message


async def test_many_first_starts_at_once_make_one_schema(tmp_path: Path) -> None:
    """Eight processes come up together on an empty folder."""
    for number in range(5):
        file = tmp_path / str(number) / "deep" / "gateway.db"
        stores = await asyncio.gather(*(SqliteStore.open(file) for _ in range(8)))
        message = await added(stores[0])
        assert await stores[7].get(message.notification) is not None
        for store in stores:
            await store.close()


async def test_a_close_finishes_what_was_begun(file: Path) -> None:
    """Whoever was waiting is answered, the threads end, and the log is folded into the file."""
    store = await SqliteStore.open(file)
    messages = [make_message() for _ in range(50)]
    adding = [asyncio.create_task(store.add(make_entry(message), [message], NOW)) for message in messages]
    await asyncio.sleep(0)

    await store.close()

    assert await asyncio.gather(*adding) == [None] * 50
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("sqlite-")] == []
    assert beside(file) == [file.name]
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT count(*) FROM messages").fetchone() == (50,)


async def test_a_closed_store_says_so(store: SqliteStore) -> None:
    """Instead of keeping anybody waiting; closing twice is closing once."""
    await store.close()
    await store.close()

    with pytest.raises(StoreUnavailable, match="closed"):
        await added(store)
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.get("x")


async def test_nobody_waits_for_ever_on_a_broken_connection(store: SqliteStore) -> None:
    """Not even the rollback works; each caller is told, and so is the next."""
    broken = store._writer.do(lambda connection: connection.close())

    results = await asyncio.gather(broken, added(store), return_exceptions=True)
    later = await asyncio.gather(added(store), return_exceptions=True)

    assert [type(result) for result in (*results, *later)] == [StoreUnavailable] * 3


async def test_a_message_that_cannot_be_found_again_is_refused(store: SqliteStore) -> None:
    """Its id must say whose it is, and an open message must have a content."""
    message = make_message(id="elsewhere-1")
    other = make_message()
    entry = make_entry(make_message())

    with pytest.raises(ValueError, match="elsewhere-1"):
        await store.add(entry, [message], NOW)
    shown = (await store.get(other.notification)) or make_entry(other)
    assert await store.add(shown, [other], NOW) is None
    found = await store.get(other.notification)
    assert found is not None
    with pytest.raises(ValueError, match="no content"):
        await store.add(found.model_copy(update={"id": "new"}), [], NOW)


async def test_the_providers_id_is_kept(store: SqliteStore) -> None:
    """A later word without one does not erase it: delivery reports are found by it."""
    message = await added(store)
    again = settlement(Status.DEFERRED, provider_id="p-1", due=NOW)
    await store.settle(await claimed(store, message), again)
    await store.settle(await claimed(store, message), settlement())

    rows = await store._reader.do(
        lambda connection: connection.execute(
            "SELECT number, status FROM messages WHERE provider_id = ? AND provider_id <> ''", ("p-1",)
        ).fetchall()
    )

    assert rows == [(1, "sent")]
