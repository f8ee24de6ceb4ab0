"""Cold start: nothing comes in, a table goes out of what the first invocation imports, as ratios in one run.

Each line is a process of its own, from its start until it could serve, less a bare interpreter. What a queue worker
has at its first message is measured against `import azure.functions`, which no Python function can avoid; what an HTTP
worker has at its first request (the application built, the store open) against `azure.functions` with FastAPI.
`coldstart` has the same through Microsoft's worker, up to the first answer. The ratios are of processor time, since a
neighbour on a shared machine doubles a wall clock but hardly that.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
ROUNDS = 11
GOAL = 1.3

_GATEWAY = "import function_app, asyncio; from gateway import wiring; asyncio.run(wiring.gateway())"
_HTTP = "import function_app, asyncio; from gateway import asgi; asyncio.run(asgi.BRIDGE.startup())"


class Case(NamedTuple):
    """One line of the table: what is run, the case it is measured against, and whether our modules are compiled."""

    name: str
    code: str
    against: str = ""
    goal: float | None = None
    compiled: bool = True


class Cost(NamedTuple):
    """Seconds by the wall clock and of processor time."""

    wall: float
    cpu: float


FUNCTIONS = "azure.functions"
FASTAPI = "azure.functions, fastapi"
CASES = (
    Case(FUNCTIONS, "import azure.functions"),
    Case(FASTAPI, "import azure.functions, fastapi"),
    Case("queue worker before its first message", "import function_app", FUNCTIONS, GOAL),
    Case("queue worker with the gateway built", _GATEWAY, FUNCTIONS),
    Case("HTTP worker with the application built", _HTTP, FASTAPI, GOAL),
    Case("the same, our own modules not compiled", _HTTP, FASTAPI, compiled=False),
)


def run() -> None:
    """Measure and print."""
    if find_spec("azure_functions_runtime") is None:
        print("imports: azure-functions needs Python 3.13, so there is nothing to measure here")
        return
    rounds = measure(CASES)
    print(f"{'cold start, a bare interpreter taken off':<42} {'wall ms':>7}  {'cpu ms':>6}  ratio  goal")
    for case in CASES:
        wall, cpu = (statistics.median(costs[case.name][clock] for costs in rounds) * 1000 for clock in (0, 1))
        ratio = f"{_ratio(rounds, case):5.2f}" if case.against else ""
        goal = f"≤ {case.goal}" if case.goal else ""
        print(f"{case.name:<42} {wall:7.0f}  {cpu:6.0f}  {ratio:>5}  {goal}".rstrip())


def _ratio(rounds: list[dict[str, Cost]], case: Case) -> float:
    """The median over the rounds: what ran side by side was disturbed alike."""
    return statistics.median(costs[case.name].cpu / costs[case.against].cpu for costs in rounds)


def measure(cases: tuple[Case, ...], rounds: int = ROUNDS) -> list[dict[str, Cost]]:
    """Each case once a round, a bare interpreter of the same round taken off."""
    with tempfile.TemporaryDirectory() as name:
        folder, uncompiled = Path(name), Path(name) / "app"
        shutil.copytree(ROOT / "gateway", uncompiled / "gateway", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "function_app.py", uncompiled)
        _round(cases, folder, uncompiled)  # compiles what may be compiled, and reads the files into the page cache
        return [_round(cases, folder, uncompiled) for _ in range(rounds)]


def _round(cases: tuple[Case, ...], folder: Path, uncompiled: Path) -> dict[str, Cost]:
    bare = _once(Case("", ""), folder, uncompiled)
    costs = {case.name: _once(case, folder, uncompiled) for case in cases}
    return {name: Cost(cost.wall - bare.wall, cost.cpu - bare.cpu) for name, cost in costs.items()}


def _once(case: Case, folder: Path, uncompiled: Path) -> Cost:
    """One process until it could serve; it ends there, without tidying up."""
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT if case.compiled else uncompiled),
        "PYTHONDONTWRITEBYTECODE": "" if case.compiled else "1",
        "GATEWAY_CONFIG": str(ROOT / "gateway.yaml"),
        "GATEWAY_STORE": f"sqlite:{folder}/gateway.db",
        "GATEWAY_ENVIRONMENT": "local",
    }
    command = [sys.executable, "-P", "-c", f"{case.code}\nimport os; os._exit(0)"]
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environ, cwd=folder)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Cost(time.perf_counter() - started, usage.ru_utime + usage.ru_stime)


if __name__ == "__main__":
    run()
