"""Small shared values in memory: keys and bytes come in, compare-and-set says who was first, and calls are counted.

It keeps to what `gateway.ledger.Store` says of `read`, `write`, `scan` and `remove`, for tests in virtual time.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from gateway.ledger import Value


class MemoryValues:
    """The four verbs; `calls` counts them, `rivals` writes of others come between a read and our next writes."""

    def __init__(self) -> None:
        """Nothing is there."""
        self.values: dict[str, tuple[bytes, int]] = {}
        self.calls: Counter[str] = Counter()
        self.rivals = 0
        self._version = 0

    async def read(self, key: str) -> tuple[bytes, str] | None:
        """A value and its version."""
        self.calls["read"] += 1
        await asyncio.sleep(0)
        found = self.values.get(key)
        return (found[0], str(found[1])) if found else None

    async def write(self, key: str, value: bytes, version: str | None) -> bool:
        """Compare-and-set."""
        self.calls["write"] += 1
        await asyncio.sleep(0)
        if self.rivals and key in self.values:
            self.rivals -= 1
            self._put(key, self.values[key][0])
        found = self.values.get(key)
        if version != (str(found[1]) if found else None):
            return False
        self._put(key, value)
        return True

    def _put(self, key: str, value: bytes) -> None:
        self._version += 1
        self.values[key] = (value, self._version)

    async def scan(self, prefix: str, after: str, limit: int) -> Sequence[Value]:
        """In key order, behind `after`."""
        self.calls["scan"] += 1
        keys = sorted(key for key in self.values if key.startswith(prefix) and key > after)[:limit]
        return [Value(key, self.values[key][0], str(self.values[key][1])) for key in keys]

    async def remove(self, key: str, version: str) -> bool:
        """Compare-and-delete."""
        self.calls["remove"] += 1
        if key not in self.values or str(self.values[key][1]) != version:
            return False
        del self.values[key]
        return True
