"""One account's quota: who asks for a turn comes in, "now" or a slot at a later time goes out; pure, time is given.

Providers count in sliding windows (ACS: 30 a minute and 100 an hour). A Schedule has two lanes whose limits add up to
the quota, so that the sum can never exceed it: the normal lane, and the last fifth of every window for high priority.
What is free now goes now. Everything else gets a slot behind the last one, so that a message is woken once, when its
time has come: close together while the wait is short, evenly spread where it is longer than NEAR. Evenly spread slots
are one run, however many; so the whole schedule stays a few kilobytes at most.

    last     behind everybody in the normal lane
    front    the normal lane's next slot, whoever holds it: he finds that out when he wakes, and goes to the end
    high     the sooner of the high lane's next slot and `front`

A provider's "not before" moves all slots by the time it costs, and nobody loses his place.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from gateway.pacing.lanes import MINUTE, NEAR, SECOND, Lane, Limits, Run

VERSION = 1
"""Of what is stored; another one counts as nothing."""

SHORTEST_TOLERANCE, LONGEST_TOLERANCE = 2 * SECOND, 10 * MINUTE


class Turn(StrEnum):
    """Where somebody stands in line."""

    LAST = "last"
    FRONT = "front"
    HIGH = "high"


class Slot(NamedTuple):
    """A turn that has its time: `at`, and `base`, which stays the same when all slots are moved.

    Somebody who comes later than `tolerance` must ask again.
    """

    at: int
    base: int
    tolerance: int
    turn: Turn


@dataclass
class Schedule:
    """Both lanes of one account. Its methods change it; whoever stores it compares and sets the whole."""

    limits: Limits
    normal: Lane
    high: Lane
    paused: int = 0
    moved: int = 0
    ahead: tuple[int, int] = (0, 0)

    @classmethod
    def of(cls, limits: Limits, text: bytes = b"") -> Schedule:
        """An empty one, or the stored one; where the quota has grown since, nobody new waits for old slots."""
        reserve = Limits(limits.minute // 5, limits.hour // 5)
        rest = Limits(limits.minute - reserve.minute, limits.hour - reserve.hour)
        new = cls(limits, Lane(rest), Lane(reserve))
        stored = json.loads(text) if text else {}
        if stored.get("v") == VERSION:
            new._load(stored)
        return new

    def _load(self, stored: dict[str, Any]) -> None:
        grown = max(self.limits) > max(stored["limits"])
        for lane, (past, runs) in zip((self.normal, self.high), stored["lanes"], strict=True):
            lane.past = [(end, count) for end, count in past]
            lane.runs = [] if grown else [Run(*run) for run in runs]
        self.paused, self.moved = stored["paused"], stored["moved"]
        self.ahead = (stored["ahead"][0], stored["ahead"][1])

    def dump(self) -> bytes:
        """As it is stored."""
        value = {
            "v": VERSION,
            "limits": self.limits,
            "paused": self.paused,
            "moved": self.moved,
            "ahead": self.ahead,
            "lanes": [(lane.past, lane.runs) for lane in (self.normal, self.high)],
        }
        return json.dumps(value, separators=(",", ":")).encode()

    # ------------------------------------------------------------------------------------------------- asking

    def settle(self, now: int) -> None:
        """To be called before anything is asked."""
        self.normal.settle(now)
        self.high.settle(now)

    def ask(self, turn: Turn, now: int) -> Slot | None:
        """None: now. Otherwise the slot that is reserved."""
        start = max(now, self.paused)
        if start == now:
            lanes = (self.normal, self.high) if turn is Turn.HIGH and self.high.usable else (self.normal,)
            for lane in lanes:
                if lane.room(now, 1):
                    lane.take(now)
                    return None
        if turn is Turn.LAST:
            at = self.normal.next(start, now)
            self.normal.reserve(at)
        else:
            at = self._soon(turn, start, now)
        return Slot(at, at - self.moved, self._tolerance(at, now), turn)

    def _soon(self, turn: Turn, start: int, now: int) -> int:
        """The next slot of the normal lane, or of the high one where that comes first."""
        begin = max(start + 1, self.ahead[1])
        taken = self.normal.first(begin)
        front = self.normal.next(begin, now) if taken is None else taken
        if turn is Turn.HIGH and self.high.usable:
            own = self.high.next(start, now)
            if own <= front:
                self.high.reserve(own)
                return own
        if taken is None:
            self.normal.reserve(front)
        self.ahead = (self.ahead[0] if begin == self.ahead[1] else front, front + 1)
        return front

    def _tolerance(self, at: int, now: int) -> int:
        """As long as it takes for as many slots to pass as the high lane has in a minute: it covers for the late."""
        step = self.normal.even if at > now + NEAR else self.normal.dense
        return min(max(self.high.limits.minute * step, SHORTEST_TOLERANCE), LONGEST_TOLERANCE)

    def woken(self, slot: Slot, now: int) -> Slot | Turn | None:
        """Whose time has come: None: go. A Slot: the same one, later. A Turn: ask again, in that turn."""
        at = slot.base + self.moved
        if now < self.paused:
            return slot._replace(at=max(at, self.paused))
        if at > now:
            return slot._replace(at=at)
        if slot.turn is Turn.LAST and self.ahead[0] <= at < self.ahead[1]:
            return Turn.LAST
        # Somebody late asks like the urgent, so that he gets his turn even where everybody is late.
        return Turn.HIGH if now - at > slot.tolerance else None

    def room(self, now: int, most: int) -> int:
        """How many more may go now without being urgent."""
        return self.normal.room(now, most) if now >= self.paused else 0

    def pause(self, until: int, now: int) -> None:
        """Nothing goes before `until`; all slots move by the time this costs."""
        begin = max(now, self.paused)
        if until <= begin:
            return
        self.settle(now)
        by = until - begin
        self.normal.move(by)
        self.high.move(by)
        self.moved += by
        self.ahead = (self.ahead[0] + by, self.ahead[1] + by)
        self.paused = until
