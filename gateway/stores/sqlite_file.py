"""The embedded store's file: a path comes in, connections with the schema in place go out.

    notifications  one row each; `facts` is the entry as JSON without its messages, `own` as in Entry
    messages       what changes about a message; open while `due` is set, `ended` when it became final
    superseded     operation ids that an operator has replaced
    shown          what an Entry is made of, a row for each message
    bodies         a message's content, apart, so that a change of state never rewrites it
    captured       what the capture transport kept
    blobs, state   named contents (`at` by SQLite's own clock), and small values with a version for compare-and-set

Times are microseconds since 1970 in UTC. Rows lie in the order they were written, so that writes that come together
touch few pages; only the notifications' ids and the operation ids have an index in random order.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from threading import Lock
from time import monotonic, sleep

from gateway.errors import ConfigurationError, Problem

SCHEMA_VERSION = 2

OWNER_ONLY = 0o600
"""The file holds all mail and the ledger. SQLite gives what it puts beside it the rights of the file itself."""

OTHERS = 0o077
"""The rights that nobody but the owner should have."""

_MAKING = Lock()

CHECKPOINT_PAGES = 4000
"""The write-ahead log is copied into the file every 16 MB; SQLite's 4 MB would copy hot pages four times as often."""

SCHEMA = """
CREATE TABLE notifications (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL,
    source TEXT NOT NULL,
    own TEXT,
    facts TEXT NOT NULL
);
CREATE INDEX notifications_created ON notifications (created, source);
CREATE TABLE messages (
    notification INTEGER NOT NULL,
    number INTEGER NOT NULL,
    status TEXT NOT NULL,
    due INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    unresolved INTEGER NOT NULL DEFAULT 0,
    submitted INTEGER,
    transport TEXT NOT NULL,
    owner TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',
    sender TEXT NOT NULL,
    recipients TEXT NOT NULL,
    priority TEXT NOT NULL,
    body INTEGER,
    ended INTEGER,
    provider_id TEXT NOT NULL DEFAULT '',
    facts TEXT NOT NULL DEFAULT '{}',
    history TEXT NOT NULL DEFAULT '',
    claims INTEGER NOT NULL DEFAULT 0,
    operation_id TEXT NOT NULL DEFAULT '',
    others TEXT NOT NULL DEFAULT '[]',
    reports TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (notification, number)
) WITHOUT ROWID;
CREATE INDEX messages_due ON messages (due) WHERE due IS NOT NULL;
CREATE INDEX messages_ended ON messages (ended) WHERE ended IS NOT NULL AND body IS NOT NULL;
CREATE TABLE bodies (seq INTEGER PRIMARY KEY, content TEXT NOT NULL);
CREATE TABLE captured (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    message TEXT NOT NULL,
    at INTEGER NOT NULL,
    content TEXT NOT NULL
);
CREATE INDEX captured_message ON captured (message);
CREATE INDEX captured_at ON captured (at);
CREATE TABLE blobs (
    seq INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    content BLOB NOT NULL,
    at INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE state (key TEXT PRIMARY KEY, value BLOB NOT NULL, version INTEGER NOT NULL) WITHOUT ROWID;
"""

SINCE_2 = """
CREATE VIEW shown AS
    SELECT n.seq, n.id, n.created, n.facts, m.number, m.status, m.reason, m.attempts, m.sender, m.recipients, m.history,
        m.operation_id, m.reports
    FROM notifications AS n LEFT JOIN messages AS m ON m.notification = n.seq;
CREATE INDEX messages_operation ON messages (operation_id) WHERE operation_id <> '';
CREATE TABLE superseded (operation_id TEXT PRIMARY KEY, notification INTEGER NOT NULL, number INTEGER NOT NULL);
CREATE INDEX superseded_notification ON superseded (notification);
CREATE INDEX blobs_at ON blobs (at);
"""
"""What the second schema brought; the columns it added stand in SCHEMA."""

FROM_1 = """
ALTER TABLE messages ADD COLUMN claims INTEGER NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN operation_id TEXT NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN others TEXT NOT NULL DEFAULT '[]';
ALTER TABLE messages ADD COLUMN reports TEXT NOT NULL DEFAULT '';
ALTER TABLE blobs ADD COLUMN at INTEGER NOT NULL DEFAULT 0;
UPDATE blobs SET at = CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER);
UPDATE messages SET claims = attempts;
UPDATE messages
SET operation_id = (SELECT json_extract(content, '$.operation_id') FROM bodies WHERE seq = body)
WHERE body IS NOT NULL AND transport <> 'capture';
DROP VIEW shown;
DROP INDEX messages_provider_id;
"""
"""A file of the first schema becomes one of the second."""

_STEPS = {0: SCHEMA + SINCE_2, 1: FROM_1 + SINCE_2}


def connect_writer(path: Path, busy: float) -> sqlite3.Connection:
    """Open the file for writing, with folder and schema; `busy` is how many seconds to wait for another's lock."""
    make_private(path)
    deadline = monotonic() + busy
    while True:
        try:
            return _connect_writer(path, busy)
        except sqlite3.OperationalError as error:
            # While another process switches the file to WAL or back, SQLite says "locked" without waiting for it.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or monotonic() > deadline:
                raise
            sleep(0.01)


def make_private(path: Path) -> None:
    """Make folder and file for this user alone, whatever the umask, and take from others what an older version gave.

    A folder that was there stays as it is: it may be /tmp. So does a file that is somebody else's.
    """
    path.parent.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        path.parent.mkdir(mode=0o700)
    # Closing any descriptor of a file ends all locks that the process has on it (fcntl(2)), SQLite's too: so a file
    # that is there is never opened here, and a new one is closed before any connection of this process can be made.
    with _MAKING, suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, OWNER_ONLY))
    for name in beside(path):
        # Windows knows no such rights, nor do some network drives: a file has those of its folder. Another process may
        # remove the log meanwhile, and the doctor says what stays open.
        with suppress(OSError):
            if os.name == "posix" and name.stat().st_mode & OTHERS:
                name.chmod(OWNER_ONLY)


def beside(path: Path) -> list[Path]:
    """The file, and what SQLite keeps beside it."""
    return [path.with_name(path.name + end) for end in ("", "-wal", "-shm", "-journal")]


def _connect_writer(path: Path, busy: float) -> sqlite3.Connection:
    connection = _connect(path, busy)
    try:
        _check(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        # FULL: a commit is on the disk before it returns. NORMAL would lose the last ones with the power.
        connection.execute("PRAGMA synchronous = FULL")
        # macOS flushes the drive's own cache only when asked this way; elsewhere it means nothing.
        connection.execute("PRAGMA fullfsync = 1")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        _create(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reader(path: Path, busy: float) -> sqlite3.Connection:
    """Open the file that a writer has made, for reading."""
    connection = _connect(path, busy)
    connection.execute("PRAGMA query_only = 1")
    return connection


def _connect(path: Path, busy: float) -> sqlite3.Connection:
    # isolation_level None: transactions begin and end where the code says so.
    return sqlite3.connect(path, timeout=busy, isolation_level=None)


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a file of another program, or of a newer version of this one, before anything in it is changed."""
    # One snapshot: between two statements another process may make the schema.
    connection.execute("BEGIN")
    version = _version(connection)
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    connection.execute("COMMIT")
    if version > SCHEMA_VERSION:
        what = f"has schema {version}, this version knows {SCHEMA_VERSION}; run the newer version, or name another file"
    elif version == 0 and tables:
        what = "is another program's database; name another file"
    else:
        return
    raise ConfigurationError([Problem(str(path), 0, "GATEWAY_STORE", what)])


def _create(connection: sqlite3.Connection) -> None:
    """Make the schema or bring an older one up to date, unless this or another process has done so."""
    connection.execute("BEGIN IMMEDIATE")
    if steps := _STEPS.get(_version(connection)):
        for statement in steps.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
