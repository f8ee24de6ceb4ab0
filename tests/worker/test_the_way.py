"""The real gateway under Microsoft's worker, in a process of its own: what a caller sees of it on Azure."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.worker.caller import Caller
from tests.worker.process import ROOT, HostProcess, running
from tests.worker.worker import AVAILABLE, NEEDS

pytestmark = [
    pytest.mark.skipif(not AVAILABLE, reason=NEEDS),
    pytest.mark.asyncio(loop_scope="module"),
]

KEY = {"x-api-key": "example-key-app"}
ADMIN = {"x-api-key": "example-key-admin"}
MAIL = {"to": "canary@example.com", "subject": "Canary subject", "text": "canary body"}


def settings(folder: Path, config: Path) -> dict[str, str]:
    """The environment of one gateway with its store in a folder."""
    return {
        "GATEWAY_CONFIG": str(config),
        "GATEWAY_STORE": f"sqlite:{folder / 'gateway.db'}",
        "GATEWAY_ENVIRONMENT": "local",
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[HostProcess]:
    """The sample configuration; nothing has been called yet."""
    folder = tmp_path_factory.mktemp("gateway")
    async with running(ROOT, folder / "log", settings(folder, ROOT / "gateway.yaml")) as process:
        yield process


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def caller(host: HostProcess) -> AsyncIterator[Caller]:
    """Calls it."""
    async with aiohttp.ClientSession() as session:
        yield Caller(session, host.url)


async def test_fifty_notifications_at_a_cold_start_are_all_accepted(caller: Caller) -> None:
    """The first calls of this process come at once; each is durable, none is refused, all have ids of their own."""
    responses = await asyncio.gather(*(caller.post("/v1/notifications", json=MAIL, headers=KEY) for _ in range(50)))
    answers: list[dict[str, Any]] = [response.json() for response in responses]

    assert [202] * 50 == [response.status for response in responses]
    assert {"queued"} == {answer["status"] for answer in answers}
    assert len({answer["id"] for answer in answers}) == 50


async def test_an_accepted_notification_can_be_looked_up(caller: Caller) -> None:
    """202 names where; with a store on disk and no queue trigger nobody delivers here, so it stays queued."""
    accepted = await caller.post("/v1/notifications", json=MAIL, headers=KEY)
    shown = (await caller.get(accepted.headers["location"], headers=KEY)).json()

    assert shown["id"] == accepted.headers["x-notification-id"]
    assert (shown["status"], shown["source"], shown["title"]) == ("queued", "app", "Canary subject")


async def test_an_alert_is_taken_with_200(caller: Caller) -> None:
    """Alertmanager's own payload through the webhook door."""
    alert = {
        "version": "4",
        "status": "firing",
        "alerts": [{"status": "firing", "labels": {"alertname": "DiskFull", "severity": "critical"}}],
    }
    headers = {"Authorization": "Bearer example-key-alertmanager"}

    assert (await caller.post("/v1/webhooks/alertmanager", json=alert, headers=headers)).status == 200


async def test_a_form_with_a_file_is_taken(caller: Caller) -> None:
    """Multipart is bytes; they come through the host unharmed."""
    form = aiohttp.FormData({"name": "Zoë", "email": "zoe@example.com"})
    form.add_field("file", b"%PDF-1.7\n" + bytes(range(256)), filename="all.pdf", content_type="application/pdf")
    body = form()

    response = await caller.post(
        "/v1/forms/contact", data=await body.as_bytes(), headers={**body.headers, "Accept": "application/json"}
    )

    assert response.status == 200


async def test_a_client_is_who_the_front_end_says_and_has_five_posts_a_minute(caller: Caller) -> None:
    """The last entry of X-Forwarded-For, with its port; what the client wrote before it changes nothing."""

    async def post(number: int, client: str) -> int:
        forwarded = {"X-Forwarded-For": f"192.0.2.{number}, {client}:{50000 + number}"}
        answer = await caller.post("/v1/forms/contact", data={"message": "Hello"}, headers=forwarded)
        assert ("retry-after" in answer.headers) == (answer.status == 429)
        return answer.status

    assert [200] * 5 + [429] * 2 == [await post(number, "198.51.100.9") for number in range(7)]
    assert 200 == await post(8, "198.51.100.10")
    assert 200 == await post(9, "[2001:db8::1]")


async def test_a_foreign_page_is_not_let_in_by_its_preflight(caller: Caller) -> None:
    """OPTIONS reaches the gateway, which knows the origins of each form."""
    asked = {"Access-Control-Request-Method": "POST"}
    own = await caller.request("OPTIONS", "/v1/forms/contact", headers={**asked, "Origin": "http://localhost:3000"})
    foreign = await caller.request("OPTIONS", "/v1/forms/contact", headers={**asked, "Origin": "https://evil.example"})

    assert own.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert "access-control-allow-origin" not in foreign.headers


@pytest.mark.parametrize("path", ["/", "/v1/captured", "/captured/x-1", "/v1/captured/x-1/raw"])
async def test_captured_mail_needs_the_admin_key_whatever_the_environment_is(caller: Caller, path: str) -> None:
    """Here it is `local`: no app behind this host knows who reaches it. Its name is any that Azure gives it."""
    named = {"Host": "gateway.example.com"}
    asked, shown = await caller.get(path, headers=named), await caller.get(path, headers={**named, **ADMIN})
    foreign = await caller.get(path, headers={**ADMIN, "Origin": "https://evil.example"})

    assert (401, "unauthorized") == (asked.status, asked.json()["code"])
    assert shown.status in {200, 404}
    assert (403, "foreign_origin") == (foreign.status, foreign.json()["code"])


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
async def test_health_answers_get_and_head(caller: Caller, path: str) -> None:
    """Azure's health check and every monitor."""
    shown, asked = await caller.get(path), await caller.head(path)

    assert (shown.status, asked.status) == (200, 200)
    assert shown.json()["status"] == "ok"
    assert asked.body == b""


async def test_an_unknown_path_is_problem_json(caller: Caller) -> None:
    """Not the host's empty 404."""
    response = await caller.get("/v1/nothing")

    assert (response.status, response.headers["content-type"]) == (404, "application/problem+json")
    assert response.json()["code"] == "not_found"


async def test_no_key_is_401_with_both_ways_to_show_one(caller: Caller) -> None:
    """.NET and PowerShell send credentials only after WWW-Authenticate."""
    response = await caller.post("/v1/notifications", json=MAIL)

    assert response.status == 401
    assert response.headers["www-authenticate"] == 'Basic realm="gateway", Bearer'


async def test_a_chunked_body_is_411_and_never_a_silent_yes(caller: Caller) -> None:
    """The host lost it; the caller learns how to send it."""

    async def chunks() -> AsyncIterator[bytes]:
        yield json.dumps(MAIL).encode()

    response = await caller.post("/v1/notifications", data=chunks(), headers=KEY)

    assert response.status == 411
    assert "Content-Length" in response.json()["detail"]


async def test_nothing_private_reached_the_log(caller: Caller, host: HostProcess) -> None:
    """The worker sends every line at INFO to Application Insights: no key, no address, no word of a mail in it."""
    await caller.post("/v1/notifications?code=example-key-app", json=MAIL)

    log = host.log.lower()

    assert "notification" in log
    assert [word for word in ("canary", "example-key", "zoe@", "evil.example") if word in log] == []


async def test_a_broken_configuration_says_so_and_heals_without_a_restart(tmp_path: Path) -> None:
    """Every door is 503 and says how many mistakes there are, the log has each; mended, the next call works."""
    config = tmp_path / "gateway.yaml"
    text = (ROOT / "gateway.yaml").read_text("utf-8")
    config.write_text(text.replace("sender: noreply", "sender: nobody").replace("kind: native", "kind: natve"), "utf-8")
    async with (
        running(ROOT, tmp_path / "log", settings(tmp_path, config)) as host,
        aiohttp.ClientSession() as session,
    ):
        caller = Caller(session, host.url)
        door = await caller.post("/v1/notifications", json=MAIL, headers=KEY)
        live, ready = await caller.get("/health/live"), await caller.get("/health/ready")
        shutil.copy(ROOT / "gateway.yaml", config)
        mended = await caller.post("/v1/notifications", json=MAIL, headers=KEY)

        assert (door.status, live.status, ready.status, mended.status) == (503, 200, 503, 202)
        assert door.json()["code"] == "configuration_invalid"
        assert ready.json() == door.json()
        assert "5 mistakes" in door.json()["detail"]
        assert "sources." not in door.json()["detail"]
        for field in ("contact.sender", "alertmanager.sender", "app.sender", "app.kind"):
            assert f"sources.{field}" in host.log
        assert "configuration_invalid" in host.log
