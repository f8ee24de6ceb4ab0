"""Accept: an authenticated native JSON of 1 KB, validated, routed, rendered, durable with fsync, 202.

As a ratio to the same FastAPI stack answering the same body without doing anything. Server and load have a core each
where there are two. `held` posts for later, so that only accepting is measured; `delivering` also delivers meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests

from bench.load import Load, request, run
from tests import gateway_process
from tests.servers.serve import listen

ROUNDS = 5
COUNT = 3200
CONCURRENCY = 16
BODY: dict[str, Any] = {
    "to": ["ops@example.com"],
    "subject": "Nightly backup of db-1 failed",
    "text": "The backup of db-1 ended with exit code 2.\n" * 18,
    "reply_to": "helpdesk@example.com",
    "priority": "normal",
    "headers": {"X-Ticket": "4711"},
    "tags": ["backup"],
}


def _pin(pid: int, core: int) -> None:
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(pid, {core})


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def floor() -> Iterator[tuple[int, int]]:
    """The floor's port and pid."""
    with listen() as socket:
        port = int(socket.getsockname()[1])
    process = subprocess.Popen([sys.executable, "-m", "bench.floor", str(port)])
    try:
        for _ in range(200):
            try:
                requests.get(f"http://127.0.0.1:{port}/", timeout=1)
                break
            except requests.ConnectionError:
                time.sleep(0.05)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(10)


def measure(port: int, pid: int, body: dict[str, Any], concurrency: int) -> tuple[Load, float]:
    """The load's figures, and CPU microseconds of the server per request."""
    _pin(pid, 0)
    _pin(os.getpid(), 1)
    content = request("/v1/notifications", json.dumps(body).encode(), "example-key-app")
    before = cpu_seconds(pid)
    load = asyncio.run(run(port, content, count=COUNT, concurrency=concurrency))
    return load, (cpu_seconds(pid) - before) / COUNT * 1e6


def main() -> None:
    """Print the table."""
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    rates: dict[str, list[float]] = {"floor": [], "held": [], "delivering": []}
    costs: dict[str, list[float]] = {"floor": [], "held": [], "delivering": []}
    p99: list[float] = []
    drained: list[float] = []
    for _ in range(ROUNDS):
        with (
            tempfile.TemporaryDirectory() as folder,
            floor() as (floor_port, floor_pid),
            gateway_process.running_gateway(store=Path(folder) / "g.db") as gateway,
        ):
            pid = gateway.process.pid
            for name, port, server, body in (
                ("floor", floor_port, floor_pid, BODY),
                ("held", gateway.port, pid, {**BODY, "send_at": later}),
                ("delivering", gateway.port, pid, BODY),
            ):
                began = time.perf_counter()
                load, cost = measure(port, server, body, CONCURRENCY)
                rates[name].append(load.rate)
                costs[name].append(cost)
                if name == "held":
                    p99.append(load.p99)
            drained.append(COUNT / (_drained(gateway.url, COUNT) - began))
    held, delivering, base = (statistics.median(rates[name]) for name in ("held", "delivering", "floor"))
    print(f"accept at concurrency {CONCURRENCY}, {ROUNDS} rounds of {COUNT}")
    print(f"  floor (FastAPI, does nothing)      {base:7.0f}/s  {statistics.median(costs['floor']):5.0f} us CPU")
    print(f"  accept, nothing delivered meanwhile{held:7.0f}/s  {statistics.median(costs['held']):5.0f} us CPU")
    print(f"     ratio to the floor  {held / base:.2f}  (goal >= 0.5)   p99 {statistics.median(p99):.1f} ms")
    print(f"  accept while delivering            {delivering:7.0f}/s  ratio {delivering / base:.2f}")
    print(f"  accept to captured                 {statistics.median(drained):7.0f}/s")


def _drained(url: str, count: int) -> float:
    """When the last of `count` mails was captured."""
    found, cursor = 0, ""
    for _ in range(600):
        page = requests.get(f"{url}/v1/captured", {"limit": "1000", "cursor": cursor}, timeout=30).json()
        found += len(page["items"])
        if found >= count:
            break
        if page["items"]:
            cursor = page["items"][-1]["cursor"]
        else:
            time.sleep(0.05)
    return time.perf_counter()


if __name__ == "__main__":
    main()
