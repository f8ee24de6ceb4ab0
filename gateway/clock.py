"""The wall clock: nothing comes in, the time goes out; it is a parameter wherever a test must hold it."""

from __future__ import annotations

from datetime import UTC, datetime


def wall_clock() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)
