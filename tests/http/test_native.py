"""The native door: an application's JSON, 202, and every refusal with a reason to act on."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.conftest import CONFIG, KEYS, Running, Start, running

BODY: dict[str, Any] = {"to": "ops@example.com", "subject": "Backup failed", "text": "Exit code 2."}


async def test_a_notification_is_accepted_and_captured(gateway: Running) -> None:
    """202 with the id in body, Location and header; then the mail and its history."""
    reply = await gateway.send(BODY)

    id = reply.json["id"]
    assert (202, {"id": id, "status": "queued"}) == (reply.status, reply.json)
    assert (f"/v1/notifications/{id}", id) == (reply.headers["Location"], reply.headers["X-Notification-Id"])
    (mail,) = await gateway.mails()
    assert ("noreply@example.com", ["ops@example.com"], "Backup failed") == (mail["from"], mail["to"], mail["subject"])
    assert "Exit code 2." in mail["text"]
    assert "Exit code 2." in mail["html"]
    status = await gateway.status(id)
    assert ("captured", "app", "native", 1) == (
        status["status"],
        status["source"],
        status["kind"],
        status["messages"][0]["attempts"],
    )
    assert ["accepted", "captured"] == [event["event"] for event in status["history"]]


async def test_every_field_reaches_the_mail(gateway: Running) -> None:
    """Copies, names, attachments, headers, reply-to and priority."""
    body = {
        "to": ["Ops <ops@example.com>", {"email": "second@example.com", "name": "Second"}],
        "cc": "a@example.com, b@example.com",
        "bcc": ["hidden@example.com"],
        "subject": "Prüfung ✓",
        "html": "<p>See <b>this</b></p>",
        "reply_to": "helpdesk@example.com",
        "priority": "high",
        "headers": {"X-Ticket": "4711"},
        "tags": ["nightly"],
        "attachments": [
            {"name": "a.txt", "content_type": "text/plain", "content": base64.b64encode(b"hello").decode()}
        ],
    }

    assert 202 == (await gateway.send(body)).status

    (mail,) = await gateway.mails()
    assert ["ops@example.com", "second@example.com"] == mail["to"]
    assert (["a@example.com", "b@example.com"], ["hidden@example.com"]) == (mail["cc"], mail["bcc"])
    assert ("Prüfung ✓", ["helpdesk@example.com"], "high") == (mail["subject"], mail["reply_to"], mail["priority"])
    assert ({"X-Ticket": "4711"}, ["nightly"]) == (mail["headers"], mail["tags"])
    assert ("a.txt", "aGVsbG8=") == (mail["attachments"][0]["name"], mail["attachments"][0]["content"])
    assert "See this" in mail["text"]


async def test_a_dry_run_shows_the_mail_and_keeps_nothing(gateway: Running) -> None:
    """200 with what would be sent."""
    reply = await gateway.send({**BODY, "dry_run": True})

    assert (200, "dry_run", "Backup failed") == (
        reply.status,
        reply.json["status"],
        reply.json["messages"][0]["subject"],
    )
    listed = await gateway.call("GET", "/v1/notifications", headers={"x-api-key": KEYS["admin"]})
    assert [] == listed.json["items"]


async def test_send_at_waits(gateway: Running) -> None:
    """A later time is kept: queued until then."""
    reply = await gateway.send({**BODY, "send_at": (datetime.now(UTC) + timedelta(hours=1)).isoformat()})
    await gateway.send({**BODY, "subject": "Now"})

    assert ["Now"] == [mail["subject"] for mail in await gateway.mails()]
    assert "queued" == (await gateway.status(reply.json["id"], wait=False))["status"]


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"Authorization": f"Bearer {KEYS['app']}"}},
        {"headers": {"authorization": f"ApiKey {KEYS['app']}"}},
        {"headers": {"x-api-key": KEYS["app"]}},
        {"headers": {"x-api-key": KEYS["app2"]}},
        {"headers": {"Authorization": "Basic " + base64.b64encode(f"any:{KEYS['app']}".encode()).decode()}},
        {"params": {"code": KEYS["app"]}},
        {"headers": {"Authorization": "Bearer wrong", "x-api-key": KEYS["app"]}},
    ],
)
async def test_any_one_valid_credential_opens_the_door(gateway: Running, options: dict[str, Any]) -> None:
    """Bearer, any scheme, x-api-key, Basic password, ?code=, and both live keys."""
    reply = await gateway.call("POST", "/v1/notifications", json=BODY, **options)

    assert 202 == reply.status


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic %%%"},
        {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe").decode()},
        {"x-api-key": "prüfung"},
        {"Authorization": "Bearer \u00ff\u00fe"},
    ],
)
async def test_without_a_valid_key_nothing_is_taken(gateway: Running, headers: dict[str, str]) -> None:
    """401 with a challenge, since .NET sends its credentials only after one; non-ASCII keys are no crash."""
    reply = await gateway.call("POST", "/v1/notifications", json=BODY, headers=headers)

    assert (401, "unauthorized") == reply.code
    assert 'Basic realm="gateway", Bearer' == reply.headers["WWW-Authenticate"]
    assert "application/problem+json" == reply.headers["Content-Type"]


async def test_a_key_of_another_kind_of_source_is_forbidden(gateway: Running) -> None:
    """403 says that the key is good, but not here."""
    assert (403, "forbidden") == (await gateway.send(BODY, key=KEYS["alertmanager"])).code


DEEP = b'{"to":"ops@example.com","subject":"x","data":' + b"[" * 100_000 + b"]" * 100_000 + b"}"

OK = {"to": "ops@example.com", "subject": "x"}


def changed(**fields: Any) -> bytes:
    return json.dumps({key: value for key, value in {**OK, **fields}.items() if value is not None}).encode()


BAD: list[tuple[str, bytes, tuple[int, str], str]] = [
    ("nothing", b"", (400, "empty_body"), ""),
    ("no JSON", b"{", (400, "malformed"), ""),
    ("a list", b"[1]", (400, "malformed"), ""),
    ("a text", b'"x"', (400, "malformed"), ""),
    ("100,000 deep", DEEP, (400, "malformed"), ""),
    ("NaN", b'{"to":"ops@example.com","subject":"x","data":{"a":NaN}}', (422, "invalid"), "data"),
    ("a NUL in no UTF-8", b'{"to":"ops@example.com","subject":"\xff\xfe\x00"}', (422, "invalid"), "subject"),
    ("an unknown field", changed(**{"from": "a@b.c"}), (422, "invalid"), "from"),
    ("a wrong type", changed(subject=5), (422, "invalid"), "subject"),
    ("no recipient", changed(to=None), (422, "no_recipient"), "to"),
    ("bcc alone", changed(to=None, bcc="ops@example.com"), (422, "invalid"), "to"),
    ("no address", changed(to="ops"), (422, "invalid"), "to[0]"),
    ("nothing to say", changed(subject=None), (422, "invalid"), "text"),
    ("a foreign recipient", changed(to="x@evil.test"), (422, "recipient_not_allowed"), "to[0]"),
    ("a foreign copy", changed(cc=["x@evil.test"]), (422, "recipient_not_allowed"), "cc[0]"),
    ("CRLF in the subject", changed(subject="x\r\nBcc: a@b.c"), (422, "invalid"), "subject"),
    ("CRLF in a recipient", changed(to="ops@example.com\r\nBcc: a@b.c"), (422, "invalid"), "to[0]"),
    ("CRLF in a header", changed(headers={"X-A": "1\r\nBcc: a@b.c"}), (422, "invalid"), "headers.X-A"),
    ("another header", changed(headers={"Bcc": "a@b.c"}), (422, "invalid"), "headers.Bcc"),
    ("no base64", changed(attachments=[{"name": "a", "content": "***"}]), (422, "invalid"), "attachments[0].content"),
    ("a time without offset", changed(send_at="2030-01-01T00:00:00"), (422, "invalid"), "send_at"),
    ("an unknown template", changed(template="none", data={}), (422, "unknown_template"), "template"),
]


@pytest.mark.parametrize(("what", "body", "code", "field"), BAD, ids=[case[0] for case in BAD])
async def test_bad_input_is_refused_with_its_reason(
    gateway: Running, what: str, body: bytes, code: tuple[int, str], field: str
) -> None:
    """The design's status, the failing field, and a sentence; the next good request works."""
    reply = await gateway.send(body)

    assert code == reply.code, reply.body
    assert field in {*reply.json.get("fields", {}), ""}
    assert len(reply.json["detail"]) > 20
    assert "evil.test" not in reply.body.decode()
    assert 202 == (await gateway.send(BODY)).status


@pytest.mark.parametrize(
    ("subject", "shown"), [(rb"\ud800x", "\ufffdx"), (b"J\xf6rg", "Jörg"), ("Jörg".encode(), "Jörg")]
)
async def test_odd_bytes_become_readable_text(gateway: Running, subject: bytes, shown: str) -> None:
    """A lone surrogate and windows-1252 bytes are no reason to lose a message."""
    reply = await gateway.send(b'{"to":"ops@example.com","subject":"' + subject + b'"}')

    assert (202, [shown]) == (reply.status, [mail["subject"] for mail in await gateway.mails()])


async def test_all_failing_fields_are_named_at_once(gateway: Running) -> None:
    """One answer is enough to mend a request."""
    reply = await gateway.send({"to": "nobody", "subject": 1, "priority": "urgent", "bogus": 1})

    assert {"to[0]", "subject", "priority", "bogus"} == reply.json["fields"].keys()


async def test_a_body_over_the_limit_is_413_with_the_limit(gateway: Running) -> None:
    """Announced or streamed, it is never read to its end."""

    async def stream() -> Any:
        for _ in range(12):
            yield b"x" * 1024 * 1024

    announced = await gateway.send(b"x" * (11 * 1024 * 1024))
    streamed = await gateway.call("POST", "/v1/notifications", data=stream(), headers={"x-api-key": KEYS["app"]})

    assert [(413, "too_large")] * 2 == [announced.code, streamed.code]
    assert "10 MiB" in announced.json["detail"]


async def test_template_syntax_in_data_stays_text(gateway: Running) -> None:
    """What a caller writes is never a template."""
    await gateway.send({**BODY, "subject": "{{ 7*7 }}", "text": "{{ config }} {% for x in y %}"})

    (mail,) = await gateway.mails()
    assert "{{ 7*7 }}" == mail["subject"]
    assert "{{ config }} {% for x in y %}" in mail["text"]


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/x-www-form-urlencoded", ""])
async def test_json_is_json_under_any_content_type(gateway: Running, content_type: str) -> None:
    """PowerShell and curl -d call it a form."""
    headers = {"Content-Type": content_type} if content_type else {}
    reply = await gateway.call(
        "POST",
        "/v1/notifications",
        data=json.dumps(BODY).encode(),
        headers={**headers, "x-api-key": KEYS["app"]},
        skip_auto_headers=["Content-Type"],
    )

    assert 202 == reply.status


class TestIdempotency:
    """The Idempotency-Key: one key, one notification."""

    async def test_the_same_key_gives_the_first_answer(self, gateway: Running) -> None:
        """Marked as a replay; one mail."""
        first, second = [await gateway.send(BODY, headers={"Idempotency-Key": "order-1"}) for _ in range(2)]

        assert (202, 202) == (first.status, second.status)
        assert first.json == second.json
        assert (None, "true") == (
            first.headers.get("Idempotency-Replay"),
            second.headers.get("Idempotency-Replay"),
        )
        assert 1 == len(await gateway.mails())

    async def test_another_body_under_the_same_key_is_422(self, gateway: Running) -> None:
        """The caller has mixed something up and is told."""
        await gateway.send(BODY, headers={"Idempotency-Key": "order-1"})

        reply = await gateway.send({**BODY, "text": "other"}, headers={"Idempotency-Key": "order-1"})

        assert (422, "idempotency_key_reused") == reply.code

    async def test_a_key_is_per_source(self, gateway: Running) -> None:
        """Two callers may choose the same key."""
        first = await gateway.send(BODY, headers={"Idempotency-Key": "1"})
        second = await gateway.send(BODY, key=KEYS["other"], headers={"Idempotency-Key": "1"})

        assert first.json["id"] != second.json["id"]

    async def test_many_at_once_make_one_mail(self, gateway: Running) -> None:
        """1,000 concurrent posts with one key."""
        replies = await asyncio.gather(*(gateway.send(BODY, headers={"Idempotency-Key": "storm"}) for _ in range(1000)))

        assert {202} == {reply.status for reply in replies}
        assert 1 == len({reply.json["id"] for reply in replies})
        assert 1 == len(await gateway.mails())

    async def test_a_key_survives_a_restart(self, tmp_path: Any) -> None:
        """The ledger remembers, not the process."""
        ids = []
        for _ in range(2):
            async with running(tmp_path, CONFIG) as gateway:
                ids.append((await gateway.send(BODY, headers={"Idempotency-Key": "k"})).json["id"])

        assert ids[0] == ids[1]

    @pytest.mark.parametrize("key", ["", "x" * 256, "prüfung"])
    async def test_a_key_that_is_none_is_refused(self, gateway: Running, key: str) -> None:
        """1 to 255 printable ASCII characters."""
        assert (400, "malformed") == (await gateway.send(BODY, headers={"Idempotency-Key": key})).code


async def test_nothing_is_accepted_while_the_store_is_away(start: Start) -> None:
    """503 with Retry-After, never a false 2xx; when it is back, so are we."""
    gateway = await start()
    await gateway.gateway.store.close()

    reply = await gateway.send(BODY)

    assert (503, "store_unavailable") == reply.code
    assert reply.headers["Retry-After"].isdigit()
    assert 503 == (await gateway.call("GET", "/health/ready")).status
    assert 200 == (await gateway.call("GET", "/health/live")).status
