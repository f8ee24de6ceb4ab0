"""The way of a message through the table: the ledger's verbs come in, each is one transaction of its partition.

Every row carries the mark of its last write. After a conflict or a lost answer the row is read back: with our mark on
it, our write has won; without, the row's owner and attempt say whether the claim still holds.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from gateway.errors import Reason, StoreUnavailable
from gateway.ledger import Claim, Due, Entry, Settlement
from gateway.message import Message, Priority, Status
from gateway.stores import azure_rows as rows
from gateway.stores.azure_blobs import Blobs
from gateway.stores.azure_tables import MOST_CHANGES, Change, Conflict, Table, delete, insert, merge

MOST_MESSAGES = (MOST_CHANGES - 2) // 2
"""Of one notification: each is a row and a pointer, and the notification itself is two rows."""

_TRIES = 5


class Held(NamedTuple):
    """What a claim's `version` remembers, so that settling needs no further read."""

    etag: str
    owner: str
    attempt: int
    listed: str
    history: str
    blob: str

    @classmethod
    def of(cls, row: rows.Row, etag: str) -> Held:
        """From the row as it stands."""
        return cls(etag, row["owner"], row["attempts"], row["listed"], row["history"], row.get("blob", ""))

    def holds(self, claim: Claim) -> bool:
        """Whether the claim was made with this."""
        return (self.owner, self.attempt) == (claim.owner, claim.attempt)


@dataclass(frozen=True)
class Messages:
    """Notifications and their messages; contents too large for a row lie in `payloads`."""

    table: Table
    payloads: Blobs

    async def add(self, entry: Entry, messages: Sequence[Message], due: datetime) -> Entry | None:
        """Write it all in one transaction, or return the notification that has this id already."""
        write = uuid.uuid4().hex
        contents = _contents(messages, write)
        changes = list(_addition(entry, messages, contents, rows.stamp(due), write))
        if len(changes) > MOST_CHANGES:
            raise StoreUnavailable(f"{len(messages)} messages are too many for one transaction ({MOST_MESSAGES})")
        blobs = {content.blob: content.body for content in contents if content.blob}
        await asyncio.gather(*(self.payloads.put(name, body) for name, body in blobs.items()))
        where = rows.partition(entry.id)
        try:
            await self.table.change(where, changes)
        except Conflict:
            existing = await self._existing(entry, write)
            if existing:
                await asyncio.gather(*(self.payloads.delete(name) for name in blobs))
            return existing
        return None

    async def _existing(self, entry: Entry, write: str) -> Entry | None:
        """Who has the id: None when it was this very write, its answer lost."""
        found = await self.table.get(rows.partition(entry.id), f"n|{rows.safe(entry.id)}|")
        if found and found[0]["write"] == write:
            return None
        existing = await self.get(entry.id)
        if existing is None:
            raise StoreUnavailable("the notification was deleted while it was added again")
        return existing

    async def get(self, notification: str) -> Entry | None:
        """One notification."""
        if not rows.known_form(notification):
            return None
        key = f"n|{rows.safe(notification)}|"
        found = await self.table.rows(rows.partition(notification), key, key + rows.END, select=rows.SHOWN)
        return rows.entry_of(found) if found else None

    async def claim(self, message: str, owner: str, now: datetime, leases: Mapping[str, timedelta]) -> Claim | None:
        """Take a message that is due."""
        where = rows.place(message)
        found = where and await self.table.get(where.partition, where.row)
        if not where or not found:
            return None
        row, etag = found
        if not rows.is_open(row["status"]) or row["due"] > rows.stamp(now):
            return None
        content = Message.model_validate_json(await self._content(row))
        until = now + leases[content.transport]
        columns = _claimed(row, owner, now, until)
        pointer = rows.pointer("due", row["due"], message)
        changes = _changes(where, columns, etag, pointer, row["listed"], content)
        etag = await self._won(where, changes, columns["write"])
        return _claim(row, columns, content, until, etag) if etag else None

    async def _content(self, row: rows.Row) -> bytes:
        blob = row.get("blob")
        content = await self.payloads.get(blob) if blob else rows.joined("c", row)
        if not content:
            raise StoreUnavailable("a message's content is gone")
        return content

    async def _won(self, where: rows.Place, changes: Sequence[Change], write: str) -> str:
        """The message's new ETag, or "" when somebody else was faster."""
        try:
            return await self.table.change(where.partition, changes)
        except Conflict:
            found = await self.table.get(where.partition, where.row)
            return found[1] if found and found[0]["write"] == write else ""

    async def record(self, claim: Claim, facts: dict[str, str]) -> Claim | None:
        """Add facts to what the claim knows."""
        where, held, known = _place(claim), Held(*json.loads(claim.version)), claim.facts
        write = uuid.uuid4().hex
        for _ in range(_TRIES):
            if not held.holds(claim):
                return None
            merged = known | facts
            columns = {"facts": json.dumps(merged), "write": write}
            etag = await self._won(where, [merge(where.row, columns, held.etag)], write)
            if etag:
                version = json.dumps(held._replace(etag=etag))
                return claim.model_copy(update={"facts": merged, "version": version})
            row, etag = await self._again(where)
            held, known = Held.of(row, etag), json.loads(row["facts"])
        raise StoreUnavailable("a claim's facts changed too often")

    async def settle(self, claim: Claim, settlement: Settlement) -> bool:
        """End the claim with a word."""
        where, held = _place(claim), Held(*json.loads(claim.version))
        write = uuid.uuid4().hex
        for _ in range(_TRIES):
            if not held.holds(claim):
                return False
            columns = _settled(settlement, held, write)
            old = rows.pointer("due", rows.stamp(claim.until), claim.message.id)
            changes = _changes(where, columns, held.etag, old, held.listed, claim.message, held.blob)
            if await self._won(where, changes, write):
                return True
            held = Held.of(*await self._again(where))
        raise StoreUnavailable("a claim changed too often")

    async def _again(self, where: rows.Place) -> tuple[rows.Row, str]:
        """The row as it is now; nobody holds one that is gone."""
        found = await self.table.get(where.partition, where.row)
        if not found or found[0]["status"] != Status.SENDING:
            return {"owner": "", "attempts": 0, "listed": "", "history": "", "facts": "{}"}, ""
        return found

    async def due(self, now: datetime, limit: int) -> Sequence[Due]:
        """What is due, oldest first: one range in each partition, however many messages wait for later."""
        high = f"due|{rows.stamp(now)}|{rows.END}"
        found = await asyncio.gather(*(self.table.first(part, "due|", high, limit) for part in rows.PARTITIONS))
        oldest = heapq.nsmallest(limit, (row for part in found for row in part), key=lambda row: str(row["RowKey"]))
        return [_due(row) for row in oldest]


def _due(pointer: rows.Row) -> Due:
    _, at, message = pointer["RowKey"].split("|", 2)
    return Due(rows.original(message), Priority(pointer["priority"]), rows.moment(at))


class _Content(NamedTuple):
    body: bytes
    blob: str


def _contents(messages: Sequence[Message], write: str) -> list[_Content]:
    """Each message's bytes, and the name of their blob when they are too large for the row."""
    contents = []
    together = 0
    for message in messages:
        body = message.model_dump_json().encode()
        small = len(body) <= rows.INLINE and together + len(body) <= rows.INLINE_TOGETHER
        together += len(body) if small else 0
        contents.append(_Content(body, "" if small else f"messages/{rows.safe(message.id)}/{write}"))
    return contents


def _addition(
    entry: Entry, messages: Sequence[Message], contents: Sequence[_Content], due: str, write: str
) -> Iterator[Change]:
    states = {state.id: state for state in entry.messages}
    statuses: dict[int, Status] = {}
    yield insert(f"n|{rows.safe(entry.id)}|", rows.notification_columns(entry, write))
    for message, content in zip(messages, contents, strict=True):
        where = rows.place(message.id)
        if where is None or where.notification != entry.id:
            raise ValueError(f"{message.id}: a message's id is its notification's id, a dash and a number")
        columns = rows.message_columns(message, states.pop(message.id, None), rows.list_row(entry))
        statuses[where.number] = Status(columns["status"])
        columns |= {"write": write, **({"blob": content.blob} if content.blob else rows.chunks("c", content.body))}
        columns |= _times(columns["status"], due, rows.stamp(entry.created))
        yield insert(where.row, columns)
        yield from _pointer(columns, message, content.blob)
    if states:
        raise ValueError(f"{entry.id}: {len(states)} of its messages have no content")
    yield insert(rows.list_row(entry), rows.list_columns(entry, statuses))


def _times(status: str, due: str, ended: str) -> dict[str, str]:
    """When a message must be looked at, or when it became final."""
    return {"due": due if rows.is_open(status) else "", "ended": ended if rows.is_final(status) else ""}


def _pointer(columns: rows.Row, message: Message, blob: str) -> Iterator[Change]:
    """The message's row in the order of time."""
    if columns["due"]:
        key = rows.pointer("due", columns["due"], message.id)
        yield insert(key, {"v": rows.SCHEMA, "priority": message.priority.value})
    elif columns.get("ended"):
        yield insert(rows.pointer("end", columns["ended"], message.id), {"v": rows.SCHEMA, "blob": blob})


def _changes(
    where: rows.Place, columns: rows.Row, etag: str, old: str, listed: str, message: Message, blob: str = ""
) -> list[Change]:
    """A change of state: the message's row, its pointer, and its status in the list."""
    moved = list(_pointer(columns, message, blob))
    if [change.row for change in moved] == [old]:
        moved = []
    else:
        moved.append(delete(old))
    status = {f"s{where.number}": columns["status"]}
    return [merge(where.row, columns, etag), *moved, merge(listed, status)]


def _claimed(row: rows.Row, owner: str, now: datetime, until: datetime) -> dict[str, Any]:
    """The columns a claim writes."""
    # Due and still "sending": the holder's time is over and it never said what became of the message.
    crashed = row["status"] == Status.SENDING
    lost = rows.line(rows.moment(row["due"]), "claim_expired", Reason.CRASHED) if crashed else ""
    return {
        "status": Status.SENDING.value,
        "owner": owner,
        "attempts": row["attempts"] + 1,
        "due": rows.stamp(until),
        "unresolved": True,
        "submitted": row["submitted"] if row["unresolved"] else rows.stamp(now),
        "history": rows.with_line(row["history"], lost),
        "write": uuid.uuid4().hex,
    }


def _claim(row: rows.Row, columns: rows.Row, content: Message, until: datetime, etag: str) -> Claim:
    """The claim, from the row as it was and the columns it wrote."""
    return Claim(
        message=content,
        owner=columns["owner"],
        attempt=columns["attempts"],
        until=until,
        unresolved=row["unresolved"],
        submitted=rows.moment(row["submitted"]) if row["unresolved"] else None,
        last_reason=row["reason"],
        facts=json.loads(row["facts"]),
        version=json.dumps(Held.of({**row, **columns}, etag)),
    )


def _settled(settlement: Settlement, held: Held, write: str) -> dict[str, Any]:
    """The columns a settlement writes."""
    provider = {"provider": settlement.provider_id} if settlement.provider_id else {}
    return {
        "status": settlement.status.value,
        "reason": settlement.reason,
        "owner": "",
        "due": rows.stamp(settlement.due) if settlement.due else "",
        "ended": "" if settlement.due else rows.stamp(settlement.at),
        "unresolved": settlement.unresolved,
        "history": rows.with_line(held.history, rows.line(settlement.at, settlement.event, settlement.reason)),
        "write": write,
        **provider,
    }


def _place(claim: Claim) -> rows.Place:
    where = rows.place(claim.message.id)
    assert where is not None
    return where
