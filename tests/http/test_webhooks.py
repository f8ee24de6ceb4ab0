"""The webhook door: a tool's own payload, 200, and no alert refused for its shape."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import KEYS, Running

DOOR = "/v1/webhooks/alertmanager"
KEY = {"Authorization": f"Bearer {KEYS['alertmanager']}"}


def alert(name: str = "HighLatency", severity: str = "critical", status: str = "firing") -> dict[str, Any]:
    labels = {"alertname": name, "severity": severity, "instance": "api-1"}
    return {
        "version": "4",
        "status": status,
        "groupKey": f'{{}}:{{alertname="{name}"}}',
        "groupLabels": {"alertname": name},
        "commonLabels": labels,
        "alerts": [
            {
                "status": status,
                "labels": labels,
                "annotations": {"summary": "p99 above 2 s"},
                "startsAt": "2026-11-23T14:45:11Z",
                "endsAt": "2026-11-23T15:00:00Z" if status == "resolved" else "0001-01-01T00:00:00Z",
            }
        ],
    }


async def test_an_alert_is_answered_with_200_and_routed_by_severity(gateway: Running) -> None:
    """Several tools accept no other status; the critical one goes to those on call, urgently."""
    critical = await gateway.call("POST", DOOR, json=alert(), headers=KEY)
    warning = await gateway.call("POST", DOOR, json=alert(severity="warning"), headers=KEY)

    assert (200, "queued") == (critical.status, critical.json["status"])
    assert critical.json["id"] == critical.headers["X-Notification-Id"]
    assert 200 == warning.status
    mails = {mail["notification"]: mail for mail in await gateway.mails(2)}
    first, second = mails[critical.json["id"]], mails[warning.json["id"]]
    assert (["ops@example.com", "oncall@example.com"], "high") == (first["to"], first["priority"])
    assert "[CRITICAL] HighLatency on api-1" == first["subject"]
    assert (["alerts@example.com"], "normal") == (second["to"], second["priority"])
    assert "[WARNING] HighLatency on api-1" == second["subject"]


async def test_firing_resolved_and_firing_again_are_three_mails(gateway: Running) -> None:
    """A recurrence is never taken for a re-delivery, nor is a reminder with the very same body."""
    for status in ("firing", "resolved", "firing"):
        await gateway.call("POST", DOOR, json=alert(status=status), headers=KEY)

    subjects = [mail["subject"] for mail in await gateway.mails(3)]
    assert sorted(["[CRITICAL] HighLatency on api-1"] * 2 + ["[RESOLVED] HighLatency on api-1"]) == sorted(subjects)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"plain words",
        b"\xff\xfe\x00\x80",
        b"[" * 100_000,
        json.dumps({"nothing": "known"}).encode(),
        b'{"alerts": "text"}',
        b'{"alerts": [{"labels": 5}]}',
        b"[1, 2, 3]",
        b"null",
        b'{"a": NaN}',
        rb'{"a": "\ud800"}',
        "{'python': 'dict ü'}".encode("latin-1"),
    ],
)
async def test_no_alert_is_refused_for_its_shape(gateway: Running, body: bytes) -> None:
    """What cannot be read is mailed as it is and marked, since nobody repeats a 4xx."""
    reply = await gateway.call("POST", DOOR, data=body, headers={**KEY, "Content-Type": "application/json"})

    assert 200 == reply.status, reply.body
    (mail,) = await gateway.mails()
    assert "unmapped" in mail["text"].lower()
    assert (await gateway.status(reply.json["id"]))["unmapped"]


async def test_put_and_a_query_are_taken_too(gateway: Running) -> None:
    """Some tools can do nothing else."""
    put = await gateway.call("PUT", DOOR, json=alert(), headers=KEY)
    get = await gateway.call("GET", f"{DOOR}?title=Down&host=web-1&code={KEYS['alertmanager']}")

    assert [200, 200] == [put.status, get.status]
    mails = await gateway.mails(2)
    assert any("web-1" in mail["text"] for mail in mails)
    assert not any(KEYS["alertmanager"] in json.dumps(mail) for mail in mails)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "PATCH"])
async def test_a_request_without_a_payload_is_405_with_the_reason(gateway: Running, method: str) -> None:
    """A POST that was redirected arrives as a GET; it must not look like success."""
    reply = await gateway.call(method, DOOR, headers=KEY)

    assert 405 == reply.status
    assert "POST" in reply.headers["Allow"]
    assert "HEAD" == method or "redirected" in reply.json["detail"]


async def test_a_key_in_the_path_only_where_it_is_allowed(gateway: Running) -> None:
    """Paths reach telemetry, so a source must say that it wants this."""
    allowed = await gateway.call("POST", f"/v1/webhooks/by-path/{KEYS['alertmanager']}", json=alert())
    wrong = await gateway.call("POST", "/v1/webhooks/by-path/wrong", json=alert())
    closed = await gateway.call("POST", f"{DOOR}/{KEYS['alertmanager']}", json=alert())

    assert [200, 401, 404] == [allowed.status, wrong.status, closed.status]


async def test_unknown_sources_and_wrong_doors_are_404_with_the_way(gateway: Running) -> None:
    """The answer says where to post instead."""
    unknown = await gateway.call("POST", "/v1/webhooks/nobody", json=alert(), headers=KEY)
    form = await gateway.call("POST", "/v1/webhooks/contact", json=alert(), headers=KEY)
    native = await gateway.call("POST", "/v1/webhooks/app", json=alert(), headers=KEY)

    assert [(404, "unknown_source"), (404, "wrong_door"), (404, "wrong_door")] == [
        unknown.code,
        form.code,
        native.code,
    ]
    assert "/v1/forms/contact" in form.json["detail"]


async def test_nothing_is_ever_redirected(gateway: Running) -> None:
    """A trailing slash is 404 and no 307: Alertmanager calls a redirect a failure, PowerShell calls it success."""
    assert 404 == (await gateway.call("POST", DOOR + "/", json=alert(), headers=KEY)).status


async def raw(gateway: Running, request: bytes) -> bytes:
    host, port = gateway.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(65536), 10)
    writer.close()
    return answer


async def test_a_body_sent_in_chunks_is_read(gateway: Running) -> None:
    """The embedded host has the body; only an empty one with Transfer-Encoding is 411, as under Functions."""
    head = f"POST {DOOR} HTTP/1.1\r\nHost: localhost\r\nx-api-key: {KEYS['alertmanager']}\r\nConnection: close\r\n"
    chunked = head + "Transfer-Encoding: chunked\r\n\r\n"

    full = await raw(gateway, (chunked + "5\r\nhello\r\n0\r\n\r\n").encode())
    empty = await raw(gateway, (chunked + "0\r\n\r\n").encode())

    assert full.startswith(b"HTTP/1.1 200")
    assert empty.startswith(b"HTTP/1.1 411")
    assert b"Content-Length" in empty


async def test_three_hundred_alerts_are_one_mail_that_counts_them(gateway: Running) -> None:
    """A captured group of 340 KB: nothing is refused, what is not shown is counted."""
    body = alert()
    body["alerts"] = [
        {**body["alerts"][0], "labels": {**body["commonLabels"], "instance": f"node{n}"}} for n in range(300)
    ]

    reply = await gateway.call("POST", DOOR, json=body, headers=KEY)

    assert 200 == reply.status
    (mail,) = await gateway.mails()
    assert "(+299)" in mail["subject"]
    assert "node0" in mail["text"]


def test_the_captured_payloads_are_there() -> None:
    """The golden cases stand where the conformance test looks for them."""
    assert list((Path(__file__).parent.parent / "payloads" / "alertmanager").glob("*.expected.json"))
