"""The way of a message through the table: the ledger's verbs come in, each is one transaction of its partition.

Every row carries the mark of its last write. After a conflict or a lost answer the row is read back: with our mark on
it, our write has won; without, the row's owner and attempt say whether the claim still holds.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import re
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from gateway.errors import Rejected, StoreUnavailable
from gateway.ledger import Amendment, Claim, Due, Entry, Report, Room, Settlement
from gateway.message import Message, Priority, Status
from gateway.recipients import concerns
from gateway.stores import azure_rows as rows
from gateway.stores import azure_shown as shown
from gateway.stores import azure_steps as steps
from gateway.stores.azure_blobs import Blobs
from gateway.stores.azure_rest import TOTAL_SECONDS, chance
from gateway.stores.azure_steps import Held
from gateway.stores.azure_tables import MOST_CHANGES, Change, Conflict, Table, merge

MOST_MESSAGES = (MOST_CHANGES - 2) // 3
"""Of one notification: each is a row, a pointer and its operation id's row, and the notification itself is two rows.

Captured ones have no operation id's row, so that there may be half as many again.
"""

MOST_COUNTED = 50_000
"""Open messages of one partition that are counted; there are sixteen, and no bound is so high."""

UNKNOWN = 14 * 1024 * 1024
"""Bytes of a content whose row was written before rows said it: that of the largest body, in base64."""

_TRIES = 5
_OPERATION = re.compile(r"[0-9a-f-]{1,64}")

Found = tuple[dict[str, Any], str] | None
"""A row and its ETag, if it is there."""


@dataclass(frozen=True)
class Messages:
    """Notifications and their messages; contents too large for a row lie in `payloads`."""

    table: Table
    payloads: Blobs

    async def add(self, entry: Entry, messages: Sequence[Message], due: datetime) -> Entry | None:
        """Write it all in one transaction, or return the notification that has this id already."""
        write = uuid.uuid4().hex
        contents = steps.contents(messages, write)
        changes = list(steps.addition(entry, messages, contents, rows.stamp(due), write))
        if len(changes) > MOST_CHANGES:
            raise StoreUnavailable(f"{len(messages)} messages are too many for one transaction ({MOST_MESSAGES})")
        large = [content for content in contents if content.blob]
        for content in large:
            await self.payloads.put(content.blob, content.whole())
        where = rows.partition(entry.id)
        try:
            await self.table.change(where, changes)
        except Conflict:
            existing = await self._existing(entry, write)
            if existing:
                await asyncio.gather(*(self.payloads.delete(content.blob) for content in large))
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
        found = await self.table.rows(rows.partition(notification), key, key + rows.END, select=shown.SHOWN)
        return shown.entry_of(found) if found else None

    async def beginning(self, prefix: str, limit: int) -> Sequence[Entry]:
        """Notifications whose id begins so, in the order of their ids."""
        found = await asyncio.gather(*(self._beginning(part, prefix, limit) for part in rows.PARTITIONS))
        entries = await asyncio.gather(*map(self.get, heapq.nsmallest(limit, (id for ids in found for id in ids))))
        return [entry for entry in entries if entry]

    async def _beginning(self, part: str, prefix: str, limit: int) -> list[str]:
        """One partition's ids that begin so; a notification's own row is the first of its rows."""
        ids: dict[str, None] = {}
        low = f"n|{rows.safe(prefix)}"
        async for page in self.table.query(part, low, low + rows.END, select="RowKey"):
            ids |= dict.fromkeys(rows.original(row["RowKey"].split("|")[1]) for row in page)
            if len(ids) >= limit:
                break
        return list(ids)

    async def claim(
        self, message: str, owner: str, now: datetime, leases: Mapping[str, timedelta], room: Room | None
    ) -> Claim | None:
        """Take a message that is due; a report that comes between is no reason to give up."""
        where = rows.place(message)
        found = where and await self.table.get(where.partition, where.row)
        write = uuid.uuid4().hex
        for _ in range(_TRIES):
            if not where or not found or not rows.is_open(found[0]["status"]) or found[0]["due"] > rows.stamp(now):
                return None
            row, etag = found
            if room and row.get("blob"):
                now = await room(row.get("size") or UNKNOWN)
                room = None
            content = Message.model_validate_json(await self._content(row))
            until = now + leases[content.transport]
            columns = steps.claimed(row, owner, now, until, write)
            changes = steps.claiming(where, row, etag, columns, content)
            etag, found = await self._won(where, changes, write)
            if etag:
                return steps.claim(row, columns, content, until, etag)
        raise StoreUnavailable("a message changed too often")

    async def _content(self, row: rows.Row) -> bytes:
        blob = row.get("blob")
        content = await self.payloads.get(blob) if blob else rows.joined("c", row)
        if not content:
            raise StoreUnavailable("a message's content is gone")
        return content

    async def _won(self, where: rows.Place, changes: Sequence[Change], write: str) -> tuple[str, Found]:
        """The message's new ETag; or "" when somebody else was faster, and the row as it is now."""
        try:
            return await self.table.change(where.partition, changes), None
        except Conflict:
            found = await self.table.get(where.partition, where.row)
            return (found[1] if found and found[0]["write"] == write else ""), found

    async def record(self, claim: Claim, facts: dict[str, str]) -> Claim | None:
        """Add facts to what the claim knows."""
        where, mine = _place(claim), Held.by(claim)
        held, known = mine, claim.facts
        write = uuid.uuid4().hex
        for _ in range(_TRIES):
            merged = known | facts
            columns = {"facts": json.dumps(merged), "write": write}
            etag, found = await self._won(where, [merge(where.row, columns, held.etag)], write)
            if etag:
                version = json.dumps(held._replace(etag=etag, facts=columns["facts"]))
                return claim.model_copy(update={"facts": merged, "version": version})
            now = _holder(found)
            if now is None or not now.same(mine):
                return None
            held, known = now, json.loads(now.facts)
        raise StoreUnavailable("a claim's facts changed too often")

    async def settle(self, claim: Claim, settlement: Settlement) -> bool:
        """End the claim with a word."""
        where, mine = _place(claim), Held.by(claim)
        held = mine
        write = uuid.uuid4().hex
        for _ in range(_TRIES):
            etag, found = await self._won(where, steps.settling(where, claim, settlement, held, write), write)
            if etag:
                return True
            now = _holder(found)
            if now is None or not now.same(mine):
                return False
            held = now
        raise StoreUnavailable("a claim changed too often")

    async def amend(self, message: str, change: Amendment) -> Status | None:
        """Change a state without a claim; what it was."""
        where = rows.place(message)
        found = where and await self.table.get(where.partition, where.row)
        write = uuid.uuid4().hex
        for _ in range(_TRIES):
            if not where or not found:
                return None
            row, etag = found
            before = Status(row["status"])
            if before not in change.allowed:
                return before
            if rows.is_open(change.status) and row.get("cleared"):
                raise Rejected(409, "content_gone", f"Nothing is left to send: {message} was cleared by retention.")
            etag, found = await self._won(where, steps.amending(where, row, etag, change, write), write)
            if etag:
                return before
        raise StoreUnavailable("a message changed too often")

    async def report(self, report: Report) -> str | None:
        """Take a provider's word; whose submission it was. Reports on one message come together and take turns."""
        operation = report.operation.lower()
        if not _OPERATION.fullmatch(operation):
            return None
        found = await self.table.get(operation[-1], rows.operation_row(operation))
        where = rows.place(found[0]["message"]) if found else None
        if where is None:
            return None
        try:
            async with asyncio.timeout(TOTAL_SECONDS):
                return where.id if await self._reported(where, report) else None
        except TimeoutError as error:
            raise StoreUnavailable("a message's reports came too fast") from error

    async def _reported(self, where: rows.Place, report: Report) -> bool:
        while found := await self.table.get(where.partition, where.row):
            if not concerns(report, shown.shown(found[0]).emails):
                return False
            changes = steps.reporting(where, *found, report)
            try:
                if changes:
                    await self.table.change(where.partition, changes)
            except Conflict:  # somebody was faster, or it was ourselves and the answer was lost: then nothing is new
                await asyncio.sleep(chance() / 50)
            else:
                return True
        return False

    async def due(self, now: datetime, limit: int) -> Sequence[Due]:
        """What is due, oldest first: one range in each partition, however many messages wait for later."""
        high = f"due|{rows.stamp(now)}|{rows.END}"
        found = await asyncio.gather(*(self.table.first(part, "due|", high, limit) for part in rows.PARTITIONS))
        oldest = heapq.nsmallest(limit, (row for part in found for row in part), key=lambda row: str(row["RowKey"]))
        return [_due(row) for row in oldest]

    async def open_by_source(self) -> dict[str, int]:
        """How many messages of each source are open, by their pointers; those of an earlier version name no source."""
        counts = sum(await asyncio.gather(*map(self._open_by_source, rows.PARTITIONS)), Counter[str]())
        return {source: count for source, count in counts.items() if source}

    async def _open_by_source(self, part: str) -> Counter[str]:
        found: Counter[str] = Counter()
        async for page in self.table.query(part, "due|", f"due|{rows.END}", select="source"):
            found.update(row.get("source") or "" for row in page)
            if found.total() >= MOST_COUNTED:
                break
        return found


def _holder(found: Found) -> Held | None:
    """Who holds the message, if it is there and claimed at all."""
    return Held.of(*found) if found and found[0]["status"] == Status.SENDING else None


def _due(pointer: rows.Row) -> Due:
    _, at, message = pointer["RowKey"].split("|", 2)
    return Due(rows.original(message), Priority(pointer["priority"]), rows.moment(at))


def _place(claim: Claim) -> rows.Place:
    where = rows.place(claim.message.id)
    assert where is not None
    return where
