"""NCRONTAB, in which a timer's schedule is written: an expression comes in, the next time after a given one goes out.

Own code, since libraries for crontab read five fields or put the seconds last: second, minute, hour, day, month, day of
the week (0 is Sunday), each `*`, a number, `a-b`, a list of them, and `/step`. A day must match both of its fields, as
in NCrontab, which the host uses; names for months and days are left out, nobody needs them here.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from itertools import product

_RANGES = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_PART = re.compile(r"(?:\*|(\d+)(?:-(\d+))?)(?:/(\d+))?")
_DAYS = 8 * 366
"""The 29th of February comes again after eight years at the latest."""


class Schedule:
    """One expression; ValueError when the host could not read it."""

    def __init__(self, expression: str) -> None:
        """Six fields."""
        fields = expression.split()
        if len(fields) != len(_RANGES):
            raise ValueError(f"{expression!r} has not six fields")
        self._seconds, self._minutes, self._hours, self._days, self._months, self._weekdays = (
            _values(field, *limits) for field, limits in zip(fields, _RANGES, strict=True)
        )

    def after(self, moment: datetime) -> datetime:
        """The first time later than `moment`."""
        first = moment.replace(microsecond=0) + timedelta(seconds=1)
        midnight = first.replace(hour=0, minute=0, second=0)
        for number in range(_DAYS):
            day = midnight + timedelta(days=number)
            if day.day in self._days and day.month in self._months and day.isoweekday() % 7 in self._weekdays:
                times = product(self._hours, self._minutes, self._seconds)
                found = (day.replace(hour=hour, minute=minute, second=second) for hour, minute, second in times)
                for time in found:
                    if time >= first:
                        return time
        raise ValueError("it never comes")


def _values(field: str, lowest: int, highest: int) -> list[int]:
    """The numbers a field allows, in order."""
    found: set[int] = set()
    for part in field.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r} cannot be read")
        start, end, step = match.groups()
        begin = int(start) if start else lowest
        # `5/10` has no end of its own: NCrontab goes on to the highest.
        last = int(end) if end else begin if start and not step else highest
        if not lowest <= begin <= last <= highest or step == "0":
            raise ValueError(f"{part!r} is not within {lowest} and {highest}")
        found.update(range(begin, last + 1, int(step or 1)))
    return sorted(found)
