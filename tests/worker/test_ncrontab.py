"""Schedules are read as the host reads them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.worker.ncrontab import Schedule

START = datetime(2026, 3, 2, 9, 30, 15, 500_000, tzinfo=UTC)
"""A Monday."""


@pytest.mark.parametrize(
    ("expression", "following"),
    [
        ("* * * * * *", "2026-03-02T09:30:16"),
        ("0 * * * * *", "2026-03-02T09:31:00"),
        ("15 30 9 * * *", "2026-03-03T09:30:15"),
        ("0 */5 * * * *", "2026-03-02T09:35:00"),
        ("10,20 30 9-17 * * *", "2026-03-02T09:30:20"),
        ("0 0 10/6 * * *", "2026-03-02T10:00:00"),
        ("0 0 0 * * 0", "2026-03-08T00:00:00"),
        ("0 0 0 1-7 * 1", "2026-04-06T00:00:00"),
        ("0 0 0 31 * *", "2026-03-31T00:00:00"),
        ("0 0 0 29 2 *", "2028-02-29T00:00:00"),
    ],
)
def test_the_next_time_is_later_than_the_one_given(expression: str, following: str) -> None:
    """Seconds first; a day must match both the month's and the week's field."""
    assert datetime.fromisoformat(f"{following}+00:00") == Schedule(expression).after(START)


@pytest.mark.parametrize("expression", ["* * * * *", "60 * * * * *", "* * * 0 * *", "x * * * * *", "0 */0 * * * *", ""])
def test_what_the_host_cannot_read_is_refused(expression: str) -> None:
    """Five fields are an ordinary crontab's, which would run at other times."""
    with pytest.raises(ValueError, match=r"field|read|within"):
        Schedule(expression)


def test_a_time_that_never_comes_is_refused() -> None:
    """The 30th of February."""
    with pytest.raises(ValueError, match="never"):
        Schedule("0 0 0 30 2 *").after(START)
