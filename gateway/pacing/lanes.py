"""Slots against a limit in sliding windows: times come in, the next free one goes out; pure, time is given.

What is past is counted in steps of time, what is to come is kept as runs of regular slots: a lane stays small however
many slots it has. A slot is nobody's: `turns` says whose it is when it has come. Times are microseconds since 1970.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.pacing.turns import Place, Turns

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE

MARGIN = SECOND
"""By how much a window is taken longer than the provider's: requests take a moment, and not always the same."""

FINE, COARSE = 5 * SECOND, MINUTE
"""What has passed is counted in steps of FINE for two minutes, and of COARSE for an hour."""

NEAR = 5 * MINUTE
"""Slots are as close together as the minute allows until here, and evenly spread over the hour behind it: in a lane
that is not steady."""

MOST_RUNS = 200
"""Longer, and the next slot waits until no irregular one counts any more, so that one run is enough again."""


class Limits(NamedTuple):
    """How many messages in any minute and in any hour."""

    minute: int
    hour: int


class Run(NamedTuple):
    """Slots at regular times: `at`, then each `step` later."""

    at: int
    step: int
    size: int

    @property
    def last(self) -> int:
        """The last slot's time."""
        return self.at + self.step * (self.size - 1)

    def until(self, time: int) -> int:
        """How many of them are not later than `time`."""
        return min(self.size, max(0, (time - self.at) // self.step + 1))


@dataclass
class Lane:
    """Slots against their limits: `past` has (end of a step of time, how many), `runs` what is still to come.

    In `turns` there are as many messages as there are slots in `runs`. In a `steady` lane slots are evenly spread from
    the first one on, so that a flood does not have an hour's within minutes and leave nothing for others.
    """

    limits: Limits
    past: list[tuple[int, int]] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    turns: Turns = field(default_factory=Turns)
    steady: bool = False

    @property
    def windows(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Each window's length and limit."""
        return (MINUTE + MARGIN, self.limits.minute), (HOUR + MARGIN, self.limits.hour)

    @property
    def usable(self) -> bool:
        """Whether anything may ever go this way."""
        return min(self.limits) > 0

    @property
    def dense(self) -> int:
        """The smallest distance of two slots."""
        return -((MINUTE + MARGIN) // -self.limits.minute)

    @property
    def even(self) -> int:
        """The distance at which neither window is ever exceeded."""
        return max(self.dense, -((HOUR + MARGIN) // -self.limits.hour))

    def settle(self, now: int) -> None:
        """What has come becomes past, and what no window counts any more is forgotten."""
        gone: dict[int, int] = {}
        for end, count in self.past:
            later = end if end > now - MINUTE - MARGIN - COARSE else _ceil(end, COARSE)
            if later > now - HOUR - MARGIN:
                gone[later] = gone.get(later, 0) + count
        runs = []
        for run in self.runs:
            passed, done = run.until(now), run.until(now - HOUR - MARGIN)
            self.turns.advance(passed)
            while done < passed:
                end = _ceil(run.at + done * run.step, FINE)
                until = min(passed, run.until(end))
                gone[end] = gone.get(end, 0) + until - done
                done = until
            if passed < run.size:
                runs.append(Run(run.at + passed * run.step, run.step, run.size - passed))
        self.past, self.runs = sorted(gone.items()), runs

    def _held(self, time: int, window: int) -> Iterator[tuple[int, int, int]]:
        """What a window that ends at `time` counts, oldest first: when, how far apart, how many."""
        first = bisect_right(self.past, time - window, key=lambda step: step[0])
        for end, count in self.past[first:]:
            yield end, 0, count
        for run in self.runs:
            skipped, until = run.until(time - window), run.until(time)
            if until > skipped:
                yield run.at + skipped * run.step, run.step, until - skipped

    def free(self, time: int, window: int, limit: int) -> int:
        """The first time from `time` on at which this window has room for one more behind all there are."""
        while (excess := sum(count for _, _, count in self._held(time, window)) - limit) >= 0:
            for at, step, count in self._held(time, window):
                if count > excess:
                    time = at + step * excess + window
                    break
                excess -= count
        return time

    def next(self, start: int, now: int) -> int:
        """When somebody behind all others may go, not before `start`."""
        time = start
        if self.runs:
            last = self.runs[-1].last
            time = max(time, last + self._distance(last - now))
            if len(self.runs) >= MOST_RUNS:
                time = max(time, last + HOUR + MARGIN)
        while True:
            before = time
            for window, limit in self.windows:
                time = self.free(time, window, limit)
            if time == before:
                return time

    def _distance(self, wait: int) -> int:
        """From the last slot to the next one, when the last is so far away."""
        if not self.steady:
            return self.even if wait > NEAR else self.dense
        # What went at once when the waiting began is a minute's messages, so that the others are left for the hour.
        rest = self.limits.hour - self.limits.minute
        return self.even if wait > HOUR or rest <= 0 else max(self.even, -((HOUR + MARGIN) // -rest))

    def room(self, now: int, most: int, share: int = 1) -> int:
        """How many may go now, at most `most`, when nobody waits; `share` 2: of the half of each window."""
        if self.runs:
            return 0
        return max(0, min(most, *(limit // share - self._count(now, window) for window, limit in self.windows)))

    def _count(self, now: int, window: int) -> int:
        return sum(count for _, _, count in self._held(now, window))

    def take(self, now: int, count: int = 1) -> None:
        """They go now; a negative count gives back what was not used."""
        end = _ceil(now, FINE)
        steps = dict(self.past)
        steps[end] = max(0, steps.get(end, 0) + count)
        self.past = sorted((end, count) for end, count in steps.items() if count)

    def join(self, source: str, start: int, now: int, *, ahead: bool) -> tuple[Place, int]:
        """One more slot behind all there are, and one more message; its place, and when its turn is as things stand."""
        self._reserve(self.next(start, now))
        place = self.turns.join(source, ahead=ahead)
        return place, self._slot(self.turns.before(place) or 0)

    def soonest(self, source: str, start: int, now: int, *, ahead: bool) -> int:
        """When the turn of one more message would be."""
        before = self.turns.before_new(source, ahead=ahead)
        return self._slot(before) if before < sum(run.size for run in self.runs) else self.next(start, now)

    def when(self, place: Place) -> int | None:
        """When this message's turn is as things stand; None if it has passed."""
        before = self.turns.before(place)
        return None if before is None else self._slot(before)

    def _reserve(self, time: int) -> None:
        if self.runs:
            last = self.runs[-1]
            step = last.step if last.size > 1 else time - last.at
            if time == last.last + step:
                self.runs[-1] = Run(last.at, step, last.size + 1)
                return
        self.runs.append(Run(time, 1, 1))

    def _slot(self, number: int) -> int:
        """The time of a slot still to come, counted from 0."""
        for run in self.runs:
            if number < run.size:
                return run.at + number * run.step
            number -= run.size
        raise IndexError(number)

    def move(self, by: int) -> None:
        """All that is still to come, later."""
        self.runs = [run._replace(at=run.at + by) for run in self.runs]


def _ceil(time: int, step: int) -> int:
    return -(time // -step) * step
