"""A whole gateway in front of fake providers: what gateway.yaml says of quotas and fallbacks is what happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.conftest import CONFIG, KEYS, Running, Start
from tests.servers.acs import KEY, FakeAcs
from tests.servers.serve import serve

SENDERS = """\
  noreply: {transport: acs, address: noreply@example.com, live: true, rate: {minute: 5, hour: 50}, fallback: spare}
  spare: {transport: acs, address: spare@example.com, live: true, connection_string: "${env:SPARE}"}
"""
WIRED = CONFIG.replace("  noreply: {transport: capture, address: noreply@example.com, name: Example}\n", SENDERS)


@pytest.fixture
async def fakes() -> AsyncIterator[dict[str, tuple[FakeAcs, str]]]:
    """Two ACS resources and their connection strings."""
    async with AsyncExitStack() as stack:
        found = {}
        for name in ("ACS_CONNECTION_STRING", "SPARE"):
            fake = FakeAcs()
            url = await stack.enter_async_context(serve(fake))
            found[name] = (fake, f"endpoint={url}/;accesskey={KEY}")
        yield found


async def post(gateway: Running, **fields: str) -> str:
    """One notification; its id."""
    reply = await gateway.send({"to": ["a@example.com"], "subject": "S", "text": "T", **fields})
    return str(reply.json["id"])


async def looked_at(gateway: Running, id: str) -> tuple[str, str]:
    """Status and reason, once a worker has looked at it."""
    async with asyncio.timeout(10):
        while True:
            reply = await gateway.call("GET", f"/v1/notifications/{id}", headers={"x-api-key": KEYS["admin"]})
            message = reply.json["messages"][0]
            if message["status"] not in {"queued", "sending"}:
                return message["status"], message["reason"]
            await asyncio.sleep(0.02)


async def test_a_senders_rate_is_kept_and_an_urgent_message_goes_next(
    start: Start, fakes: dict[str, tuple[FakeAcs, str]]
) -> None:
    """Five a minute: four at once, the fifth is kept for high priority, the others wait."""
    gateway = await start(WIRED, **{name: text for name, (_, text) in fakes.items()})
    ids = [await post(gateway) for _ in range(8)]
    found = [await looked_at(gateway, id) for id in ids]
    assert sorted(found) == [("deferred", "paced")] * 4 + [("sent", "")] * 4
    assert await looked_at(gateway, await post(gateway, priority="high")) == ("sent", "")
    assert len(fakes["ACS_CONNECTION_STRING"][0].posts) == 5


async def test_a_quota_for_hours_hands_the_mail_to_the_fallback(
    start: Start, fakes: dict[str, tuple[FakeAcs, str]]
) -> None:
    """Through its account and with its From; who comes later goes there without asking the first again."""
    gateway = await start(WIRED, **{name: text for name, (_, text) in fakes.items()})
    first, spare = (fakes[name][0] for name in ("ACS_CONNECTION_STRING", "SPARE"))
    first.faults.append("429:7200")
    for _ in range(2):
        shown = await gateway.status(await post(gateway))
        assert shown["status"] == "sent"
        assert [event["reason"] for event in shown["history"] if event["event"] == "failed_over"] == ["throttled:spare"]
    assert (len(first.posts), len(spare.sent)) == (1, 2)
    assert {sent.payload["senderAddress"] for sent in spare.sent} == {"spare@example.com"}
