"""What comes without a claim, through the file: reports and operators' decisions come in, rows change.

As in sqlite_messages.py, each function is one operation of the writing thread, inside its transaction.
"""

from __future__ import annotations

import json
from sqlite3 import Connection
from typing import Any, NamedTuple

from gateway.ledger import Amendment, MessageState, Report
from gateway.message import OPEN, Status
from gateway.recipients import Heard, concerns, dumped, loaded, news, standing
from gateway.stores.sqlite_rows import MessageKey, addresses, history_line, micros

GONE = "gone"
"""Instead of a status: nothing is left to send."""

BY_KEY = """
SELECT m.notification, m.number, n.id, m.status, m.reason, m.body, m.operation_id, m.reports, m.recipients, m.others
FROM notifications AS n JOIN messages AS m ON m.notification = n.seq
WHERE n.id = ? AND m.number = ?
"""
BY_OPERATION = """
SELECT m.notification, m.number, n.id, m.status, m.reason, m.body, m.operation_id, m.reports, m.recipients, m.others
FROM messages AS m JOIN notifications AS n ON n.seq = m.notification
WHERE m.operation_id = ? AND m.operation_id <> ''
"""
BY_SUPERSEDED = """
SELECT m.notification, m.number, n.id, m.status, m.reason, m.body, m.operation_id, m.reports, m.recipients, m.others
FROM superseded AS s
JOIN messages AS m ON m.notification = s.notification AND m.number = s.number
JOIN notifications AS n ON n.seq = m.notification
WHERE s.operation_id = ?
"""
REPORT = """
UPDATE messages SET status = ?, reason = ?, reports = ?, history = history || ?, unresolved = unresolved AND ?
WHERE notification = ? AND number = ?
"""
AMEND = """
UPDATE messages
SET status = ?, reason = ?, due = ?, ended = ?, operation_id = ?, owner = '', history = history || ?,
    unresolved = unresolved AND NOT ?, facts = iif(?, ?, facts)
WHERE notification = ? AND number = ?
"""
SUPERSEDE = "INSERT INTO superseded (operation_id, notification, number) VALUES (?, ?, ?)"
RESTORE = "DELETE FROM superseded WHERE operation_id = ?"


class _Row(NamedTuple):
    notification: int
    number: int
    id: str
    status: str
    reason: str
    body: int | None
    operation: str
    reports: str
    recipients: str
    others: str

    @property
    def emails(self) -> tuple[str, ...]:
        """Everyone it is for."""
        return (*(address.email for address in addresses(self.recipients)), *json.loads(self.others))

    @property
    def heard(self) -> Heard:
        return loaded(self.reports)

    @property
    def state(self) -> MessageState:
        return MessageState(
            id=f"{self.id}-{self.number}",
            to=addresses(self.recipients),
            sender="",
            status=Status(self.status),
            reason=self.reason,
        )


def _found(connection: Connection, statement: str, *values: object) -> _Row | None:
    row: tuple[Any, ...] | None = connection.execute(statement, values).fetchone()
    return _Row(*row) if row else None


def report(connection: Connection, report: Report) -> str | None:
    """Take a provider's word; the message's id, or None when the submission is not ours."""
    operation = report.operation.lower()
    row = _found(connection, BY_OPERATION, operation) or _found(connection, BY_SUPERSEDED, operation)
    if row is None or not concerns(report, row.emails):
        return None
    found = news(report, row.heard, row.operation, row.state, json.loads(row.others))
    if found:
        line = history_line(report.at, found.word, report.reason) if found.word else ""
        same = found.status == row.status
        values = (found.status.value, found.reason, dumped(found.heard).decode(), line, same)
        connection.execute(REPORT, (*values, row.notification, row.number))
    return row.state.id


def amend(connection: Connection, key: MessageKey, change: Amendment) -> str | None:
    """Change a state without a claim; what it was, or GONE when it should be sent and its content is not there."""
    row = _found(connection, BY_KEY, *key)
    if row is None or row.status not in change.allowed:
        return row and row.status
    opened = change.status in OPEN
    if opened and row.body is None:
        return GONE
    operation = _renamed(connection, row, change.operation_id.lower())
    status, reason = standing(change.status, change.reason, row.emails, row.heard.get(operation, ()))
    final = not opened and status is not Status.HELD
    values = (
        status.value,
        reason,
        micros(change.due or change.at) if opened else None,
        micros(change.at) if final else None,
        operation,
        history_line(change.at, change.event, change.reason),
        opened,
        opened,
        json.dumps(change.facts),
    )
    connection.execute(AMEND, (*values, row.notification, row.number))
    return row.status


def _renamed(connection: Connection, row: _Row, operation: str) -> str:
    """The operation id from now on; the one before is remembered."""
    if operation in {"", row.operation}:
        return row.operation
    connection.execute(RESTORE, (operation,))
    if row.operation:
        connection.execute(SUPERSEDE, (row.operation, row.notification, row.number))
    return operation
