"""A storm against a quota, in virtual time: 10,000 messages, several workers, a provider with sliding windows.

Nothing sleeps: the clock is the next message's time. What the workers share is one value in memory.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from gateway.pacing import PRESETS, Account, Pacer, Permit
from gateway.pacing.lanes import Limits
from gateway.pacing.quota import Schedule, Turn
from tests.factories import NOW
from tests.values import MemoryValues

CUSTOM = PRESETS["acs-custom"]
ACCOUNT = Account("acs|example", CUSTOM)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
WORKERS = 4


@dataclass
class Provider:
    """Takes what its quota allows in any minute and any hour, and counts what it refuses, as ACS does."""

    limits: Limits = CUSTOM
    accepted: int = 0
    refused: list[tuple[datetime, float]] = field(default_factory=list)
    seen: deque[datetime] = field(default_factory=deque)

    def submit(self, at: datetime, *, foreign: bool = False) -> float | None:
        """None: accepted. Otherwise the seconds of its Retry-After."""
        while self.seen and self.seen[0] <= at - HOUR:
            self.seen.popleft()
        wait = 0.0
        for window, limit in ((MINUTE, self.limits.minute), (HOUR, self.limits.hour)):
            counted = [time for time in self.seen if time > at - window]
            if len(counted) >= limit:
                wait = max(wait, (counted[len(counted) - limit] + window - at).total_seconds())
        if wait:
            if not foreign:
                self.refused.append((at, wait))
            return wait
        self.seen.append(at)
        self.accepted += not foreign
        return None


@dataclass
class Message:
    """One message of the storm."""

    turn: Turn
    due: datetime
    source: str = "form"
    attempt: int = 1
    facts: dict[str, str] = field(default_factory=dict)
    looks: int = 0
    sent: datetime | None = None


@dataclass
class Storm:
    """What happened to whom."""

    messages: list[Message]
    provider: Provider = field(default_factory=Provider)
    values: MemoryValues = field(default_factory=MemoryValues)
    largest: int = 0

    async def run(self, account: Account = ACCOUNT, foreign: Iterable[datetime] = ()) -> None:
        """Until every message is sent; `foreign` submissions of somebody else use up the same quota."""
        pacers = itertools.cycle([Pacer(self.values, lambda: 0.5) for _ in range(WORKERS)])
        order = itertools.count()
        heap = [(message.due, message.turn is not Turn.HIGH, next(order), message) for message in self.messages]
        heapq.heapify(heap)
        others = deque(sorted(foreign))
        while heap:
            now, normal, _, message = heapq.heappop(heap)
            while others and others[0] <= now:
                self.provider.submit(others.popleft(), foreign=True)
            await self._look(next(pacers), account, message, now)
            self.largest = max(self.largest, *(len(value) for value, _ in self.values.values.values()))
            if message.sent is None:
                heapq.heappush(heap, (message.due, normal, next(order), message))

    async def _look(self, pacer: Pacer, account: Account, message: Message, now: datetime) -> None:
        message.looks += 1
        permit = await pacer.ask(account, message.turn, message.attempt, message.facts, now, message.source)
        if permit.due is None:
            wish = self.provider.submit(now)
            if wish is None:
                message.sent = now
                return
            permit = await pacer.pause(account, message.turn, message.attempt, wish, now, message.source)
            message.attempt += 1
        assert permit.due is not None
        assert permit.due > now
        message.due = permit.due
        message.facts |= permit.facts

    @property
    def lasted(self) -> timedelta:
        """From the first to the last."""
        return max(message.sent for message in self.messages if message.sent) - NOW


def normal(count: int, source: str = "form", at: datetime = NOW) -> list[Message]:
    """Ordinary messages, all at once."""
    return [Message(Turn.LAST, at, source) for _ in range(count)]


def theoretical(count: int) -> timedelta:
    """The soonest at which that many ordinary ones can be through: four fifths of 100 an hour and of 30 a minute."""
    hours, rest = divmod(count - 1, 80)
    return hours * HOUR + rest // 24 * MINUTE


async def test_ten_thousand_messages_drain_at_the_allowed_rate() -> None:
    """Nothing lost, nothing refused, two looks at each, at most 1 % slower than the quota's arithmetic allows."""
    storm = Storm(normal(10_000))
    await storm.run()
    assert storm.provider.accepted == 10_000
    assert storm.provider.refused == []
    assert max(message.looks for message in storm.messages) == 2
    assert storm.lasted <= theoretical(10_000) * 1.01
    assert storm.largest <= 8192
    assert sum(storm.values.calls.values()) <= 3 * 10_000


async def test_an_urgent_message_goes_out_next_in_the_middle_of_a_storm() -> None:
    """An alert every ten minutes for the length of a burst of 5,000: none of them waits."""
    urgent = [Message(Turn.HIGH, NOW + MINUTE * (10 * number + 3)) for number in range(360)]
    begin = [message.due for message in urgent]
    storm = Storm(normal(5_000) + urgent)
    await storm.run()
    assert storm.provider.accepted == 5_360
    assert storm.provider.refused == []
    assert [message.sent for message in urgent] == begin
    assert max(message.looks for message in storm.messages) == 2
    assert storm.lasted <= theoretical(5_000) * 1.01


async def test_more_urgent_messages_than_are_kept_free_for_them_take_the_others_slots() -> None:
    """200 alerts in the middle of a storm go at the whole quota's rate; whose slot is taken is looked at once more."""
    urgent = [Message(Turn.HIGH, NOW + 5 * HOUR) for _ in range(200)]
    storm = Storm(normal(2_000) + urgent)
    await storm.run()
    assert storm.provider.accepted == 2_200
    assert storm.provider.refused == []
    last = max(message.sent for message in urgent if message.sent)
    assert last - (NOW + 5 * HOUR) <= HOUR * 200 / 100
    assert max(message.looks for message in storm.messages) <= 3
    assert max(message.looks for message in urgent) == 2


async def test_urgent_messages_alone_may_use_the_whole_quota() -> None:
    """10,000 of high priority: at most 1 % more than the time at 100 an hour."""
    storm = Storm([Message(Turn.HIGH, NOW) for _ in range(10_000)])
    await storm.run()
    assert storm.provider.refused == []
    assert storm.lasted <= HOUR * 99 * 1.01 + 4 * MINUTE


async def test_a_source_with_few_messages_waits_for_one_turn_of_the_flood() -> None:
    """A flood of 1,000, and a message of another source every ten minutes: minutes each, also in the first hour."""
    few = [Message(Turn.LAST, NOW + MINUTE * (10 * number + 3), "alerts") for number in range(80)]
    begin = [message.due for message in few]
    storm = Storm(normal(1_000) + few)
    await storm.run()
    waits = [message.sent - due for message, due in zip(few, begin, strict=True) if message.sent]
    assert len(waits) == 80
    assert max(waits) <= 2 * MINUTE
    assert storm.provider.refused == []
    assert storm.lasted <= theoretical(1_000 + 80) + HOUR
    assert max(message.looks for message in few) == 2
    assert max(message.looks for message in storm.messages) <= 6


async def test_sources_that_flood_share_the_turns_and_the_quota_is_used_as_by_one() -> None:
    """10,000 messages of four sources, one after the other: a quarter each while all four wait, then a third each."""
    sizes = {"form": 4_000, "alerts": 1_000, "crm": 2_500, "scanner": 2_500}
    storm = Storm([message for source, size in sizes.items() for message in normal(size, source)])
    await storm.run()
    assert storm.provider.refused == []
    assert storm.lasted <= theoretical(10_000) * 1.01
    sent = [message.source for message in sorted(storm.messages, key=lambda message: message.sent or NOW)]
    first = sent[sent.index("crm") : len(sent) - sent[::-1].index("alerts")]
    assert [abs(first.count(source) - 1_000) <= 1 for source in sizes] == [True] * 4
    second = sent[len(sent) - sent[::-1].index("alerts") : len(sent) - sent[::-1].index("crm")]
    assert {source: second.count(source) for source in ("form", "scanner")} == {"form": 1_500, "scanner": 1_500}
    assert storm.largest <= 8192
    assert sum(message.looks for message in storm.messages) <= 3 * 10_000
    assert sum(storm.values.calls.values()) <= 4 * 10_000


async def test_a_message_far_behind_is_looked_at_a_few_times_while_others_go_before_it_for_days() -> None:
    """A flood of 500, and four sources that send as much as they may all the time: no look is one too many.

    With one turn in five what is left of it at each look is four fifths of what it was: 28 looks for 500 turns.
    """
    steady = [
        Message(Turn.LAST, NOW + MINUTE * number * 4, source)
        for source in ("a", "b", "c", "d")
        for number in range(400)
    ]
    storm = Storm(normal(500) + steady)
    await storm.run()
    assert storm.provider.refused == []
    assert storm.lasted <= theoretical(2_100) + HOUR
    assert max(message.looks for message in storm.messages) <= 30
    assert sum(message.looks for message in storm.messages) <= 5 * 2_100
    waits = [message.sent - NOW - MINUTE * (index % 400) * 4 for index, message in enumerate(steady) if message.sent]
    assert max(waits) <= HOUR


async def test_a_flood_of_urgent_messages_does_not_starve_anothers() -> None:
    """1,000 alerts of one source, and one of another every ten minutes: none of these waits for an hour's end."""
    few = [Message(Turn.HIGH, NOW + MINUTE * (10 * number + 3), "other") for number in range(40)]
    begin = [message.due for message in few]
    storm = Storm([Message(Turn.HIGH, NOW, "alerts") for _ in range(1_000)] + few)
    await storm.run()
    waits = [message.sent - due for message, due in zip(few, begin, strict=True) if message.sent]
    assert len(waits) == 40
    assert max(waits) <= 9 * MINUTE
    assert max(waits[7:]) <= 2 * MINUTE
    assert storm.provider.refused == []
    assert storm.lasted <= HOUR * 1_040 / 100 + 5 * MINUTE


async def test_a_flood_of_urgent_messages_leaves_its_share_to_another_sources_ordinary_ones() -> None:
    """Whoever calls everything urgent waits behind himself: 100 ordinary messages of another have every second turn."""
    ordinary = normal(100, "crm", NOW + 2 * HOUR)
    storm = Storm([Message(Turn.HIGH, NOW, "alerts") for _ in range(2_000)] + ordinary)
    await storm.run()
    assert storm.provider.refused == []
    assert max(message.sent for message in ordinary if message.sent) - (NOW + 2 * HOUR) <= HOUR * 200 / 80


async def test_turns_that_nobody_takes_hold_up_nobody() -> None:
    """All of one source are cancelled while they wait: those of the other go at the times they were told."""
    values = MemoryValues()
    pacer = Pacer(values)
    permits = [await pacer.ask(ACCOUNT, Turn.LAST, 1, {}, NOW, "ab"[number % 2]) for number in range(124)]
    waiting = [permit for permit in permits if permit.due]
    assert len(waiting) == 100
    for permit in sorted(waiting[::2], key=lambda permit: permit.due or NOW):
        assert permit.due is not None
        assert await pacer.ask(ACCOUNT, Turn.LAST, 1, permit.facts, permit.due, "a") == Permit()


FOREIGN = {
    "one burst": ([5 * HOUR + timedelta(seconds=number) for number in range(60)], 1, 4),
    "30 an hour all the time": ([number * 2 * MINUTE for number in range(1000)], 14, 7),
}


@pytest.mark.parametrize("case", FOREIGN)
async def test_somebody_else_on_the_same_account_costs_one_refusal_a_window(case: str) -> None:
    """The provider refuses once, everybody waits as long as it says, and nobody loses his place."""
    times, refusals, looks = FOREIGN[case]
    storm = Storm(normal(1_000))
    await storm.run(foreign=[NOW + time for time in times])
    assert storm.provider.accepted == 1_000
    refused = [at for at, _ in storm.provider.refused]
    assert 0 < len(refused) <= refusals
    assert max(sum(at <= other < at + HOUR for other in refused) for at in refused) == 1
    assert max(message.looks for message in storm.messages) <= looks
    assert not [
        message.sent
        for message in storm.messages
        for at, wish in storm.provider.refused
        if message.sent and at < message.sent < at + timedelta(seconds=wish)
    ]


async def test_many_that_look_at_once_share_one_write() -> None:
    """A burst in one process: far fewer calls than messages; and a lone message costs a read and a write."""
    values = MemoryValues()
    pacer = Pacer(values)
    await pacer.ask(ACCOUNT, Turn.LAST, 1, {}, NOW)
    assert values.calls == {"read": 1, "write": 1}
    values.calls.clear()
    permits = await asyncio.gather(*(pacer.ask(ACCOUNT, Turn.LAST, 1, {}, NOW + HOUR) for _ in range(64)))
    assert sum(permit.due is None for permit in permits) == 24
    assert values.calls == {"read": 1, "write": 1}


@pytest.mark.parametrize("floods", [33, 40, 150])
def test_a_flood_through_many_sources_holds_up_nobody_for_more_than_one_turn_of_each(floods: int) -> None:
    """So many sources with fifty messages each: the first message of another source goes within one round of turns."""
    schedule = Schedule.of(Limits(30, 100))
    for number in range(50 * floods):
        schedule.ask(Turn.LAST, 0, f"form{number % floods}")
    slot = schedule.ask(Turn.LAST, 0, "alerts")
    assert slot is None or slot.at <= HOUR // timedelta(microseconds=1) + (floods + 2) * schedule.normal.even
