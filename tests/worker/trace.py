"""Trace contexts as the host gives them: a request's traceparent comes in, the invocation's goes out (W3C)."""

from __future__ import annotations

import re
import secrets

_PARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")


def begin() -> str:
    """A trace of its own, for a queue message or a timer."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def continued(parent: str) -> str:
    """The caller's trace with a span of the host's; a new trace when there is none, or none that can be read."""
    match = _PARENT.fullmatch(parent)
    return f"00-{match[1]}-{secrets.token_hex(8)}-{match[2]}" if match else begin()
