"""Keys as the configuration keeps them: a key comes in, its hash goes out; and the keys that everybody knows.

Open this when a configuration is refused for a key of the samples, or a document shows a new one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

PREFIX = "sha256:"

ADMIN = "admin"

SAMPLE = "example-key-"
"""What the keys of gateway.yaml, of the documents and of the inbox's commands begin with; a source's name follows."""

SHOWN = (ADMIN, "alertmanager", "app", "app2", "contact", "crm", "mailer", "monitoring", "other")
"""The names behind it that stand anywhere in this repository: copied, a key may open a source of another name."""


def hash_key(key: str) -> str:
    """`sha256:` and the hexadecimal SHA-256; any text is a possible key, so nothing here can raise."""
    return PREFIX + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def samples(sources: Iterable[str]) -> dict[str, str]:
    """The keys that everybody knows, by their hash, in a configuration with these sources."""
    return {hash_key(SAMPLE + name): SAMPLE + name for name in {*SHOWN, *sources}}
