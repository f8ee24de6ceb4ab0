"""`dev --store azure`: the embedded host takes what the Functions host would take from the account's queues."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.auth import hash_key
from gateway.message import Status
from tests.azurite import Azurite
from tests.conftest import CONFIG, KEYS, Running, Start
from tests.documents import documents
from tests.servers.acs import KEY, FakeAcs
from tests.servers.serve import serve
from tests.worker.storage import Storage

MAIL = {"source": "app", "to": "ops@example.com", "subject": "Backup failed", "text": "Exit code 2."}
WITH_ACS = CONFIG.replace(
    "senders:", "senders:\n  live: {transport: acs, address: live@example.com, live: true}"
).replace(
    "admin:",
    f'  mailer: {{kind: native, keys: ["{hash_key("tests-key-mailer")}"], sender: live, allow: ["*"]}}\nadmin:',
)


@dataclass
class Local:
    """A gateway on one machine, and its account."""

    gateway: Running
    storage: Storage

    async def put(self, queue: str, value: Any) -> None:
        """A message, as JSON unless it is text."""
        await self.storage.queue(queue).put(value if isinstance(value, str) else json.dumps(value))

    async def ended(self, status: Status, source: str = "app") -> Any:
        """The one notification of a source, once it stands there."""
        listed: Any = None
        for _ in range(500):
            path, admin = f"/v1/notifications?source={source}", {"x-api-key": KEYS["admin"]}
            listed = (await self.gateway.call("GET", path, headers=admin)).json["items"]
            if [item["status"] for item in listed] == [status]:
                return (await self.gateway.call("GET", f"/v1/notifications/{listed[0]['id']}", headers=admin)).json
            await asyncio.sleep(0.02)
        raise AssertionError(f"there is not one that is {status}: {listed}")


async def begin(azurite: Azurite, start: Start, config: str = CONFIG, **environ: str) -> Local:
    """On an account that nobody has used."""
    account = azurite.account()
    gateway = await start(config, GATEWAY_STORE="azure", AzureWebJobsStorage=account, **environ)
    return Local(gateway, Storage(gateway.http, account))


@pytest.mark.parametrize("encoded", [False, True], ids=["plain", "base64"])
async def test_a_message_of_the_queue_becomes_a_mail(azurite: Azurite, start: Start, encoded: bool) -> None:
    """As a storage explorer writes it, in either of its two ways; nothing stays in the queue."""
    local = await begin(azurite, start)
    text = json.dumps(MAIL)

    await local.put("notifications", base64.b64encode(text.encode()).decode() if encoded else text)
    (mail,) = await local.gateway.mails()

    assert ("Backup failed", ["ops@example.com"]) == (mail["subject"], mail["to"])
    assert await local.ended(Status.CAPTURED)
    assert 0 == await left(local, "notifications")


async def left(local: Local, queue: str) -> int:
    """What is in a queue, once nothing is, or after ten seconds."""
    length = -1
    for _ in range(500):
        length = await local.storage.queue(queue).length()
        if length == 0:
            break
        await asyncio.sleep(0.02)
    return length


async def test_a_larger_one_lies_in_a_blob(azurite: Azurite, start: Start) -> None:
    """The queue's message only names it."""
    local = await begin(azurite, start)
    await local.storage.write("notifications/2026/03/02.json", json.dumps({**MAIL, "text": "x" * 200_000}).encode())

    await local.put("notifications", {"blob": "notifications/2026/03/02.json"})
    (mail,) = await local.gateway.mails()

    assert 200_000 == mail["text"].count("x")


async def test_what_cannot_be_taken_is_a_dead_letter_with_its_reason(azurite: Azurite, start: Start) -> None:
    """It blocks nothing: the good one behind it is mailed."""
    local = await begin(azurite, start)

    await local.put("notifications", "noise")
    await local.put("notifications", MAIL)
    (mail,) = await local.gateway.mails()
    dead = await local.ended(Status.FAILED, "queue")

    assert "Backup failed" == mail["subject"]
    assert "malformed" == dead["reason"]
    assert b"noise" == await local.storage.read(f"payloads/named/queue=2F{dead['id']}")


async def test_the_samples_of_the_page_are_taken(azurite: Azurite, start: Start) -> None:
    """docs/queues.md: the notification, and the one that only names a blob."""
    notification, blob = (block.text for block in documents()["docs/queues.md"].blocks if block.language == "json")
    local = await begin(azurite, start)
    await local.storage.write(json.loads(blob)["blob"], json.dumps({**MAIL, "subject": "In a blob"}).encode())

    await local.put("notifications", notification)
    await local.put("notifications", blob)
    mails = await local.gateway.mails(2)

    assert {"Backup of db-1 failed", "In a blob"} == {mail["subject"] for mail in mails}


async def test_a_delivery_report_shows_what_became_of_the_mail(azurite: Azurite, start: Start) -> None:
    """Sent to a provider, reported on by it, and then not sent to again."""
    fake = FakeAcs()
    async with serve(fake, lifespan="off") as url:
        local = await begin(azurite, start, WITH_ACS, ACS_CONNECTION_STRING=f"endpoint={url}/;accesskey={KEY}")
        await local.put("notifications", {**MAIL, "source": "mailer", "to": ["zoe@example.com", "max@example.com"]})
        await local.ended(Status.SENT, "mailer")
        (operation,) = fake.operations
        (sample,) = (block.text for block in documents()["docs/functions-host.md"].blocks if block.language == "json")
        await local.put("delivery-reports", sample.replace("OPERATION", operation).replace("ops@", "zoe@"))
        shown = await local.ended(Status.BOUNCED, "mailer")

    reported = {found["email"]: found["status"] for found in shown["messages"][0]["recipients"]}
    assert "bounced" == reported["zoe@example.com"]
    assert "bounced" != reported.get("max@example.com")
