"""What each verb writes: a message's row as it stands and a word about it come in, one transaction's changes go out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from gateway.errors import Reason
from gateway.jsonparts import joined
from gateway.ledger import Amendment, Claim, Entry, Report, Settlement
from gateway.message import Message, Priority, Status
from gateway.recipients import in_doubt, loaded, news, proven, standing
from gateway.stores import azure_rows as rows
from gateway.stores import azure_shown as shown
from gateway.stores.azure_tables import Change, delete, insert, merge


class Held(NamedTuple):
    """What a claim's `version` remembers, so that settling needs no further read.

    `claims` numbers the claims on a message. It fences instead of the attempt, which a claim that was none gives back.
    """

    etag: str
    owner: str
    claims: int
    listed: str
    history: str
    blob: str
    facts: str
    heard: str

    @classmethod
    def of(cls, row: rows.Row, etag: str) -> Held:
        """From the row as it stands."""
        heard = rows.joined("h", row).decode()
        blob, facts = row.get("blob", ""), row["facts"]
        return cls(etag, row["owner"], number(row), row["listed"], row["history"], blob, facts, heard)

    @classmethod
    def by(cls, claim: Claim) -> Held:
        """From the claim."""
        return cls(*json.loads(claim.version))

    def same(self, other: Held) -> bool:
        """Whether both are one claim."""
        return (self.owner, self.claims) == (other.owner, other.claims)


def number(row: rows.Row) -> int:
    """How many claims there were on a message; a row of an earlier version counted attempts only."""
    return int(row.get("claims", row["attempts"]))


class Content(NamedTuple):
    """A message's bytes, unless they are only made when they are written; the name of their blob, unless in the row."""

    message: Message
    size: int
    body: bytes
    blob: str

    def whole(self) -> bytes:
        """All of it; of several large messages one after the other, since each may have the same files."""
        return self.body or joined(self.message.pieces())

    def columns(self) -> rows.Row:
        """Where the row has it. A blob's size tells a worker what room it needs, before it loads it."""
        return {"blob": self.blob, "size": self.size} if self.blob else rows.chunks("c", self.body)


def contents(messages: Sequence[Message], write: str) -> list[Content]:
    """Each message's, side by side."""
    found = []
    together = 0
    for message in messages:
        body = b"" if message.large else message.model_dump_json().encode()
        size = len(body) or sum(map(len, message.pieces()))
        small = size <= rows.INLINE and together + size <= rows.INLINE_TOGETHER
        together += size if small else 0
        content = Content(message, size, body, "" if small else f"messages/{rows.safe(message.id)}/{write}")
        found.append(content._replace(body=content.whole()) if small else content)
    return found


def addition(
    entry: Entry, messages: Sequence[Message], bodies: Sequence[Content], due: str, write: str
) -> Iterator[Change]:
    """A new notification; the notification's row comes first."""
    states = {state.id: state for state in entry.messages}
    statuses: dict[int, Status] = {}
    yield insert(f"n|{rows.safe(entry.id)}|", shown.notification_columns(entry, write))
    for message, content in zip(messages, bodies, strict=True):
        where = rows.place(message.id)
        if where is None or where.notification != entry.id:
            raise ValueError(f"{message.id}: a message's id is its notification's id, a dash and a number")
        columns = shown.message_columns(message, states.pop(message.id, None), rows.list_row(entry))
        statuses[where.number] = Status(columns["status"])
        columns |= {"write": write, **content.columns()}
        columns |= _times(columns["status"], due, rows.stamp(entry.created))
        yield insert(where.row, columns)
        yield from _pointer(columns, where.id, message.priority, message.source, content.blob)
        yield from _lookups(where, shown.operations(columns))
    if states:
        raise ValueError(f"{entry.id}: {len(states)} of its messages have no content")
    yield insert(rows.list_row(entry), rows.list_columns(entry, statuses))


def _lookups(where: rows.Place, operations: Sequence[str]) -> Iterator[Change]:
    """Rows by which reports find the message."""
    for operation in operations:
        if operation[-1:] != where.partition:
            raise ValueError(f"{where.id}: its operation id must end in {where.partition}, or no report would find it")
        yield insert(rows.operation_row(operation), {"v": rows.SCHEMA, "message": where.id})


def _times(status: str, due: str, ended: str) -> dict[str, str]:
    """When a message must be looked at, or when it became final."""
    return {"due": due if rows.is_open(status) else "", "ended": ended if rows.is_final(status) else ""}


def _pointer(columns: rows.Row, message: str, priority: Priority, source: str, blob: str) -> Iterator[Change]:
    """The message's row in the order of time; what is open is counted there by its source."""
    if columns["due"]:
        key = rows.pointer("due", columns["due"], message)
        yield insert(key, {"v": rows.SCHEMA, "priority": priority.value, "source": source})
    elif columns.get("ended"):
        yield insert(rows.pointer("end", columns["ended"], message), {"v": rows.SCHEMA, "blob": blob})


def _changes(
    where: rows.Place, columns: rows.Row, etag: str, listed: str, old: str, new: Sequence[Change]
) -> list[Change]:
    """A change of state: the message's row, its pointer (an `old` one goes), and its status in the list."""
    moved = [change for change in new if change.row != old]
    if old and len(moved) == len(new):
        moved.append(delete(old))
    return [merge(where.row, columns, etag), *moved, merge(listed, {f"s{where.number}": columns["status"]})]


def claimed(row: rows.Row, owner: str, now: datetime, until: datetime, write: str) -> dict[str, Any]:
    """The columns a claim writes."""
    # Due and still "sending": the holder's time is over and it never said what became of the message.
    crashed = row["status"] == Status.SENDING
    lost = rows.line(rows.moment(row["due"]), "claim_expired", Reason.CRASHED) if crashed else ""
    return {
        "status": Status.SENDING.value,
        "owner": owner,
        "attempts": row["attempts"] + 1,
        "claims": number(row) + 1,
        "due": rows.stamp(until),
        "unresolved": True,
        "submitted": row["submitted"] if row["unresolved"] else rows.stamp(now),
        "history": rows.with_line(row["history"], lost),
        "write": write,
    }


def claiming(where: rows.Place, row: rows.Row, etag: str, columns: rows.Row, message: Message) -> list[Change]:
    """What a claim changes."""
    new = list(_pointer(columns, where.id, message.priority, message.source, ""))
    return _changes(where, columns, etag, row["listed"], rows.pointer("due", row["due"], where.id), new)


def claim(row: rows.Row, columns: rows.Row, content: Message, until: datetime, etag: str) -> Claim:
    """The claim, from the row as it was and the columns it wrote."""
    operation = shown.operation(row) or content.operation_id
    return Claim(
        message=content.model_copy(update={"operation_id": operation}),
        owner=columns["owner"],
        attempt=columns["attempts"],
        until=until,
        unresolved=row["unresolved"],
        submitted=rows.moment(row["submitted"]) if row["unresolved"] else None,
        proven=row["unresolved"] and proven(shown.heard(row), operation),
        last_reason=row["reason"],
        facts=json.loads(row["facts"]),
        version=json.dumps(Held.of({**row, **columns}, etag)),
    )


def settling(where: rows.Place, claim: Claim, word: Settlement, held: Held, write: str) -> list[Change]:
    """What a settlement changes."""
    message = claim.message
    states = loaded(held.heard).get(message.operation_id.lower(), ())
    addresses = (address.email for address in message.recipients)
    status, reason = standing(word.status, word.reason, addresses, states)
    columns = {
        "status": status.value,
        "reason": reason,
        "owner": "",
        "due": rows.stamp(word.due) if word.due else "",
        "ended": "" if word.due else rows.stamp(word.at),
        "unresolved": in_doubt(claim, word, status),
        "history": rows.with_line(held.history, rows.line(word.at, word.event, word.reason)),
        "write": write,
        **({"provider": word.provider_id} if word.provider_id else {}),
        **({"attempts": claim.attempt - 1} if word.untried else {}),
        **({"facts": json.dumps(json.loads(held.facts) | word.facts)} if word.facts else {}),
    }
    old = rows.pointer("due", rows.stamp(claim.until), message.id)
    new = list(_pointer(columns, message.id, message.priority, message.source, held.blob))
    return _changes(where, columns, held.etag, held.listed, old, new)


def reporting(where: rows.Place, row: rows.Row, etag: str, report: Report) -> list[Change]:
    """What a report changes; nothing when it says nothing new.

    It leaves the row's mark alone, by which another verb may yet find that it has won.
    """
    known = shown.shown(row)
    found = news(report, shown.heard(row), shown.operation(row), shown.state(where.id, row), known.others)
    if found is None:
        return []
    added = rows.line(report.at, found.word, report.reason) if found.word else ""
    columns = {
        "status": found.status.value,
        "reason": found.reason,
        "history": rows.with_line(row["history"], added),
        **shown.heard_columns(found.heard),
    }
    if found.status == row["status"]:
        return [merge(where.row, columns, etag)]
    columns["unresolved"] = False
    return _changes(where, columns, etag, row["listed"], "", [])


def amending(where: rows.Place, row: rows.Row, etag: str, change: Amendment, write: str) -> list[Change]:
    """What an operator's decision changes."""
    known = shown.shown(row)
    opened = rows.is_open(change.status)
    earlier = shown.operations(row)
    given = change.operation_id.lower()
    operations = [*(each for each in earlier if each != given), given] if given else earlier
    states = shown.heard(row).get(operations[-1], ()) if operations else ()
    status, reason = standing(change.status, change.reason, known.emails, states)
    columns = {
        "status": status.value,
        "reason": reason,
        "owner": "",
        **_times(status, rows.stamp(change.due or change.at), rows.stamp(change.at)),
        "history": rows.with_line(row["history"], rows.line(change.at, change.event, change.reason)),
        "ops": ",".join(operations),
        "write": write,
        **({"unresolved": False, "facts": json.dumps(change.facts)} if opened else {}),
    }
    cleared = row.get("cleared")  # then it has no pointer, and gets none
    new = [] if cleared else list(_pointer(columns, where.id, known.priority, known.source, row.get("blob", "")))
    old = "" if cleared else _old_pointer(where, row)
    lookups = _lookups(where, [each for each in operations if each not in earlier])
    return [*_changes(where, columns, etag, row["listed"], old, new), *lookups]


def _old_pointer(where: rows.Place, row: rows.Row) -> str:
    for kind, column in (("due", "due"), ("end", "ended")):
        if row[column]:
            return rows.pointer(kind, row[column], where.id)
    return ""
