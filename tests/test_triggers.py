"""What the Functions host calls beside HTTP, on Azurite: doorbells, poison, reports and the timer."""

from __future__ import annotations

import base64
import json
import logging
import traceback
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway import triggers, wiring
from gateway.clock import wall_clock
from gateway.ledger import Report
from gateway.message import Status
from gateway.stores.azure import AzureStore
from gateway.suppressions import Suppressions
from gateway.wiring import Gateway
from tests.azurite import Azurite
from tests.conftest import CONFIG, with_hashes
from tests.factories import NOW, make_entry, make_message
from tests.test_reports import event

MAIL = {"source": "app", "to": "ops@example.com", "subject": "Backup failed"}


@pytest.fixture
def environment(azurite: Azurite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The environment of a Functions app on an empty account; the configuration's file goes out."""
    file = tmp_path / "gateway.yaml"
    file.write_text(with_hashes(CONFIG), "utf-8")
    monkeypatch.setenv("AzureWebJobsStorage", azurite.account())
    monkeypatch.setenv("GATEWAY_CONFIG", str(file))
    monkeypatch.setenv("GATEWAY_ENVIRONMENT", "test")
    return file


@pytest.fixture
async def gateway(environment: Path) -> AsyncIterator[Gateway]:
    """The process's gateway, as the triggers find it."""
    found = await wiring.gateway()
    yield found
    await found.close()


@pytest.fixture
def broken(environment: Path) -> None:
    """The same with a configuration that cannot be read."""
    environment.write_text("senders: [", "utf-8")


@pytest.fixture
def store(gateway: Gateway) -> AzureStore:
    """Its store."""
    assert isinstance(gateway.store, AzureStore)
    return gateway.store


async def status(store: AzureStore, id: str) -> Status:
    """Where a notification stands."""
    entry = await store.get(id)
    assert entry is not None
    return entry.status


async def taken(store: AzureStore, queue: str) -> list[str]:
    """The texts that can be seen in a queue."""
    return [message.text for message in await store.take(queue, 32, timedelta(seconds=1))]


async def test_a_notification_and_its_doorbell_end_in_a_captured_mail(store: AzureStore) -> None:
    """In through one queue, out through another."""
    await triggers.on_queue("notifications", json.dumps(MAIL).encode(), "m1", "")
    (doorbell,) = await taken(store, "outbox")
    await triggers.on_queue("outbox", doorbell.encode(), "m2", "")
    await triggers.on_queue("outbox", base64.b64encode(doorbell.encode()), "m3", "")

    (mail,) = await store.captured(after="", since=None, limit=10)
    assert "Backup failed" == mail.message.subject
    assert Status.CAPTURED == await status(store, mail.message.notification)


@pytest.mark.parametrize("text", [b"", b"nonsense", b"00000000-0000-4000-8000-000000000000-1", b"\xff\xfe"])
async def test_a_doorbell_for_nothing_is_answered(gateway: Gateway, text: bytes) -> None:
    """It is no reason to crash."""
    await triggers.on_queue("outbox", text, "m1", "")
    await triggers.on_queue("outbox-poison", text, "m1", "")


@pytest.mark.parametrize("queue", ["outbox", "outbox-high"])
async def test_a_poisoned_doorbell_is_rung_again_while_there_is_work(store: AzureStore, queue: str) -> None:
    """The ledger knows; a message that is final needs no ring."""
    await triggers.on_queue("notifications", json.dumps(MAIL).encode(), "m1", "")
    (doorbell,) = await taken(store, "outbox")
    before = await store.queue_length(queue)
    await triggers.on_queue(f"{queue}-poison", doorbell.encode(), "", "")
    rung = await store.queue_length(queue)
    await triggers.on_queue("outbox", doorbell.encode(), "m2", "")
    await triggers.on_queue(f"{queue}-poison", doorbell.encode(), "", "")

    assert before + 1 == rung == await store.queue_length(queue)


async def test_poison_waits_while_the_configuration_is_broken(broken: None) -> None:
    """Nothing is lost to a mistake in a file; it is looked at again ten minutes later."""
    body = json.dumps(MAIL).encode()

    await triggers.on_queue("notifications-poison", body, "", "")

    store = await wiring.storage()
    assert 1 == await store.queue_length("notifications-poison")
    await store.close()


async def test_a_report_reaches_its_message_and_the_suppression_list(store: AzureStore) -> None:
    """The operation id says whose it is; a hard bounce is remembered."""
    message = make_message(transport="acs", source="app", to=[{"email": "info@example.com"}])
    await store.add(make_entry(message), [message], NOW)
    bounce = event(messageId=message.operation_id, recipient="Info@example.com", status="Bounced")
    foreign = event(status="Bounced", recipient="other@example.com")

    await triggers.on_queue("delivery-reports", base64.b64encode(json.dumps([bounce, foreign]).encode()), "m1", "")

    entry = await store.get(message.notification)
    assert entry is not None
    (state,) = entry.messages
    assert [(Status.BOUNCED, "hard_bounce")] == [(each.status, each.reason) for each in state.recipients]
    listed = await Suppressions(store).list(NOW)
    assert ["info@example.com"] == [each.address for each in listed.items]


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59Z", "9999-12-30T23:59:59-14:00", "0001-01-01T00:00:00+14:00"])
@pytest.mark.parametrize("queue", ["delivery-reports", "delivery-reports-poison"])
async def test_a_report_of_an_impossible_time_was_made_now(store: AzureStore, queue: str, at: str) -> None:
    """It ends in the ledger and in the list, for as long as any, and not in the poison queue for ever."""
    message = make_message(transport="acs", source="app", to=[{"email": "info@example.com"}])
    await store.add(make_entry(message), [message], NOW)
    told = event(
        messageId=message.operation_id, recipient="info@example.com", status="Bounced", deliveryAttemptTimeStamp=at
    )

    await triggers.on_queue(queue, json.dumps(told).encode(), "m1", "")

    now = wall_clock()
    (listed,) = (await Suppressions(store).list(now)).items
    assert now + timedelta(days=89) < listed.expires <= now + timedelta(days=90)
    entry = await store.get(message.notification)
    assert entry is not None
    assert all(now - each.at < timedelta(minutes=1) for each in entry.messages[0].recipients)
    assert 0 == await store.queue_length("delivery-reports-poison")


async def test_a_report_speaks_only_of_its_own_message(store: AzureStore, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever may write into the queue silences nobody by it."""
    caplog.set_level(logging.INFO, logger="gateway")
    message = make_message(transport="acs", source="app", to=[{"email": "ops@example.com"}])
    await store.add(make_entry(message), [message], NOW)
    before = await store.get(message.notification)

    for status in ("Bounced", "Suppressed", "Delivered"):
        told = event(messageId=message.operation_id, recipient="ceo@example.com", status=status)
        await triggers.on_queue("delivery-reports", json.dumps(told).encode(), "m1", "")

    assert ((), before) == ((await Suppressions(store).list(NOW)).items, await store.get(message.notification))
    assert ["report_foreign"] * 3 == [json.loads(record.getMessage())["event"] for record in caplog.records]


@pytest.mark.parametrize("error", [ValueError, OverflowError])
async def test_one_report_that_raises_for_what_it_says_stops_no_other(
    store: AzureStore, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """It becomes a dead letter at once, and the rest of the delivery is heard."""
    message = make_message(transport="acs", source="app", to=[{"email": "info@example.com"}])
    await store.add(make_entry(message), [message], NOW)
    taken_one = AzureStore.report

    async def report(self: AzureStore, told: Report) -> str | None:
        if told.recipient == "hostile":
            raise error("canary")
        return await taken_one(self, told)

    monkeypatch.setattr(AzureStore, "report", report)
    told = [
        event(messageId=message.operation_id, recipient=recipient, status="Delivered")
        for recipient in ("hostile", "info@example.com")
    ]
    await triggers.on_queue("delivery-reports", json.dumps(told).encode(), "m1", "")

    page = await store.list(status="failed", source="queue", since=None, cursor="", limit=10)
    assert ["unreadable_report"] == [entry.reason for entry in page.entries]
    entry = await store.get(message.notification)
    assert entry is not None
    assert [Status.DELIVERED] == [each.status for each in entry.messages[0].recipients]


async def test_a_poisoned_report_that_still_raises_is_a_dead_letter(
    store: AzureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five crashes are enough; only a store that is away sends it back to wait."""

    async def fail(*_: object) -> None:
        raise RuntimeError("canary")

    monkeypatch.setattr(Suppressions, "learn", fail)
    message = make_message(transport="acs", source="app", to=[{"email": "info@example.com"}])
    await store.add(make_entry(message), [message], NOW)
    body = json.dumps(event(messageId=message.operation_id, recipient="info@example.com", status="Bounced")).encode()

    with pytest.raises(triggers.NotDone):
        await triggers.on_queue("delivery-reports", body, "m1", "")
    await triggers.on_queue("delivery-reports-poison", body, "", "")

    page = await store.list(status="failed", source="queue", since=None, cursor="", limit=10)
    assert ["bug"] == [entry.reason for entry in page.entries]
    assert 0 == await store.queue_length("delivery-reports-poison")


async def test_a_report_that_cannot_be_read_is_a_dead_letter(store: AzureStore) -> None:
    """From the queue as from its poison."""
    await triggers.on_queue("delivery-reports", b"{}", "m1", "")
    await triggers.on_queue("delivery-reports-poison", b"{}", "", "")

    page = await store.list(status="failed", source="queue", since=None, cursor="", limit=10)
    assert ["unreadable_report"] * 2 == [entry.reason for entry in page.entries]


async def test_the_timer_rings_purges_and_says_what_waits(store: AzureStore, caplog: pytest.LogCaptureFixture) -> None:
    """One line a minute; the alerts read it."""
    caplog.set_level(logging.INFO, logger="gateway")
    message = make_message(source="app")
    await store.add(make_entry(message), [message], NOW)
    await taken(store, "outbox")
    await store.put_back("outbox-poison", "noise", triggers.PAUSE * 0)

    await triggers.on_timer("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", late=True)

    lines: list[dict[str, Any]] = [json.loads(record.getMessage()) for record in caplog.records]
    (backlog,) = [line for line in lines if line["event"] == "backlog"]
    assert (1, 1, "0af7651916cd43dd8448eb211c80319c") == (backlog["count"], backlog["poison"], backlog["trace"])
    assert backlog["seconds"] > 3600
    queues = {f"{queue}-poison": int(queue == "outbox") for queue in triggers.QUEUES}
    assert queues == backlog["queues"]
    assert "timer_late" in [line["event"] for line in lines]


async def test_azures_clients_are_quiet_where_the_root_logger_is_not(
    environment: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The Functions worker has it at INFO, where they write URLs and headers; its own lines go on."""
    caplog.set_level(logging.INFO)
    await (await wiring.gateway()).close()

    loggers = ("azure.core.pipeline.policies.http_logging_policy", "azure.identity.aio", "azure.functions")

    assert [False, False, True] == [logging.getLogger(name).isEnabledFor(logging.INFO) for name in loggers]


@pytest.mark.parametrize("invoked", ["queue", "timer"])
async def test_what_the_host_logs_of_a_failure_quotes_nothing(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, invoked: str
) -> None:
    """It writes an exception with its text and its causes; the reason is in a line of ours, without them."""

    async def fail(*_: object) -> None:
        raise KeyError("canary@example.com")

    monkeypatch.setattr(AzureStore, "claim", fail)
    monkeypatch.setattr(AzureStore, "due", fail)

    doorbell = b"00000000-0000-4000-8000-000000000000-1"
    work = triggers.on_queue("outbox", doorbell, "m1", "") if invoked == "queue" else triggers.on_timer("", late=False)

    with pytest.raises(triggers.NotDone) as raised:
        await work

    (line,) = [json.loads(record.getMessage()) for record in caplog.records if record.levelno == logging.ERROR]
    assert {"queue": "queue_message_failed", "timer": "timer_failed"}[invoked] == line["event"]
    assert line["error"].startswith("KeyError at ")
    assert "canary" not in "".join(traceback.format_exception(raised.value)) + caplog.text
