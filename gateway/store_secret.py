"""One random secret for each store: a purpose comes in, a key that only serves that purpose goes out.

Open it for whatever must be signed, or hashed so that nobody else can, by all workers alike. The secret is made by
whoever needs it first and never leaves the store; keys of different purposes say nothing of each other.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, field

from gateway.errors import StoreUnavailable
from gateway.ledger import Values

KEY = "secret"
"""The shared value."""

BYTES = 32
VERSION = 1


@dataclass
class StoreSecret:
    """The secret of one store, read once by each process."""

    values: Values
    _secret: bytes = field(default=b"", repr=False)

    async def key(self, purpose: str) -> bytes:
        """The key of one purpose: 32 bytes; StoreUnavailable when the secret cannot be read."""
        if not self._secret:
            self._secret = await self._read() or await self._make()
        return hmac.digest(self._secret, f"gateway|{purpose}".encode(), hashlib.sha256)

    async def _read(self) -> bytes:
        found = await self.values.read(KEY)
        return bytes.fromhex(json.loads(found[0])["secrets"][0]) if found else b""

    async def _make(self) -> bytes:
        """Insert one if there is none; whoever was faster has made everybody's."""
        made = secrets.token_bytes(BYTES)
        # A list, so that an older secret can stay valid for a while beside its successor.
        value = {"v": VERSION, "secrets": [made.hex()]}
        if await self.values.write(KEY, json.dumps(value).encode(), None):
            return made
        known = await self._read()
        if not known:
            raise StoreUnavailable("the store's secret can neither be written nor read")
        return known
