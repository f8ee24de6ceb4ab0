"""Cold start: what the first HTTP request, doorbell and timer of a process cost through Microsoft's worker, as ratios.

Each is a process of its own, from its start until the worker has loaded all functions ("ready") and until the first
invocation has ended ("answered"); the store is on Azurite, and the doorbell really delivers a mail (to `capture`). The
floor has the same triggers and does nothing; the floor of HTTP answers through FastAPI and stores nothing. The goal is
of processor time and for what a queue worker has at its first message: a neighbour on a shared machine doubles a wall
clock, but hardly that. Azurite's own time, most of the rest of the wall clock, is another process's.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from bench.imports import GOAL

ROOT = Path(__file__).parents[1]
ROUNDS = 9

GATEWAY, EMPTY, FASTAPI = "the gateway", "nothing", "FastAPI"


class Case(NamedTuple):
    """One line of the table: a function of an app, and the app whose same function is its floor."""

    function: str
    app: str
    floor: str = ""


CASES = (
    Case("outbox", EMPTY),
    Case("outbox", GATEWAY, EMPTY),
    Case("sweep", EMPTY),
    Case("sweep", GATEWAY, EMPTY),
    Case("http", EMPTY),
    Case("http", FASTAPI, EMPTY),
    Case("http", GATEWAY, FASTAPI),
)

Cost = dict[str, dict[str, float]]
"""Seconds by moment (ready, done) and clock (wall, cpu)."""


def run() -> None:
    """Measure and print."""
    if find_spec("azure_functions_runtime") is None:
        print("coldstart: Azure's worker code needs Python 3.13, so there is nothing to measure here")
        return
    from tests import azurite

    with azurite.running() as emulator, tempfile.TemporaryDirectory() as name:
        environ = _environ(emulator.account())
        doorbells = iter(asyncio.run(_doorbells(environ, ROUNDS + 2)))
        folders = _apps(Path(name))
        _round(folders, environ, doorbells)  # compiles what may be compiled, and reads the files into the page cache
        _print([_round(folders, environ, doorbells) for _ in range(ROUNDS)])


def _environ(account: str) -> dict[str, str]:
    return {
        "GATEWAY_CONFIG": str(ROOT / "gateway.yaml"),
        "GATEWAY_STORE": "azure",
        "GATEWAY_ENVIRONMENT": "local",
        "AzureWebJobsStorage": account,
    }


async def _doorbells(environ: dict[str, str], count: int) -> list[str]:
    """Ids of messages that wait; one is delivered, so that no case pays for making table, queues and containers."""
    from gateway import sources, wiring
    from gateway.settings import Settings

    gateway = await wiring.build(Settings.read(environ), environ)
    body = json.dumps({"to": "ops@example.com", "subject": "Backup failed", "text": "It ended with 3."}).encode()
    notifications = sources.read("native", body, {}, "app")
    ids = [(await gateway.line.accept("app", notifications)).ids[0] for _ in range(count)]
    await gateway.delivery.deliver(f"{ids.pop()}-1")
    await gateway.close()
    return [f"{id}-1" for id in ids]


def _apps(folder: Path) -> dict[str, Path]:
    """A folder with a function_app.py for each app."""
    folders = {GATEWAY: ROOT, EMPTY: folder / "empty", FASTAPI: folder / "fastapi"}
    for app, source in ((EMPTY, "_empty_app.py"), (FASTAPI, "_fastapi_app.py")):
        folders[app].mkdir()
        shutil.copy(ROOT / "bench" / source, folders[app] / "function_app.py")
    return folders


def _round(folders: dict[str, Path], environ: dict[str, str], doorbells: Iterator[str]) -> dict[Case, Cost]:
    doorbell = next(doorbells)
    return {case: _once(folders[case.app], case.function, environ, doorbell) for case in CASES}


def _once(folder: Path, function: str, environ: dict[str, str], doorbell: str) -> Cost:
    """One process."""
    variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environ}
    variables["FIRST_CALL_STARTED"] = repr(time.monotonic())
    command = [sys.executable, "-m", "tests.worker.first_call", str(folder), function, doorbell]
    done = subprocess.run(command, cwd=folder, env=variables, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    if function == "http" and found["status"] != 202:
        raise RuntimeError(f"the first request was answered with {found['status']}")
    return {"ready": found["ready"], "done": found["done"]}


def _print(rounds: list[dict[Case, Cost]]) -> None:
    print(f"{'':<22} {'ready, ms':^13}  {'answered, ms':^13}  {'CPU against the floor':^21}")
    clocks = f"{'wall':>6} {'cpu':>6}"
    print(f"{'first invocation':<22} {clocks}  {clocks}  {'ready':>7} {'answered':>9}     floor, goal")
    for case in CASES:
        times = [
            statistics.median(costs[case][moment][clock] for costs in rounds) * 1000
            for moment in ("ready", "done")
            for clock in ("wall", "cpu")
        ]
        line = f"{case.function + ': ' + case.app:<22} {times[0]:6.0f} {times[1]:6.0f}  {times[2]:6.0f} {times[3]:6.0f}"
        if case.floor:
            goal = f"; ready ≤ {GOAL}" if case.app == GATEWAY and case.floor == EMPTY else ""
            ready, done = (_ratio(rounds, case, moment) for moment in ("ready", "done"))
            line += f"  {ready:7.2f} {done:9.2f}     {case.floor}{goal}"
        print(line)


def _ratio(rounds: list[dict[Case, Cost]], case: Case, moment: str) -> float:
    """The median over the rounds: what ran side by side was disturbed alike."""
    floor = Case(case.function, case.floor, EMPTY if case.floor == FASTAPI else "")
    return statistics.median(costs[case][moment]["cpu"] / costs[floor][moment]["cpu"] for costs in rounds)


if __name__ == "__main__":
    run()
