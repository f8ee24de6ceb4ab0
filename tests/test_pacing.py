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
