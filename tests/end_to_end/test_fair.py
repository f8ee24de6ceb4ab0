"""A flood through one source's door, then alerts through another's: what a stranger can do to others' mail."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp

from gateway.auth import hash_key
from tests import gateway_process
from tests.gateway_process import GatewayProcess
from tests.servers.acs import KEY, FakeAcs
from tests.servers.serve import serve

FLOOD = 1_000
CALLERS = 16

CONFIG = f"""\
senders:
  noreply: {{transport: acs, address: noreply@example.com, live: true}}
sources:
  contact:
    kind: form
    origins: [https://www.example.com]
    limit: {{address: {{minute: 100000, hour: 100000}}, source: {{minute: 100000, hour: 100000}}}}
    sender: noreply
    to: [info@example.com]
  monitoring:
    kind: alertmanager
    keys: ["{hash_key("example-key-alertmanager")}"]
    sender: noreply
    to: [ops@example.com]
"""


def alert(name: str, severity: str) -> dict[str, Any]:
    """What Alertmanager posts."""
    labels = {"alertname": name, "severity": severity}
    firing = {"status": "firing", "labels": labels, "annotations": {}, "startsAt": "2026-01-01T00:00:00Z"}
    return {"version": "4", "status": "firing", "groupLabels": labels, "commonLabels": labels, "alerts": [firing]}


async def flood(http: aiohttp.ClientSession, url: str) -> None:
    """A thousand visitors."""
    numbers = iter(range(FLOOD))

    async def caller() -> None:
        for number in numbers:
            async with http.post(f"{url}/v1/forms/contact", data={"message": f"spam {number}"}) as reply:
                assert reply.status == 200

    await asyncio.gather(*(caller() for _ in range(CALLERS)))


async def told(gateway: GatewayProcess, *ids: str) -> dict[str, list[datetime]]:
    """For each source when its waiting messages are to go, once none of them and no message of `ids` is unlooked at."""
    async with asyncio.timeout(60):
        while True:
            lines = gateway.events("deferred") + gateway.events("sent")
            if len({line["message"] for line in lines}) == FLOOD + len(ids):
                break
            await asyncio.sleep(0.1)
    found: dict[str, list[datetime]] = {"contact": [], "monitoring": []}
    for line in gateway.events("deferred"):
        assert line["reason"] == "paced"
        found[line["source"]].append(datetime.fromisoformat(line["due"]))
    return found


async def test_a_flood_of_form_posts_puts_back_no_alert(tmp_path: Path) -> None:
    """1,000 posts through ACS's quota: a critical alert goes at once, a warning has one of the next three turns."""
    (tmp_path / "gateway.yaml").write_text(CONFIG, "utf-8")
    fake = FakeAcs()
    key = {"x-api-key": "example-key-alertmanager"}
    async with serve(fake) as acs, aiohttp.ClientSession() as http:
        gateway = await asyncio.to_thread(
            gateway_process.start,
            store=tmp_path / "gateway.db",
            config=tmp_path / "gateway.yaml",
            variables={"ACS_CONNECTION_STRING": f"endpoint={acs}/;accesskey={KEY}"},
        )
        try:
            await flood(http, gateway.url)
            before = await told(gateway)
            assert max(before["contact"]) - datetime.now(UTC) > timedelta(hours=11)

            ids = []
            for name, severity in (("Down", "critical"), ("Full", "warning")):
                path = f"{gateway.url}/v1/webhooks/monitoring"
                async with http.post(path, json=alert(name, severity), headers=key) as reply:
                    assert reply.status == 200
                    ids.append((await reply.json())["id"])
            await fake.until(lambda fake: any("Down" in sent.payload["content"]["subject"] for sent in fake.sent))
            after = await told(gateway, *ids)
        finally:
            await asyncio.to_thread(gateway.stop)

    assert len(fake.posts) == len(fake.sent)
    [warning] = after["monitoring"]
    assert sum(due < warning for due in before["contact"] if due > datetime.now(UTC)) <= 2
    assert warning - datetime.now(UTC) < timedelta(minutes=2)
