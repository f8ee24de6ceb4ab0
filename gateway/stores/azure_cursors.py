"""Cursors: places in a list come in as keys, opaque words go out to callers, and come back as places.

A word that is none of ours is the caller's mistake: 422.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from gateway.errors import Rejected
from gateway.stores import azure_rows as rows

_LISTED = re.compile(r"(\d{18})-((?:[0-9a-f]{2})+)", re.ASCII)
_CAPTURED = re.compile(r"(\d{18})([0-9a-f]{32})-(\d{21})", re.ASCII)


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


class Place(NamedTuple):
    """How far somebody has read captured mail: a key, and the service's time of the newest row seen, in digits."""

    key: str
    seen: str

    @classmethod
    def of(cls, cursor: str) -> Place:
        """What a cursor stands for."""
        if not cursor:
            return START
        written, mark, seen = _match(_CAPTURED, cursor).groups()
        return cls(f"t|{written}|{mark}", seen)

    @property
    def cursor(self) -> str:
        """The word a caller gets for it."""
        _, written, mark = self.key.split("|")
        return f"{written}{mark}-{self.seen}"

    @property
    def written(self) -> str:
        """The time in the key."""
        return self.key.split("|")[1]

    @property
    def seen_at(self) -> str:
        """The service's time as OData writes it."""
        digits = self.seen
        date = f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}"
        return f"{date}T{digits[8:10]}:{digits[10:12]}:{digits[12:14]}.{digits[14:]}Z"

    def order(self, row: rows.Row) -> tuple[str, str]:
        """Latecomers first, as they came; then the others by key."""
        return max(self.key, row["RowKey"]), _digits(row["Timestamp"])

    def behind(self, row: rows.Row) -> Place:
        """The place once this row is read too."""
        return Place(max(self.key, row["RowKey"]), max(self.seen, _digits(row["Timestamp"])))


START = Place("", "")


def _digits(timestamp: str) -> str:
    """2026-03-02T09:30:00.25Z as 202603020930002500000: the service leaves out zeros at the end."""
    date, _, fraction = timestamp.rstrip("Z").partition(".")
    return f"{''.join(filter(str.isdigit, date))}{fraction:0<7}"
