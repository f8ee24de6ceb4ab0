"""The limiter of one process: which account counts, what a slot is worth when it has come, and what a crowd is told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from gateway.config import Sender
from gateway.pacing import CROWDED, NO_WISH, PRESETS, SLOT, TRIES, Account, Pacer, Permit, account
from gateway.pacing.lanes import Limits
from gateway.pacing.quota import Turn
from tests.factories import NOW
from tests.values import MemoryValues

ACCOUNT = Account("acs|example", PRESETS["acs-custom"])
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
ACS = "https://main.communication.azure.com"


def sender(**fields: Any) -> Sender:
    """A sender on ACS unless said otherwise."""
    return Sender.model_validate({"transport": "acs", "address": "noreply@example.com", **fields})


@pytest.fixture
def values() -> MemoryValues:
    """An empty store."""
    return MemoryValues()


@pytest.fixture
def pacer(values: MemoryValues) -> Pacer:
    """One process's limiter, whose chance is a half."""
    return Pacer(values, lambda: 0.5)


async def full(pacer: Pacer) -> None:
    """Use up what ordinary messages may in a minute."""
    for _ in range(24):
        assert (await pacer.ask(ACCOUNT, Turn.LAST, 1, {}, NOW)).due is None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Account("acs|main.communication.azure.com", Limits(30, 100))),
        ({"rate": "acs-managed"}, Account("acs|main.communication.azure.com", Limits(5, 10))),
        ({"rate": {"minute": 7, "hour": 70}}, Account("acs|main.communication.azure.com", Limits(7, 70))),
        ({"rate": "unlimited"}, None),
        ({"transport": "capture"}, None),
        ({"transport": "capture", "rate": "acs-custom"}, None),
        ({"transport": "graph"}, Account("graph|noreply@example.com", Limits(30, 1800))),
        (
            {"connection_string": "accesskey=x; endpoint=HTTPS://Other.communication.azure.com/"},
            Account("acs|other.communication.azure.com", Limits(30, 100)),
        ),
        (
            {"endpoint": "other.communication.azure.com"},
            Account("acs|other.communication.azure.com", Limits(30, 100)),
        ),
    ],
)
def test_an_account_is_the_acs_resource_or_the_mailbox(fields: dict[str, Any], expected: Account | None) -> None:
    """Two senders with one connection string share it; no secret is in its name."""
    chosen = sender(**fields)
    assert account(chosen.transport, chosen, ACS) == expected


def test_a_sender_that_captures_has_no_quota() -> None:
    """Outside production the way out is capture, whatever the sender's transport."""
    assert account("capture", sender(), ACS) is None


def test_asking_acs_for_the_status_has_a_quota_of_its_own() -> None:
    """60 a minute and 200 an hour, or 10 and 20 on a domain of Azure's."""
    assert ACCOUNT.status == Account("acs|example|status", Limits(60, 200))
    assert Account("a", PRESETS["acs-managed"]).status.limits == Limits(10, 20)


async def test_below_the_quota_a_message_goes_at_once_and_above_it_gets_a_slot(pacer: Pacer) -> None:
    """The first that finds the minute full goes when the minute is over; the last fifth is left for the urgent."""
    await full(pacer)
    permit = await pacer.ask(ACCOUNT, Turn.LAST, 1, {}, NOW)
    assert permit.due is not None
    assert MINUTE < permit.due - NOW <= MINUTE + 6 * SECOND
    assert permit.facts.keys() == {SLOT}
    urgent = [await pacer.ask(ACCOUNT, Turn.HIGH, 1, {}, NOW) for _ in range(7)]
    assert [one.due is None for one in urgent] == [True] * 6 + [False]


async def test_at_its_slot_a_message_goes_with_one_look(pacer: Pacer, values: MemoryValues) -> None:
    """Nothing is written; a slot of an earlier attempt is worth nothing."""
    await full(pacer)
    permit = await pacer.ask(ACCOUNT, Turn.LAST, 1, {}, NOW)
    assert permit.due is not None
    values.calls.clear()
    assert (await Pacer(values).ask(ACCOUNT, Turn.LAST, 1, permit.facts, permit.due)).due is None
    assert values.calls == {"read": 1}
    assert (await Pacer(values).ask(ACCOUNT, Turn.LAST, 2, permit.facts, permit.due)).due is None
    assert values.calls == {"read": 2, "write": 1}


async def test_a_message_that_comes_too_late_for_its_slot_asks_again(pacer: Pacer, values: MemoryValues) -> None:
    """After a standstill not everybody goes at once; but somebody goes."""
    await full(pacer)
    permits = [await pacer.ask(ACCOUNT, Turn.LAST, 1, {}, NOW) for _ in range(56)]
    late = NOW + 30 * MINUTE
    again = [await Pacer(values).ask(ACCOUNT, Turn.LAST, 1, permit.facts, late) for permit in permits]
    going = [permit for permit in again if permit.due is None]
    assert 6 <= len(going) <= 30
    assert min(permit.due for permit in again if permit.due) > late


async def test_whoever_keeps_sending_takes_turns_in_advance(pacer: Pacer, values: MemoryValues) -> None:
    """20 messages, one after the other: less than one call for each."""
    for number in range(20):
        permit = await pacer.ask(ACCOUNT, Turn.LAST, 1, {}, NOW + number * SECOND / 10)
        assert permit.due is None
    assert values.calls.total() <= 16


async def test_turns_taken_in_advance_come_back_when_they_were_not_used(pacer: Pacer, values: MemoryValues) -> None:
    """A process that sends a little now and then does not use up more than it sends."""
    for number in range(8):
        for _ in range(10):
            permit = await pacer.ask(ACCOUNT, Turn.LAST, 1, {}, NOW + number * 3 * MINUTE)
            assert permit.due is None
    assert (await pacer.ask(ACCOUNT, Turn.LAST, 1, {}, NOW + 24 * MINUTE)).due is not None


async def test_in_a_crowd_a_message_comes_back_soon(pacer: Pacer, values: MemoryValues) -> None:
    """Every write is lost to somebody else: no slot, and a time spread by chance."""
    await pacer.ask(ACCOUNT, Turn.LAST, 1, {}, NOW)
    values.rivals = TRIES
    values.calls.clear()
    permit = await pacer.ask(ACCOUNT, Turn.HIGH, 1, {}, NOW + MINUTE)
    assert permit == Permit(NOW + MINUTE + timedelta(seconds=sum(CROWDED) / 2))
    assert values.calls["write"] == TRIES
    assert (await pacer.ask(ACCOUNT, Turn.HIGH, 1, permit.facts, NOW + 2 * MINUTE)).due is None


async def test_two_that_write_at_once_both_count(pacer: Pacer, values: MemoryValues) -> None:
    """A lost compare-and-set reads again."""
    await pacer.ask(ACCOUNT, Turn.LAST, 1, {}, NOW)
    values.rivals = TRIES - 1
    assert (await pacer.ask(ACCOUNT, Turn.HIGH, 1, {}, NOW)).due is None


async def test_after_a_refusal_nobody_goes_before_the_provider_wants(pacer: Pacer, values: MemoryValues) -> None:
    """Every worker sees it, the urgent too; the refused one has its slot at the end of the wait."""
    refused = await pacer.pause(ACCOUNT, Turn.LAST, 1, 300.0, NOW)
    assert refused.due is not None
    assert NOW + 300 * SECOND <= refused.due <= NOW + 301 * SECOND
    other = Pacer(values)
    for turn in Turn:
        permit = await other.ask(ACCOUNT, turn, 1, {}, NOW + SECOND)
        assert permit.due is not None
        assert permit.due >= NOW + 300 * SECOND
        assert permit.paused == NOW + 300 * SECOND
    assert (await other.ask(ACCOUNT, Turn.FRONT, 2, refused.facts, refused.due)).due is None


async def test_a_refusal_without_a_wish_pauses_for_a_minute(pacer: Pacer) -> None:
    """The shortest window there is."""
    refused = await pacer.pause(ACCOUNT, Turn.LAST, 1, None, NOW)
    assert refused.paused == NOW + NO_WISH


async def test_a_refusal_moves_everybodys_slot(pacer: Pacer) -> None:
    """Whoever wakes at the old time is told the new one, and keeps his place."""
    await full(pacer)
    waiting = [await pacer.ask(ACCOUNT, Turn.LAST, 1, {}, NOW) for _ in range(3)]
    await pacer.pause(ACCOUNT, Turn.LAST, 1, 600.0, NOW + SECOND)
    moved = [await pacer.ask(ACCOUNT, Turn.LAST, 1, one.facts, one.due or NOW) for one in waiting]
    assert [after.due for after in moved] == [before.due + 600 * SECOND for before in waiting if before.due]
    assert [after.facts for after in moved] == [before.facts for before in waiting]


async def test_a_quota_that_was_raised_holds_for_whoever_comes_now(pacer: Pacer) -> None:
    """Those who wait keep their slots, the new ones do not stand behind them."""
    await full(pacer)
    for _ in range(100):
        await pacer.ask(ACCOUNT, Turn.LAST, 1, {}, NOW)
    raised = Account(ACCOUNT.name, Limits(3000, 100_000))
    assert (await pacer.ask(raised, Turn.LAST, 1, {}, NOW + SECOND)).due is None


# ------------------------------------------------------------------------------------------- sources that take turns


async def test_a_newcomer_of_a_quiet_source_has_the_second_turn(pacer: Pacer, values: MemoryValues) -> None:
    """The flood's second is looked at once more, and goes one slot later; its first goes as it was told."""
    await full(pacer)
    flood = [await pacer.ask(ACCOUNT, Turn.LAST, 1, {}, NOW, "form") for _ in range(50)]
    alert = await pacer.ask(ACCOUNT, Turn.LAST, 1, {}, NOW + SECOND, "alerts")
    assert alert.due == flood[1].due
    values.calls.clear()
    for permit in (flood[0], alert):
        assert permit.due is not None
        assert await Pacer(values).ask(ACCOUNT, Turn.LAST, 1, permit.facts, permit.due) == Permit()
    assert flood[1].due is not None
    later = await Pacer(values).ask(ACCOUNT, Turn.LAST, 1, flood[1].facts, flood[1].due)
    assert later.due == flood[2].due
    assert later.due is not None
    assert await Pacer(values).ask(ACCOUNT, Turn.LAST, 1, later.facts, later.due) == Permit()
    assert values.calls == {"read": 4}


async def test_a_retry_goes_ahead_of_its_source_and_not_of_others(pacer: Pacer) -> None:
    """A flood whose messages are tried again still waits behind itself."""
    await full(pacer)
    form = [await pacer.ask(ACCOUNT, Turn.LAST, 1, {}, NOW, "form") for _ in range(10)]
    crm = [await pacer.ask(ACCOUNT, Turn.LAST, 1, {}, NOW, "crm") for _ in range(2)]
    retries = [await pacer.ask(ACCOUNT, Turn.FRONT, 2, {}, NOW, "form") for _ in range(3)]
    assert [one.due for one in crm] == [form[1].due, form[3].due]
    assert [one.due for one in retries] == [form[0].due, form[2].due, form[4].due]


async def test_whoever_has_nothing_waiting_need_not_wait_for_the_end_of_a_floods_hour(pacer: Pacer) -> None:
    """The flood had the hour's 80 in minutes: half of what is kept for the urgent is left for the others."""
    for number in range(80):
        assert (await pacer.ask(ACCOUNT, Turn.LAST, 1, {}, NOW + number * 3 * SECOND, "form")).due is None
    now = NOW + 10 * MINUTE
    assert await pacer.ask(ACCOUNT, Turn.LAST, 1, {}, now, "form") != Permit()
    going = [await pacer.ask(ACCOUNT, Turn.LAST, 1, {}, now + number * MINUTE, "alerts") for number in range(12)]
    assert [permit.due is None for permit in going] == [True] * 10 + [False] * 2
    urgent = [await pacer.ask(ACCOUNT, Turn.HIGH, 1, {}, now + 20 * MINUTE, "alerts") for _ in range(7)]
    assert [permit.due is None for permit in urgent] == [True] * 6 + [False]
    assert await pacer.ask(ACCOUNT, Turn.LAST, 1, {}, now + 21 * MINUTE, "form") != Permit()


async def test_a_flood_that_has_stopped_has_not_had_the_hour_of_the_others(pacer: Pacer) -> None:
    """Exactly the hour's 80 and nobody waiting: a source that had little goes at once, the flood's next does not."""
    for number in range(80):
        assert (await pacer.ask(ACCOUNT, Turn.LAST, 1, {}, NOW + number * 3 * SECOND, "form")).due is None
    assert await pacer.ask(ACCOUNT, Turn.LAST, 1, {}, NOW + 10 * MINUTE, "alerts") == Permit()
    assert await pacer.ask(ACCOUNT, Turn.LAST, 1, {}, NOW + 11 * MINUTE, "form") != Permit()
    assert await pacer.ask(ACCOUNT, Turn.LAST, 1, {}, NOW + 12 * MINUTE, "crm") == Permit()


async def test_what_is_shared_stays_small_however_many_sources_there_are(pacer: Pacer, values: MemoryValues) -> None:
    """400 sources with the longest names there are, of which each waits in both lanes; a row's property has 64 KiB."""
    for number in range(1_000):
        for turn in (Turn.LAST, Turn.HIGH):
            await pacer.ask(ACCOUNT, turn, 1, {}, NOW + number * SECOND, f"{number % 400:063d}")
    assert max(len(value) for value, _ in values.values.values()) <= 60 * 1024


async def test_what_another_process_exchanged_a_moment_ago_is_seen(pacer: Pacer, values: MemoryValues) -> None:
    """A woken message does not trust what its own process saw before its slot had come."""
    await full(pacer)
    flood = [await pacer.ask(ACCOUNT, Turn.LAST, 1, {}, NOW, "form") for _ in range(2)]
    due = flood[1].due
    assert due is not None
    await pacer.ask(ACCOUNT, Turn.HIGH, 1, {}, due - SECOND / 2, "urgent")
    await Pacer(values).ask(ACCOUNT, Turn.FRONT, 2, {}, due - SECOND / 4, "form")
    assert (await pacer.ask(ACCOUNT, Turn.LAST, 1, flood[1].facts, due)).due is not None


BEFORE = (
    b'{"v":1,"limits":[30,100],"paused":0,"moved":600000000,"ahead":[0,0],'
    b'"lanes":[[[[1772443800000000,24]],[[1772443861000000,2541667,50]]],[[],[]]]}'
)


async def test_what_the_version_before_has_written_counts(pacer: Pacer, values: MemoryValues) -> None:
    """What has been sent counts; who has a slot from then asks again at its time, and no window is exceeded."""
    await values.write("pacing|acs|example", BEFORE, None)
    assert (await pacer.ask(ACCOUNT, Turn.LAST, 1, {}, NOW + SECOND)).due is not None
    sent = [NOW] * 24
    for number in range(50):
        base = 1772443261000000 + number * 2541667
        slot = {SLOT: f"1 {base} 15250002 last"}
        at = NOW + timedelta(seconds=61 + number * 2.541667)
        permit = await pacer.ask(ACCOUNT, Turn.LAST, 1, slot, at)
        assert permit.due is None or permit.due > at
        sent += [at] * (permit.due is None)
    assert len(sent) > 24
    assert [b - a for a, b in zip(sent, sent[24:], strict=False) if b - a < MINUTE] == []


async def test_when_what_is_shared_is_lost_whoever_waits_asks_again(pacer: Pacer, values: MemoryValues) -> None:
    """He neither goes without being counted nor waits for ever."""
    await full(pacer)
    permit = await pacer.ask(ACCOUNT, Turn.LAST, 1, {}, NOW, "form")
    assert permit.due is not None
    values.values.clear()
    values.calls.clear()
    assert await Pacer(values).ask(ACCOUNT, Turn.LAST, 1, permit.facts, permit.due, "form") == Permit()
    assert values.calls == {"read": 2, "write": 1}
