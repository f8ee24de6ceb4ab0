"""Small shared values: a key and bytes come in, compare-and-set says who was first.

Row key `s|<key>`, in the partition of the key's hash, so that two values seldom share a server.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from gateway.stores import azure_rows as rows
from gateway.stores.azure_tables import Conflict, Table, insert, replace

_LONGEST = 300
"""Characters of an encoded key; a longer one lies under its hash."""


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
        columns = {"v": rows.SCHEMA, "write": write, **rows.chunks("c", value)}
        change = insert(row, columns) if version is None else replace(row, columns, version)
        try:
            await self.table.change(partition, [change])
        except Conflict:
            found = await self.table.get(partition, row)
            return found is not None and found[0]["write"] == write
        return True


def _place(key: str) -> tuple[str, str]:
    digest = rows.digest(key)
    encoded = rows.safe(key)
    # An encoded key never begins with a dash and an equals sign.
    return digest[-1], f"s|{encoded if len(encoded) <= _LONGEST else f'-={digest}'}"
