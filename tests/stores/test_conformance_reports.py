"""What every store promises about a provider's reports; the store comes from conftest.py."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import permutations

import pytest

from gateway.address import Address
from gateway.ledger import Amendment, RecipientState, Report, Store
from gateway.message import Message, Status
from tests.factories import NOW, make_entry, make_messages, operation_like
from tests.stores.conftest import Place
from tests.stores.steps import LEASES, MINUTE, added, claimed, listed, settlement, state

TO = (Address(email="Ann@example.com"), Address(email="bob@example.com"))
CC = (Address(email="cc@example.com"),)
BCC = (Address(email="bcc@example.com"),)


def report(message: Message, email: str, status: Status, reason: str = "", **overrides: object) -> Report:
    """A provider's word about one recipient."""
    values = {"operation": message.operation_id, "recipient": email, "status": status, "reason": reason, "at": NOW}
    return Report.model_validate({**values, **overrides})


async def sent(store: Store, status: Status = Status.SENT, **overrides: object) -> Message:
    """A message that the provider took."""
    message = await added(store, NOW, **{"transport": "acs", "to": TO[:1], **overrides})
    await store.settle(await claimed(store, message), settlement(status, unresolved=status is Status.UNKNOWN))
    return message


async def test_a_delivered_message_says_so_everywhere(place: Place) -> None:
    """In the ledger, in the list and in the history, for each recipient, also after a restart."""
    store = await place.open()
    message = await sent(store)
    told = report(message, "ann@EXAMPLE.com", Status.DELIVERED, at=NOW + MINUTE)

    assert await store.report(told) == message.id

    store = await place.reopen()
    shown = await state(store, message)
    expected = RecipientState(email="ann@example.com", status=Status.DELIVERED, at=NOW + MINUTE)
    assert (shown.status, shown.reason, shown.recipients) == (Status.DELIVERED, "", (expected,))
    assert [await listed(store, status) for status in ("sent", "delivered")] == [[], [message.notification]]
    entry = await store.get(message.notification)
    assert entry is not None
    assert [(event.event, event.message, event.at) for event in entry.history] == [
        ("accepted", "", NOW),
        ("sent", message.id, NOW),
        ("delivered", message.id, NOW + MINUTE),
    ]


@pytest.mark.parametrize("operation", ["", "x", "0", "~", "a/b#c?d", "'; --", "ü", "0" * 5000, "%00", "o|0"])
async def test_a_report_on_somebody_elses_submission_is_nothing(store: Store, operation: str) -> None:
    """An account may send for others too."""
    message = await sent(store)
    before = await store.get(message.notification)

    assert await store.report(report(message, "ann@example.com", Status.FAILED, operation=operation)) is None
    assert await store.get(message.notification) == before


@pytest.mark.parametrize(
    "recipient", ["eve@example.com", "", "ann@example.com.evil.test", "ann", "a\u200bnn@example.com"]
)
async def test_a_report_on_somebody_whom_the_message_was_not_for_is_nothing(store: Store, recipient: str) -> None:
    """Whoever knows an operation id can say what became of its own recipients, and of nobody else."""
    message = await sent(store, to=TO, cc=CC, bcc=BCC)
    key = operation_like(message)
    again = Amendment(
        allowed=frozenset({Status.BOUNCED}), status=Status.QUEUED, event="replayed", at=NOW, operation_id=key
    )
    for told in (message, message.model_copy(update={"operation_id": key})):
        before = await store.get(message.notification)

        assert await store.report(report(told, recipient, Status.BOUNCED)) is None
        assert await store.get(message.notification) == before

        await store.report(report(told, "ann@example.com", Status.BOUNCED))
        await store.amend(message.id, again)
    assert await store.report(report(message, recipient, Status.BOUNCED)) is None


async def test_a_report_may_write_a_recipients_domain_as_people_read_it(store: Store) -> None:
    """It is folded as the message's own addresses are."""
    message = await sent(store, to=(Address(email="ann@xn--strae-oqa.de"),))

    assert await store.report(report(message, "ann@strasse.de", Status.BOUNCED)) is None
    assert await store.report(report(message, "Ann@straße.de", Status.DELIVERED)) == message.id


async def test_an_operation_id_is_found_in_any_case(store: Store) -> None:
    """A GUID is the same in capitals."""
    message = await sent(store)

    told = report(message, "ann@example.com", Status.DELIVERED, operation=message.operation_id.upper())

    assert await store.report(told) == message.id
    assert (await state(store, message)).status == Status.DELIVERED


async def test_a_message_waits_for_everyone_it_went_to(store: Store) -> None:
    """To, cc and bcc: only when all are delivered it is; the worst one shows at once."""
    message = await sent(store, to=TO, cc=CC, bcc=BCC)
    found = []
    for email in ("ann@example.com", "bob@example.com", "cc@example.com", "bcc@example.com"):
        await store.report(report(message, email, Status.DELIVERED))
        found.append((await state(store, message)).status)
    await store.report(report(message, "bob@example.com", Status.BOUNCED, "hard"))

    shown = await state(store, message)

    assert found == [Status.SENT, Status.SENT, Status.SENT, Status.DELIVERED]
    assert (shown.status, shown.reason) == (Status.BOUNCED, "hard")
    assert [(each.email, each.status, each.reason) for each in shown.recipients] == [
        ("ann@example.com", Status.DELIVERED, ""),
        ("bcc@example.com", Status.DELIVERED, ""),
        ("bob@example.com", Status.BOUNCED, "hard"),
        ("cc@example.com", Status.DELIVERED, ""),
    ]


async def test_every_order_and_repetition_of_reports_ends_alike(store: Store) -> None:
    """Providers promise neither order nor that a report comes once."""
    ends = []
    for order in permutations(range(3)):
        message = await sent(store, to=TO)
        told = [
            report(message, "ann@example.com", Status.DELIVERED),
            report(message, "ann@example.com", Status.FAILED, "quarantined"),
            report(message, "bob@example.com", Status.SUPPRESSED, "listed"),
        ]
        for number in (*order, *order):
            await store.report(told[number])
        shown = await state(store, message)
        ends.append((shown.status, shown.reason, shown.recipients))

    assert ends == [ends[0]] * 6
    assert ends[0][:2] == (Status.FAILED, "quarantined")


async def test_fifty_reports_at_once_are_all_heard(place: Place) -> None:
    """In two processes; the history has a line for each recipient."""
    stores = [await place.open(), await place.open()]
    emails = [f"person-{number:02d}@example.com" for number in range(50)]
    message = await sent(stores[0], to=[{"email": email} for email in emails])

    found = await asyncio.gather(
        *(stores[number % 2].report(report(message, email, Status.DELIVERED)) for number, email in enumerate(emails))
    )

    shown = await state(stores[0], message)
    assert found == [message.id] * 50
    assert (shown.status, [each.email for each in shown.recipients]) == (Status.DELIVERED, emails)
    entry = await stores[1].get(message.notification)
    assert entry is not None
    assert [event.event for event in entry.history] == ["accepted", "sent", *["delivered"] * 50]


async def test_a_report_during_a_claim_counts_when_it_settles(store: Store) -> None:
    """The answer may be slower than the mail: nothing is lost, and the claim goes on."""
    message = await added(store, transport="acs", to=TO[:1])
    claim = await claimed(store, message)
    await store.report(report(message, "ann@example.com", Status.BOUNCED, "hard"))
    meanwhile = await state(store, message)

    assert await store.settle(claim, settlement()) is True

    shown = await state(store, message)
    assert (meanwhile.status, len(meanwhile.recipients)) == (Status.SENDING, 1)
    assert (shown.status, shown.reason) == (Status.BOUNCED, "hard")
    assert await listed(store, "bounced") == [message.notification]


async def test_a_report_never_costs_a_worker_its_claim(place: Place) -> None:
    """Both write to one message at once, and both are heard."""
    stores = [await place.open(), await place.open()]
    for _ in range(10):
        message = await added(stores[0], transport="acs", to=TO[:1])
        told = report(message, "ann@example.com", Status.DELIVERED)

        claim, found = await asyncio.gather(stores[0].claim(message.id, "me", NOW, LEASES), stores[1].report(told))

        assert claim is not None
        assert await stores[0].settle(claim, settlement()) is True
        assert (found, (await state(stores[0], message)).status) == (message.id, Status.DELIVERED)


@pytest.mark.parametrize("last", [Status.SENT, Status.UNKNOWN])
async def test_a_report_on_a_waiting_message_counts_when_it_settles(store: Store, last: Status) -> None:
    """It waits in doubt; the report proves that an attempt was accepted, whatever else is found out."""
    message = await added(store, transport="acs", to=TO[:1])
    await store.settle(await claimed(store, message), settlement(Status.DEFERRED, due=NOW, unresolved=True))
    await store.report(report(message, "ann@example.com", Status.DELIVERED))
    meanwhile = await state(store, message)
    claim = await store.record(await claimed(store, message), {"asked": "yes"})
    assert claim is not None

    await store.settle(claim, settlement(last, unresolved=last is Status.UNKNOWN))

    assert (meanwhile.status, claim.unresolved, claim.proven) == (Status.DEFERRED, True, True)
    assert (await state(store, message)).status == Status.DELIVERED


async def test_a_suppressed_recipient_proves_nothing(store: Store) -> None:
    """It may be our own word, from before anything was submitted."""
    message = await added(store, transport="acs", to=TO)
    await store.report(report(message, "ann@example.com", Status.SUPPRESSED))
    await store.settle(await claimed(store, message), settlement(Status.DEFERRED, due=NOW, unresolved=True))

    claim = await claimed(store, message)

    assert (claim.unresolved, claim.proven) == (True, False)


async def test_a_report_settles_what_was_unknown(store: Store) -> None:
    """It proves that the provider had accepted it, even before all have been reported on."""
    message = await sent(store, Status.UNKNOWN, to=TO)

    await store.report(report(message, "ann@example.com", Status.DELIVERED))

    assert (await state(store, message)).status == Status.SENT
    assert await listed(store, "unknown") == []


@pytest.mark.parametrize("status", [Status.FAILED, Status.CAPTURED, Status.CANCELLED, Status.SKIPPED, Status.GROUPED])
async def test_what_we_decided_ourselves_stays(store: Store, status: Status) -> None:
    """The report is kept, for whoever looks."""
    message = await sent(store, status)

    assert await store.report(report(message, "ann@example.com", Status.DELIVERED)) == message.id

    shown = await state(store, message)
    assert (shown.status, [each.status for each in shown.recipients]) == (status, [Status.DELIVERED])


async def test_a_message_sent_once_more_forgets_what_was_said_of_the_first_time(store: Store) -> None:
    """A late report on the old submission is known as ours, and counts for nothing but the history."""
    message = await sent(store)
    await store.report(report(message, "ann@example.com", Status.BOUNCED, "hard"))
    key = operation_like(message)
    allowed = frozenset({Status.BOUNCED})
    await store.amend(
        message.id, Amendment(allowed=allowed, status=Status.QUEUED, event="replayed", at=NOW, operation_id=key)
    )
    waiting = await state(store, message)
    await store.settle(await claimed(store, message), settlement())

    late = await store.report(report(message, "ann@example.com", Status.FAILED, "late"))
    between = await state(store, message)
    await store.report(report(message, "ann@example.com", Status.DELIVERED, operation=key))

    assert (late, waiting.recipients) == (message.id, ())
    assert (between.status, between.recipients) == (Status.SENT, ())
    assert (await state(store, message)).status == Status.DELIVERED
    entry = await store.get(message.notification)
    assert entry is not None
    words = ["accepted", "sent", "bounced", "replayed", "sent", "failed", "delivered"]
    assert sorted(event.event for event in entry.history) == sorted(words)


async def test_a_message_sent_once_more_with_its_old_key_keeps_what_was_said(store: Store) -> None:
    """It is the same submission to the provider."""
    message = await sent(store, Status.UNKNOWN)
    allowed = frozenset({Status.UNKNOWN})
    await store.amend(message.id, Amendment(allowed=allowed, status=Status.QUEUED, event="replayed", at=NOW))
    await store.report(report(message, "ann@example.com", Status.BOUNCED))

    await store.settle(await claimed(store, message), settlement())

    assert (await state(store, message)).status == Status.BOUNCED


async def test_siblings_are_told_apart(store: Store) -> None:
    """Each message of a notification has an operation of its own; the notification shows the worst."""
    messages = make_messages(3, transport="acs")
    await store.add(make_entry(*messages), messages, NOW)
    for message in messages:
        await store.settle(await claimed(store, message), settlement())

    await store.report(report(messages[1], "info@example.com", Status.BOUNCED))
    await store.report(report(messages[2], "info@example.com", Status.DELIVERED))

    entry = await store.get(messages[0].notification)
    assert entry is not None
    assert [each.status for each in entry.messages] == [Status.SENT, Status.BOUNCED, Status.DELIVERED]
    assert entry.status == Status.BOUNCED


async def test_a_report_comes_after_the_content_is_gone_but_not_after_the_ledger(store: Store) -> None:
    """Seven days later it still finds its message; what retention has deleted is nobody's."""
    message = await sent(store, to=TO)
    await store.purge(bodies=NOW + MINUTE, ledger=NOW, captured=NOW)
    for email in ("ann@example.com", "bob@example.com"):
        await store.report(report(message, email, Status.DELIVERED))
    shown = await state(store, message)

    await store.purge(bodies=NOW, ledger=NOW + timedelta(days=1), captured=NOW)

    assert shown.status == Status.DELIVERED
    assert await store.report(report(message, "ann@example.com", Status.BOUNCED)) is None
