"""Small shared values: a key and bytes come in, compare-and-set says who was first.

Row key `s|<key>`, in the partition of the key's hash, so that two values seldom share a server. The key is written so
that rows fall in the order of the keys: a scan is 16 small ranges, merged.
"""

from __future__ import annotations

import asyncio
import heapq
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.ledger import Value
from gateway.stores import azure_rows as rows
from gateway.stores.azure_tables import Conflict, Table, delete, insert, replace

_LONGEST = 430
"""Characters of a written key; what is longer ends in its hash, and falls among those that begin alike by that."""

_PLAIN = re.compile(rb"[0-9A-Za-z]")


@dataclass(frozen=True)
class Shared:
    """All shared values."""

    table: Table

    async def read(self, key: str) -> tuple[bytes, str] | None:
        """A value and its version."""
        found = await self.table.get(*_place(key))
        return (rows.joined("c", found[0]), found[1]) if found else None

    async def write(self, key: str, value: bytes, version: str | None) -> bool:
        """Write a value if its version is still this one, None: if there is none."""
        partition, row = _place(key)
        write = uuid.uuid4().hex
        columns = {"v": rows.SCHEMA, "write": write, **rows.chunks("k", _bytes(key)), **rows.chunks("c", value)}
        change = insert(row, columns) if version is None else replace(row, columns, version)
        try:
            await self.table.change(partition, [change])
        except Conflict:
            found = await self.table.get(partition, row)
            return found is not None and found[0]["write"] == write
        return True

    async def remove(self, key: str, version: str) -> bool:
        """Delete a value if its version is still this one."""
        partition, row = _place(key)
        try:
            await self.table.change(partition, [delete(row, version)])
        except Conflict as conflict:
            # After a lost answer the second try finds nothing: the first one has deleted it.
            return conflict.status == 404 and conflict.tries > 1
        return True

    async def scan(self, prefix: str, after: str, limit: int) -> Sequence[Value]:
        """Values in the order of their keys."""
        begin = f"s|{_written(prefix)}"
        low = max(begin, f"{_place(after)[1]}!") if after else begin
        asked = (self.table.first(part, low, begin + rows.END, limit, etags=True) for part in rows.PARTITIONS)
        found = [row for part in await asyncio.gather(*asked) for row in part]
        return [_value(row) for row in heapq.nsmallest(limit, found, key=lambda row: str(row["RowKey"]))]


def _value(row: dict[str, Any]) -> Value:
    key = rows.joined("k", row).decode("utf-8", "surrogatepass")
    return Value(key, rows.joined("c", row), row["odata.etag"])


def _bytes(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")


def _written(key: str) -> str:
    """A key in characters that tables take, in the order of its bytes.

    Letters and digits stand for themselves. All others are written as two digits behind a sign that falls where they
    do: in front of the digits, in front of the capitals, in front of the small letters, or behind everything.
    """
    return "".join(chr(byte) if _PLAIN.match(bytes([byte])) else f"{_sign(byte)}{byte:02X}" for byte in _bytes(key))


def _sign(byte: int) -> str:
    return next(sign for end, sign in ((0x30, "!"), (0x41, "="), (0x61, "_"), (0x100, "}")) if byte < end)


def _place(key: str) -> tuple[str, str]:
    digest = rows.digest(key)
    written = _written(key)
    # Nothing else is written with a bar, so no key can pass for a shortened one.
    return digest[-1], f"s|{written if len(written) <= _LONGEST else f'{written[:_LONGEST]}|{digest}'}"
