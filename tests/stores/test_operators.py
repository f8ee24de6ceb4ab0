"""Operators' decisions on each store: its verbs come together here, and decide where two persons press at once."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from gateway.address import Address
from gateway.delivery import Delivery
from gateway.errors import Rejected
from gateway.ledger import Entry, Report, Store
from gateway.message import Message, Status
from gateway.operators import Operators
from gateway.transports.capture import Capture
from tests.factories import NOW, make_entry, make_messages
from tests.stores.steps import MINUTE, added, claimed, settlement, state

LATER = NOW + timedelta(hours=1)


def operators(store: Store, at: datetime = LATER) -> Operators:
    """At a time when whatever was added is due."""
    return Operators(store, lambda: at)


async def failed(store: Store) -> Message:
    """A message that its provider refused."""
    message = await added(store)
    assert await store.settle(await claimed(store, message), settlement(Status.FAILED))
    return message


async def code(decision: asyncio.Future[Entry] | asyncio.Task[Entry]) -> str:
    """What became of a decision: "" when it was taken."""
    try:
        await decision
    except Rejected as refusal:
        return refusal.code
    return ""


async def test_a_replay_is_delivered_under_a_key_of_its_own(store: Store) -> None:
    """Which ends as the notification's id does; the attempts go on counting."""
    message = await failed(store)

    await operators(store).replay(message.notification)
    delivery = Delivery(store, lambda *_: Capture(store, lambda: LATER), lambda: LATER)
    assert await delivery.deliver(message.id) is Status.CAPTURED

    kept = await store.captured_one(message.id)
    assert kept is not None
    assert message.operation_id != kept.message.operation_id
    assert message.notification[-1] == kept.message.operation_id[-1]
    assert 2 == (await state(store, message)).attempts


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (Status.BOUNCED, Status.DELIVERED, "partly_arrived"),
        (Status.SUPPRESSED, None, "partly_arrived"),
        (Status.BOUNCED, Status.SUPPRESSED, ""),
    ],
)
async def test_who_has_the_mail_gets_it_again_only_where_the_message_is_named(
    store: Store, first: Status, second: Status | None, expected: str
) -> None:
    """A recipient without a report counts as reached; where nobody has it, all of it goes again."""
    to = (Address(email="Ann@example.com"), Address(email="bob@example.com"))
    message = await added(store, transport="acs", to=to)
    assert await store.settle(await claimed(store, message), settlement(Status.SENT))
    for address, status in zip(to, (first, second), strict=True):
        if status is not None:
            report = Report(operation=message.operation_id, recipient=address.email, status=status, at=LATER)
            assert message.id == await store.report(report)

    unnamed = await code(asyncio.ensure_future(operators(store).replay(message.notification)))

    assert expected == unnamed
    if unnamed:
        assert "" == await code(asyncio.ensure_future(operators(store).replay(message.notification, message.id)))
    assert Status.QUEUED is (await state(store, message)).status


async def test_two_operators_at_once_send_it_again_once(store: Store) -> None:
    """One of them is told that there is nothing to send again."""
    message = await failed(store)

    decisions = [asyncio.ensure_future(operators(store).replay(message.notification)) for _ in range(4)]

    found = sorted([await code(decision) for decision in decisions])
    entry = await store.get(message.notification)
    assert entry is not None
    assert ["", "nothing_to_replay", "nothing_to_replay", "nothing_to_replay"] == found
    assert 1 == [event.event for event in entry.history].count("replayed")


async def test_a_worker_and_an_operator_at_once_do_not_both_win(store: Store) -> None:
    """Either the claim holds and it is too late, or it is cancelled and nobody may send it."""
    for _ in range(5):
        message = await added(store)

        cancelled, claim = await asyncio.gather(
            code(asyncio.ensure_future(operators(store).cancel(message.notification))),
            store.claim(message.id, "worker", NOW, {"capture": MINUTE}),
        )

        stands = (await state(store, message)).status
        assert (cancelled, claim is None, stands) in {
            ("", True, Status.CANCELLED),
            ("too_late", False, Status.SENDING),
        }


async def test_only_some_messages_of_a_notification_are_stopped(store: Store) -> None:
    """Those that wait; the others are as they were."""
    messages = make_messages(3)
    await store.add(make_entry(*messages), messages, NOW)
    await store.settle(await claimed(store, messages[0]), settlement(Status.SENT))
    await claimed(store, messages[1])

    entry = await operators(store).cancel(messages[0].notification)

    assert [Status.SENT, Status.SENDING, Status.CANCELLED] == [message.status for message in entry.messages]
