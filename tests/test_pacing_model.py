"""The schedule as a model: whoever asks what at whatever time, no window is exceeded and nobody is forgotten."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.pacing.lanes import HOUR, MARGIN, MINUTE, SECOND, Limits
from gateway.pacing.quota import Schedule, Slot, Turn

LIMITS = [Limits(30, 100), Limits(5, 10), Limits(1, 1), Limits(3, 40), Limits(10, 12), Limits(30, 1800)]
START = 1_772_443_800 * SECOND


@dataclass
class Waiting:
    """One who asked: in what turn, when, and how often he was looked at."""

    turn: Turn
    asked: int
    looks: int = 1


class Storage(RuleBasedStateMachine):
    """Everybody comes exactly at his slot; each step stores and loads the schedule, as workers do."""

    @initialize(limits=st.sampled_from(LIMITS))
    def begin(self, limits: Limits) -> None:
        """Nobody has asked."""
        self.limits = limits
        self.now = START
        self.text = b""
        self.sent: list[int] = []
        self.order: list[int] = []
        self.waiting: list[tuple[int, int, Slot, Waiting]] = []
        self.number = itertools.count()
        self.paused = self.pauses = self.displaced = 0

    def _schedule(self) -> Schedule:
        schedule = Schedule.of(self.limits, self.text)
        schedule.settle(self.now)
        return schedule

    def _ask(self, schedule: Schedule, turn: Turn, who: Waiting) -> None:
        slot = schedule.ask(turn, self.now)
        self.text = schedule.dump()
        if slot is None:
            self._goes(who)
        else:
            assert slot.at > self.now
            assert slot.at >= self.paused
            heapq.heappush(self.waiting, (slot.at, next(self.number), slot, who))

    def _goes(self, who: Waiting) -> None:
        assert self.now >= self.paused
        self.sent.append(self.now)
        if who.turn is Turn.LAST and who.looks <= 2 + self.pauses:
            self.order.append(who.asked)

    def _until(self, time: int) -> None:
        """Wake whose time comes, each at his time."""
        while self.waiting and self.waiting[0][0] <= time:
            self.now, _, slot, who = heapq.heappop(self.waiting)
            who.looks += 1
            schedule = self._schedule()
            found = schedule.woken(slot, self.now)
            if found is None:
                self._goes(who)
            elif isinstance(found, Slot):
                assert found.at > self.now
                heapq.heappush(self.waiting, (found.at, next(self.number), found, who))
            else:
                assert found is Turn.LAST
                self.displaced += 1
                who.looks = 1_000_000
                self._ask(schedule, found, who)
        self.now = max(self.now, time)

    @rule(turn=st.sampled_from(Turn), count=st.integers(1, 60))
    def ask(self, turn: Turn, count: int) -> None:
        """Some ask at once."""
        for _ in range(count):
            self._ask(self._schedule(), turn, Waiting(turn, next(self.number)))

    @rule(time=st.one_of(st.integers(1, 90 * SECOND), st.integers(1, 90 * MINUTE), st.integers(1, 30 * HOUR)))
    def wait(self, time: int) -> None:
        """Time goes by."""
        self._until(self.now + time)

    @rule(wish=st.integers(SECOND, HOUR))
    def refused(self, wish: int) -> None:
        """The provider wants us to wait."""
        schedule = self._schedule()
        schedule.pause(self.now + wish, self.now)
        self.text = schedule.dump()
        self.paused = max(self.paused, self.now + wish)
        self.pauses += 1

    @precondition(lambda self: self.waiting)
    @rule()
    def everybody_goes(self) -> None:
        """Without anybody new, all are through in the time the quota needs, or one hour more."""
        hourly = min(self.limits.hour, 60 * self.limits.minute)
        normal = hourly - hourly // 5
        needs = (len(self.waiting) * 2 + self.displaced) * HOUR // normal + 3 * HOUR
        self._until(max(self.now, self.paused) + needs * 2)
        assert self.waiting == []

    @rule()
    def an_urgent_one_goes_next(self) -> None:
        """He never waits longer than the urgent before him need on their own lane, whatever else waits."""
        before = sum(slot.turn is not Turn.LAST for _, _, slot, _ in self.waiting)
        schedule = self._schedule()
        slot = schedule.ask(Turn.HIGH, self.now)
        if slot is not None:
            reserve = self.limits.hour // 5 if self.limits.minute >= 5 else 0
            windows = (before + 1) // max(reserve, 1) + 2
            assert slot.at - max(self.now, self.paused) <= windows * (HOUR + 2 * MINUTE)

    @invariant()
    def no_window_is_exceeded(self) -> None:
        """In any minute and in any hour there are at most as many as the quota has."""
        for window, limit in ((MINUTE, self.limits.minute), (HOUR, self.limits.hour)):
            close = [b - a for a, b in zip(self.sent, self.sent[limit:], strict=False) if b - a < window + MARGIN]
            assert close == []

    @invariant()
    def who_asked_first_goes_first(self) -> None:
        """Among the ordinary ones whose slot nobody took."""
        assert self.order == sorted(self.order)

    @invariant()
    def the_schedule_stays_small(self) -> None:
        """However many wait."""
        assert len(self.text) <= 16_384


TestStorage = Storage.TestCase
TestStorage.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
