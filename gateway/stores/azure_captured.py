"""Captured mail: messages come in, they go out in the order they came, forwards and backwards.

One partition, three rows for each mail in one transaction, so that keeping one is one call. Row keys:

    t|<time written>|<mark>             the mail, its large content a blob in `captured`
    r|<that time turned round>|<mark>   backwards
    m|<message>|<time written>|<mark>   by id

`time written` is the writer's clock. A mail that was long on its way may thus appear in front of others that were seen
already; a cursor therefore also holds the service's own time of the newest row seen, and what was written after that is
looked for a little further back.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from gateway.ledger import Captured
from gateway.message import Message
from gateway.stores import azure_rows as rows
from gateway.stores.azure_blobs import Blobs
from gateway.stores.azure_cursors import START, Place
from gateway.stores.azure_tables import MOST_CHANGES, Change, Conflict, Table, delete, insert

PARTITION = "captured"

OVERLAP = timedelta(seconds=20)
"""How late a mail may appear: twice what a write may take."""

_PARALLEL = 16


@dataclass(frozen=True)
class Mails:
    """All captured mail of the account."""

    table: Table
    blobs: Blobs
    clock: Callable[[], datetime]

    async def keep(self, message: Message, at: datetime) -> None:
        """Store one; each call stores another."""
        mark = uuid.uuid4().hex
        content = message.model_dump_json().encode()
        written = rows.stamp(self.clock())
        small = len(content) <= rows.INLINE
        if not small:
            await self.blobs.put(f"{written}-{mark}", content)
        columns = {"v": rows.SCHEMA, "at": rows.stamp(at), "message": message.id}
        mail = columns | (rows.chunks("c", content) if small else {"blob": f"{written}-{mark}"})
        changes = [insert(f"t|{written}|{mark}", mail)]
        changes += [insert(key, {"v": rows.SCHEMA}) for key in _keys(written, mark, message.id)[1:]]
        try:
            await self.table.change(PARTITION, changes)
        except Conflict:
            return  # the mark is ours alone: an earlier try was stored and its answer lost

    async def kept(self, message: str) -> bool:
        """Whether one has this message id."""
        return bool(await self._of(message))

    async def _of(self, message: str) -> list[Any]:
        if rows.place(message) is None:
            return []
        prefix = f"m|{rows.safe(message)}|"
        return await self.table.first(PARTITION, prefix, prefix + rows.END, 1)

    async def one(self, message: str) -> Captured | None:
        """The first with this message id."""
        found = await self._of(message)
        if not found:
            return None
        _, _, written, mark = found[0]["RowKey"].split("|")
        mail = await self.table.get(PARTITION, f"t|{written}|{mark}")
        return next(iter(await self._read([mail[0]])), None) if mail else None

    async def after(self, cursor: str, since: datetime | None, limit: int) -> Sequence[Captured]:
        """Behind a cursor, oldest first."""
        low, where = "t|", f"at ge '{rows.stamp(since)}'" if since else ""
        place = Place.of(cursor)
        if cursor:
            low = f"t|{rows.stamp(rows.moment(place.written) - OVERLAP)}"
            new = f"(RowKey gt '{place.key}' or Timestamp gt datetime'{place.seen_at}')"
            where = f"{new} and {where}" if where else new
        return await self._read(await self.table.first(PARTITION, low, f"t|{rows.END}", limit, where=where), place)

    async def latest(self, before: str, limit: int) -> Sequence[Captured]:
        """In front of a cursor, newest first."""
        low = f"{_backward(Place.of(before).key)}!" if before else "r|"
        backward = await self.table.first(PARTITION, low, f"r|{rows.END}", limit)
        keys = [_forward(row["RowKey"]) for row in backward]
        found = await self.table.rows(PARTITION, keys[-1], f"{keys[0]}!") if keys else []
        mails = await self._read([row for row in found if row["RowKey"] in set(keys)])
        return mails[::-1]

    async def _read(self, found: Sequence[rows.Row], place: Place = START) -> list[Captured]:
        """The mails of these rows, each with the place behind it."""
        places = asyncio.Semaphore(_PARALLEL)

        async def content(row: rows.Row) -> bytes | None:
            async with places:
                return await self.blobs.get(row["blob"]) if row.get("blob") else rows.joined("c", row)

        contents = await asyncio.gather(*map(content, found))
        mails = []
        for row, body in sorted(zip(found, contents, strict=True), key=lambda pair: place.order(pair[0])):
            place = place.behind(row)
            if body:  # none: it was forgotten meanwhile
                mails.append(Captured(place.cursor, rows.moment(row["at"]), Message.model_validate_json(body)))
        return mails

    async def forget(self, before: datetime | None = None) -> int:
        """Delete all, or those captured before a time; how many."""
        where = f"at lt '{rows.stamp(before)}'" if before else ""
        count = 0
        if before:  # what a crash left: a blob is written before its row, and named by the time
            orphans = [name for name in await self.blobs.names() if name < rows.stamp(before)]
            await asyncio.gather(*map(self.blobs.delete, orphans))
        select = "RowKey,message,blob"
        async for page in self.table.query(PARTITION, "t|", f"t|{rows.END}", where=where, select=select):
            for start in range(0, len(page), MOST_CHANGES // 3):
                count += await self._delete(page[start : start + MOST_CHANGES // 3])
        return count

    async def _delete(self, mails: Sequence[rows.Row]) -> int:
        try:
            await self.table.change(PARTITION, list(_deletions(mails)))
        except Conflict:
            if len(mails) > 1:  # somebody else deletes too: each for itself
                return sum([await self._delete([mail]) for mail in mails])
            return 0
        await asyncio.gather(*(self.blobs.delete(mail["blob"]) for mail in mails if mail.get("blob")))
        return len(mails)


def _keys(written: str, mark: str, message: str) -> tuple[str, str, str]:
    """The keys of a mail's three rows."""
    key = f"t|{written}|{mark}"
    return key, _backward(key), f"m|{rows.safe(message)}|{written}|{mark}"


def _backward(key: str) -> str:
    _, written, mark = key.split("|")
    return f"r|{rows.turned(written)}|{_turned(mark)}"


def _forward(key: str) -> str:
    _, written, mark = key.split("|")
    return f"t|{rows.turned(written)}|{_turned(mark)}"


def _turned(mark: str) -> str:
    return f"{16**32 - 1 - int(mark, 16):032x}"


def _deletions(mails: Sequence[rows.Row]) -> Iterator[Change]:
    for mail in mails:
        _, written, mark = mail["RowKey"].split("|")
        yield from (delete(key) for key in _keys(written, mark, mail["message"]))
