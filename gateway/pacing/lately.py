"""Which sources have had little of an account's quota lately: who asked when comes in, yes or no goes out.

Open it to see who may use a part of what is kept for the urgent. One time for each source: each message moves it on by
as long as it takes until the source may have another one, so that it is in the past where a source has been quiet, and
far ahead where it has not. Pure, time is given.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MOST_SOURCES = 200
"""So many are remembered, the busiest."""


@dataclass
class Lately:
    """`until`: for each source when it will have been quiet as long as its messages count."""

    until: dict[str, int] = field(default_factory=dict)

    def little(self, source: str, now: int, each: int, window: int) -> bool:
        """Whether it had less than one message for each `each` within the window."""
        return max(self.until.get(source, now), now) + each <= now + window

    def add(self, source: str, now: int, each: int, window: int) -> None:
        """One more; whatever a source does it is quiet again after twice the window."""
        until = min(max(self.until.pop(source, now), now) + each, now + 2 * window)
        known = sorted(self.until.items(), key=lambda item: item[1])[1 - MOST_SOURCES :]
        self.until = dict([*((name, time) for name, time in known if time > now), (source, until)])
