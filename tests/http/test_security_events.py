"""Who was kept out, and what an operator did, in the log: one line at once, one a minute, and nothing private."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from gateway import security_events
from gateway.auth import hash_key
from gateway.security_events import REFUSED, UNAUTHORIZED
from tests.conftest import CONFIG, KEYS, Running, Start
from tests.documents import documents

ALERT = {"status": "firing", "alerts": [{"status": "firing", "labels": {"alertname": "DiskFull"}}]}
HOOK = "/v1/webhooks/alertmanager"
ADMIN = {"x-api-key": KEYS["admin"]}
FINGERPRINT = hash_key(KEYS["admin"]).removeprefix("sha256:")[:8]
WATCHED = CONFIG.replace(
    "admin:\n",
    """\
  narrow:
    kind: form
    origins: ["https://www.example.com"]
    require_origin: true
    limit: {source: {minute: 1}}
    sender: noreply
    to: [info@example.com]
trusted_proxies: [127.0.0.1]
admin:
""",
)


@pytest.fixture
async def watched(start: Start, caplog: pytest.LogCaptureFixture) -> Running:
    """A gateway behind a proxy, whose log is read."""
    running = await start(WATCHED)
    caplog.set_level(logging.INFO, logger="gateway")
    caplog.clear()
    return running


def lines(caplog: pytest.LogCaptureFixture, *events: str) -> list[dict[str, Any]]:
    """The facts of each line of these events."""
    said = [json.loads(record.getMessage()) for record in caplog.records if record.name == "gateway"]
    return [line for line in said if line["event"] in (events or ("unauthorized", "refused"))]


async def knock(gateway: Running, count: int, address: str = "198.51.100.1", path: str = HOOK) -> None:
    headers = {"x-api-key": "wrong", "X-Forwarded-For": address}
    for _ in range(count):
        assert 401 == (await gateway.call("POST", path, json=ALERT, headers=headers)).status


def by(key: str, **options: Any) -> dict[str, Any]:
    return {"headers": {"x-api-key": KEYS[key]}, **options}


LARGE = {"data": b"x" * 11_000_000}
FOREIGN = {"headers": {"Origin": "https://evil.test"}}
FIELDS = {"data": {"message": "Hello"}}
ELSEWHERE = {"json": {"to": "somebody@elsewhere.test", "subject": "Hello"}}

CASES: list[tuple[str, str, dict[str, Any], str | None, str]] = [
    ("POST", HOOK, {"json": ALERT}, "alertmanager", "unauthorized"),
    ("POST", HOOK, by("other", json=ALERT), "alertmanager", "forbidden"),
    ("POST", "/v1/webhooks/nobody", {"json": ALERT}, None, "unauthorized"),
    ("POST", "/v1/webhooks/app", {"json": ALERT}, None, "unauthorized"),
    ("POST", "/v1/notifications", {"json": {}}, None, "unauthorized"),
    ("GET", "/v1/notifications", {}, None, "unauthorized"),
    ("GET", "/v1/notifications/x", {}, None, "unauthorized"),
    ("POST", "/v1/notifications/x/replay", by("app"), None, "forbidden"),
    ("DELETE", "/v1/suppressions?address=a@example.com", {}, None, "unauthorized"),
    ("POST", "/v1/forms/contact", {**FIELDS, **FOREIGN}, "contact", "foreign_origin"),
    ("POST", "/v1/forms/narrow", FIELDS, "narrow", "origin_required"),
    ("POST", "/v1/forms/contact", LARGE, "contact", "too_large"),
    ("POST", HOOK, by("alertmanager", **LARGE), "alertmanager", "too_large"),
    ("POST", "/v1/notifications", by("app", **ELSEWHERE), "app", "recipient_not_allowed"),
    ("GET", "/v1/captured", FOREIGN, None, "foreign_origin"),
    ("GET", "/v1/captured", {"headers": {"Host": "evil.test"}}, None, "foreign_host"),
]


@pytest.mark.parametrize(("method", "path", "options", "source", "code"), CASES)
async def test_a_refusal_for_reasons_of_security_is_a_line(
    watched: Running,
    caplog: pytest.LogCaptureFixture,
    method: str,
    path: str,
    options: dict[str, Any],
    source: str | None,
    code: str,
) -> None:
    """With a source only where the configuration has it, and with a client that is no address."""
    if isinstance(body := options.get("data"), bytes):
        options = {**options, "data": io.BytesIO(body)}

    with contextlib.suppress(aiohttp.ClientOSError):  # a large body is refused before it has all been sent
        await watched.call(method, path, **options)

    (said,) = lines(caplog)
    event = "unauthorized" if code in UNAUTHORIZED else "refused"
    assert (event, source, code) == (said["event"], said.get("source"), said["code"])
    assert re.fullmatch("[0-9a-f]{8}", said["client"])


async def test_over_a_limit_is_a_line(watched: Running, caplog: pytest.LogCaptureFixture) -> None:
    """At the form's own limit."""
    site = {"Origin": "https://www.example.com"}
    for _ in range(2):
        await watched.call("POST", "/v1/forms/narrow", data={"a": "b"}, headers=site)

    assert [("refused", "narrow", "rate_limited")] == [(x["event"], x["source"], x["code"]) for x in lines(caplog)]


async def test_a_refusal_for_another_reason_is_none(watched: Running, caplog: pytest.LogCaptureFixture) -> None:
    """A caller's mistake is his own business."""
    key = {"x-api-key": KEYS["app"]}
    await watched.call("GET", "/v1/notifications/x", headers=key)
    await watched.send({"subject": "Hello"})
    await watched.send(b"no JSON")
    await watched.call("POST", "/v1/forms/nobody", data={"a": "b"})

    assert [] == lines(caplog)


async def test_the_first_is_written_at_once_and_the_rest_of_a_minute_as_one_line(
    watched: Running, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the last of them, without another request; after a quiet minute the next is a first one again."""
    monkeypatch.setattr(security_events, "MINUTE", 0.5)
    await knock(watched, 20)
    assert [1] == [line["count"] for line in lines(caplog)]

    await asyncio.sleep(0.7)
    assert [1, 19] == [line["count"] for line in lines(caplog)]
    first, rest = lines(caplog)
    assert {**first, "count": 19} == rest

    await asyncio.sleep(0.6)
    await knock(watched, 1)
    assert [1, 19, 1] == [line["count"] for line in lines(caplog)]
    assert 1 == len(watched.gateway.events._repeated)


async def test_each_source_and_code_has_lines_of_its_own(watched: Running, caplog: pytest.LogCaptureFixture) -> None:
    """A flood at one hides nothing at another, and what is kept in memory has an end."""
    for number in range(20):
        await knock(watched, 1, path=f"/v1/webhooks/nobody-{number}")
        await knock(watched, 1)
        await watched.call("POST", HOOK, json=ALERT, headers={"x-api-key": KEYS["other"]})

    assert [(None, "unauthorized"), ("alertmanager", "unauthorized"), ("alertmanager", "forbidden")] == [
        (line.get("source"), line["code"]) for line in lines(caplog)
    ]
    assert 3 == len(watched.gateway.events._repeated)


async def test_what_is_not_written_yet_is_written_at_the_end(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """Several clients have no client in common."""
    gateway = await start(WATCHED)
    caplog.set_level(logging.INFO, logger="gateway")
    await knock(gateway, 1)
    await knock(gateway, 3, "198.51.100.2")
    await knock(gateway, 2, "198.51.100.3")

    gateway.gateway.events.close()

    first, rest = lines(caplog)
    assert (1, 5) == (first["count"], rest["count"])
    assert ("client" in first, "client" in rest) == (True, False)


async def test_no_address_key_or_unknown_name_is_written(watched: Running, caplog: pytest.LogCaptureFixture) -> None:
    """What a caller sends reaches no line."""
    await knock(watched, 3, "198.51.100.77", "/v1/webhooks/canary-name?code=canary-key")
    await watched.call("POST", "/v1/forms/contact", data={"a": "b"}, headers={"Origin": "https://canary.test"})
    watched.gateway.events.close()

    said = "".join(record.getMessage() for record in caplog.records if record.name == "gateway")
    assert 3 == len(lines(caplog))
    assert not re.search("canary|198\\.51|wrong", said)


async def test_what_an_operator_does_says_which_key_and_from_where(
    watched: Running, caplog: pytest.LogCaptureFixture
) -> None:
    """By the first digits of the key's hash, as gateway.yaml has it."""
    await watched.gateway.suppressions.add("gone@example.com", "asked", datetime.now(UTC))
    id = (await watched.send({"to": "ops@example.com", "subject": "x", "send_at": "2027-06-01T00:00:00Z"})).json["id"]
    done = [
        await watched.call("POST", f"/v1/notifications/{id}/cancel", headers=ADMIN),
        await watched.call("POST", f"/v1/notifications/{id}/replay", headers=ADMIN),
        await watched.call("DELETE", "/v1/suppressions?address=gone@example.com", headers=ADMIN),
    ]

    assert [200, 202, 204] == [reply.status for reply in done]
    said = lines(caplog, "cancelled", "replayed", "unsuppressed")
    assert [FINGERPRINT] * 3 == [line["key"] for line in said]
    assert all(re.fullmatch("[0-9a-f]{8}", line["client"]) for line in said)
    assert not [line for line in lines(caplog, "accepted", "captured") if "key" in line]


async def test_deleting_captured_mail_is_a_line(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """With the key where one is needed."""
    caplog.set_level(logging.INFO, logger="gateway")
    staging = await start(WATCHED, GATEWAY_ENVIRONMENT="staging")

    assert 401 == (await staging.call("DELETE", "/v1/captured")).status
    assert 200 == (await staging.call("DELETE", "/v1/captured", headers=ADMIN)).status

    (line,) = lines(caplog, "captured_deleted")
    assert (FINGERPRINT, 0) == (line["key"], line["count"])


def test_every_code_of_a_line_is_a_problem_that_there_is() -> None:
    """A code that is renamed must be renamed here."""
    known = set(re.findall(r"^\| \d{3} \| `(\w+)`", documents()["docs/http.md"].section("Errors"), re.MULTILINE))

    assert set() == (UNAUTHORIZED | REFUSED) - known
