"""The store on Azure beyond the protocol: races, rows, and what only this storage can do wrong."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.delivery import Delivery
from gateway.errors import StoreUnavailable
from gateway.ledger import Amendment, Store
from gateway.message import Status
from gateway.stores import azure_rows as rows
from gateway.stores.azure import AzureStore
from gateway.stores.azure_blobs import Blobs
from gateway.stores.azure_messages import MOST_MESSAGES
from gateway.stores.azure_tables import replace
from gateway.transports.capture import Capture
from tests.factories import NOW, make_attachment, make_entry, make_message, make_messages, operation_like
from tests.stores.conftest import Opener
from tests.stores.steps import LEASES, MINUTE, added, claimed, settlement, state

LARGE = make_attachment(content=bytes(range(256)) * 1200)


@pytest.fixture
async def store(azure: Opener) -> AsyncIterator[AzureStore]:
    """An open store with nothing in it."""
    store = await azure()
    assert isinstance(store, AzureStore)
    yield store
    await store.close()


# --------------------------------------------------------------------------------------------------------- racing


def worker(store: Store) -> Delivery:
    """A process that delivers."""
    return Delivery(store, lambda _transport, _sender: Capture(store), clock=lambda: NOW)


async def test_two_processes_that_hear_every_doorbell_send_each_mail_once(azure: Opener) -> None:
    """Both get all of them, several times over, while both accept."""
    stores: list[Store] = [await azure(), await azure()]
    workers = [worker(store) for store in stores]
    messages = await asyncio.gather(*(added(stores[number % 2]) for number in range(60)))

    await asyncio.gather(*(each.deliver(message.id) for message in messages for each in workers * 2))

    captured = await stores[0].captured(after="", since=None, limit=1000)
    assert Counter(item.message.id for item in captured) == dict.fromkeys((message.id for message in messages), 1)
    assert await stores[1].due(NOW + 100 * MINUTE, 10) == []
    assert {(await state(stores[1], message)).status for message in messages} == {Status.CAPTURED}
    for store in stores:
        await store.close()


async def test_the_same_worker_cannot_claim_twice_at_once(store: AzureStore) -> None:
    """One process, one owner's name, one doorbell heard twenty times: the mark of the write tells them apart."""
    message = await added(store)

    claims = await asyncio.gather(*(store.claim(message.id, "me", NOW, LEASES) for _ in range(20)))

    assert [claim.attempt for claim in claims if claim] == [1]


async def test_an_older_claim_of_the_same_attempt_may_go_on(store: AzureStore) -> None:
    """What counts is who holds the message, not which of its values he remembers."""
    message = await added(store)
    claim = await claimed(store, message)
    await store.record(claim, {"draft": "1"})

    second = await store.record(claim, {"issued": "yes"})

    assert second is not None
    assert second.facts == {"draft": "1", "issued": "yes"}
    assert await store.settle(claim, settlement()) is True


# ------------------------------------------------------------------------------------------------------ the table


async def everything(store: AzureStore) -> list[dict[str, Any]]:
    """All rows of the table."""
    parts = [*rows.PARTITIONS, "captured"]
    return [row for part in parts for row in await store._table.rows(part, " ", rows.END)]


async def test_everything_about_a_notification_lies_in_one_partition(store: AzureStore) -> None:
    """Named after the last digit of its id; every row says which schema it has."""
    messages = make_messages(2, notification="00000000-0000-4000-8000-00000000000b", transport="acs")
    await store.add(make_entry(*messages), messages, NOW)

    found = await everything(store)

    stamp = rows.stamp(NOW)
    assert {(row["PartitionKey"], row["v"]) for row in found} == {("b", 1)}
    assert sorted(row["RowKey"] for row in found) == sorted(
        [
            f"n|{messages[0].notification}|",
            f"n|{messages[0].notification}|000000001",
            f"n|{messages[0].notification}|000000002",
            f"due|{stamp}|{messages[0].id}",
            f"due|{stamp}|{messages[1].id}",
            f"o|{messages[0].operation_id}",
            f"o|{messages[1].operation_id}",
            rows.list_row(make_entry(*messages)),
        ]
    )


async def test_a_row_holds_no_more_than_the_service_takes(store: AzureStore) -> None:
    """Binary properties of at most 64 KiB, and beyond 200 KiB a blob."""
    sizes = [100, 61_440 * 3 // 4, 140_000, 154_000, 1_000_000]
    messages = [
        make_message(number=number, notification="f" * 32, attachments=(make_attachment(content=bytes(size)),))
        for number, size in enumerate(sizes, 1)
    ]
    await store.add(make_entry(*messages), messages, NOW)

    found = [row for row in await everything(store) if re.search(r"\|\d{9}$", row["RowKey"])]

    longest = max(len(text) * 3 // 4 for row in found for name, text in row.items() if re.fullmatch(r"c\d+", name))
    assert longest <= 64 * 1024
    assert [bool(row.get("blob")) for row in found] == [False, False, False, True, True]
    assert [(await claimed(store, message)).message for message in messages] == messages


async def test_a_transaction_stays_below_four_megabytes(store: AzureStore) -> None:
    """Many messages of middling size: what no longer fits becomes blobs."""
    messages = make_messages(MOST_MESSAGES, attachments=(make_attachment(content=bytes(140_000)),))

    await store.add(make_entry(*messages), messages, NOW)

    found = [row for row in await everything(store) if re.search(r"\|\d{9}$", row["RowKey"])]
    assert sum(len(str(row)) for row in found) < 4 * 1024 * 1024
    assert (await claimed(store, messages[-1])).message == messages[-1]


async def test_more_messages_than_a_transaction_holds_are_refused_whole(store: AzureStore) -> None:
    """Nothing is written by halves; captured mail, on which nobody reports, may be half as much again."""
    messages = make_messages(MOST_MESSAGES + 1, transport="acs")

    with pytest.raises(StoreUnavailable, match="too many"):
        await store.add(make_entry(*messages), messages, NOW)

    assert await everything(store) == []
    for most in (make_messages(MOST_MESSAGES, transport="acs"), make_messages(MOST_MESSAGES * 3 // 2)):
        assert await store.add(make_entry(*most), most, NOW) is None


async def test_an_operation_id_that_no_report_would_find_is_refused(store: AzureStore) -> None:
    """It must end in the notification's last digit: a report brings nothing else."""
    message = make_message(notification="0" * 32, transport="acs", operation_id="f" * 32)

    with pytest.raises(ValueError, match="must end in 0"):
        await store.add(make_entry(message), [message], NOW)


async def test_a_message_replayed_two_hundred_times_can_be_deleted(store: AzureStore) -> None:
    """Its old operation ids are more than a transaction holds."""
    message = await added(store, transport="acs")
    await store.settle(await claimed(store, message), settlement(Status.FAILED))
    for number in range(200):
        again = Amendment(
            allowed=frozenset({Status.FAILED}),
            status=Status.FAILED,
            event="replayed",
            at=NOW,
            operation_id=operation_like(message, number),
        )
        assert await store.amend(message.id, again) == Status.FAILED

    await store.purge(bodies=NOW - MINUTE, ledger=NOW + MINUTE, captured=NOW)

    assert await everything(store) == []


async def test_captured_mail_with_new_operation_ids_can_be_deleted(store: AzureStore) -> None:
    """They got the rows that captured mail has none of, and are more than a transaction holds."""
    messages = make_messages(MOST_MESSAGES * 3 // 2)
    await store.add(make_entry(*messages), messages, NOW)
    for message in messages:
        again = Amendment(
            allowed=frozenset({Status.QUEUED}),
            status=Status.CANCELLED,
            event="cancelled",
            at=NOW,
            operation_id=operation_like(message),
        )
        assert await store.amend(message.id, again) == Status.QUEUED

    await store.purge(bodies=NOW - MINUTE, ledger=NOW + MINUTE, captured=NOW)

    assert await everything(store) == []


async def test_a_thousand_recipients_fit(store: AzureStore) -> None:
    """Their list is longer than a string property may be."""
    message = await added(
        store, to=[{"email": f"person-{number}@department-{number}.example.com"} for number in range(1000)]
    )

    assert (await state(store, message)).to == message.to


def test_a_long_history_keeps_its_beginning_and_its_end() -> None:
    """A row's string ends at 32 Ki characters."""
    history = ""
    for number in range(2000):
        history = rows.with_line(history, rows.line(NOW + timedelta(seconds=number), "deferred", "]," * 3))

    lines = rows.lines(history)
    assert len(history) <= rows.HISTORY
    assert [line[0] for line in (lines[0], lines[-1])] == [rows.stamp(NOW), rows.stamp(NOW + timedelta(seconds=1999))]


@pytest.mark.parametrize("text", ["a/b\\c#d?e", "\x00\x1f\x7f", "ü世🎉", "a.b~c=d%e|f", "..", "\ud800"])
def test_a_key_says_everything_in_letters_that_tables_take(text: str) -> None:
    """And can be read back."""
    assert re.fullmatch(r"[A-Za-z0-9=_-]+", rows.safe(text))
    assert rows.original(rows.safe(text)) == text


async def test_the_purge_takes_the_blobs_of_what_it_deletes_and_what_a_crash_left(store: AzureStore) -> None:
    """A content is written before its row; when the row never came, only the content tells."""
    message = await added(store, attachments=(LARGE,))
    waiting = await added(store, attachments=(LARGE,), due=NOW + 1000 * MINUTE)
    await store.settle(await claimed(store, message), settlement())
    await store._blobs.put(f"messages/{waiting.id}/of-a-crash", b"content")
    await store._blobs.put("messages/nobody-1/of-a-crash", b"content")
    tomorrow = datetime.now(UTC) + timedelta(days=1)

    await store.purge(bodies=NOW - MINUTE, ledger=tomorrow, captured=NOW)

    left = await store._blobs.old(tomorrow)
    assert [name.split("/")[1] for name in left] == [waiting.id]
    assert (await claimed(store, waiting, at=NOW + 1000 * MINUTE)).message == waiting


async def test_a_second_caller_with_a_large_message_leaves_no_blob(store: AzureStore) -> None:
    """The content that lost is deleted at once."""
    first = await added(store, attachments=(LARGE,))
    second = first.model_copy(update={"subject": "Another"})

    existing = await store.add(make_entry(second), [second], NOW)

    assert existing is not None
    assert len(await store._blobs.old(datetime.now(UTC) + timedelta(days=1))) == 1


# --------------------------------------------------------------------------------------------------- captured mail


async def test_who_reads_captured_mail_while_it_comes_misses_none(azure: Opener) -> None:
    """And sees none twice, while two processes write."""
    store, other = await azure(), await azure()
    messages = [make_message() for _ in range(120)]
    writing = asyncio.gather(*((store, other)[number % 2].keep(mail, NOW) for number, mail in enumerate(messages)))
    found: list[str] = []
    cursor = ""
    while True:
        done = writing.done()
        items = await store.captured(after=cursor, since=None, limit=7)
        found += [item.message.id for item in items]
        cursor = items[-1].cursor if items else cursor
        if done and not items:
            break
    await writing
    await store.close()
    await other.close()

    assert Counter(found) == dict.fromkeys((message.id for message in messages), 1)


async def test_a_caller_that_gives_up_costs_the_others_nothing(azure: Opener) -> None:
    """Mails that wait together are written together, each once, whoever still listens."""
    store = await azure()
    messages = [make_message() for _ in range(5)]
    tasks = [asyncio.create_task(store.keep(message, NOW)) for message in messages]
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    tasks[0].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await store.close()
    store = await azure()
    found = await store.captured(after="", since=None, limit=10)
    await store.close()

    assert [task.cancelled() for task in tasks] == [True, False, False, False, False]
    assert [item.message for item in found] == messages


async def test_the_latest_large_mails_come_with_their_content(store: AzureStore) -> None:
    """From their blobs, newest first."""
    messages = [make_message(attachments=(LARGE,)) for _ in range(3)]
    for message in messages:
        await store.keep(message, NOW)

    items = await store.latest(before="", limit=2)

    assert [item.message for item in items] == [messages[2], messages[1]]
    assert await store.forget_captured() == 3
    assert await store._mails.blobs.old(datetime.now(UTC) + timedelta(days=1)) == []


async def test_what_an_earlier_version_left_open_counts_once_it_is_looked_at(store: AzureStore) -> None:
    """Its rows in the order of time name no source; a bound that they would have reached refuses nobody meanwhile."""
    message = await added(store, source="it", due=NOW)
    await store._table.change(
        rows.partition(message.notification),
        [replace(rows.pointer("due", rows.stamp(NOW), message.id), {"v": 1, "priority": "normal"}, "*")],
    )

    assert {} == (await store.usage()).open
    await claimed(store, message)
    assert {"it": 1} == (await store.usage()).open


# -------------------------------------------------------------------------------------- blobs that messages name


async def test_a_blob_is_measured_and_read_to_a_limit(store: AzureStore) -> None:
    """No more than is asked for goes over the wire."""
    blobs = Blobs(store._rest, "notifications")
    for name, content in (("a b/ü?#%2e.json", b"0123456789"), ("empty", b"")):
        await blobs.put(name, content)

    sizes = [await store.blob_size("notifications", name) for name in ("a b/ü?#%2e.json", "empty", "none")]
    read = [await store.blob("notifications", name, 4) for name in ("a b/ü?#%2e.json", "empty", "none")]

    assert ([10, 0, None], [b"0123", b"", None]) == (sizes, read)
    assert b"0123456789" == await store.blob("notifications", "a b/ü?#%2e.json", 100)


@pytest.mark.parametrize(
    "container", ["payloads?restype=container&comp=list&x=", "payloads?comp=list", "no/such", "%70ayloads"]
)
async def test_a_containers_name_is_no_query(store: AzureStore, container: str) -> None:
    """Whatever stands in it is a name, which there is none of."""
    await Blobs(store._rest, "payloads").put("y", b"secret")

    for work in (store.blob_size(container, "y"), store.blob(container, "y", 100)):
        try:
            found = await work
        except StoreUnavailable:  # the service says that no container can have such a name
            found = None
        assert found is None
