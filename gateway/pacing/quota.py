"""One account's quota: who asks for a turn comes in, "now" or a slot at a later time goes out; pure, time is given.

Providers count in sliding windows (ACS: 30 a minute and 100 an hour). A Schedule has two lanes whose limits add up to
the quota, so that the sum can never exceed it: the normal lane, and the last fifth of every window for high priority.
What is free now goes now. Everything else adds a slot behind the last one: close together while the wait is short,
evenly spread where it is longer than NEAR. Evenly spread slots are one run, however many; so the whole schedule stays a
few kilobytes at most. Whose turn it is when a slot has come, turns.py says: in each lane sources take turns. A message
is told the time of its turn as things stand; if others were put before it by then it is told the new time, and no slot
is lost. lately.py says who had so little of an hour that a flood used up that a part of the other lane is for him too.

    last     behind all of its source in the normal lane
    front    ahead of all these of its source: a retry
    late     as `front`, or now as `high`: its slot has passed; so it gets its turn even where everybody is late
    high     the sooner of the high lane, and the normal one as `front`

A provider's "not before" moves all slots by the time it costs, and nobody loses his place.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from gateway.pacing.lanes import HOUR, MINUTE, NEAR, SECOND, Lane, Limits, Run
from gateway.pacing.lately import Lately
from gateway.pacing.turns import Place, Turns

VERSION = 2
"""Of what is stored. Of version 1, whose slots belonged to messages, counts what has passed; another one is nothing."""

LITTLE = 8
"""A source that had less than this part of an hour's ordinary messages has had little."""

SHORTEST_TOLERANCE, LONGEST_TOLERANCE = 2 * SECOND, 10 * MINUTE


class Turn(StrEnum):
    """Where somebody stands in his source's line."""

    LAST = "last"
    FRONT = "front"
    LATE = "late"
    HIGH = "high"


class Slot(NamedTuple):
    """A turn that has its time: `at`, and `base`, which stays the same when all slots are moved.

    Somebody who comes later than `tolerance` must ask again. `place` is in the high lane if `high`, else in the normal.
    """

    at: int
    base: int
    tolerance: int
    turn: Turn
    high: bool
    place: Place


@dataclass
class Schedule:
    """Both lanes of one account. Its methods change it; whoever stores it compares and sets the whole."""

    limits: Limits
    normal: Lane
    high: Lane
    paused: int = 0
    moved: int = 0
    lately: Lately = field(default_factory=Lately)

    @classmethod
    def of(cls, limits: Limits, text: bytes = b"") -> Schedule:
        """An empty one, or the stored one; where the quota has grown since, nobody new waits for old slots."""
        reserve = Limits(limits.minute // 5, limits.hour // 5)
        rest = Limits(limits.minute - reserve.minute, limits.hour - reserve.hour)
        new = cls(limits, Lane(rest), Lane(reserve, steady=True))
        stored = json.loads(text) if text else {}
        if stored.get("v") in {1, VERSION}:
            new._load(stored)
        return new

    def _load(self, stored: dict[str, Any]) -> None:
        grown = max(self.limits) > max(stored["limits"])
        for lane, (past, *coming) in zip((self.normal, self.high), stored["lanes"], strict=True):
            lane.past = [(end, count) for end, count in past]
            if stored["v"] == VERSION:
                runs, given, lines = coming
                lane.runs = [] if grown else [Run(*run) for run in runs]
                lane.turns = Turns.of(given, [] if grown else lines)
        self.paused, self.moved = stored["paused"], stored["moved"]
        self.lately = Lately(stored.get("lately", {}))

    def dump(self) -> bytes:
        """As it is stored."""
        value = {
            "v": VERSION,
            "limits": self.limits,
            "paused": self.paused,
            "moved": self.moved,
            "lately": self.lately.until,
            "lanes": [(lane.past, lane.runs, *lane.turns.dump()) for lane in (self.normal, self.high)],
        }
        return json.dumps(value, separators=(",", ":")).encode()

    # ------------------------------------------------------------------------------------------------- asking

    def settle(self, now: int) -> None:
        """To be called before anything is asked."""
        self.normal.settle(now)
        self.high.settle(now)

    def ask(self, turn: Turn, now: int, source: str = "") -> Slot | None:
        """None: now. Otherwise the turn that is kept."""
        start = max(now, self.paused)
        lane = self._free(turn, source, now) if start == now else None
        self.lately.add(source, now, self._each, HOUR)
        if lane is not None:
            lane.take(now)
            return None
        high = turn is Turn.HIGH and self.high.usable and self._sooner(source, start, now)
        place, at = (self.high if high else self.normal).join(source, start, now, ahead=turn is not Turn.LAST)
        return Slot(at, at - self.moved, self._tolerance(at, now), turn, high, place)

    def _free(self, turn: Turn, source: str, now: int) -> Lane | None:
        """The lane in which it may go now."""
        if self.normal.room(now, 1):
            return self.normal
        if turn in {Turn.HIGH, Turn.LATE}:
            return self.high if self.high.room(now, 1) else None
        # A flood may use up an hour's messages in minutes. Whoever had little of them does not wait for the next hour:
        # half of what is kept for the urgent is for him too.
        quiet = not self.normal.turns.waits(source) and self.lately.little(source, now, self._each, HOUR)
        far = quiet and self.normal.soonest(source, now, now, ahead=False) > now + NEAR
        return self.high if far and self.high.room(now, 1, share=2) else None

    @property
    def _each(self) -> int:
        return HOUR // max(1, self.normal.limits.hour // LITTLE)

    def _sooner(self, source: str, start: int, now: int) -> bool:
        """Whether an urgent message has its turn sooner in the lane for them."""
        high, normal = (lane.soonest(source, start, now, ahead=True) for lane in (self.high, self.normal))
        return high <= normal

    def _tolerance(self, at: int, now: int) -> int:
        """As long as it takes for as many slots to pass as the high lane has in a minute: it covers for the late."""
        step = self.normal.even if at > now + NEAR else self.normal.dense
        return min(max(self.high.limits.minute * step, SHORTEST_TOLERANCE), LONGEST_TOLERANCE)

    def woken(self, slot: Slot, now: int) -> Slot | Turn | None:
        """Whose time has come: None: go. A Slot: the same place, later. A Turn: ask again, in that turn."""
        lane = self._lane(slot)
        if not lane.turns.knows(slot.place):
            return slot.turn  # What is shared was lost.
        told = slot.base + self.moved
        if now < self.paused:
            return slot._replace(at=max(told, self.paused))
        at = max(told, lane.when(slot.place) or 0)
        if at > now:
            return slot._replace(at=at, base=at - self.moved)
        late = Turn.HIGH if slot.turn is Turn.HIGH else Turn.LATE
        return late if now - told > slot.tolerance else None

    def passed(self, slot: Slot) -> bool:
        """Whether nobody can put this turn off any more."""
        lane = self._lane(slot)
        return lane.turns.knows(slot.place) and lane.when(slot.place) is None

    def _lane(self, slot: Slot) -> Lane:
        return self.high if slot.high else self.normal

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
        self.paused = until
