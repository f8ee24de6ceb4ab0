"""A file that an earlier version made: it is brought up to date by itself, and all in it goes on."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.ledger import Report
from gateway.message import Message, Status
from gateway.stores.sqlite import SqliteStore
from gateway.stores.sqlite_file import SCHEMA_VERSION
from gateway.stores.sqlite_rows import micros
from tests.factories import NOW, make_entry, make_message
from tests.stores.steps import MINUTE, claimed, settlement, state

SCHEMA_1 = Path(__file__).with_name("schema_1.sql").read_text("utf-8")


@pytest.fixture
def message() -> Message:
    """A message that waits in an old file for its second try."""
    return make_message(transport="acs")


@pytest.fixture
def file(tmp_path: Path, message: Message) -> Path:
    """A file of the first schema with a notification, a blob and a shared value."""
    file = tmp_path / "gateway.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(SCHEMA_1)
        facts = make_entry(message).model_dump_json(exclude={"messages"}, exclude_defaults=True)
        connection.execute(
            "INSERT INTO notifications (seq, id, created, source, facts) VALUES (1, ?, ?, 'contact', ?)",
            (message.notification, micros(NOW), facts),
        )
        connection.execute("INSERT INTO bodies (seq, content) VALUES (1, ?)", (message.model_dump_json(),))
        recipients = json.dumps([address.model_dump() for address in message.to])
        connection.execute(
            "INSERT INTO messages (notification, number, status, due, attempts, transport, owner, sender, recipients,"
            " priority, body) VALUES (1, 1, 'deferred', ?, 1, 'acs', '', 'noreply', ?, 'normal', 1)",
            (micros(NOW), recipients),
        )
        connection.execute("INSERT INTO blobs (name, content) VALUES ('a', x'01')")
        connection.execute("INSERT INTO state (key, value, version) VALUES ('k', x'02', 7)")
        connection.commit()
    return file


def shape(file: Path) -> dict[str, Any]:
    """Every table's columns and every index."""
    with closing(sqlite3.connect(file)) as connection:
        names = connection.execute("SELECT type, name FROM sqlite_master ORDER BY name").fetchall()
        columns = {name: connection.execute(f"PRAGMA table_info({name})").fetchall() for _, name in names}
        version = connection.execute("PRAGMA user_version").fetchone()
    return {"names": names, "columns": columns, "version": version}


async def test_an_old_file_becomes_a_new_one(file: Path, tmp_path: Path) -> None:
    """The same tables, columns and indexes as a file made today."""
    for path in (file, tmp_path / "new.db"):
        await (await SqliteStore.open(path)).close()

    assert shape(file) == shape(tmp_path / "new.db")
    assert shape(file)["version"] == (SCHEMA_VERSION,)


async def test_what_waits_in_an_old_file_goes_on(file: Path, message: Message) -> None:
    """It is sent, a report finds it, and nothing that was kept is lost."""
    store = await SqliteStore.open(file)
    before = await state(store, message)
    claim = await claimed(store, message)
    await store.settle(claim, settlement())
    report = Report(operation=message.operation_id, recipient="info@example.com", status=Status.BOUNCED, at=NOW)

    found = await store.report(report)

    assert (before.status, before.attempts, before.recipients) == (Status.DEFERRED, 1, ())
    assert (claim.message, claim.attempt) == (message, 2)
    assert (found, (await state(store, message)).status) == (message.id, Status.BOUNCED)
    assert (await store.fetch("a"), await store.read("k")) == (b"\x01", (b"\x02", "7"))
    await store.close()


async def test_an_old_blob_is_as_old_as_the_new_schema(file: Path) -> None:
    """Nobody knows when it was written, so it is not deleted at once."""
    store = await SqliteStore.open(file)
    today = datetime.now(UTC)

    await store.purge(bodies=NOW, ledger=today - MINUTE, captured=NOW)

    assert await store.fetch("a") == b"\x01"
    await store.purge(bodies=NOW, ledger=today + timedelta(days=1), captured=NOW)
    assert await store.fetch("a") is None
    await store.close()


async def test_many_starts_at_once_change_an_old_file_once(file: Path, message: Message) -> None:
    """Eight processes come up together after an update."""
    stores = await asyncio.gather(*(SqliteStore.open(file) for _ in range(8)))

    assert [(await state(store, message)).status for store in stores] == [Status.DEFERRED] * 8
    for store in stores:
        await store.close()
