"""What every store promises about a message: add, claim, record, settle, due; the store comes from conftest.py."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from gateway.address import Address, one_line
from gateway.ledger import MessageState, Store
from gateway.message import Priority, Status
from tests.factories import NOW, make_attachment, make_entry, make_message, make_messages
from tests.stores.conftest import Place
from tests.stores.steps import LEASES, MINUTE, added, claimed, settlement, state

NAUGHTY = (
    "Grüße, 世界 🎉 \u202eabc\u202c \x00\x01\x7f \r\n\t 'quoted' \"double\" \\ % _ ; -- <b>&amp;</b> \u2028 \ufeff"
)


# ------------------------------------------------------------------------------------------------------------- add


async def test_a_new_notification_shows_its_messages_as_queued(store: Store) -> None:
    """What was added is there, with its history begun."""
    first, second = make_messages(2, sender="noreply")
    entry = make_entry(first, second, digest="d1", unmapped=True, title="Title")

    result = await store.add(entry, [first, second], NOW)

    found = await store.get(entry.id)
    assert result is None
    assert found is not None
    assert found.messages == tuple(
        MessageState(id=message.id, to=message.to, sender="noreply", status=Status.QUEUED)
        for message in (first, second)
    )
    assert [(event.at, event.event, event.message) for event in found.history] == [(NOW, "accepted", "")]
    assert found.model_copy(update={"messages": (), "history": ()}) == entry
    assert found.status == Status.QUEUED


async def test_a_notification_without_messages_keeps_its_own_status(store: Store) -> None:
    """A dead letter is visible although nothing of it can be sent."""
    entry = make_entry(source="queue", own=Status.FAILED, reason="not JSON")

    await store.add(entry, [], NOW)

    found = await store.get(entry.id)
    assert found is not None
    assert (found.status, found.reason, found.messages) == (Status.FAILED, "not JSON", ())


async def test_adding_twice_returns_the_first_with_what_became_of_it(store: Store) -> None:
    """The insert is the idempotency check."""
    message = await added(store)
    await store.settle(await claimed(store, message), settlement())
    other = make_message(notification=message.notification, subject="Another subject")

    existing = await store.add(make_entry(other, digest="other"), [other], NOW)

    assert existing == await store.get(message.notification)
    assert existing is not None
    assert (existing.digest, existing.status, existing.title) == ("", Status.SENT, message.subject)
    assert await store.claim(message.id, "me", NOW + MINUTE, LEASES) is None


async def test_fifty_callers_with_one_id_make_one_notification(store: Store) -> None:
    """Two callers at once get one writer; all others see what it wrote."""
    messages = [make_message(notification="same", subject=f"Subject {number}") for number in range(50)]

    results = await asyncio.gather(*(store.add(make_entry(message), [message], NOW) for message in messages))

    winners = [message for message, result in zip(messages, results, strict=True) if result is None]
    assert len(winners) == 1
    assert {result.title for result in results if result} == {winners[0].subject}
    assert (await claimed(store, winners[0])).message == winners[0]


async def test_what_is_claimed_is_what_was_added(store: Store) -> None:
    """Every field comes back as it was, whatever a caller put into it."""
    message = await added(
        store,
        subject=NAUGHTY.replace("\r\n", " "),
        text=NAUGHTY * 50,
        html=f"<p>{NAUGHTY}</p>",
        to=(Address(email="info@example.com", name=one_line(NAUGHTY)), Address(email="ops@example.com")),
        cc=(Address(email="cc@example.com"),),
        bcc=(Address(email="bcc@example.com"),),
        reply_to=(Address(email="reply@example.com", name="Ü"),),
        headers={"X-Ticket": "4711"},
        tags=("a", "ü"),
        transport="acs",
        priority=Priority.HIGH,
        created=NOW + timedelta(microseconds=123457),
        attachments=(make_attachment(content_id="logo"), make_attachment(content=b"")),
    )

    claim = await claimed(store, message)

    assert claim.message == message
    assert (await state(store, message)).to == message.to


async def test_three_megabytes_of_attachment_survive(place: Place) -> None:
    """A large message is as durable as a small one."""
    store = await place.open()
    content = bytes(range(256)) * (3 * 1024 * 1024 // 256)
    message = await added(store, attachments=(make_attachment(content=content),))

    claim = await claimed(await place.reopen(), message)

    assert claim.message.attachments[0].content == content


async def test_what_was_added_survives_a_restart(place: Place) -> None:
    """Nothing lives only in memory."""
    first, second = [await added(await place.open(), text=text) for text in ("one", "two")]
    await place.opened[0].settle(await claimed(place.opened[0], first), settlement())
    before = [await place.opened[0].get(message.notification) for message in (first, second)]

    store = await place.reopen()

    assert [await store.get(message.notification) for message in (first, second)] == before
    assert (await claimed(store, second)).message == second


async def test_an_unknown_notification_is_nothing(store: Store) -> None:
    """Asking for what is not there is no error, whatever the id looks like."""
    assert [await store.get(id) for id in ("", "nobody", "a/b#c?d\\e", "%00", "'; --", "ü" * 200)] == [None] * 6


# ----------------------------------------------------------------------------------------------------------- claim


async def test_a_claim_says_who_holds_the_message_and_for_how_long(store: Store) -> None:
    """The first claim is attempt 1, lasts as its transport says, and nothing is in doubt."""
    message = await added(store, transport="acs")

    claim = await claimed(store, message, at=NOW, owner="worker-1")

    assert (claim.owner, claim.attempt, claim.until) == ("worker-1", 1, NOW + LEASES["acs"])
    assert (claim.unresolved, claim.submitted, claim.last_reason, claim.facts) == (False, None, "", {})
    shown = await state(store, message)
    assert (shown.status, shown.attempts) == (Status.SENDING, 1)


async def test_twenty_claimers_end_with_one_claim(place: Place) -> None:
    """A doorbell that rings twenty times, in two processes, sends one mail."""
    stores = [await place.open(), await place.open()]
    message = await added(stores[0])

    claims = await asyncio.gather(
        *(stores[number % 2].claim(message.id, f"worker-{number}", NOW, LEASES) for number in range(20))
    )

    assert len([claim for claim in claims if claim]) == 1
    assert (await state(stores[0], message)).attempts == 1


async def test_a_message_cannot_be_claimed_before_it_is_due(store: Store) -> None:
    """`send_at` is kept to the moment."""
    message = await added(store, due=NOW + MINUTE)

    early = await store.claim(message.id, "me", NOW + MINUTE - timedelta(milliseconds=1), LEASES)

    assert early is None
    assert (await state(store, message)).status == Status.QUEUED
    assert (await claimed(store, message, at=NOW + MINUTE)).attempt == 1


async def test_a_held_message_cannot_be_claimed(store: Store) -> None:
    """A message that the entry does not call open waits for somebody else's word."""
    message = make_message()
    held = MessageState(id=message.id, to=message.to, sender=message.sender, status=Status.HELD, reason="group")

    await store.add(make_entry(message, messages=(held,)), [message], NOW)

    assert await store.claim(message.id, "me", NOW + MINUTE, LEASES) is None
    assert await store.due(NOW + MINUTE, 10) == []
    assert await state(store, message) == held


@pytest.mark.parametrize(
    "id", ["", "nobody", "nobody-1", "-", "-1", "a/b#c?d\\e-1", "x-01", "x-999999999999999999", "x-²"]
)
async def test_a_doorbell_for_nothing_claims_nothing(store: Store, id: str) -> None:
    """Whatever a queue message says is looked up, never trusted."""
    await added(store, notification="x")

    assert await store.claim(id, "me", NOW, LEASES) is None


async def test_an_expired_claim_is_taken_over_in_doubt(store: Store) -> None:
    """A crashed worker's message is somebody else's when its time is over, and may have been sent."""
    message = await added(store)
    await claimed(store, message, owner="crashed")
    assert await store.claim(message.id, "next", NOW + MINUTE - timedelta(milliseconds=1), LEASES) is None

    claim = await claimed(store, message, at=NOW + MINUTE, owner="next")

    assert (claim.attempt, claim.owner, claim.unresolved, claim.submitted) == (2, "next", True, NOW)
    entry = await store.get(message.notification)
    assert entry is not None
    assert [event.event for event in entry.history] == ["accepted", "claim_expired"]
    assert entry.history[1].message == message.id


async def test_a_zombie_can_change_nothing(store: Store) -> None:
    """The worker that lost its claim is told so, and its word does not count."""
    message = await added(store)
    zombie = await claimed(store, message, owner="zombie")
    claim = await claimed(store, message, at=NOW + MINUTE, owner="next")

    assert await store.record(zombie, {"draft": "z"}) is None
    assert await store.settle(zombie, settlement(Status.FAILED)) is False
    assert (await state(store, message)).status == Status.SENDING
    assert await store.settle(claim, settlement()) is True


async def test_the_same_worker_is_a_zombie_of_itself(store: Store) -> None:
    """The attempt counts, not only the owner's name."""
    message = await added(store)
    zombie = await claimed(store, message)
    await claimed(store, message, at=NOW + MINUTE)

    assert await store.settle(zombie, settlement(Status.FAILED)) is False
    assert await store.record(zombie, {"draft": "z"}) is None
