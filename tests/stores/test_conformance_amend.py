"""What every store promises about a change without a claim; the store comes from conftest.py."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from gateway.errors import Rejected
from gateway.ledger import Amendment, MessageState, Store
from gateway.message import Message, Status
from tests.factories import NOW, make_attachment, make_entry, make_message, make_messages, operation_like
from tests.stores.conftest import Place
from tests.stores.steps import LEASES, MINUTE, added, claimed, listed, settlement, state

WAITING = {Status.QUEUED, Status.DEFERRED}
LATER = NOW + MINUTE


def amendment(status: Status, *allowed: Status, **overrides: object) -> Amendment:
    """A decision, by default about what waits."""
    values = {"allowed": set(allowed) or WAITING, "status": status, "event": status.value, "at": NOW, **overrides}
    return Amendment.model_validate(values)


REPLAY = amendment(Status.QUEUED, Status.FAILED, Status.UNKNOWN, event="replayed", at=LATER)


async def failed(store: Store, **overrides: object) -> Message:
    """A message that was refused."""
    message = await added(store, NOW, **overrides)
    claim = await store.record(await claimed(store, message), {"draft": "d1"})
    assert claim is not None
    await store.settle(claim, settlement(Status.FAILED, reason="refused"))
    return message


async def test_a_waiting_message_is_stopped_for_good(store: Store) -> None:
    """Neither due nor claimable, and shown as what it is, with the reason."""
    message = await added(store)

    before = await store.amend(message.id, amendment(Status.CANCELLED, reason="wrong_list", at=LATER))

    shown = await state(store, message)
    assert (before, shown.status, shown.reason) == (Status.QUEUED, Status.CANCELLED, "wrong_list")
    assert await store.due(NOW + 100 * MINUTE, 10) == []
    assert await store.claim(message.id, "me", NOW + 100 * MINUTE, LEASES) is None
    entry = await store.get(message.notification)
    assert entry is not None
    assert [(event.event, event.at, event.reason) for event in entry.history[1:]] == [
        ("cancelled", LATER, "wrong_list")
    ]
    assert await listed(store, "cancelled") == [message.notification]


async def test_nothing_changes_where_the_message_stands_elsewhere(store: Store) -> None:
    """The caller is told where it stands."""
    message = await failed(store)
    before = await store.get(message.notification)

    assert await store.amend(message.id, amendment(Status.CANCELLED)) == Status.FAILED
    assert await store.get(message.notification) == before


@pytest.mark.parametrize("id", ["", "nobody", "nobody-1", "-1", "a/b#c?d\\e-1", "x-2", "x-01", "x-²"])
async def test_no_message_is_told_from_a_change_that_was_made(store: Store, id: str) -> None:
    """Whatever an operator typed."""
    await added(store, notification="x")

    assert await store.amend(id, amendment(Status.CANCELLED)) is None


async def test_a_failed_message_is_sent_once_more(place: Place) -> None:
    """At its time, with a new provider key, without doubt and without the old facts; its attempts are kept."""
    store = await place.open()
    message = await failed(store, transport="acs")
    key = operation_like(message)
    again = REPLAY.model_copy(update={"due": LATER, "operation_id": key})

    before = await store.amend(message.id, again)

    store = await place.reopen()
    shown = await state(store, message)
    assert (before, shown.status, shown.reason, shown.attempts) == (Status.FAILED, Status.QUEUED, "", 1)
    assert await store.claim(message.id, "me", LATER - timedelta(milliseconds=1), LEASES) is None
    assert [due.id for due in await store.due(LATER, 10)] == [message.id]
    claim = await claimed(store, message, at=LATER)
    assert claim.message == message.model_copy(update={"operation_id": key})
    assert (claim.attempt, claim.unresolved, claim.submitted, claim.facts) == (2, False, None, {})
    assert await store.settle(claim, settlement(at=LATER)) is True
    assert [await listed(store, status) for status in ("failed", "sent")] == [[], [message.notification]]


async def test_a_message_may_keep_its_key(store: Store) -> None:
    """So that a provider that remembers it does not send twice."""
    message = await added(store, transport="acs")
    await store.settle(await claimed(store, message), settlement(Status.UNKNOWN, unresolved=True))

    await store.amend(message.id, REPLAY)

    claim = await claimed(store, message, at=LATER)
    assert (claim.message, claim.unresolved) == (message, False)


async def test_a_large_message_is_sent_once_more(store: Store) -> None:
    """Its content lies elsewhere, and stays there."""
    message = await failed(store, attachments=(make_attachment(content=bytes(range(256)) * 1200),))

    await store.amend(message.id, REPLAY)

    assert (await claimed(store, message, at=LATER)).message == message


async def test_a_worker_loses_a_message_that_is_stopped_meanwhile(store: Store) -> None:
    """Its word comes too late, and so does what it wanted to record."""
    message = await added(store)
    claim = await claimed(store, message)

    before = await store.amend(message.id, amendment(Status.CANCELLED, Status.SENDING))

    assert before == Status.SENDING
    assert await store.record(claim, {"draft": "late"}) is None
    assert await store.settle(claim, settlement()) is False
    assert (await state(store, message)).status == Status.CANCELLED


async def test_a_worker_loses_a_message_that_is_queued_again(store: Store) -> None:
    """The next claim is another one."""
    message = await added(store)
    claim = await claimed(store, message)

    await store.amend(message.id, amendment(Status.QUEUED, Status.SENDING, due=NOW))

    assert await store.settle(claim, settlement()) is False
    second = await claimed(store, message)
    assert await store.settle(claim, settlement()) is False
    assert await store.settle(second, settlement()) is True


async def test_of_twenty_decisions_at_once_one_is_made(place: Place) -> None:
    """Two operators in two processes: all others see that it is no longer where they thought."""
    stores = [await place.open(), await place.open()]
    message = await failed(stores[0])

    found = await asyncio.gather(*(stores[number % 2].amend(message.id, REPLAY) for number in range(20)))

    assert sorted(found, key=str) == [Status.FAILED] + [Status.QUEUED] * 19
    entry = await stores[0].get(message.notification)
    assert entry is not None
    assert [event.event for event in entry.history] == ["accepted", "failed", "replayed"]


async def test_an_operator_and_a_worker_cannot_both_win(place: Place) -> None:
    """A message is stopped or taken, never both."""
    stores = [await place.open(), await place.open()]
    messages = [await added(stores[0]) for _ in range(10)]

    for message in messages:
        claim, before = await asyncio.gather(
            stores[0].claim(message.id, "me", NOW, LEASES), stores[1].amend(message.id, amendment(Status.CANCELLED))
        )
        assert (claim is None, before) in {(True, Status.QUEUED), (False, Status.SENDING)}


async def test_a_held_message_is_let_go_and_siblings_stay(store: Store) -> None:
    """As a group is flushed: one waits from now on, the other was never meant to go alone."""
    first, second = make_messages(2)
    held = [
        MessageState(id=message.id, to=message.to, sender=message.sender, status=Status.HELD)
        for message in (first, second)
    ]
    await store.add(make_entry(first, second, messages=held), [first, second], NOW)

    await store.amend(first.id, amendment(Status.QUEUED, Status.HELD, due=LATER))
    await store.amend(second.id, amendment(Status.GROUPED, Status.HELD))

    assert [due.id for due in await store.due(LATER, 10)] == [first.id]
    assert [(await state(store, message)).status for message in (first, second)] == [Status.QUEUED, Status.GROUPED]


async def test_what_was_cleared_cannot_be_sent_again(store: Store) -> None:
    """There is nothing left to send, which its operator is told; another end may still be decided."""
    message = await failed(store)
    await store.purge(bodies=LATER, ledger=NOW, captured=NOW)

    with pytest.raises(Rejected) as refusal:
        await store.amend(message.id, REPLAY)

    assert (refusal.value.status, refusal.value.code) == (409, "content_gone")
    assert (await state(store, message)).status == Status.FAILED
    assert await store.amend(message.id, amendment(Status.CANCELLED, Status.FAILED, at=LATER)) == Status.FAILED
    assert await store.purge(bodies=NOW, ledger=LATER + MINUTE, captured=NOW) == 1
    assert await store.get(message.notification) is None


@pytest.mark.parametrize("kind", ["bodies", "ledger"])
async def test_retention_begins_anew_where_a_message_ends_anew(store: Store, kind: str) -> None:
    """What was taken up again is kept; what ended again goes after that time, with all that was written for it."""
    message = await failed(store, transport="acs")
    for number in range(3):
        again = REPLAY.model_copy(update={"operation_id": operation_like(message, number)})
        await store.amend(message.id, again)
        assert await store.purge(**{"bodies": NOW, "ledger": NOW, "captured": NOW, kind: LATER}) == 0
        claim = await claimed(store, message, at=LATER)
        await store.settle(claim, settlement(Status.FAILED, at=LATER + MINUTE))

    counts = [
        await store.purge(**{"bodies": NOW, "ledger": NOW, "captured": NOW, kind: LATER + after})
        for after in (MINUTE, 2 * MINUTE)
    ]

    assert counts == [0, 1]
    await store.purge(bodies=NOW, ledger=LATER + 9 * MINUTE, captured=NOW)
    fresh = make_message(notification=message.notification, transport="acs", operation_id=message.operation_id)
    assert await store.add(make_entry(fresh), [fresh], NOW) is None
