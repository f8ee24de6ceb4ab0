"""Cursors: places in a list come in as keys, opaque words go out to callers, and come back as places.

A word that is none of ours is the caller's mistake: 422.
"""

from __future__ import annotations

import re

from gateway.errors import Rejected
from gateway.stores import azure_rows as rows

_LISTED = re.compile(r"(\d{18})-((?:[0-9a-f]{2})+)", re.ASCII)
_CAPTURED = re.compile(r"(\d{1,18})", re.ASCII)


def _match(pattern: re.Pattern[str], cursor: str) -> re.Match[str]:
    found = pattern.fullmatch(cursor)
    if found is None:
        what = "is not a cursor of this list; begin without one"
        raise Rejected(422, "invalid_cursor", f"The cursor {what}.", fields={"cursor": what})
    return found


def list_cursor(key: str) -> str:
    """The place behind a row of the ledger's list."""
    _, created, id, _ = key.split("|")
    return f"{created}-{id}"


def list_after(cursor: str) -> str:
    """What is less than every key behind that place."""
    if not cursor:
        return "t|"
    created, id = _match(_LISTED, cursor).groups()
    return f"t|{created}|{id}|{rows.END}"


def captured_number(cursor: str) -> int:
    """The number of a captured mail."""
    return int(_match(_CAPTURED, cursor)[1])
