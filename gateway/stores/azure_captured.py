"""Captured mail: messages come in, they go out in the order they came, forwards and backwards.

One partition. Mails that wait at the same time are written in one transaction, with the counter that gave them their
numbers: so their order is that of their becoming visible, and who reads on from a number misses none. Row keys:

    last                     the counter, and the marks of the transactions that moved it last
    t|<number>               a mail; a content too large for the row is a blob in `captured`
    r|<number turned round>  backwards
    m|<message>|<number>     by id
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from gateway.errors import StoreUnavailable
from gateway.jsonparts import joined
from gateway.ledger import Captured
from gateway.message import Message
from gateway.stores import azure_rows as rows
from gateway.stores.azure_blobs import Blobs
from gateway.stores.azure_cursors import captured_number
from gateway.stores.azure_rest import TOTAL_SECONDS, chance
from gateway.stores.azure_tables import MOST_CHANGES, Change, Conflict, Table, delete, insert, replace

PARTITION = "captured"
COUNTER = "last"

TOGETHER = MOST_CHANGES // 3 - 1
"""Mails of one transaction: each is three rows, and there is the counter."""

_MARKS = 100
_PARALLEL = 16


class _Counter(NamedTuple):
    """The last number given, the row's ETag ("" for no row), and whose transactions moved it last."""

    last: int
    etag: str
    marks: str


@dataclass(eq=False)
class _Mail:
    """One that waits to be written."""

    message: str
    columns: dict[str, Any]
    size: int
    written: asyncio.Future[None]


@dataclass
class Mails:
    """All captured mail of the account."""

    table: Table
    blobs: Blobs
    _waiting: list[_Mail] = field(default_factory=list)
    _writer: asyncio.Task[None] | None = None
    _counter: _Counter | None = None

    async def keep(self, message: Message, at: datetime) -> None:
        """Store one; each call stores another."""
        content = joined(message.pieces()) if message.large else message.model_dump_json().encode()
        small = len(content) <= rows.INLINE
        blob = "" if small else uuid.uuid4().hex
        if blob:
            await self.blobs.put(blob, content)
        body = rows.chunks("c", content) if small else {"blob": blob}
        columns = {"v": rows.SCHEMA, "at": rows.stamp(at), "message": message.id, **body}
        written = asyncio.get_running_loop().create_future()
        self._waiting.append(_Mail(message.id, columns, len(content) if small else 0, written))
        # A task of its own: a caller whose time is over must not tear down what others wait for.
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_all())
        await written

    async def close(self) -> None:
        """Finish what was begun."""
        if self._writer:
            await self._writer

    async def _write_all(self) -> None:
        while self._waiting:
            await self._write(self._next())

    def _next(self) -> list[_Mail]:
        """What goes into the next transaction."""
        batch: list[_Mail] = []
        while self._waiting and len(batch) < TOGETHER:
            if batch and sum(mail.size for mail in batch) + self._waiting[0].size > rows.INLINE_TOGETHER:
                break
            batch.append(self._waiting.pop(0))
        return batch

    async def _write(self, batch: Sequence[_Mail]) -> None:
        error = None
        try:
            async with asyncio.timeout(TOTAL_SECONDS):
                await self._number(batch, uuid.uuid4().hex[:16])
        except Exception as failure:
            self._counter = None
            error = StoreUnavailable("captured mail could not be written")
            error.__cause__ = failure
        for mail in batch:
            if mail.written.done():
                continue
            if error:
                mail.written.set_exception(error)
            else:
                mail.written.set_result(None)

    async def _number(self, batch: Sequence[_Mail], mark: str) -> None:
        """Give the next numbers; whoever else writes at once makes us look again."""
        while True:
            counter = self._counter = self._counter or await self._look()
            marks = f"{mark},{counter.marks}"[: _MARKS * 17]
            moved = {"v": rows.SCHEMA, "last": str(counter.last + len(batch)), "marks": marks}
            first = replace(COUNTER, moved, counter.etag) if counter.etag else insert(COUNTER, moved)
            changes = [first, *_insertions(batch, counter.last)]
            try:
                etag = await self.table.change(PARTITION, changes)
            except Conflict:
                self._counter = await self._look()
                if mark in self._counter.marks:
                    return  # an earlier try was applied and its answer lost
                await asyncio.sleep(chance() / 50)
            else:
                self._counter = _Counter(counter.last + len(batch), etag, marks)
                return

    async def _look(self) -> _Counter:
        found = await self.table.get(PARTITION, COUNTER)
        return _Counter(int(found[0]["last"]), found[1], found[0]["marks"]) if found else _Counter(0, "", "")

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
        mail = found and await self.table.get(PARTITION, f"t|{found[0]['RowKey'].rpartition('|')[2]}")
        return next(iter(await self._read([mail[0]])), None) if mail else None

    async def after(self, cursor: str, since: datetime | None, limit: int) -> Sequence[Captured]:
        """Behind a cursor, oldest first."""
        low = _key(captured_number(cursor) + 1) if cursor else "t|"
        where = f"at ge '{rows.stamp(since)}'" if since else ""
        return await self._read(await self.table.first(PARTITION, low, f"t|{rows.END}", limit, where=where))

    async def latest(self, before: str, limit: int) -> Sequence[Captured]:
        """In front of a cursor, newest first."""
        low = f"{_backward(captured_number(before))}!" if before else "r|"
        keys = await self.table.first(PARTITION, low, f"r|{rows.END}", limit)
        numbers = [rows.LAST - int(row["RowKey"][2:]) for row in keys]
        found = await self.table.rows(PARTITION, _key(numbers[-1]), _key(numbers[0] + 1)) if numbers else []
        return (await self._read(found))[::-1]

    async def _read(self, found: Sequence[rows.Row]) -> list[Captured]:
        """The mails of these rows."""
        places = asyncio.Semaphore(_PARALLEL)

        async def content(row: rows.Row) -> bytes | None:
            async with places:
                return await self.blobs.get(row["blob"]) if row.get("blob") else rows.joined("c", row)

        contents = await asyncio.gather(*map(content, found))
        return [
            Captured(str(int(row["RowKey"][2:])), rows.moment(row["at"]), Message.model_validate_json(body))
            for row, body in zip(found, contents, strict=True)
            if body  # none: it was forgotten meanwhile
        ]

    async def forget(self, before: datetime | None = None) -> int:
        """Delete all, or those captured before a time; how many."""
        where = f"at lt '{rows.stamp(before)}'" if before else ""
        count = 0
        if before:  # what a crash left, too: a blob is written before its row
            await asyncio.gather(*map(self.blobs.delete, await self.blobs.old(before)))
        select = "RowKey,message,blob"
        async for page in self.table.query(PARTITION, "t|", f"t|{rows.END}", where=where, select=select):
            for start in range(0, len(page), TOGETHER):
                count += await self._delete(page[start : start + TOGETHER])
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


def _key(number: int) -> str:
    return f"t|{number:018d}"


def _backward(number: int) -> str:
    return f"r|{rows.turned(str(number))}"


def _insertions(batch: Sequence[_Mail], last: int) -> Iterator[Change]:
    for number, mail in enumerate(batch, last + 1):
        yield insert(_key(number), mail.columns)
        for key in (_backward(number), _by_id(mail.message, number)):
            yield insert(key, {"v": rows.SCHEMA})


def _deletions(mails: Sequence[rows.Row]) -> Iterator[Change]:
    for mail in mails:
        number = int(mail["RowKey"][2:])
        for key in (_key(number), _backward(number), _by_id(mail["message"], number)):
            yield delete(key)


def _by_id(message: str, number: int) -> str:
    return f"m|{rows.safe(message)}|{number:018d}"
