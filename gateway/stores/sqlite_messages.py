"""The way of a message through the file: prepared values come in, rows change and what the caller asked goes out.

Every function here is one operation of the writing thread, inside its transaction; after a rollback it may run again.
"""

from __future__ import annotations

import json
from sqlite3 import Connection
from typing import Any

from gateway.budget import SMALL
from gateway.errors import Reason
from gateway.ledger import Claim, Settlement
from gateway.message import Status
from gateway.recipients import in_doubt, loaded, standing
from gateway.stores.sqlite_rows import Addition, MessageKey, history_line, micros, moment, write_content

Row = tuple[Any, ...]

GET = "SELECT * FROM shown WHERE id = ? ORDER BY number"

ADD_NOTIFICATION = """
INSERT INTO notifications (id, created, source, own, facts) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING
"""
ADD_CONTENT = "INSERT INTO bodies (content) VALUES ("
ADD_MESSAGE = """
INSERT INTO messages
    (number, status, due, reason, sender, transport, recipients, others, operation_id, priority, ended, notification,
    body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

DUE = """
SELECT n.id, m.number, m.priority, m.due
FROM messages AS m JOIN notifications AS n ON n.seq = m.notification
WHERE m.due <= ? ORDER BY m.due LIMIT ?
"""

CLAIMABLE = """
SELECT m.notification, m.transport, m.status, m.due, length(b.content), m.body,
    CASE WHEN length(b.content) <= ? THEN b.content END, m.attempts, m.unresolved, m.submitted, m.reason,
    m.facts, m.operation_id, m.claims, m.reports
FROM notifications AS n JOIN messages AS m ON m.notification = n.seq JOIN bodies AS b ON b.seq = m.body
WHERE n.id = ? AND m.number = ? AND m.due <= ?
"""
CLAIM = """
UPDATE messages
SET status = 'sending', owner = ?, due = ?, attempts = attempts + 1, claims = claims + 1, unresolved = 1,
    submitted = CASE WHEN unresolved THEN submitted ELSE ? END, history = history || ?
WHERE notification = ? AND number = ?
"""

# A claim still holds while nobody settled it and nobody else took the message. Its number counts, not the attempt's: a
# claim that was no attempt gives that one back.
HELD = """
SELECT m.notification, m.number, m.facts, m.reports
FROM notifications AS n JOIN messages AS m ON m.notification = n.seq
WHERE n.id = ? AND m.number = ? AND m.status = 'sending' AND m.owner = ? AND m.claims = ?
"""
RECORD = "UPDATE messages SET facts = ? WHERE notification = ? AND number = ?"
SETTLE = """
UPDATE messages
SET status = ?, reason = ?, due = ?, ended = ?, unresolved = ?, owner = '', provider_id = coalesce(?, provider_id),
    history = history || ?, attempts = attempts - ?, facts = ?
WHERE notification = ? AND number = ?
"""


def add(connection: Connection, new: Addition) -> list[Row] | None:
    """Insert everything; when the notification is there already, its rows as GET gives them."""
    inserted = connection.execute(ADD_NOTIFICATION, new.notification)
    if inserted.rowcount == 0:
        return connection.execute(GET, new.notification[:1]).fetchall()
    notification = inserted.lastrowid
    for message, content in zip(new.messages, new.contents, strict=True):
        body = write_content(connection, "bodies", ADD_CONTENT, (), content)
        connection.execute(ADD_MESSAGE, (*message, notification, body))
    return None


def claim(
    connection: Connection, key: MessageKey, owner: str, now: int, leases: dict[str, int], most: int
) -> list[Any] | int | None:
    """Take a message; its content, when the claim ends, and the row as it was before, from its attempts on.

    Only the size of a content that is larger than `most`.
    """
    row: Row | None = connection.execute(CLAIMABLE, (min(most, SMALL), *key, now)).fetchone()
    if row is None:
        return None
    notification, transport, status, due, size, body, content, *rest = row
    if size > most:
        return int(size)
    if content is None:
        with connection.blobopen("bodies", "content", body, readonly=True) as blob:
            content = blob.read()  # in one copy: a column's value is there twice until the row is done
    until = now + leases[transport]
    # Due and still "sending": the holder's time is over and it never said what became of the message.
    lost = history_line(moment(due), "claim_expired", Reason.CRASHED) if status == Status.SENDING else ""
    connection.execute(CLAIM, (owner, until, now, lost, notification, key.number))
    return [content, until, *rest]


def record(connection: Connection, fence: Row, facts: dict[str, str]) -> dict[str, str] | None:
    """Merge facts under the claim; all there are now, or None when it was lost."""
    row = connection.execute(HELD, fence).fetchone()
    if row is None:
        return None
    notification, number, known, _ = row
    merged: dict[str, str] = json.loads(known) | facts
    connection.execute(RECORD, (json.dumps(merged), notification, number))
    return merged


def settle(connection: Connection, fence: Row, claim: Claim, word: Settlement) -> bool:
    """End the claim; False when it was lost."""
    row = connection.execute(HELD, fence).fetchone()
    if row is None:
        return False
    notification, number, facts, reports = row
    addresses = (address.email for address in claim.message.recipients)
    states = loaded(reports).get(claim.message.operation_id.lower(), ()) if reports else ()
    status, reason = standing(word.status, word.reason, addresses, states)
    values = (
        status.value,
        reason,
        micros(word.due) if word.due else None,
        None if word.due else micros(word.at),
        in_doubt(claim, word, status),
        word.provider_id or None,
        history_line(word.at, word.event, word.reason),
        word.untried,
        json.dumps(json.loads(facts) | word.facts) if word.facts else facts,
    )
    connection.execute(SETTLE, (*values, notification, number))
    return True
