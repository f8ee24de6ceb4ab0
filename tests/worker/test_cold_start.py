"""What a process imports for its first invocation under Microsoft's worker: what it needs, and nothing more."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway import sources, wiring
from gateway.settings import Settings
from tests.azurite import Azurite
from tests.conftest import with_hashes
from tests.worker.process import ROOT
from tests.worker.worker import AVAILABLE, NEEDS

pytestmark = pytest.mark.skipif(not AVAILABLE, reason=NEEDS)

CONFIG = """\
senders:
  noreply: {transport: capture, address: noreply@example.com, fallback: helpdesk}
  news: {transport: acs, live: true, address: news@example.com}
  helpdesk: {transport: graph, live: true, address: helpdesk@example.com}
sources:
  app: {kind: native, keys: [HASH-app], sender: noreply, allow: ["*@example.com"]}
  contact: {kind: form, sender: news, to: [info@example.com], origins: ["https://www.example.com"]}
  alertmanager: {kind: alertmanager, keys: [HASH-alertmanager], sender: helpdesk, to: [ops@example.com]}
"""

WEB = {"fastapi", "starlette", "jinja2", "uvicorn", "opentelemetry", "gateway.api", "gateway.web", "gateway.doors"}
TEMPLATES = {"jinja2", "gateway.rendering", "gateway.looks", "gateway.htmltext", "gateway.mime"}
SDKS = {"azure.core", "azure.communication", "azure.identity", "azure.data", "azure.storage", "msal", "cryptography"}
TRANSPORTS = {"gateway.transports.acs", "gateway.transports.graph", "gateway.transports.wire"}


def environ(folder: Path, store: str, account: str = "") -> dict[str, str]:
    """The settings of an app with a sender of every kind."""
    file = folder / "gateway.yaml"
    file.write_text(with_hashes(CONFIG), "utf-8")
    return {
        "GATEWAY_CONFIG": str(file),
        "GATEWAY_STORE": store,
        "GATEWAY_ENVIRONMENT": "test",
        "ACS_ENDPOINT": "https://example.communication.azure.com",
        **({"AzureWebJobsStorage": account} if account else {}),
    }


async def doorbell(settings: dict[str, str]) -> str:
    """The id of a message that waits."""
    gateway = await wiring.build(Settings.read(settings), settings)
    notifications = sources.read("native", b'{"to": "a@example.com", "subject": "s", "text": "t"}', {}, "app")
    accepted = await gateway.line.accept("app", notifications)
    await gateway.close()
    return f"{accepted.ids[0]}-1"


async def called(settings: dict[str, str], function: str, text: str = "") -> dict[str, Any]:
    """What a fresh process said of its first invocation."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.worker.first_call", str(ROOT), function, text),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **settings},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    found: dict[str, Any] = json.loads(output)
    return found


def of(imported: list[str], names: set[str]) -> list[str]:
    """Those that are one of these, or lie in one."""
    return [module for module in imported if any(f"{module}.".startswith(f"{name}.") for name in names)]


async def test_a_doorbell_loads_neither_http_nor_templates_nor_the_transports_of_other_senders(
    azurite: Azurite, tmp_path: Path
) -> None:
    """One mail to capture, on Azure storage: the store's aiohttp is the only client there."""
    settings = environ(tmp_path, "azure", azurite.account())

    imported = (await called(settings, "outbox", await doorbell(settings)))["imported"]

    assert of(imported, WEB | TEMPLATES | SDKS | TRANSPORTS) == []
    assert {"gateway.delivery", "gateway.transports.capture", "gateway.stores.azure", "aiohttp"} <= set(imported)


async def test_a_doorbell_on_a_file_loads_no_http_client_at_all(tmp_path: Path) -> None:
    """It belongs to the store on Azure and to the transports, and none of them is there."""
    settings = environ(tmp_path, f"sqlite:{tmp_path / 'gateway.db'}")

    imported = (await called(settings, "outbox", await doorbell(settings)))["imported"]

    assert of(imported, WEB | TEMPLATES | SDKS | TRANSPORTS | {"aiohttp", "gateway.stores.azure"}) == []
    assert "gateway.transports.capture" in imported


async def test_the_timer_loads_neither_http_nor_templates_nor_what_delivers(azurite: Azurite, tmp_path: Path) -> None:
    """It rings, purges and counts."""
    settings = environ(tmp_path, "azure", azurite.account())

    imported = (await called(settings, "sweep"))["imported"]

    assert of(imported, WEB | TEMPLATES | SDKS | TRANSPORTS | {"gateway.delivery", "gateway.pacing"}) == []
    assert {"gateway.upkeep", "gateway.stores.azure"} <= set(imported)


async def test_a_request_loads_no_transport_and_none_of_azures_clients(azurite: Azurite, tmp_path: Path) -> None:
    """It is stored; another invocation sends it."""
    settings = environ(tmp_path, "azure", azurite.account())

    answer = await called(settings, "http")

    assert answer["status"] == 202
    assert of(answer["imported"], SDKS | TRANSPORTS | {"gateway.delivery", "gateway.pacing", "uvicorn"}) == []
    assert {"fastapi", "jinja2", "gateway.stores.azure"} <= set(answer["imported"])
