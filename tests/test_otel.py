"""OpenTelemetry export: a gateway in a process of its own sends what it logs to a collector, or goes on without."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import aiohttp

from tests import gateway_process
from tests.gateway_process import GatewayProcess
from tests.servers.otlp import Collector
from tests.servers.serve import serve

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
WITHOUT = "import sys, runpy; sys.modules['opentelemetry.sdk'] = None; runpy.run_module('gateway', run_name='__main__')"
"""A gateway on a machine where the packages are not installed."""


async def start(folder: Path, url: str, **options: Any) -> GatewayProcess:
    """A gateway that is told of a collector."""
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": url}
    return await asyncio.to_thread(gateway_process.start, store=folder / "g.db", variables=variables, **options)


async def one_mail(gateway: GatewayProcess) -> str:
    """Send a notification and wait for its mail; the notification's id."""
    headers = {"x-api-key": "example-key-app", "traceparent": PARENT}
    body = {"to": "ops@example.com", "subject": "Backup failed", "text": "It ended with exit status 3."}
    async with aiohttp.ClientSession(gateway.url) as http:
        async with http.post("/v1/notifications", json=body, headers=headers) as answer:
            id: str = (await answer.json())["id"]
        async with http.get("/v1/captured", params={"wait": "10"}) as answer:
            assert [item["notification"] for item in (await answer.json())["items"]] == [id]
    return id


async def test_lines_become_logs_counters_and_a_span(tmp_path: Path) -> None:
    """What a collector gets of one mail once the process has ended, and nothing of the mail itself."""
    collector = Collector()
    async with serve(collector, lifespan="off") as url:
        gateway = await start(tmp_path, url)
        id = await one_mail(gateway)
        await asyncio.to_thread(gateway.stop)

    logs = {line["event"]: line for line in collector.logs}
    (span,) = collector.spans
    assert {"listening", "accepted", "captured", "stopped"} <= logs.keys()
    assert (logs["accepted"]["trace_id"], logs["accepted"]["notification"]) == (TRACE, id)
    assert {line["service"] for line in collector.logs} == {"notification-gateway"}
    assert (span["name"], span["event"], span["message"], span["bad"]) == ("deliver", "captured", f"{id}-1", False)
    assert (logs["captured"]["trace_id"], logs["captured"]["span_id"]) == (span["trace_id"], span["span_id"])
    assert 0 <= span["length"] < 10
    counted = {labels["event"]: (labels.get("source"), count) for labels, count in collector.metrics["gateway.events"]}
    assert (counted["accepted"], counted["captured"]) == (("app", 1), ("app", 1))
    assert [count for _, count in collector.metrics["gateway.delivery.duration"]] == [1]
    sent = b"".join(body for bodies in collector.bodies.values() for body in bodies)
    assert [word for word in (b"ops@example.com", b"Backup", b"exit status", b"example-key") if word in sent] == []


async def test_without_the_packages_one_line_says_so_and_mail_goes_out(tmp_path: Path) -> None:
    """The variable was set for nothing."""
    gateway = await start(tmp_path, "http://127.0.0.1:9", program=("-c", WITHOUT))

    await one_mail(gateway)
    await asyncio.to_thread(gateway.stop)

    (line,) = gateway.events("export_off")
    assert "requirements-otel.txt" in line["problem"]


async def test_a_collector_that_is_not_there_holds_up_neither_mail_nor_the_end(tmp_path: Path) -> None:
    """What it does not take is dropped."""
    gateway = await start(tmp_path, "http://127.0.0.1:9")

    await one_mail(gateway)
    began = time.monotonic()
    status = await asyncio.to_thread(gateway.stop)

    assert status == 0
    assert time.monotonic() - began < 20
