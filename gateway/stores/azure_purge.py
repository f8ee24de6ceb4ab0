"""Retention: times come in, what ended before them goes; always by a range of keys, a transaction at a time.

contents        from the pointers end|<time>|<message>
notifications   from the old end of the list, asking each one's messages when they ended
named blobs     from the container's list, by when each was written
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.stores import azure_rows as rows
from gateway.stores.azure_blobs import Blobs
from gateway.stores.azure_shown import operations
from gateway.stores.azure_tables import MOST_CHANGES, Change, Conflict, Table, delete, merge

NAMED = "named/"
"""How blobs that callers named begin."""

_TOGETHER = 50
"""Messages of one transaction, since each is a row and a pointer; and blobs deleted at once."""

_NO_CONTENT = {
    name: text
    for number in range(rows.INLINE // rows.CHUNK + 1)
    for name, text in ((f"c{number}", ""), (f"c{number}@odata.type", "Edm.Binary"))
}
"""An empty property in place of each: a merge cannot remove one."""


@dataclass(frozen=True)
class Retention:
    """Deletes what is too old."""

    table: Table
    payloads: Blobs

    async def bodies(self, before: datetime) -> int:
        """Clear contents of messages that ended before this time; what the ledger shows of them stays."""
        return sum(await asyncio.gather(*(self._bodies(part, before) for part in rows.PARTITIONS)))

    async def _bodies(self, part: str, before: datetime) -> int:
        count = 0
        async for page in self.table.query(part, "end|", f"end|{rows.stamp(before)}"):
            for start in range(0, len(page), _TOGETHER):
                count += await self._clear(part, page[start : start + _TOGETHER])
        return count

    async def _clear(self, part: str, pointers: Sequence[rows.Row]) -> int:
        changes: list[Change] = []
        for pointer in pointers:
            where = rows.place(rows.original(pointer["RowKey"].split("|", 2)[2]))
            assert where is not None
            changes += [merge(where.row, {**_NO_CONTENT, "blob": "", "cleared": True}), delete(pointer["RowKey"])]
        if not await self._changed(part, changes):
            # Somebody else purges too, or a message was taken up again: each for itself.
            return sum([await self._clear(part, [one]) for one in pointers]) if len(pointers) > 1 else 0
        await self._forget(pointer["blob"] for pointer in pointers)
        return len(pointers)

    async def ledger(self, before: datetime) -> int:
        """Delete notifications that ended altogether before this time, and contents that never belonged to one."""
        count = sum(await asyncio.gather(*(self._ledger(part, before) for part in rows.PARTITIONS)))
        for blob in await self.payloads.old(before, "messages/"):
            if not await self._belongs(blob):
                await self.payloads.delete(blob)
        return count

    async def _belongs(self, blob: str) -> bool:
        """Whether a message has this content: a crash, or a second caller with the same key, leaves one behind."""
        where = rows.place(rows.original(blob.split("/")[1]))
        found = await self.table.get(where.partition, where.row) if where else None
        return found is not None and found[0].get("blob") == blob

    async def _ledger(self, part: str, before: datetime) -> int:
        count = 0
        oldest = f"t|{rows.turned(rows.stamp(before))}|{rows.END}"
        async for page in self.table.query(part, oldest, f"t|{rows.END}"):
            for listed in page:
                if rows.ended(listed):
                    count += await self._delete(part, listed["RowKey"], rows.stamp(before))
        return count

    async def _delete(self, part: str, listed: str, before: str) -> int:
        id = rows.listed_id(listed)
        key = f"n|{rows.safe(id)}|"
        found = await self.table.rows(part, key, key + rows.END, select="RowKey,ended,cleared,blob,ops")
        messages = [row for row in found if row["RowKey"] != key]
        if any(not row["ended"] or row["ended"] >= before for row in messages):
            return 0
        # What does not fit into the transaction goes before it: without those rows the message is still whole.
        room = MOST_CHANGES - len(found) - len(messages) - 1
        lookups = [rows.operation_row(operation) for operation in _oldest_first(messages)]
        await self._drop(part, lookups[:-room] if room else lookups)
        changes = [delete(row["RowKey"]) for row in found]
        changes += [delete(_pointer(id, row)) for row in messages if not row.get("cleared")]
        changes += [delete(key) for key in (lookups[-room:] if room else [])]
        if not await self._changed(part, [*changes, delete(listed)]):
            return 0
        await self._forget(row.get("blob", "") for row in messages)
        return 1

    async def _drop(self, part: str, keys: Sequence[str]) -> None:
        """Delete rows that may be gone already."""
        for start in range(0, len(keys), MOST_CHANGES):
            some = keys[start : start + MOST_CHANGES]
            if not await self._changed(part, [delete(key) for key in some]) and len(some) > 1:
                for key in some:
                    await self._drop(part, [key])

    async def named(self, before: datetime) -> int:
        """Delete named contents that were written before this time; how many."""
        old = await self.payloads.old(before, NAMED)
        for start in range(0, len(old), _TOGETHER):
            await self._forget(old[start : start + _TOGETHER])
        return len(old)

    async def _changed(self, part: str, changes: Sequence[Change]) -> bool:
        try:
            await self.table.change(part, changes)
        except Conflict:
            return False
        return True

    async def _forget(self, blobs: Any) -> None:
        await asyncio.gather(*(self.payloads.delete(blob) for blob in blobs if blob))


def _oldest_first(messages: Sequence[rows.Row]) -> list[str]:
    """Their operation ids, the present ones last."""
    known = [operations(row) for row in messages]
    return [operation for each in known for operation in each[:-1]] + [each[-1] for each in known if each]


def _pointer(notification: str, row: rows.Row) -> str:
    number = int(row["RowKey"].rpartition("|")[2])
    return rows.pointer("end", row["ended"], f"{notification}-{number}")
