"""Bounds at the doors: 503 with the time to come back, nothing lost, nothing that was taken already asked for again."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import Any

import pytest

from gateway.clock import wall_clock
from gateway.errors import Full
from gateway.ledger import Amendment
from gateway.message import OPEN, Status
from gateway.queues import Intake
from gateway.telemetry import LOGGER, Line
from tests.conftest import CONFIG, KEYS, Reply, Running, Start
from tests.factories import make_entry, make_messages
from tests.http.test_webhooks import alert

BOUNDED = CONFIG + "bounds: {open: 3}\n"
MAIL = {"to": "ops@example.com", "subject": "Hello", "text": "x"}


@pytest.fixture
async def bounded(start: Start) -> Running:
    """A gateway that takes three open messages of a source."""
    return await start(BOUNDED)


async def fill(gateway: Running, source: str) -> str:
    """Three messages that wait until tomorrow; their notification."""
    messages = make_messages(3, source=source)
    await gateway.gateway.store.add(make_entry(*messages), messages, wall_clock() + timedelta(days=1))
    await gateway.gateway.capacity.count()
    return messages[0].notification


async def make_room(gateway: Running, notification: str) -> None:
    """One of them goes."""
    change = Amendment(allowed=OPEN, status=Status.CANCELLED, event="cancelled", at=wall_clock())
    await gateway.gateway.store.amend(f"{notification}-1", change)
    await gateway.gateway.capacity.count()


async def post(gateway: Running, source: str, **headers: str) -> Reply:
    """One notification by the source's door."""
    match source:
        case "contact":
            return await gateway.call("POST", "/v1/forms/contact", data={"message": "x"}, headers=headers)
        case "alertmanager":
            key = {"x-api-key": KEYS["alertmanager"]}
            return await gateway.call("POST", "/v1/webhooks/alertmanager", json=alert(), headers={**key, **headers})
        case _:
            return await gateway.send(MAIL, headers=headers)


async def listed(gateway: Running, source: str) -> int:
    """How many notifications of the source there are."""
    return len((await gateway.gateway.store.list(status="", source=source, since=None, cursor="", limit=99)).entries)


@pytest.mark.parametrize("source", ["contact", "alertmanager", "app"])
async def test_a_source_at_its_bound_is_told_to_come_back(bounded: Running, source: str) -> None:
    """503 with Retry-After by every door, until there is room; the other sources go on meanwhile."""
    waiting = await fill(bounded, source)

    refused = await post(bounded, source)

    assert ((503, "source_full"), "60") == (refused.code, refused.headers["Retry-After"])
    assert 1 == await listed(bounded, source)
    others = [await post(bounded, other) for other in ("contact", "alertmanager", "app") if other != source]
    assert all(reply.status < 300 for reply in others)
    await make_room(bounded, waiting)
    assert (await post(bounded, source)).status < 300


async def test_a_person_is_told_on_a_page(bounded: Running) -> None:
    """Whose form could not be sent."""
    await fill(bounded, "contact")

    reply = await post(bounded, "contact", Accept="text/html")

    assert (503, True) == (reply.status, b"Send it again later." in reply.body)


async def test_what_was_taken_is_answered_as_before(bounded: Running) -> None:
    """An idempotency key is remembered beyond the bound; a new one waits as everybody does."""
    first = await post(bounded, "app", **{"Idempotency-Key": "one"})
    await fill(bounded, "app")

    again = await post(bounded, "app", **{"Idempotency-Key": "one"})
    other = await post(bounded, "app", **{"Idempotency-Key": "two"})

    assert (202, first.json["id"], "true") == (again.status, again.json["id"], again.headers["Idempotency-Replay"])
    assert (503, "source_full") == other.code
    changed = await bounded.send({**MAIL, "text": "y"}, headers={"Idempotency-Key": "one"})
    assert (422, "idempotency_key_reused") == changed.code


async def test_who_only_looks_is_not_refused(bounded: Running) -> None:
    """A dry run and a status store nothing."""
    id = await fill(bounded, "app")

    dry = await bounded.send({**MAIL, "dry_run": True})
    seen = await bounded.call("GET", f"/v1/notifications/{id}", headers={"x-api-key": KEYS["app"]})

    assert (200, 200) == (dry.status, seen.status)


async def test_a_bot_is_told_what_it_is_always_told(bounded: Running) -> None:
    """It takes no room."""
    await fill(bounded, "contact")

    reply = await bounded.call("POST", "/v1/forms/contact", data={"message": "x", "_gotcha": "y"})

    assert 200 == reply.status


async def test_a_full_store_takes_nothing_from_anybody(start: Start) -> None:
    """And says so."""
    gateway = await start(CONFIG + "bounds: {size: 1KB}\n")
    await gateway.gateway.capacity.count()

    replies = [await post(gateway, source) for source in ("contact", "alertmanager", "app")]

    assert [(503, "store_full")] * 3 == [reply.code for reply in replies]
    assert {"60"} == {reply.headers["Retry-After"] for reply in replies}


async def test_a_queue_message_waits_until_there_is_room(bounded: Running) -> None:
    """It is neither lost nor a dead letter: the host shows it again, from the poison queue too."""
    waiting = await fill(bounded, "app")
    parts = bounded.gateway
    intake = Intake(parts.config, parts.store, lambda: parts.line, None)
    body = json.dumps({**MAIL, "source": "app"}).encode()

    for _ in range(6):
        with pytest.raises(Full):
            await intake.take(body, "1")
    for _ in range(6):
        with pytest.raises(Full):
            await intake.take_again(body)

    assert (0, 1) == (await listed(bounded, "queue"), await listed(bounded, "app"))
    await make_room(bounded, waiting)
    await intake.take_again(body)
    assert (0, 2) == (await listed(bounded, "queue"), await listed(bounded, "app"))


async def test_a_queue_message_that_was_taken_already_is_dealt_with(bounded: Running) -> None:
    """A second look at it ends it, however full it is by now."""
    parts = bounded.gateway
    intake = Intake(parts.config, parts.store, lambda: parts.line, None)
    body = json.dumps({**MAIL, "source": "app"}).encode()
    await intake.take(body, "1")
    await fill(bounded, "app")

    await intake.take(body, "1")

    assert 2 == await listed(bounded, "app")


async def test_the_timer_says_which_source_has_no_room(bounded: Running, caplog: pytest.LogCaptureFixture) -> None:
    """Each minute, beside what waits; so that somebody is told before callers are."""
    await fill(bounded, "app")

    async def lengths() -> dict[str, int]:
        return {}

    with caplog.at_level(logging.INFO, LOGGER.name):
        await bounded.gateway.upkeep.round(lengths)

    told = [record.msg for record in caplog.records if isinstance(record.msg, Line)]
    assert {("source_full", "app")} == {
        (line.facts["code"], line.facts["source"]) for line in told if line.event == "bound_reached"
    }


async def test_a_storm_of_ten_thousand_alerts_fits(start: Start) -> None:
    """An owner's own one is what the gateway is for; the default leaves room for two."""
    gateway = await start()
    config: Any = gateway.gateway.config

    assert config.bounds.open >= 2 * 10_000
