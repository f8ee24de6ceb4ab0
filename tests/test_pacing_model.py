"""The schedule as a model: whoever asks what at whatever time, no window is exceeded and nobody is forgotten."""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.pacing.lanes import HOUR, MARGIN, MINUTE, SECOND, Limits
from gateway.pacing.quota import Schedule, Slot, Turn

LIMITS = [Limits(30, 100), Limits(5, 10), Limits(1, 1), Limits(3, 40), Limits(10, 12), Limits(30, 1800)]
SOURCES = ["form", "alerts", "crm", "scanner"]
START = 1_772_443_800 * SECOND


@dataclass
class Waiting:
    """One who asked: of what source, in what turn, when, and whether he was the first of his source to wait."""

    source: str
    turn: Turn
    asked: int
    first: bool = False


class Storage(RuleBasedStateMachine):
    """Everybody comes at his slot, or a little late; each step stores and loads the schedule, as workers do."""

    late = False

    @initialize(limits=st.sampled_from(LIMITS))
    def begin(self, limits: Limits) -> None:
        """Nobody has asked."""
        self.limits = Limits(max(limits.minute, 5), max(limits.hour, 10)) if self.late else limits
        self.now = START
        self.text = b""
        self.sent: list[int] = []
        self.order: dict[str, list[int]] = defaultdict(list)
        self.waiting: list[tuple[int, int, Slot, Waiting]] = []
        self.number = itertools.count()
        self.paused = self.delay = 0

    def _schedule(self) -> Schedule:
        schedule = Schedule.of(self.limits, self.text)
        schedule.settle(self.now)
        return schedule

    def _wake(self, slot: Slot, who: Waiting) -> None:
        late = min(self.delay, slot.tolerance) if self.late else 0
        heapq.heappush(self.waiting, (slot.at + late, next(self.number), slot, who))

    def _ask(self, turn: Turn, who: Waiting) -> None:
        schedule = self._schedule()
        slot = schedule.ask(turn, self.now, who.source)
        self.text = schedule.dump()
        if slot is None:
            self._goes(who)
        else:
            assert slot.at > self.now
            assert slot.at >= self.paused
            self._wake(slot, who)

    def _goes(self, who: Waiting) -> None:
        assert self.now >= self.paused
        self.sent.append(self.now)
        if who.turn is Turn.LAST:
            self.order[who.source].append(who.asked)

    def _until(self, time: int) -> None:
        """Wake whose time comes, each at his time."""
        while self.waiting and self.waiting[0][0] <= time:
            self.now, _, slot, who = heapq.heappop(self.waiting)
            found = self._schedule().woken(slot, self.now)
            if found is None:
                self._goes(who)
            else:
                assert isinstance(found, Slot)
                assert found.at > self.now
                assert found.base == slot.base or not who.first
                self._wake(found, who)
        self.now = max(self.now, time)

    @rule(source=st.sampled_from(SOURCES), turn=st.sampled_from(Turn), count=st.integers(1, 60))
    def ask(self, source: str, turn: Turn, count: int) -> None:
        """Some of a source ask at once; a retry, or an urgent one, goes ahead of those of its source."""
        for _, _, _, who in self.waiting:
            who.first = who.first and (turn is Turn.LAST or who.source != source)
        for _ in range(count):
            self._ask(Turn.LAST if self.late else turn, Waiting(source, turn, next(self.number)))

    @rule(time=st.one_of(st.integers(1, 90 * SECOND), st.integers(1, 90 * MINUTE), st.integers(1, 30 * HOUR)))
    def wait(self, time: int) -> None:
        """Time goes by."""
        self._until(self.now + time)

    @rule(delay=st.integers(0, 10 * MINUTE))
    def slower(self, delay: int) -> None:
        """From now on they come so much later, as late as is taken for on time at most."""
        self.delay = delay

    @rule(wish=st.integers(SECOND, HOUR))
    def refused(self, wish: int) -> None:
        """The provider wants us to wait."""
        schedule = self._schedule()
        schedule.pause(self.now + wish, self.now)
        self.text = schedule.dump()
        self.paused = max(self.paused, self.now + wish)

    @precondition(lambda self: self.waiting)
    @rule()
    def everybody_goes(self) -> None:
        """Without anybody new, all are through in the time the quota needs, or some hours more."""
        hourly = min(self.limits.hour, 60 * self.limits.minute)
        normal = hourly - hourly // 5
        needs = len(self.waiting) * 2 * HOUR // normal + 3 * HOUR
        self._until(max(self.now, self.paused) + needs * 2)
        assert self.waiting == []

    @rule(source=st.sampled_from(SOURCES))
    def a_source_with_nothing_waiting_gets_a_turn_soon(self, source: str) -> None:
        """Before it goes at most one of each source that waits, however many they have and whoever comes then."""
        schedule = self._schedule()
        lines = schedule.normal.turns.lines
        slot = schedule.ask(Turn.LAST, self.now, source)
        if source not in {line.name for line in lines} and slot is not None:
            assert schedule.normal.turns.before(slot.place) == len(lines) - 1
            self.text = schedule.dump()
            self._wake(slot, Waiting(source, Turn.LAST, next(self.number), first=True))

    @rule(source=st.sampled_from(SOURCES))
    def an_urgent_one_goes_next(self, source: str) -> None:
        """He waits for the urgent ones of his source and as many of each other, and for nobody else."""
        schedule = self._schedule()
        own = sum(who.source == source and slot.turn is not Turn.LAST for _, _, slot, who in self.waiting)
        before = (own + 1) * (len(schedule.normal.turns.lines) + 1)
        slot = schedule.ask(Turn.HIGH, self.now, source)
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
        """Among the ordinary ones of a source."""
        assert dict(self.order) == {source: sorted(asked) for source, asked in self.order.items()}

    @invariant()
    def the_schedule_stays_small(self) -> None:
        """However many wait."""
        assert len(self.text) <= 16_384

    @invariant()
    def there_is_a_slot_for_everybody_who_waits(self) -> None:
        """No more and no less in each lane."""
        schedule = Schedule.of(self.limits, self.text)
        for lane in (schedule.normal, schedule.high):
            assert sum(line.waiting for line in lane.turns.lines) == sum(run.size for run in lane.runs)


class LateStorage(Storage):
    """Everybody comes late, and nobody is urgent: what is kept for the urgent covers for that."""

    late = True


TestStorage = Storage.TestCase
TestStorage.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
TestLateStorage = LateStorage.TestCase
TestLateStorage.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
