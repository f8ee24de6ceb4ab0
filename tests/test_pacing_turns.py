"""Turns between sources as counts, against the same as real queues: who is before whom is always the same."""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.pacing.turns import MOST_LINES, SHARED, Place, Turns


@dataclass
class Queues:
    """Round robin as one would write it down: for each source two queues of messages, the next source first."""

    lines: deque[tuple[str, deque[int], deque[int]]] = field(default_factory=deque)

    def join(self, source: str, number: int, *, ahead: bool) -> None:
        """One more message."""
        line = next((line for line in self.lines if line[0] == source), None)
        if line is None:
            line = (source, deque(), deque())
            self.lines.append(line)
        (line[1] if ahead else line[2]).append(number)

    def pop(self) -> int:
        """Whose turn it is."""
        line = self.lines.popleft()
        number = (line[1] or line[2]).popleft()
        if line[1] or line[2]:
            self.lines.append(line)
        return number

    def order(self) -> list[int]:
        """All that wait, the next first."""
        copy = Queues(deque((name, first.copy(), rest.copy()) for name, first, rest in self.lines))
        return [copy.pop() for _ in range(sum(len(first) + len(rest) for _, first, rest in self.lines))]


class Fairness(RuleBasedStateMachine):
    """Each step stores and loads the turns, as workers do."""

    @initialize()
    def begin(self) -> None:
        """Nobody waits."""
        self.turns, self.queues = Turns(), Queues()
        self.places: dict[int, Place] = {}
        self.passed: list[Place] = []
        self.number = itertools.count()

    def _join(self, source: str, *, ahead: bool) -> None:
        number = next(self.number)
        expected = self.turns.before_new(source, ahead=ahead)
        place = self.turns.join(source, ahead=ahead)
        self.queues.join(source, number, ahead=ahead)
        assert self.turns.before(place) == expected
        assert self.turns.knows(place)
        assert place not in self.places.values()
        assert place not in self.passed
        self.places[number] = place

    @rule(source=st.sampled_from("abcdefg"), ahead=st.booleans(), count=st.integers(1, 12))
    def join(self, source: str, ahead: bool, count: int) -> None:
        """Some of one source."""
        for _ in range(count):
            self._join(source, ahead=ahead)

    @rule(source=st.sampled_from("abcdefg"))
    def the_first_of_a_source_waits_for_one_turn_of_each_other(self, source: str) -> None:
        """However many they have."""
        others = len({line.name for line in self.turns.lines} - {source})
        if not self.turns.waits(source):
            self._join(source, ahead=False)
            assert self.turns.before(self.places[max(self.places)]) == others

    @precondition(lambda self: self.places)
    @rule(data=st.data())
    def advance(self, data: st.DataObject) -> None:
        """Some turns pass, at once or one after the other."""
        count = data.draw(st.integers(1, len(self.places)))
        apart = data.draw(st.sampled_from([1, count]))
        for _ in range(apart):
            self.turns.advance(count // apart)
        for _ in range(count):
            place = self.places.pop(self.queues.pop())
            assert self.turns.before(place) is None
            self.passed.append(place)

    @invariant()
    def the_order_is_that_of_the_queues(self) -> None:
        """Each message knows how many are before it; stored and loaded it is the same."""
        given, lines = self.turns.dump()
        self.turns = Turns.of(given, lines)
        before = {number: self.turns.before(place) for number, place in self.places.items()}
        assert before == {number: index for index, number in enumerate(self.queues.order())}

    @invariant()
    def what_has_passed_is_never_taken_for_what_waits(self) -> None:
        """Also where its source came back."""
        assert [self.turns.before(place) for place in self.passed[-20:]] == [None] * len(self.passed[-20:])


TestFairness = Fairness.TestCase
TestFairness.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def test_more_sources_than_lines_share_one_and_nobody_is_forgotten() -> None:
    """300 sources with five messages each: as many lines as there may be and one, and every message has its turn."""
    turns = Turns()
    places = [turns.join(f"source{number % 300}", ahead=False) for number in range(1500)]
    assert [line.name for line in turns.lines] == [f"source{number}" for number in range(MOST_LINES)] + [SHARED]
    assert sorted(turns.before(place) or 0 for place in places) == list(range(1500))
    assert (turns.waits("source199"), turns.waits("source299")) == (True, False)
    turns.advance(1499)
    assert [place for place in places if turns.before(place) is not None] == [places[-1]]
    turns.advance(1)
    assert turns.lines == []
    assert turns.join("source299", ahead=False).line == "source299"


def test_a_place_that_was_never_given_out_is_not_known() -> None:
    """What is shared was lost, or was read before the place was given out."""
    turns = Turns()
    place = turns.join("a", ahead=False)
    later = Place("a", ahead=False, number=2)
    assert (turns.knows(place), turns.knows(later)) == (True, False)
    turns.advance(1)
    assert (turns.knows(place), turns.knows(later)) == (True, False)
    assert not Turns().knows(place)
