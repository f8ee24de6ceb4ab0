"""Retention: times come in, rows that ended before them go; a few in one transaction, so that nobody waits long."""

from __future__ import annotations

from sqlite3 import Connection

BATCH = 100
"""Rows one transaction takes at most: the pages of 100 large messages are freed in some milliseconds."""

OLD_BODIES = """
SELECT notification, number, body FROM messages WHERE body IS NOT NULL AND ended < ? ORDER BY ended LIMIT ?
"""
OLD_NOTIFICATIONS = """
SELECT seq FROM notifications AS n
WHERE created < ? AND coalesce(own, '') <> 'held' AND NOT EXISTS (
    SELECT 1 FROM messages WHERE notification = n.seq AND (ended IS NULL OR ended >= ?)
)
LIMIT ?
"""
OLD_BLOBS = "SELECT seq FROM blobs WHERE at < ? ORDER BY at LIMIT ?"
OLD_CAPTURED = "SELECT seq FROM captured WHERE at < ? ORDER BY at LIMIT ?"


def purge_ledger(connection: Connection, before: int) -> int:
    """Delete notifications that ended altogether before this time."""
    rows = connection.execute(OLD_NOTIFICATIONS, (before, before, BATCH)).fetchall()
    connection.executemany("DELETE FROM bodies WHERE seq IN (SELECT body FROM messages WHERE notification = ?)", rows)
    connection.executemany("DELETE FROM superseded WHERE notification = ?", rows)
    connection.executemany("DELETE FROM messages WHERE notification = ?", rows)
    connection.executemany("DELETE FROM notifications WHERE seq = ?", rows)
    return len(rows)


def purge_bodies(connection: Connection, before: int) -> int:
    """Clear contents of messages that ended before this time; what the ledger shows of them stays."""
    rows = connection.execute(OLD_BODIES, (before, BATCH)).fetchall()
    connection.executemany("DELETE FROM bodies WHERE seq = ?", [row[2:] for row in rows])
    connection.executemany(
        "UPDATE messages SET body = NULL WHERE notification = ? AND number = ?", [row[:2] for row in rows]
    )
    return len(rows)


def purge_blobs(connection: Connection, before: int) -> int:
    """Delete named contents that were written before this time."""
    rows = connection.execute(OLD_BLOBS, (before, BATCH)).fetchall()
    connection.executemany("DELETE FROM blobs WHERE seq = ?", rows)
    return len(rows)


def purge_captured(connection: Connection, before: int) -> int:
    """Delete captured mail older than this time."""
    rows = connection.execute(OLD_CAPTURED, (before, BATCH)).fetchall()
    connection.executemany("DELETE FROM captured WHERE seq = ?", rows)
    return len(rows)
