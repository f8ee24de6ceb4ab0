"""Queues in, mail out, under the Functions host: notifications, doorbells, delivery reports, and what goes wrong."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.auth import hash_key
from gateway.message import Message, Status
from gateway.queues import readable
from gateway.stores.azure import AzureStore
from tests.azurite import Azurite
from tests.conftest import CONFIG, KEYS, Running
from tests.factories import make_entry, make_message
from tests.http.test_operators import decide, standing
from tests.servers.acs import KEY, FakeAcs
from tests.servers.serve import serve
from tests.worker import functions, process
from tests.worker.front import MASTER_KEY
from tests.worker.process import ROOT
from tests.worker.storage import Queue, Storage
from tests.worker.worker import AVAILABLE, NEEDS

pytestmark = [
    pytest.mark.skipif(not AVAILABLE, reason=NEEDS),
    pytest.mark.asyncio(loop_scope="module"),
]

MAIL = {"source": "app", "to": "ops@example.com", "subject": "Backup failed", "text": "Exit code 2."}
ADMIN = {"x-api-key": KEYS["admin"]}
WITH_ACS = CONFIG.replace(
    "senders:", "senders:\n  live: {transport: acs, address: live@example.com, live: true}"
).replace(
    "admin:",
    f'  mailer: {{kind: native, keys: ["{hash_key("tests-key-mailer")}"], sender: live, allow: ["*"]}}\nadmin:',
)


@dataclass
class Azure:
    """The gateway on Azure, its account, and the provider it sends to."""

    gateway: Running
    storage: Storage
    acs: FakeAcs
    log_file: Path

    def queue(self, name: str) -> Queue:
        """One of the account's queues."""
        return self.storage.queue(name)

    async def put(self, value: Any, queue: str = "notifications") -> None:
        """A message, as JSON unless it is text."""
        await self.queue(queue).put(value if isinstance(value, str) else json.dumps(value))

    async def run(self, function: str, text: str = "") -> None:
        """Run a function at once."""
        path, key = f"/admin/functions/{function}", {"x-functions-key": MASTER_KEY}
        assert (await self.gateway.call("POST", path, json={"input": text}, headers=key)).status == 202

    async def dead(self, count: int = 1) -> list[Any]:
        """The dead letters, once there are so many."""
        for _ in range(500):
            listed = await self.gateway.call("GET", "/v1/notifications?source=queue", headers=ADMIN)
            if len(listed.json["items"]) >= count:
                return list(listed.json["items"])
            await asyncio.sleep(0.02)
        raise AssertionError(f"there are no {count} dead letters: {self.log_file.read_text('utf-8')}")

    async def one(self, count: int = 1) -> list[Any]:
        """The captured mails, once there are so many, and no more after everything has been looked at."""
        await self.gateway.mails(count)
        for name in functions.OUTBOXES:
            await emptied(self.queue(name))
        return await self.gateway.mails(count)

    async def lost(self, **overrides: Any) -> Message:
        """A message that was due two minutes ago, and whose doorbell somebody deleted."""
        store = self.gateway.gateway.store
        assert isinstance(store, AzureStore)
        message = make_message(created=datetime.now(UTC) - timedelta(minutes=2), **overrides)
        assert await store._messages.add(make_entry(message), [message], message.created) is None
        return message


async def emptied(queue: Queue) -> None:
    """Once a queue is empty, or was never there."""
    for _ in range(500):
        if await functions.length(queue) == 0:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{queue.name} is not empty")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Azure, str]]:
    """One host for all tests here, and its account."""
    folder, account, fake = tmp_path_factory.mktemp("queues"), azurite.account(), FakeAcs()
    async with serve(fake) as url:
        connection = f"endpoint={url}/;accesskey={KEY}"
        environ = functions.settings(folder, account, WITH_ACS, ACS_CONNECTION_STRING=connection)
        async with functions.running(folder, environ) as running:
            yield Azure(running, Storage(running.http, account), fake, folder / "log"), account


@pytest_asyncio.fixture(loop_scope="module")
async def azure(host: tuple[Azure, str]) -> AsyncIterator[Azure]:
    """The same, on an account as good as new."""
    azure, account = host
    yield azure
    await functions.emptied(azure.storage, account)


@pytest.mark.parametrize("encoded", [False, True], ids=["plain", "base64"])
async def test_a_queue_message_becomes_a_mail(azure: Azure, encoded: bool) -> None:
    """As the Python SDK writes it, or as most others do; nothing of it stays in the queue."""
    text = json.dumps(MAIL)
    await azure.put(base64.b64encode(text.encode()).decode() if encoded else text)

    (mail,) = await azure.one()
    shown = await azure.gateway.status(mail["notification"])

    assert ("Backup failed", ["ops@example.com"]) == (mail["subject"], mail["to"])
    assert ("app", "native", "captured") == (shown["source"], shown["kind"], shown["status"])
    await emptied(azure.queue("notifications"))


async def test_the_same_words_twice_are_two_mails_unless_a_key_says_otherwise(azure: Azure) -> None:
    """Two messages of the queue are two notifications; one idempotency key is one, over HTTP too."""
    keyed = {**MAIL, "subject": "Keyed", "idempotency_key": "backup-1"}
    for value in (MAIL, MAIL, keyed, keyed):
        await azure.put(value)

    mails = await azure.one(3)
    over_http = await azure.gateway.send(
        {name: keyed[name] for name in ("to", "subject", "text")}, headers={"Idempotency-Key": "backup-1"}
    )

    assert ["Backup failed", "Backup failed", "Keyed"] == sorted(mail["subject"] for mail in mails)
    assert (422, "idempotency_key_reused") == over_http.code


async def test_a_large_message_comes_as_a_blob(azure: Azure) -> None:
    """A queue message ends at 64 KiB; the blob lies in a container of its own."""
    await azure.storage.write("notifications/2026/03/02.json", json.dumps({**MAIL, "text": "x" * 100_000}).encode())
    await azure.put({"blob": "notifications/2026/03/02.json"})

    (mail,) = await azure.one()

    assert "x" * 100_000 in mail["text"]


NOISE = base64.b64encode(bytes(range(256)) * 185).decode()
BAD: dict[str, tuple[str, str]] = {
    "no JSON": ("hello", "malformed"),
    "cut off": (json.dumps(MAIL)[:-5], "malformed"),
    "64 KiB of noise": (NOISE, "malformed"),
    "an unknown source": (json.dumps({**MAIL, "source": "nobody"}), "unknown_source"),
    "no source": (json.dumps({"to": "ops@example.com", "text": "x"}), "invalid"),
    "another kind of source": (json.dumps({**MAIL, "source": "contact"}), "unknown_source"),
    "a missing blob": (json.dumps({"blob": "notifications/none.json"}), "blob_missing"),
    "a foreign recipient": (json.dumps({**MAIL, "to": "x@evil.test"}), "recipient_not_allowed"),
    "a wrong field": (json.dumps({**MAIL, "subject": 5}), "invalid"),
    "fields of the host's": (json.dumps({**MAIL, "InsertionTime": "yesterday", "id": "x"}), "invalid"),
    "an empty one": ("", "malformed"),
}


async def test_what_cannot_be_taken_is_a_dead_letter_with_its_reason_and_blocks_nothing(azure: Azure) -> None:
    """Failed notifications of source `queue`; their text is kept; the message behind them is delivered."""
    for value, _ in BAD.values():
        await azure.put(value)
    await azure.put(MAIL)

    (mail,) = await azure.one()
    dead = await azure.dead(len(BAD))
    store = azure.gateway.gateway.store

    assert mail["subject"] == "Backup failed"
    assert {readable(text.encode()): reason for text, reason in BAD.values()} == {
        (await store.fetch(f"queue/{letter['id']}") or b"").decode(): letter["reason"] for letter in dead
    }
    assert {"failed"} == {letter["status"] for letter in dead}
    alone = await azure.gateway.call("GET", f"/v1/notifications/{dead[0]['id']}", headers=ADMIN)
    assert (alone.status, alone.json["history"][-1]["event"]) == (200, "failed")
    await emptied(azure.queue("notifications"))
    await emptied(azure.queue("notifications-poison"))


async def test_an_urgent_message_has_a_queue_of_its_own(azure: Azure) -> None:
    """So it never stands behind a storm."""
    called = "Executing 'Functions.outbox_high'"
    before = azure.log_file.read_text("utf-8").count(called)
    await azure.put({**MAIL, "priority": "high"})

    (mail,) = await azure.one()

    assert mail["priority"] == "high"
    assert azure.log_file.read_text("utf-8").count(called) == before + 1


async def test_a_message_for_later_rings_when_its_time_comes(azure: Azure) -> None:
    """Its doorbell stays invisible until then, to the second."""
    due = datetime.now(UTC) + timedelta(seconds=1)
    await azure.put({**MAIL, "send_at": due.isoformat()})

    (mail,) = await azure.one()
    shown = await azure.gateway.status(mail["notification"])

    assert datetime.fromisoformat(shown["history"][-1]["at"]) >= due
    assert [1] == [state["attempts"] for state in shown["messages"]]


async def test_what_an_operator_sends_again_goes_through_the_queue(azure: Azure) -> None:
    """A decision over HTTP rings, and the function delivers."""
    (message,) = await standing(azure.gateway, Status.FAILED)

    reply = await decide(azure.gateway, "replay", message.notification)

    assert reply.status == 202
    assert [message.id] == [mail["id"] for mail in await azure.one()]


async def test_a_doorbell_that_was_lost_is_rung_again_by_the_timer(azure: Azure) -> None:
    """The ledger is the truth, the queue only a doorbell."""
    message = await azure.lost()

    await azure.run("sweep")

    assert [message.id] == [mail["id"] for mail in await azure.one()]
    assert '"event": "backlog"' in azure.log_file.read_text("utf-8")


async def test_a_doorbell_that_rings_five_times_at_once_is_one_mail(azure: Azure) -> None:
    """Queues deliver at least once, and two hosts may look at the same message; one claim, one call."""
    message = await azure.lost()

    await asyncio.gather(*(azure.put(message.id, "outbox") for _ in range(5)))
    mails = await azure.one()
    shown = await azure.gateway.status(message.notification)

    assert [message.id] == [mail["id"] for mail in mails]
    assert [1] == [state["attempts"] for state in shown["messages"]]


@pytest.mark.parametrize("queue", functions.OUTBOXES)
async def test_a_doorbell_that_went_to_poison_is_rung_again(azure: Azure, queue: str) -> None:
    """A minute later, where it came from; one for a message that has ended, or for none, is thrown away."""
    message = await azure.lost()
    for text in ("nobody-1", "noise", message.id):
        await azure.put(text, f"{queue}-poison")
    await emptied(azure.queue(f"{queue}-poison"))

    assert await azure.queue(queue).length() == 1
    assert await azure.queue(queue).take(1, 1) == []
    await azure.run(queue.replace("-", "_"), message.id)
    assert [message.id] == [mail["id"] for mail in await azure.gateway.mails()]
    await azure.put(message.id, f"{queue}-poison")
    await emptied(azure.queue(f"{queue}-poison"))
    assert await azure.queue(queue).length() == 1


async def test_a_notification_that_went_to_poison_is_taken_after_all(azure: Azure) -> None:
    """Once, whether it was taken before the crashes or not; what cannot be taken is a dead letter here too."""
    await azure.put(MAIL)
    await azure.one()
    other = {**MAIL, "subject": "Never taken"}
    for value in (MAIL, other, "{nothing"):
        await azure.put(value, "notifications-poison")
    await emptied(azure.queue("notifications-poison"))

    mails = await azure.one(2)
    left = await azure.dead(2)

    assert ["Backup failed", "Never taken"] == sorted(mail["subject"] for mail in mails)
    assert {("failed", "malformed"), ("skipped", "duplicate")} == {(item["status"], item["reason"]) for item in left}


async def test_delivery_reports_reach_each_recipient(azure: Azure) -> None:
    """In any order, in either schema, plain or base64; the message stands at the worst of its recipients."""
    body = {"to": ["a@example.com", "b@example.com"], "subject": "Reported", "text": "x"}
    sent = await azure.gateway.send(body, key="tests-key-mailer")
    await azure.acs.until(lambda fake: len(fake.sent) == 1)
    assert (await stood(azure, sent.json["id"], "sent"))["status"] == "sent"
    operation = azure.acs.sent[0].operation

    await azure.put([report(operation, "a@example.com", "Delivered")], "delivery-reports")
    bounced = json.dumps(report(operation, "b@example.com", "Bounced")).encode()
    await azure.put(base64.b64encode(bounced).decode(), "delivery-reports")
    await azure.put(report(operation, "b@example.com", "Delivered"), "delivery-reports")
    await azure.put("no report", "delivery-reports")
    await azure.put("no report either", "delivery-reports-poison")

    shown = await stood(azure, sent.json["id"], "bounced")
    await emptied(azure.queue("delivery-reports"))
    entry = await azure.gateway.gateway.store.get(sent.json["id"])
    assert entry is not None
    assert {"a@example.com": Status.DELIVERED, "b@example.com": Status.BOUNCED} == {
        state.email: state.status for state in entry.messages[0].recipients
    }
    assert shown["messages"][0]["reason"] == "hard_bounce"
    assert {"unreadable_report"} == {letter["reason"] for letter in await azure.dead(2)}
    assert len(azure.acs.sent) == 1


def report(operation: str, recipient: str, status: str) -> dict[str, Any]:
    """Event Grid's word about one recipient, in its own schema."""
    data = {"messageId": operation, "recipient": recipient, "status": status}
    return {
        "id": "1",
        "eventType": "Microsoft.Communication.EmailDeliveryReportReceived",
        "eventTime": datetime.now(UTC).isoformat(),
        "data": {**data, "deliveryAttemptTimeStamp": datetime.now(UTC).isoformat()},
    }


async def stood(azure: Azure, id: str, status: str) -> Any:
    """A notification, once it stands there."""
    for _ in range(500):
        shown = await azure.gateway.status(id, wait=False)
        if shown["status"] == status:
            return shown
        await asyncio.sleep(0.02)
    raise AssertionError(f"it stands at {shown['status']}: {azure.log_file.read_text('utf-8')}")


async def test_the_app_as_it_is_deployed(azurite: Azurite, tmp_path: Path) -> None:
    """function_app.py with our own host.json: a message that comes after a pause waits two seconds at most."""
    environ = functions.settings(tmp_path, azurite.account())
    async with process.running(ROOT, tmp_path / "log", environ) as host, functions.client(host, environ) as caller:
        await Storage(caller.http, environ["AzureWebJobsStorage"]).queue("notifications").put(json.dumps(MAIL))
        await caller.send({name: MAIL[name] for name in ("to", "subject", "text")})

        mails = await caller.mails(2)

    assert ["Backup failed"] * 2 == [mail["subject"] for mail in mails]
