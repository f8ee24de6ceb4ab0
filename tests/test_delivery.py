"""Delivery on a real store in virtual time: quotas, failover and suppressions, as ledger and providers see them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.address import Address
from gateway.errors import Reason, StoreUnavailable, TransportError
from gateway.ledger import Report
from gateway.message import Message, NotFound, Priority, Status
from gateway.operators import Operators
from gateway.pacing import Account
from gateway.pacing.lanes import Limits
from gateway.suppressions import Suppressions
from gateway.ways import Way
from tests.deliveries import SENT, WAYS, Answer, Call, VirtualStore, World, maybe, no
from tests.factories import NOW, make_message

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """An empty store in a file of its own."""
    store = await VirtualStore.open(tmp_path / "gateway.db")
    assert isinstance(store, VirtualStore)
    yield World(store)
    await store.close()


def by_acs(**fields: object) -> Message:
    """One message of the sender `noreply`."""
    return make_message(**{"transport": "acs", "sender": "noreply", **fields})


def way(minute: int, hour: int) -> dict[str, Way]:
    """The only sender, with this quota and no fallback."""
    account = Account("acs|main", Limits(minute, hour))
    return {"noreply": Way("acs", Address(email="noreply@example.com"), account)}


def to(*names: str) -> tuple[Address, ...]:
    """Addresses of example.com."""
    return tuple(Address(email=f"{name}@example.com") for name in names)


# --------------------------------------------------------------------------------------------------------- pacing


async def test_a_burst_drains_at_the_quotas_rate_and_each_message_is_looked_at_twice(world: World) -> None:
    """60 messages at 10 a minute and 40 an hour, four workers: none refused, one attempt each, the urgent one first."""
    entries = [await world.accept(by_acs()) for _ in range(60)]
    world.now = NOW + SECOND
    urgent = await world.accept(by_acs(priority=Priority.HIGH))
    await world.run(workers=4)
    assert len(world.calls) == 61
    assert max(world.looks.values()) == 2
    sent = sorted(call.at for call in world.calls)
    for window, limit in ((MINUTE, 10), (HOUR, 40)):
        assert not [1 for a, b in zip(sent, sent[limit:], strict=False) if b - a < window]
    first = next(call for call in world.calls if call.message.notification == urgent.id)
    assert first.at == NOW + SECOND
    states = [(await world.shown(entry)).messages[0] for entry in entries]
    assert {(state.status, state.attempts) for state in states} == {(Status.SENT, 1)}


async def test_a_flood_of_one_source_puts_back_neither_an_urgent_message_of_another_nor_an_ordinary_one(
    world: World,
) -> None:
    """100 of a form at 10 a minute and 40 an hour: an alert goes at once, a warning has the second turn there is."""
    form = [await world.accept(by_acs(source="form")) for _ in range(100)]
    await world.run(until=SECOND)
    world.now = NOW + SECOND
    urgent = await world.accept(by_acs(source="alerts", priority=Priority.HIGH))
    warning = await world.accept(by_acs(source="alerts"))
    await world.run(workers=4)
    sent = {call.message.notification: call.at for call in world.calls}
    assert sent[urgent.id] == NOW + SECOND
    assert sum(sent[entry.id] > NOW + SECOND and sent[entry.id] < sent[warning.id] for entry in form) == 1
    assert len(world.calls) == 102
    assert (world.looks[f"{urgent.id}-1"], world.looks[f"{warning.id}-1"]) == (1, 2)
    assert max(world.looks.values()) <= 4
    for window, limit in ((MINUTE, 10), (HOUR, 40)):
        times = sorted(sent.values())
        assert not [1 for a, b in zip(times, times[limit:], strict=False) if b - a < window]


async def test_a_message_that_waits_for_its_turn_says_so(world: World) -> None:
    """Deferred, paced, and no attempt."""
    entries = [await world.accept(by_acs()) for _ in range(9)]
    await world.run(until=SECOND)
    state = (await world.shown(entries[-1])).messages[0]
    assert (state.status, state.reason, state.attempts) == (Status.DEFERRED, Reason.PACED, 0)
    assert (await world.shown(entries[-1])).history[-1].event == "deferred"


async def test_a_message_below_the_quota_costs_few_calls_for_shared_values(world: World) -> None:
    """With add, claim and settle, which cost five on Azure, it stays at six on the average."""
    world.ways = way(30, 100)
    for number in range(20):
        await world.accept(by_acs(to=to(f"user{number}")))
    await world.run()
    assert len(world.calls) == 20
    assert world.store.calls.total() / 20 <= 1


async def test_after_a_429_nobody_submits_before_the_provider_wants(world: World) -> None:
    """One refusal for the whole window; the refused message goes next, and its wait is no doubt."""
    world.answers["noreply"] = [SENT, no(Reason.THROTTLED, 600.0)]
    entries = [await world.accept(by_acs()) for _ in range(20)]
    await world.run(workers=3)
    later = [call.at for call in world.calls[2:]]
    assert min(later) >= NOW + 600 * SECOND
    assert world.calls[2].message.id == world.calls[1].message.id
    assert len(world.calls) == 21
    assert [(await world.shown(entry)).status for entry in entries] == [Status.SENT] * 20


async def test_messages_behind_a_quota_for_days_are_not_given_up(world: World) -> None:
    """A week and more behind ten an hour, and then a fault or two: they still arrive."""
    world.ways = way(1, 1)
    entries = [await world.accept(by_acs()) for _ in range(200)]
    world.decide = lambda call: maybe(Reason.PROVIDER_ERROR) if call.attempt == 1 else SENT
    await world.run()
    assert world.now - NOW > timedelta(days=8)
    assert {(await world.shown(entry)).status for entry in entries} == {Status.SENT}


async def test_questions_to_acs_have_a_quota_of_their_own(world: World) -> None:
    """30 messages in doubt: their questions keep to twice the quota of sending; a paced question stays in doubt."""
    times = []

    def answer(call: Call) -> Answer:
        if call.what == "send":
            return maybe(Reason.PROVIDER_ERROR)
        times.append(call.at)
        return SENT

    world.decide = answer
    entries = [await world.accept(by_acs()) for _ in range(90)]
    await world.run()
    times.sort()
    for window, limit in ((MINUTE, 20), (HOUR, 80)):
        assert not [1 for a, b in zip(times, times[limit:], strict=False) if b - a < window]
    assert {(await world.shown(entry)).status for entry in entries} == {Status.SENT}
    assert [call.what for call in world.calls].count("send") == 90


async def test_storage_that_fails_before_a_submission_leaves_no_doubt(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing has left, so the message is tried again and no provider is asked."""
    entry = await world.accept(by_acs())

    async def failing(key: str) -> None:
        raise StoreUnavailable(key)

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "read", failing)
        await world.run(until=SECOND)
    assert (await world.shown(entry)).messages[0].reason == Reason.PACED
    await world.run()
    assert [(call.what, call.attempt) for call in world.calls] == [("send", 1)]


# ------------------------------------------------------------------------------------------------------- failover

LASTING: dict[str, tuple[list[Answer], int]] = {
    "no token, for good": ([no(Reason.NO_CREDENTIAL, permanent=True)], 1),
    "refused credentials": ([no(Reason.UNAUTHORIZED)] * 6, 6),
    "no token five times": ([no(Reason.NO_CREDENTIAL)] * 5, 5),
    "nobody listens": ([no(Reason.UNREACHABLE)] * 5, 5),
    "a quota for hours": ([no(Reason.THROTTLED, 7200.0)], 1),
}


@pytest.mark.parametrize("case", LASTING)
async def test_a_no_that_lasts_hands_the_message_to_the_fallback(world: World, case: str) -> None:
    """At once by its transport and From, with attempts and facts of its own; the history says why and who."""
    answers, tries = LASTING[case]
    world.answers["noreply"] = list(answers)
    entry = await world.accept(by_acs())
    await world.run()
    assert [call.message.sender for call in world.calls] == ["noreply"] * tries + ["helpdesk"]
    last = world.calls[-1]
    assert (last.message.transport, last.message.from_, last.attempt) == ("graph", WAYS["helpdesk"].from_, 1)
    assert (last.facts, last.message.operation_id) == ({}, world.calls[0].message.operation_id)
    assert last.at == world.calls[-2].at
    shown = await world.shown(entry)
    failed_over = next(event for event in shown.history if event.event == "failed_over")
    assert isinstance(answers[-1], TransportError)
    assert failed_over.reason == f"{answers[-1].reason}:helpdesk"
    assert (shown.status, shown.messages[0].attempts) == (Status.SENT, tries + 1)


async def test_who_waits_for_a_paused_account_is_handed_over_too(world: World) -> None:
    """After a refusal for hours nobody else tries the account that refused."""
    world.answers["noreply"] = [no(Reason.THROTTLED, 7200.0)]
    for _ in range(12):
        await world.accept(by_acs())
    await world.run(until=HOUR / 2)
    senders = [call.message.sender for call in world.calls]
    assert (senders.count("noreply"), senders.count("helpdesk")) == (1, 12)


NOT_LASTING: dict[str, list[Answer]] = {
    "a quota for a minute": [no(Reason.THROTTLED, 60.0)],
    "refused for its content": [no(Reason.REFUSED, permanent=True)],
    "nobody knows, for ever": [maybe()] * 500,
    "nobody knows, then no token to ask with": [maybe(), *([no(Reason.NO_CREDENTIAL)] * 500)],
    "refused credentials twice": [no(Reason.UNAUTHORIZED)] * 2,
    "reached every other time": [no(Reason.UNREACHABLE), maybe(Reason.PROVIDER_ERROR), NotFound()] * 6,
}


@pytest.mark.parametrize("case", NOT_LASTING)
async def test_anything_else_never_fails_over(world: World, case: str) -> None:
    """Never on a maybe, and never while it is unresolved."""
    world.answers["noreply"] = list(NOT_LASTING[case])
    await world.accept(by_acs())
    await world.run()
    assert {call.message.sender for call in world.calls} == {"noreply"}


async def test_a_fallback_that_leaves_doubt_is_asked_itself_and_nobody_takes_over_again(world: World) -> None:
    """Reconcile goes the way of the submission; the fallback's own failure is final."""
    world.answers["noreply"] = [no(Reason.UNAUTHORIZED, permanent=True)]
    world.answers["helpdesk"] = [maybe(), NotFound(), no(Reason.UNAUTHORIZED, permanent=True)]
    entry = await world.accept(by_acs())
    await world.run()
    assert [(call.what, call.message.sender) for call in world.calls] == [
        ("send", "noreply"),
        ("send", "helpdesk"),
        ("ask", "helpdesk"),
        ("send", "helpdesk"),
    ]
    assert [call.facts for call in world.calls[2:]] == [{"draft": "draft of graph"}] * 2
    assert (await world.shown(entry)).status == Status.FAILED


async def test_a_fallback_that_is_gone_is_not_replaced_while_there_is_doubt(world: World) -> None:
    """The configuration was changed meanwhile: nobody can ask, so a person decides; without doubt its own goes on."""
    entries = []
    for answers in ([maybe()], [no(Reason.UNREACHABLE)]):
        world.answers = {"noreply": [no(Reason.UNAUTHORIZED, permanent=True)], "helpdesk": list(answers)}
        entries.append(await world.accept(by_acs()))
        await world.run(until=SECOND)
    world.ways = {"noreply": WAYS["noreply"]}
    await world.run()
    assert [(await world.shown(entry)).status for entry in entries] == [Status.UNKNOWN, Status.SENT]
    assert world.calls[-1].message.sender == "noreply"


# --------------------------------------------------------------------------------------------------- suppressions


async def test_a_message_to_suppressed_addresses_only_is_not_sent(world: World) -> None:
    """Suppressed is final, says why, and names each recipient."""
    await Suppressions(world.store).add("ANN@example.com", "hard_bounce", NOW)
    entry = await world.accept(by_acs(to=to("Ann")))
    await world.run()
    shown = (await world.shown(entry)).messages[0]
    assert world.calls == []
    assert (shown.status, shown.attempts) == (Status.SUPPRESSED, 0)
    assert [(one.email, one.status, one.reason) for one in shown.recipients] == [
        ("ann@example.com", Status.SUPPRESSED, "hard_bounce")
    ]


async def test_the_others_get_the_same_bytes_at_every_try(world: World) -> None:
    """Suppressed recipients are left out before the first submission, and the message shows the worst of them."""
    listed = Suppressions(world.store)
    await listed.add("ann@example.com", "hard_bounce", NOW)
    world.answers["noreply"] = [no(Reason.UNREACHABLE), SENT]
    entry = await world.accept(by_acs(to=to("ann", "bob"), cc=to("Ann", "carl"), bcc=to("dora")))
    await world.run(until=SECOND)
    await listed.remove("ann@example.com")
    await listed.add("bob@example.com", "hard_bounce", NOW)
    await world.run()
    first, second = (call.message for call in world.calls)
    assert (first.to, first.cc, first.bcc) == (to("bob"), to("carl"), to("dora"))
    assert first == second
    shown = (await world.shown(entry)).messages[0]
    assert (shown.status, [one.email for one in shown.recipients]) == (Status.SUPPRESSED, ["ann@example.com"])


async def test_a_copy_may_take_the_place_of_the_last_recipient_but_a_blind_copy_never(world: World) -> None:
    """ACS wants at least one `to`; who was promised to be invisible stays so."""
    await Suppressions(world.store).add("ann@example.com", "hard_bounce", NOW)
    await world.accept(by_acs(to=to("ann"), cc=to("bob")))
    await world.accept(by_acs(to=to("ann"), bcc=to("bob", "carl")))
    await world.run()
    seen = [(call.message.to, call.message.cc, call.message.bcc) for call in world.calls]
    assert seen == [(to("bob"), (), ()), (to("ann"), (), to("bob", "carl"))]


async def test_a_storm_reads_the_list_once_a_minute(world: World) -> None:
    """Not once for each message."""
    world.ways = {}
    for number in range(40):
        await world.accept(by_acs(to=to(f"user{number}")))
    await world.run()
    assert world.store.calls == {"read": 1}


# -------------------------------------------------------------------------------------------------------- reports


async def test_a_report_that_was_faster_than_a_lost_answer_spares_the_question(world: World) -> None:
    """The provider reports on what it took: a "not found" after that must not lead to a second submission."""
    world.answers = {"noreply": [maybe(), NotFound()]}
    message = by_acs()
    entry = await world.accept(message)
    await world.run(until=timedelta())
    address = message.to[0].email
    await world.store.report(
        Report(operation=message.operation_id, recipient=address, status=Status.DELIVERED, at=world.now)
    )

    await world.run()

    assert ["send"] == [call.what for call in world.calls]
    assert Status.DELIVERED == (await world.shown(entry)).status


# --------------------------------------------------------------------------------------------------------- replay


async def test_a_message_that_was_given_up_gets_all_its_tries_again(world: World) -> None:
    """An operator sends it again after an outage of two days; the first fault must not be its last."""
    world.decide = lambda _: no(Reason.UNREACHABLE)
    entry = await world.accept(by_acs())
    await world.run(until=timedelta(days=2))
    failed = await world.shown(entry)
    world.now = NOW + timedelta(days=3)
    world.answers, world.decide = {"noreply": [no(Reason.UNREACHABLE)] * 3}, None

    await Operators(world.store, lambda: world.now).replay(entry.id)
    await world.run()

    assert (Status.FAILED, Status.SENT) == (failed.status, (await world.shown(entry)).status)
