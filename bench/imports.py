"""Cold start: nothing comes in, a table goes out of what the first invocation imports, as ratios in one run.

Each line is a process of its own, from its start until it could serve, less a bare interpreter. What a queue worker
has at its first message is measured against `import azure.functions`, which no Python function can avoid; what an HTTP
worker has at its first request (the application built, the store open) against `azure.functions` with FastAPI.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
ROUNDS = 11
GOAL = 1.3

_GATEWAY = "import asyncio; from gateway import wiring; asyncio.run(wiring.gateway())"
_HTTP = "import asyncio; from gateway import asgi; asyncio.run(asgi.BRIDGE.startup())"


class Case(NamedTuple):
    """One line of the table: what is run, and the case it is measured against."""

    name: str
    code: str
    against: str = ""
    goal: float | None = None


FUNCTIONS = "azure.functions"
FASTAPI = "azure.functions, fastapi"
CASES = (
    Case(FUNCTIONS, "import azure.functions"),
    Case(FASTAPI, "import azure.functions, fastapi"),
    Case("queue worker before its first message", "import function_app", FUNCTIONS, GOAL),
    Case("queue worker with the gateway built", f"import function_app; {_GATEWAY}", FUNCTIONS),
    Case("HTTP worker with the application built", f"import function_app; {_HTTP}", FASTAPI, GOAL),
)


def run() -> None:
    """Measure and print."""
    if find_spec("azure_functions_runtime") is None:
        print("imports: azure-functions needs Python 3.13, so there is nothing to measure here")
        return
    seconds = measure(CASES)
    print(f"{'imports and first work, bare interpreter taken off':<44} {'ms':>6}  {'ratio':>5}  goal")
    for case in CASES:
        ratio = f"{seconds[case.name] / seconds[case.against]:5.2f}" if case.against else ""
        goal = f"≤ {case.goal}" if case.goal else ""
        print(f"{case.name:<44} {seconds[case.name] * 1000:6.0f}  {ratio:>5}  {goal}")


def measure(cases: tuple[Case, ...], rounds: int = ROUNDS) -> dict[str, float]:
    """The median of each, in seconds; all cases take turns, so that a busy moment hits them alike."""
    taken: dict[str, list[float]] = {case.name: [] for case in cases}
    bare = []
    with tempfile.TemporaryDirectory() as folder:
        environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "GATEWAY_CONFIG": str(ROOT / "gateway.yaml"),
            "GATEWAY_STORE": f"sqlite:{folder}/gateway.db",
            "GATEWAY_ENVIRONMENT": "local",
        }
        for case in cases:
            _timed(case.code, environ)  # compiles, and reads the files into the page cache
        for _ in range(rounds):
            bare.append(_timed("", environ))
            for case in cases:
                taken[case.name].append(_timed(case.code, environ))
    floor = statistics.median(bare)
    return {name: statistics.median(times) - floor for name, times in taken.items()}


def _timed(code: str, environ: Mapping[str, str]) -> float:
    """How long a process takes until it could serve; it ends there, without tidying up."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"{code}\nimport os; os._exit(0)"], env=environ, cwd=ROOT, check=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    run()
