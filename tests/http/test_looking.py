"""The routes that only look: status, ledger, health, captured mail, OpenAPI."""

from __future__ import annotations

import asyncio
import email
import logging
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway import openapi
from gateway.message import OPEN, Status
from tests.conftest import KEYS, Running, Start

BODY: dict[str, Any] = {"to": "ops@example.com", "subject": "Backup failed", "text": "Exit code 2."}
ADMIN = {"x-api-key": KEYS["admin"]}


class TestStatus:
    """GET /v1/notifications."""

    async def test_a_sources_key_reads_its_own_notifications_only(self, gateway: Running) -> None:
        """Another source's key finds nothing, an operator everything, nobody else gets an answer."""
        path = (await gateway.send(BODY)).headers["Location"]

        replies = [
            await gateway.call("GET", path, headers={"x-api-key": KEYS[who]}) for who in ("app", "other", "admin")
        ]

        assert [200, 404, 200] == [reply.status for reply in replies]
        assert 401 == (await gateway.call("GET", path)).status
        assert 404 == (await gateway.call("GET", "/v1/notifications/none", headers=ADMIN)).status

    async def test_it_has_the_contracts_fields(self, gateway: Running) -> None:
        """Others' tools read these names."""
        shown = await gateway.status((await gateway.send(BODY)).json["id"])

        fields = "id source kind title state severity unmapped status reason created messages history".split()
        assert fields == list(shown)
        assert "id to sender status reason attempts".split() == list(shown["messages"][0])
        assert {"at", "event"} <= shown["history"][0].keys()
        assert datetime.fromisoformat(shown["created"]).tzinfo is not None

    async def test_operators_page_through_the_ledger(self, gateway: Running) -> None:
        """Newest first, filtered, with a cursor."""
        for number in range(5):
            await gateway.status((await gateway.send({**BODY, "subject": f"n{number}"})).json["id"])

        seen: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            params = {"limit": "2", "cursor": cursor, "source": "app", "status": "captured"}
            page = (await gateway.call("GET", "/v1/notifications", params=params, headers=ADMIN)).json
            seen += [item["title"] for item in page["items"]]
            cursor = page["next"]

        assert ["n4", "n3", "n2", "n1", "n0"] == seen
        assert 403 == (await gateway.call("GET", "/v1/notifications", headers={"x-api-key": KEYS["app"]})).status

    @pytest.mark.parametrize(("name", "value"), [("status", "lost"), ("since", "yesterday"), ("limit", "-1")])
    async def test_a_query_that_means_nothing_is_422(self, gateway: Running, name: str, value: str) -> None:
        """The parameter and what it may be."""
        reply = await gateway.call("GET", "/v1/notifications", params={name: value}, headers=ADMIN)

        assert (422, [name]) == (reply.status, list(reply.json["fields"]))


class TestCaptured:
    """The captured-mail endpoints, for people's own tests."""

    async def test_wait_answers_as_soon_as_something_matches(self, gateway: Running) -> None:
        """A test posts and waits, without sleeping."""
        params = {"to": "OPS@example.com", "subject": "failed", "wait": "20"}
        waiting = asyncio.create_task(gateway.call("GET", "/v1/captured", params=params))
        await gateway.send({**BODY, "to": "other@example.com"})
        await gateway.send({**BODY, "subject": "fine"})
        await gateway.mails(2)
        assert not waiting.done()

        await gateway.send(BODY)

        items = (await asyncio.wait_for(waiting, 5)).json["items"]
        assert [("ops@example.com", "Backup failed")] == [(item["to"][0], item["subject"]) for item in items]

    async def test_pages_are_oldest_first(self, gateway: Running) -> None:
        """A cursor goes on where the page before ended, and null ends it."""
        for number in range(5):
            await gateway.send({**BODY, "subject": f"n{number}"})
            await gateway.mails(number + 1)

        first = (await gateway.call("GET", "/v1/captured", params={"limit": "3"})).json
        second = (await gateway.call("GET", "/v1/captured", params={"limit": "3", "cursor": first["next"]})).json

        assert (["n0", "n1", "n2"], ["n3", "n4"]) == tuple([m["subject"] for m in p["items"]] for p in (first, second))
        assert second["next"] is None

    async def test_since_and_delete(self, gateway: Running) -> None:
        """A test may forget what came before it, by time or for good."""
        await gateway.send(BODY)
        await gateway.mails()
        params = {"since": datetime.now(UTC).isoformat()}

        assert [] == (await gateway.call("GET", "/v1/captured", params=params)).json["items"]
        assert {"deleted": 1} == (await gateway.call("DELETE", "/v1/captured")).json
        assert [] == (await gateway.call("GET", "/v1/captured")).json["items"]

    async def test_raw_is_the_mail_itself(self, gateway: Running) -> None:
        """message/rfc822 that any mail library reads; the same bytes each time."""
        await gateway.send({**BODY, "subject": "Prüfung", "bcc": "hidden@example.com"})
        (item,) = await gateway.mails()

        first, again = [await gateway.call("GET", f"/v1/captured/{item['id']}/raw") for _ in range(2)]

        mail = email.message_from_bytes(first.body, policy=email.policy.default)
        assert ("message/rfc822", first.body) == (first.headers["Content-Type"], again.body)
        assert ("Prüfung", "ops@example.com", None) == (mail["Subject"], mail["To"], mail["Bcc"])
        assert 404 == (await gateway.call("GET", "/v1/captured/none/raw")).status

    async def test_elsewhere_it_needs_the_admin_key_and_production_has_none(self, start: Start) -> None:
        """Captured mail is somebody's mail."""
        staging = await start(GATEWAY_ENVIRONMENT="staging")

        assert 401 == (await staging.call("GET", "/v1/captured")).status
        assert 200 == (await staging.call("GET", "/v1/captured", headers=ADMIN)).status

    @pytest.mark.parametrize(("method", "path"), [("GET", "/v1/captured"), ("DELETE", "/v1/captured"), ("GET", "/")])
    async def test_production_has_no_captured_mail(self, start: Start, method: str, path: str) -> None:
        """404, even with the admin key."""
        production = await start(GATEWAY_ENVIRONMENT="production")

        assert (404, "not_found") == (await production.call(method, path, headers=ADMIN)).code


async def test_health_answers_get_and_head(gateway: Running) -> None:
    """For probes of every kind, without a key."""
    for path in ("/health/live", "/health/ready"):
        assert (200, "ok") == ((reply := await gateway.call("GET", path)).status, reply.json["status"])
        assert (200, b"") == ((reply := await gateway.call("HEAD", path)).status, reply.body)


async def test_what_is_nowhere_is_404_as_a_problem(gateway: Running) -> None:
    """Everything answers in one format."""
    reply = await gateway.call("GET", "/nowhere")

    assert ((404, "not_found"), "application/problem+json") == (reply.code, reply.headers["Content-Type"])


async def test_the_openapi_document_is_sound_and_its_examples_work(gateway: Running) -> None:
    """Every route is described, every reference leads somewhere, and the examples are taken."""
    document = (await gateway.call("GET", "/openapi.json")).json

    assert {
        "/v1/notifications",
        "/v1/notifications/{id}",
        "/v1/notifications/{id}/replay",
        "/v1/notifications/{id}/cancel",
        "/v1/suppressions",
        "/v1/webhooks/{source}",
        "/v1/forms/{source}",
        "/v1/captured",
        "/v1/captured/{id}/raw",
        "/health/live",
        "/health/ready",
    } == document["paths"].keys()
    names = document["components"]["schemas"].keys()
    assert {reference.rpartition("/")[2] for reference in references(document)} <= names
    native = await gateway.send(openapi.NATIVE_EXAMPLE)
    tool = await gateway.call(
        "POST",
        "/v1/webhooks/alertmanager",
        json=openapi.ALERTMANAGER_EXAMPLE,
        headers={"x-api-key": KEYS["alertmanager"]},
    )
    form = await gateway.call("POST", "/v1/forms/contact", json=openapi.FORM_EXAMPLE)
    assert [202, 200, 200] == [native.status, tool.status, form.status]
    assert 200 == (await gateway.call("GET", "/docs")).status


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        here = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return here.union(*(references(item) for item in value.values()))
    return set().union(*(references(item) for item in value)) if isinstance(value, list) else set()


def test_every_open_status_can_still_end() -> None:
    """The open ones are those a doorbell may find."""
    assert {Status.QUEUED, Status.SENDING, Status.DEFERRED} == OPEN


CANARY = "canary7f3a"


async def test_no_secret_address_or_body_reaches_the_log(gateway: Running, caplog: pytest.LogCaptureFixture) -> None:
    """A word planted in every field, header and query of good and bad requests is in no line at INFO or above."""
    caplog.set_level(logging.INFO)
    logging.getLogger("gateway").propagate = True
    address = f"{CANARY}@example.com"
    body = {"to": f"{CANARY} <{address}>", "subject": CANARY, "text": CANARY, "headers": {"X-A": CANARY}}
    await gateway.send(body, headers={"Idempotency-Key": CANARY, "User-Agent": CANARY})
    await gateway.send({**body, CANARY: 1, "to": CANARY})
    await gateway.send({**body, "to": f"{CANARY}@evil.test"})
    await gateway.send(f"{{{CANARY}".encode())
    await gateway.call("POST", f"/v1/notifications?code={CANARY}", json=body, headers={"x-api-key": CANARY})
    headers = {"x-api-key": KEYS["alertmanager"]}
    await gateway.call("POST", f"/v1/webhooks/alertmanager?{CANARY}=1", data=CANARY.encode(), headers=headers)
    await gateway.call("POST", "/v1/webhooks/alertmanager", json={"alerts": [{"labels": CANARY}]}, headers=headers)
    await gateway.call("POST", "/v1/forms/contact", data={"email": address, "message": CANARY, "_next": CANARY})
    await gateway.mails(4)

    assert any('"event": "accepted"' in message for message in caplog.messages)
    ours = [record for record in caplog.records if not record.name.startswith(("asyncio", "aiohttp", "uvicorn"))]
    logged = "\n".join(f"{record.name} {record.getMessage()} {record.__dict__}" for record in ours)
    assert CANARY not in logged
    assert KEYS["alertmanager"] not in logged
