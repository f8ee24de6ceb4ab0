"""What every store promises about the end of a claim, and about what is due; the store comes from conftest.py."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from gateway.ledger import Due, Store
from gateway.message import Priority, Status
from tests.factories import NOW, make_entry, make_messages
from tests.stores.conftest import Place
from tests.stores.steps import LEASES, MINUTE, added, claimed, settlement, state


async def test_a_final_word_ends_the_message(store: Store) -> None:
    """What is sent is neither due nor claimable ever again."""
    message = await added(store)

    settled = await store.settle(await claimed(store, message), settlement(provider_id="p1"))

    assert settled is True
    assert await store.due(NOW + 100 * MINUTE, 10) == []
    assert await store.claim(message.id, "me", NOW + 100 * MINUTE, LEASES) is None
    assert (await state(store, message)).status == Status.SENT


async def test_a_deferred_message_comes_back_at_its_time(store: Store) -> None:
    """The next claim knows why, and that nothing is in doubt."""
    message = await added(store)
    again = settlement(Status.DEFERRED, reason="throttled", due=NOW + MINUTE)

    await store.settle(await claimed(store, message), again)

    shown = await state(store, message)
    assert (shown.status, shown.reason, shown.attempts) == (Status.DEFERRED, "throttled", 1)
    assert await store.claim(message.id, "me", NOW + MINUTE - timedelta(milliseconds=1), LEASES) is None
    claim = await claimed(store, message, at=NOW + MINUTE)
    assert (claim.attempt, claim.last_reason, claim.unresolved, claim.submitted) == (2, "throttled", False, None)


async def test_doubt_lasts_until_somebody_resolves_it(store: Store) -> None:
    """A maybe keeps the moment of the first submission through every reconciliation; a no ends it."""
    message = await added(store)
    doubt = {"reason": "connection_lost", "unresolved": True}
    await store.settle(await claimed(store, message), settlement(Status.DEFERRED, due=NOW + MINUTE, **doubt))

    second = await claimed(store, message, at=NOW + MINUTE)
    await store.settle(second, settlement(Status.DEFERRED, due=NOW + 2 * MINUTE, **doubt))
    third = await claimed(store, message, at=NOW + 2 * MINUTE)
    await store.settle(third, settlement(Status.DEFERRED, due=NOW + 3 * MINUTE, reason="not_found"))
    fourth = await claimed(store, message, at=NOW + 3 * MINUTE)
    fifth = await claimed(store, message, at=NOW + 4 * MINUTE)

    assert [(claim.unresolved, claim.submitted) for claim in (second, third, fourth, fifth)] == [
        (True, NOW),
        (True, NOW),
        (False, None),
        (True, NOW + 3 * MINUTE),
    ]
    assert [claim.last_reason for claim in (second, third, fourth)] == [
        "connection_lost",
        "connection_lost",
        "not_found",
    ]


async def test_a_claim_is_settled_once(store: Store) -> None:
    """The first word counts."""
    message = await added(store)
    claim = await claimed(store, message)

    words = [await store.settle(claim, settlement(status)) for status in (Status.SENT, Status.FAILED)]

    assert words == [True, False]
    assert (await state(store, message)).status == Status.SENT


async def test_a_settled_claim_records_nothing(store: Store) -> None:
    """After its end a claim is no claim."""
    message = await added(store)
    claim = await claimed(store, message)
    await store.settle(claim, settlement(Status.DEFERRED, due=NOW))

    assert await store.record(claim, {"draft": "late"}) is None
    assert (await claimed(store, message)).facts == {}


async def test_facts_are_there_for_the_next_attempt(place: Place) -> None:
    """What the fence recorded survives the worker, and more facts join the first."""
    store = await place.open()
    message = await added(store)
    first = await store.record(await claimed(store, message), {"draft": "d/1", "note": "ü"})
    assert first is not None
    second = await store.record(first, {"issued": "yes", "note": "changed"})
    assert second is not None

    store = await place.reopen()
    claim = await claimed(store, message, at=NOW + MINUTE)

    assert first.facts == {"draft": "d/1", "note": "ü"}
    assert second.facts == claim.facts == {"draft": "d/1", "issued": "yes", "note": "changed"}


async def test_a_claim_that_recorded_can_settle(store: Store) -> None:
    """The claim that `record` returns is the one that goes on."""
    message = await added(store)
    claim = await store.record(await claimed(store, message), {"draft": "d1"})
    assert claim is not None

    assert await store.settle(claim, settlement()) is True


async def test_a_settlement_brings_its_facts(store: Store) -> None:
    """In the same write; they join what the fence recorded."""
    message = await added(store)
    claim = await store.record(await claimed(store, message), {"draft": "d1", "note": "old"})
    assert claim is not None

    await store.settle(claim, settlement(Status.DEFERRED, due=NOW, facts={"paused": "5", "note": "new"}))

    assert (await claimed(store, message)).facts == {"draft": "d1", "note": "new", "paused": "5"}


async def test_a_claim_that_tried_nothing_is_no_attempt(store: Store) -> None:
    """A message that had to wait for its turn has lost nothing by it."""
    message = await added(store)
    for _ in range(3):
        claim = await claimed(store, message)
        waits = settlement(Status.DEFERRED, reason="paced", due=NOW, untried=True, unresolved=True)
        assert await store.settle(claim, waits) is True

    shown = await state(store, message)
    last = await claimed(store, message, at=NOW + MINUTE)

    assert (shown.status, shown.reason, shown.attempts) == (Status.DEFERRED, "paced", 0)
    assert (last.attempt, last.unresolved, last.submitted, last.last_reason) == (1, False, None, "paced")


async def test_a_claim_that_tried_nothing_leaves_the_doubt_as_it_was(store: Store) -> None:
    """Whether the attempt before it was accepted is still to be asked."""
    message = await added(store)
    await store.settle(await claimed(store, message), settlement(Status.DEFERRED, due=NOW + MINUTE, unresolved=True))
    second = await claimed(store, message, at=NOW + MINUTE)

    await store.settle(second, settlement(Status.DEFERRED, due=NOW + MINUTE, untried=True))

    third = await claimed(store, message, at=NOW + 2 * MINUTE)
    assert (second.attempt, third.attempt, third.unresolved, third.submitted) == (2, 2, True, NOW)


async def test_a_claim_is_over_although_the_next_has_its_number(store: Store) -> None:
    """The attempt that is given back counts again; the old claim must not speak for the new one."""
    message = await added(store)
    first = await claimed(store, message)
    await store.settle(first, settlement(Status.DEFERRED, due=NOW, untried=True))
    second = await claimed(store, message)

    assert (first.attempt, second.attempt) == (1, 1)
    assert await store.record(first, {"draft": "late"}) is None
    assert await store.settle(first, settlement(Status.FAILED)) is False
    assert await store.settle(second, settlement()) is True
    assert (await state(store, message)).status == Status.SENT


async def test_the_history_tells_every_settlement_in_order(store: Store) -> None:
    """Accepted, each settlement with its reason, the messages between each other by time."""
    first, second = make_messages(2)
    await store.add(make_entry(first, second), [first, second], NOW)
    later = settlement(Status.DEFERRED, reason="throttled", due=NOW + MINUTE, at=NOW + timedelta(seconds=2))
    await store.settle(await claimed(store, first), later)
    await store.settle(await claimed(store, second), settlement(at=NOW + timedelta(seconds=1)))
    await store.settle(
        await claimed(store, first, at=NOW + MINUTE), settlement(Status.FAILED, reason="refused", at=NOW + MINUTE)
    )

    entry = await store.get(first.notification)

    assert entry is not None
    assert [(event.event, event.message, event.reason, event.at - NOW) for event in entry.history] == [
        ("accepted", "", "", timedelta()),
        ("sent", second.id, "", timedelta(seconds=1)),
        ("deferred", first.id, "throttled", timedelta(seconds=2)),
        ("failed", first.id, "refused", MINUTE),
    ]
    assert (entry.status, [state.status for state in entry.messages]) == (Status.FAILED, [Status.FAILED, Status.SENT])


async def test_two_messages_of_one_notification_are_settled_at_once(store: Store) -> None:
    """Siblings never cost each other their word."""
    messages = make_messages(8)
    await store.add(make_entry(*messages), messages, NOW)

    async def deliver(number: int) -> bool:
        return await store.settle(await claimed(store, messages[number]), settlement())

    assert await asyncio.gather(*(deliver(number) for number in range(8))) == [True] * 8
    entry = await store.get(messages[0].notification)
    assert entry is not None
    assert [state.status for state in entry.messages] == [Status.SENT] * 8


# ------------------------------------------------------------------------------------------------------------- due


async def test_due_is_oldest_first_and_no_more_than_asked(store: Store) -> None:
    """The sweep rings for what waits longest; what is not due yet is no business of its."""
    minutes = [3, 1, 5, 2, 4, 9]
    messages = {m: await added(store, due=NOW + m * MINUTE, priority="high" if m == 2 else "normal") for m in minutes}

    found = await store.due(NOW + 5 * MINUTE, 4)

    assert list(found) == [
        Due(messages[minute].id, Priority.HIGH if minute == 2 else Priority.NORMAL, NOW + minute * MINUTE)
        for minute in (1, 2, 3, 4)
    ]
    assert len(await store.due(NOW + 5 * MINUTE, 100)) == 5
    assert await store.due(NOW, 100) == []


async def test_a_claimed_message_is_due_when_its_claim_ends(store: Store) -> None:
    """So a crash is noticed by the sweep, and a worker at work is left alone."""
    message = await added(store)
    await claimed(store, message)

    assert await store.due(NOW + MINUTE - timedelta(milliseconds=1), 10) == []
    assert [due.id for due in await store.due(NOW + MINUTE, 10)] == [message.id]


async def test_a_restart_forgets_nothing_that_is_due(place: Place) -> None:
    """Doorbells may be lost; the ledger knows."""
    store = await place.open()
    messages = [await added(store, due=NOW + timedelta(seconds=number)) for number in range(20)]

    store = await place.reopen()

    assert [due.id for due in await store.due(NOW + MINUTE, 100)] == [message.id for message in messages]


async def test_a_ring_changes_nothing_in_the_ledger(store: Store) -> None:
    """A doorbell only says "look", and may say it of anything."""
    message = await added(store)
    before = await store.get(message.notification)

    for id, at in ((message.id, NOW), (message.id, NOW), ("nobody-1", NOW), (message.id, NOW + 60 * MINUTE)):
        await store.ring(id, Priority.HIGH, at, NOW)

    assert await store.get(message.notification) == before
    assert [due.id for due in await store.due(NOW, 10)] == [message.id]
