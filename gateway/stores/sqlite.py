"""The embedded store: the ledger's verbs come in, one SQLite file keeps them; no server, no cloud account.

One thread writes and commits whatever came in meanwhile together; two threads read and never wait for it, one of them
for what may take long. Several processes may share the file: every decision is made inside BEGIN IMMEDIATE.
"""

from __future__ import annotations

import builtins
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from sqlite3 import Connection
from typing import Any

from gateway.budget import SMALL
from gateway.clock import wall_clock
from gateway.errors import Rejected
from gateway.ledger import Amendment, Captured, Claim, Due, Entry, Page, Report, Room, Settlement, Usage, Value
from gateway.message import OPEN, Message, Priority, Status
from gateway.recipients import loaded, proven
from gateway.stores import sqlite_later as later
from gateway.stores import sqlite_messages as messages_table
from gateway.stores import sqlite_purge as retention
from gateway.stores.doorbell import Doorbell
from gateway.stores.sqlite_file import connect_reader, connect_writer
from gateway.stores.sqlite_lane import Lane, commit_together, read_all
from gateway.stores.sqlite_list import BEGINNING, LIST, parameters
from gateway.stores.sqlite_rows import (
    MICROSECOND,
    addition,
    captured_place,
    content,
    entries_of,
    list_cursor,
    message_key,
    micros,
    moment,
    write_content,
)
from gateway.stores.sqlite_usage import usage

KEEP = "INSERT INTO captured (message, at, content) VALUES (?, ?, "
CAPTURED = "SELECT seq, at, content FROM captured WHERE seq > ? AND at >= ? ORDER BY seq LIMIT ?"
LATEST = "SELECT seq, at, content FROM captured WHERE seq < ? ORDER BY seq DESC LIMIT ?"
CAPTURED_ONE = "SELECT seq, at, content FROM captured WHERE message = ? ORDER BY seq LIMIT 1"
LARGEST = 2**31 - 1
"""Bytes of a content; SQLite takes no larger one."""
END = 2**63 - 1
"""Behind every number SQLite gives a row."""
PUT = """
INSERT INTO blobs (name, content, at) VALUES (?, ?, CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER))
ON CONFLICT (name) DO NOTHING
"""
# A version begins anywhere, so that one from before a `remove` never fits what was written after it.
CREATE = "INSERT INTO state (key, value, version) VALUES (?, ?, random() / 2) ON CONFLICT (key) DO NOTHING"
REPLACE = "UPDATE state SET value = ?, version = version + 1 WHERE key = ? AND version = ?"
REMOVE = "DELETE FROM state WHERE key = ? AND version = ?"
SCAN = "SELECT key, value, version FROM state WHERE key >= ? AND key < ? AND key > ? ORDER BY key LIMIT ?"
LAST_LETTER = chr(0x10FFFF)
"""Behind everything that begins alike."""


class SqliteStore:
    """`gateway.ledger.Store` in one file, with its own doorbell; `open` makes one."""

    def __init__(self, writer: Lane, reader: Lane, browser: Lane, bell: Doorbell) -> None:
        """The lanes are open and the store closes them."""
        self._writer = writer
        self._reader = reader
        self._browser = browser
        self._bell = bell

    @classmethod
    async def open(
        cls, path: str | Path, *, clock: Callable[[], datetime] = wall_clock, busy: float = 5.0
    ) -> SqliteStore:
        """Open or make the file; ConfigurationError when it is not ours, StoreUnavailable when it cannot be used.

        `busy` is how many seconds a write waits for another process's transaction, `clock` rings the doorbell.
        """
        file = Path(path)
        lanes: list[Lane] = []
        try:
            lanes.append(await Lane("sqlite-writer", partial(connect_writer, file, busy), commit_together).open())
            lanes.append(await Lane("sqlite-reader", partial(connect_reader, file, busy), read_all).open())
            lanes.append(await Lane("sqlite-browser", partial(connect_reader, file, busy), read_all).open())
        except BaseException:
            for lane in lanes:
                await lane.close()
            raise
        writer, reader, browser = lanes
        return cls(writer, reader, browser, Doorbell(clock))

    async def close(self) -> None:
        """Finish what was begun; the last process to close the file folds the write-ahead log into it."""
        self._bell.close()
        for lane in (self._browser, self._reader, self._writer):
            await lane.close()

    # ---------------------------------------------------------------------------------- the way of a message

    async def add(self, entry: Entry, messages: Sequence[Message], due: datetime) -> Entry | None:
        """Write it all, or return the notification that has this id already."""
        new = addition(entry, messages, due)
        existing = await self._writer.do(lambda connection: messages_table.add(connection, new))
        if existing:
            return entries_of(existing)[0]
        final = {state.id for state in entry.messages if state.status not in OPEN}
        for message in messages:
            if message.id not in final:
                self._bell.ring(message.id, message.priority, due)
        return None

    async def claim(
        self, message: str, owner: str, now: datetime, leases: Mapping[str, timedelta], room: Room | None = None
    ) -> Claim | None:
        """Take a message that is due."""
        key = message_key(message)
        if key is None:
            return None
        lasting = {transport: lease // MICROSECOND for transport, lease in leases.items()}
        most = SMALL if room else LARGEST
        while True:
            taking = partial(messages_table.claim, key=key, owner=owner, now=micros(now), leases=lasting, most=most)
            row = await self._writer.do(taking)
            if room is None or not isinstance(row, int):
                break
            now, most = await room(row), row
        if row is None or isinstance(row, int):
            return None
        # Taken out of the row, which lives on until the next turn of the event loop: a large mail is there only once.
        found = Message.model_validate_json(row.pop(0))
        until, attempts, unresolved, submitted, reason, facts, operation, claims, reports = row
        return Claim(
            message=found.model_copy(update={"operation_id": operation}) if operation else found,
            owner=owner,
            attempt=attempts + 1,
            until=moment(until),
            unresolved=bool(unresolved),
            submitted=moment(submitted) if unresolved else None,
            proven=bool(unresolved and reports) and proven(loaded(reports), operation or found.operation_id),
            last_reason=reason,
            facts=json.loads(facts),
            version=str(claims + 1),
        )

    async def record(self, claim: Claim, facts: dict[str, str]) -> Claim | None:
        """Add facts to what the claim knows."""
        fence = _fence(claim)
        merged = await self._writer.do(lambda connection: messages_table.record(connection, fence, facts))
        return None if merged is None else claim.model_copy(update={"facts": merged})

    async def settle(self, claim: Claim, settlement: Settlement) -> bool:
        """End the claim with a word."""
        fence = _fence(claim)
        return await self._writer.do(lambda connection: messages_table.settle(connection, fence, claim, settlement))

    async def amend(self, message: str, amendment: Amendment) -> Status | None:
        """Change a state without a claim."""
        key = message_key(message)
        if key is None:
            return None
        found = await self._writer.do(lambda connection: later.amend(connection, key, amendment))
        if found == later.GONE:
            raise Rejected(409, "content_gone", f"Nothing is left to send: {message} was cleared by retention.")
        return Status(found) if found else None

    async def report(self, report: Report) -> str | None:
        """Take a provider's word about one recipient."""
        return await self._writer.do(lambda connection: later.report(connection, report))

    async def ring(self, message: str, priority: Priority, at: datetime, now: datetime) -> None:
        """Ring in this process; `now` is for stores that can only say "in so many seconds"."""
        self._bell.ring(message, priority, at)

    async def doorbell(self) -> Due:
        """Wait for the next ring whose time has come; among those, high priority first."""
        return await self._bell.next()

    async def due(self, now: datetime, limit: int) -> Sequence[Due]:
        """What is due, oldest first."""
        rows = await self._reader.do(_select(messages_table.DUE, micros(now), limit))
        return [
            Due(f"{notification}-{number}", Priority(priority), moment(at))
            for notification, number, priority, at in rows
        ]

    # --------------------------------------------------------------------------------------------- the ledger

    async def get(self, notification: str) -> Entry | None:
        """One notification."""
        rows = await self._reader.do(_select(messages_table.GET, notification))
        return entries_of(rows)[0] if rows else None

    async def beginning(self, prefix: str, limit: int) -> Sequence[Entry]:
        """Notifications whose id begins so, in the order of their ids."""
        return entries_of(await self._browser.do(_select(BEGINNING, prefix, prefix + LAST_LETTER, limit)))

    async def list(self, *, status: str, source: str, since: datetime | None, cursor: str, limit: int) -> Page:
        """One page of notifications, newest first."""
        values = parameters(status, source, since, cursor, limit + 1)
        entries = entries_of(await self._browser.do(lambda connection: connection.execute(LIST, values).fetchall()))
        return Page(entries[:limit], list_cursor(entries[limit - 1]) if len(entries) > limit else None)

    # ------------------------------------------------------------------------------------------ captured mail

    async def keep(self, message: Message, at: datetime) -> None:
        """Store one captured mail."""
        row, written = (message.id, micros(at)), content(message)
        await self._writer.do(lambda connection: write_content(connection, "captured", KEEP, row, written))

    async def kept(self, message: str) -> bool:
        """Whether it was captured."""
        rows = await self._reader.do(_select("SELECT 1 FROM captured WHERE message = ? LIMIT 1", message))
        return bool(rows)

    async def captured(self, *, after: str, since: datetime | None, limit: int) -> Sequence[Captured]:
        """Captured mails, oldest first."""
        oldest = micros(since) if since else 0
        rows = await self._browser.do(_select(CAPTURED, captured_place(after), oldest, limit))
        return [_captured(row) for row in rows]

    async def latest(self, *, before: str, limit: int) -> Sequence[Captured]:
        """Captured mails, newest first."""
        rows = await self._browser.do(_select(LATEST, captured_place(before) if before else END, limit))
        return [_captured(row) for row in rows]

    async def captured_one(self, message: str) -> Captured | None:
        """One captured mail."""
        rows = await self._browser.do(_select(CAPTURED_ONE, message))
        return _captured(rows[0]) if rows else None

    async def forget_captured(self) -> int:
        """Delete all captured mail."""
        return await self._writer.do(lambda connection: connection.execute("DELETE FROM captured").rowcount)

    # ------------------------------------------------------------------------------------ blobs, shared values

    async def put(self, name: str, content: bytes) -> bool:
        """Write a blob once."""
        return await self._writer.do(lambda connection: connection.execute(PUT, (name, content)).rowcount == 1)

    async def fetch(self, name: str) -> bytes | None:
        """Read a blob."""
        rows = await self._browser.do(_select("SELECT content FROM blobs WHERE name = ?", name))
        return bytes(rows[0][0]) if rows else None

    async def read(self, key: str) -> tuple[bytes, str] | None:
        """Read a shared value."""
        rows = await self._reader.do(_select("SELECT value, version FROM state WHERE key = ?", key))
        return (bytes(rows[0][0]), str(rows[0][1])) if rows else None

    async def write(self, key: str, value: bytes, version: str | None) -> bool:
        """Write a shared value if its version is still this one."""
        statement, row = (CREATE, (key, value)) if version is None else (REPLACE, (value, key, int(version)))
        return await self._writer.do(lambda connection: connection.execute(statement, row).rowcount == 1)

    async def remove(self, key: str, version: str) -> bool:
        """Delete a shared value if its version is still this one."""
        row = (key, int(version))
        return await self._writer.do(lambda connection: connection.execute(REMOVE, row).rowcount == 1)

    async def scan(self, prefix: str, after: str, limit: int) -> Sequence[Value]:
        """Shared values whose key begins so, in the order of their keys."""
        rows = await self._browser.do(_select(SCAN, prefix, prefix + LAST_LETTER, after, limit))
        return [Value(key, bytes(value), str(version)) for key, value, version in rows]

    async def usage(self) -> Usage:
        """What the file holds."""
        return await self._browser.do(usage)

    async def purge(self, *, bodies: datetime, ledger: datetime, captured: datetime) -> int:
        """Delete what is too old, a few rows at a time."""
        return (
            await self._repeat(retention.purge_ledger, ledger)
            + await self._repeat(retention.purge_bodies, bodies)
            + await self._repeat(retention.purge_blobs, ledger)
            + await self._repeat(retention.purge_captured, captured)
        )

    async def _repeat(self, step: Callable[[Connection, int], int], before: datetime) -> int:
        total = 0
        while count := await self._writer.do(lambda connection: step(connection, micros(before))):
            total += count
        return total


def _select(statement: str, *values: object) -> Callable[[Connection], builtins.list[tuple[Any, ...]]]:
    return lambda connection: connection.execute(statement, values).fetchall()


def _fence(claim: Claim) -> tuple[Any, ...]:
    """What must still be so for the claim to hold, in the order HELD binds it."""
    return (*(message_key(claim.message.id) or ()), claim.owner, int(claim.version))


def _captured(row: tuple[Any, ...]) -> Captured:
    seq, at, body = row
    return Captured(str(seq), moment(at), Message.model_validate_json(body))
