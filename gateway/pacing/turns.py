"""Whose turn the next slot of a lane is: sources that wait take turns, so that whoever floods waits behind itself.

Open it to see why one message went before another. Comes in: who joins, and how many slots have passed. Goes out: how
many turns come before a message. Pure; times are none of its business.

This is round robin, kept as counts instead of a queue: for each source that waits how many have had their turn and how
many stand in line. The source at the head has the next turn and goes to the end, and whoever joins a source's line has
that source's next free turn. So a source with one message waits for at most one turn of each other source, and the
whole stays as small as the number of sources, however many messages wait. What joins later may put off the turns of
those who wait, never brings one forward, and changes nothing that has passed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

MOST_LINES = 200
"""So many sources have a line of their own; those that come when there are as many share one. Names and figures of 200
lines are 20 kB, which are read and written for each message that must wait."""

SHARED = "*"
"""The line they share; no source can have this name."""


class Place(NamedTuple):
    """A message's place: which source's line, ahead of the ordinary ones or not, and its number there."""

    line: str
    ahead: bool
    number: int


@dataclass
class _Queue:
    """Numbers that were given out, and up to which they have had their turn."""

    passed: int
    given: int

    @property
    def waiting(self) -> int:
        return self.given - self.passed


@dataclass
class _Line:
    """One source's messages: those that go ahead of its ordinary ones, and these."""

    name: str
    first: _Queue
    rest: _Queue

    @property
    def waiting(self) -> int:
        return self.first.waiting + self.rest.waiting

    def queue(self, *, ahead: bool) -> _Queue:
        return self.first if ahead else self.rest

    def advance(self, count: int) -> None:
        """So many turns have passed."""
        urgent = min(count, self.first.waiting)
        self.first.passed += urgent
        self.rest.passed += count - urgent


@dataclass
class Turns:
    """The lines of one lane, the next one first; `given` is at least every number ever given out."""

    given: int = 0
    lines: list[_Line] = field(default_factory=list)

    @classmethod
    def of(cls, given: int, lines: Iterable[Sequence[Any]]) -> Turns:
        """As `dump` gave it."""
        return cls(given, [_Line(name, _Queue(*counts[:2]), _Queue(*counts[2:])) for name, *counts in lines])

    def dump(self) -> tuple[int, list[tuple[str, int, int, int, int]]]:
        """As it is stored."""
        lines = [
            (line.name, line.first.passed, line.first.given, line.rest.passed, line.rest.given) for line in self.lines
        ]
        return self.given, lines

    def join(self, source: str, *, ahead: bool) -> Place:
        """One more message of this source."""
        line = self._line_of(source)
        if line is None:
            # Numbers go on where others ended: a message that wakes late is never taken for a new one.
            name = source if len(self.lines) < MOST_LINES else SHARED
            line = _Line(name, _Queue(self.given, self.given), _Queue(self.given, self.given))
            self.lines.append(line)
        self.given += 1
        queue = line.queue(ahead=ahead)
        queue.given += 1
        return Place(line.name, ahead, queue.given)

    def waits(self, source: str) -> bool:
        """Whether messages wait in this source's own line; who waits in the one that many share is not known."""
        return self._named(source) is not None

    def knows(self, place: Place) -> bool:
        """Whether this place was ever given out, as far as one can tell."""
        line = self._named(place.line)
        return place.number <= (line.queue(ahead=place.ahead).given if line else self.given)

    def before(self, place: Place) -> int | None:
        """How many turns come before this message's; None if it has passed."""
        line = self._named(place.line)
        queue = line.queue(ahead=place.ahead) if line else None
        if line is None or queue is None or place.number <= queue.passed:
            return None
        return self._before(line, place.number - queue.passed + (0 if place.ahead else line.first.waiting))

    def before_new(self, source: str, *, ahead: bool) -> int:
        """How many turns would come before one more message of this source."""
        line = self._line_of(source)
        if line is None:
            return self._before(None, 1)
        return self._before(line, 1 + (line.first.waiting if ahead else line.waiting))

    def advance(self, count: int) -> None:
        """So many turns have passed."""
        while count and self.lines:
            rounds = min(count // len(self.lines), *(line.waiting for line in self.lines))
            turn = len(self.lines) if rounds else count
            for line in self.lines[:turn]:
                line.advance(rounds or 1)
            count -= turn * (rounds or 1)
            if not rounds:
                self.lines = self.lines[turn:] + self.lines[:turn]
            self.lines = [line for line in self.lines if line.waiting]

    def _before(self, line: _Line | None, nth: int) -> int:
        """Turns before the nth from now of a line, or of one that joins at the end."""
        turns, most = nth - 1, nth
        for other in self.lines:
            if other is line:
                most = nth - 1
            else:
                turns += min(other.waiting, most)
        return turns

    def _named(self, name: str) -> _Line | None:
        return next((line for line in self.lines if line.name == name), None)

    def _line_of(self, source: str) -> _Line | None:
        """The line that a newcomer of this source joins, if it is there."""
        own = self._named(source)
        return own if own or len(self.lines) < MOST_LINES else self._named(SHARED)
