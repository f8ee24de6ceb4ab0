"""Promise 6 under the Functions host: marked secrets, addresses and bodies go through every door, none is logged."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from gateway.auth import hash_key
from tests.azurite import KEY as STORAGE_KEY
from tests.azurite import Azurite
from tests.conftest import CONFIG, KEYS, Running
from tests.servers.acs import FakeAcs
from tests.servers.serve import serve
from tests.test_reports import event
from tests.worker import functions
from tests.worker.storage import Storage
from tests.worker.worker import AVAILABLE, NEEDS

pytestmark = [
    pytest.mark.skipif(not AVAILABLE, reason=NEEDS),
    pytest.mark.asyncio(loop_scope="module"),
]

ACS_KEY = base64.b64encode(b"a key that is nowhere else").decode()
SOURCE_KEY = "example-canary-key"
WITH_ACS = CONFIG.replace(
    "senders:", "senders:\n  live: {transport: acs, address: canary-from@example.com, live: true, name: Canary}"
).replace("admin:", f'  mailer: {{kind: native, keys: ["{hash_key(SOURCE_KEY)}"], sender: live, allow: ["*"]}}\nadmin:')
MAIL = {
    "to": ["canary-to@example.com", {"email": "canary-named@example.com", "name": "Canary Name"}],
    "cc": "canary-cc@example.com",
    "bcc": ["canary-bcc@example.com"],
    "reply_to": "canary-reply@example.com",
    "subject": "Canary subject",
    "text": "canary text",
    "html": "<p>canary html</p>",
    "headers": {"X-Canary": "canary header"},
    "tags": ["canary-tag"],
    "attachments": [{"name": "canary.txt", "content": base64.b64encode(b"canary bytes").decode()}],
}
FORM = {"name": "Canary Name", "email": "canary@example.com", "message": "canary message", "canary": "canary"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def log(azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """What the worker would have sent to Application Insights after all of it."""
    folder, account, fake = tmp_path_factory.mktemp("private"), azurite.account(), FakeAcs(key=ACS_KEY)
    async with serve(fake, lifespan="off") as url:
        environ = functions.settings(
            folder, account, WITH_ACS, ACS_CONNECTION_STRING=f"endpoint={url}/;accesskey={ACS_KEY}"
        )
        async with functions.running(folder, environ) as host:
            storage = Storage(host.http, account)
            await through_http(host, fake)
            await through_queues(host, storage, fake)
            await functions.emptied(storage, account)
        yield (folder / "log").read_text("utf-8")


async def through_http(host: Running, fake: FakeAcs) -> None:
    """Mail that is taken, mail that is refused, tools and forms; the provider fails in between."""
    fake.faults.extend(["400", "401", "503", "drop"])
    for number in range(5):
        accepted = await host.send(MAIL, SOURCE_KEY, headers={"Idempotency-Key": f"canary-{number}"})
        assert accepted.status == 202
    await host.send(MAIL, SOURCE_KEY, headers={"Idempotency-Key": "canary-0"})
    await host.send({**MAIL, "to": "no canary address"}, SOURCE_KEY)
    await host.send({**MAIL, "canary": 1}, SOURCE_KEY)
    await host.send(MAIL, "canary-wrong-key")
    await host.call("POST", f"/v1/notifications?code={SOURCE_KEY}", json=MAIL)
    await host.call("POST", f"/v1/webhooks/by-path/{KEYS['alertmanager']}", data=b"canary noise")
    await host.call("POST", "/v1/webhooks/canary/canary-in-the-path", data=b"canary")
    form = await host.call("POST", "/v1/forms/contact", data=FORM, headers={"Origin": "https://www.example.com"})
    assert form.status == 200
    await host.call("GET", "/v1/captured?to=canary@example.com&wait=5", headers={"x-api-key": KEYS["admin"]})
    await host.call("DELETE", "/v1/suppressions/canary@example.com", headers={"x-api-key": KEYS["admin"]})


async def through_queues(host: Running, storage: Storage, fake: FakeAcs) -> None:
    """Notifications, letters that nobody can read, doorbells of nobody, and what became of a mail."""
    await storage.write("notifications/canary.json", json.dumps({**MAIL, "source": "mailer"}).encode())
    notifications: list[Any] = [
        {**MAIL, "source": "mailer", "idempotency_key": "canary-of-the-queue"},
        {"blob": "notifications/canary.json"},
        {"blob": "notifications/missing-canary"},
        {"blob": "canary/elsewhere"},
        {**MAIL, "source": "canary"},
        {**MAIL, "source": "mailer", "to": "no canary address"},
        {**MAIL, "source": "app"},
        "canary noise",
    ]
    for queue in ("notifications", "notifications-poison"):
        for value in notifications:
            await storage.queue(queue).put(json.dumps(value))
    await storage.queue("outbox").put("canary-doorbell")
    await fake.until(lambda acs: len(acs.sent) >= 2)
    for recipient in ("canary-to@example.com", "canary-cc@example.com"):
        for operation in [*fake.operations, "canary"]:
            report = event(recipient=recipient, messageId=operation, status="Bounced")
            await storage.queue("delivery-reports").put(json.dumps([report]))
    await storage.queue("delivery-reports").put("canary report")
    await dead_letters(host, 11)


async def dead_letters(host: Running, count: int) -> None:
    """Wait for so many."""
    for _ in range(1000):
        listed = await host.call("GET", "/v1/notifications?source=queue", headers={"x-api-key": KEYS["admin"]})
        if len(listed.json["items"]) >= count:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"there are only {len(listed.json['items'])}")


async def test_everything_that_can_happen_is_in_the_log(log: str) -> None:
    """Otherwise the test below would find nothing because nothing was said."""
    events = {json.loads(line[line.index("{") :])["event"] for line in log.splitlines() if '{"event"' in line}

    expected = {"accepted", "sent", "deferred", "in_doubt", "failed", "replayed", "payload_unmapped", "dead_letter"}
    expected |= {"poisoned", "bounced", "report_foreign"}
    assert set() == expected - events


@pytest.mark.parametrize("secret", ["canary", SOURCE_KEY, ACS_KEY, STORAGE_KEY, *KEYS.values(), "nowhere else"])
async def test_nothing_private_is_in_the_log(log: str, secret: str) -> None:
    """No key, no address, no word of a mail, no path and no query; not even above INFO."""
    assert [] == [line for line in log.splitlines() if secret.lower() in line.lower()]
