"""The ledger's list: filters and a cursor come in, one page of notifications goes out, newest first.

Each notification has a row in its partition's list, written in the same transactions as its messages' states. A page
costs 16 small queries and one for each notification shown; a filter by status reads list rows, 1,000 at a time, until
the page is full, and never a message.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway.ledger import Entry, Page
from gateway.stores import azure_rows as rows
from gateway.stores.azure_cursors import list_after, list_cursor
from gateway.stores.azure_tables import PAGE, Table


@dataclass
class _Lane:
    """One partition's list rows, a page ahead."""

    pages: AsyncIterator[list[dict[str, Any]]]
    waiting: list[dict[str, Any]] = field(default_factory=list)

    async def head(self) -> str:
        """The next row's key; "" at the end."""
        while not self.waiting:
            page = await anext(self.pages, None)
            if page is None:
                return ""
            self.waiting = page[::-1]
        return str(self.waiting[-1]["RowKey"])


async def _merged(lanes: list[_Lane]) -> AsyncIterator[dict[str, Any]]:
    """All lanes' rows in the order of their keys."""
    heads = dict(enumerate(await asyncio.gather(*(lane.head() for lane in lanes))))
    while heads := {number: head for number, head in heads.items() if head}:
        first = min(heads, key=heads.__getitem__)
        yield lanes[first].waiting.pop()
        heads[first] = await lanes[first].head()


async def page(
    table: Table,
    get: Callable[[str], Awaitable[Entry | None]],
    *,
    status: str,
    source: str,
    since: datetime | None,
    cursor: str,
    limit: int,
) -> Page:
    """One page; `get` reads a notification."""
    low = list_after(cursor)
    high = f"t|{rows.turned(rows.stamp(since))}|{rows.END}" if since else f"t|{rows.END}"
    quoted = source.replace("'", "''")
    where = f"source eq '{quoted}'" if source else ""
    top = PAGE if status else limit + 1
    lanes = [_Lane(table.query(part, low, high, where=where, top=top)) for part in rows.PARTITIONS]
    keys: list[str] = []
    async for row in _merged(lanes):
        if not status or rows.worst(row) == status:
            keys.append(row["RowKey"])
        if len(keys) > limit:
            break
    found = await asyncio.gather(*(get(rows.listed_id(key)) for key in keys[:limit]))
    return Page(tuple(entry for entry in found if entry), list_cursor(keys[limit - 1]) if len(keys) > limit else None)
