"""Memory: by how much a fresh process grows at its peak for large bodies, large mails and bodies of many small values.

Of the embedded host, and of Microsoft's worker behind the model of its host (tests/worker), which is one process here:
the second's figures have the host's own copies in them. `grown` is resident memory (Linux), `times` is against what was
sent. A body that finds no room within 5 seconds is answered with 503; more than one form from one address with 429.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from urllib.request import Request, urlopen

from gateway import wiring
from gateway.settings import Settings
from tests import gateway_process
from tests.factories import make_attachment
from tests.memory import MEASURABLE, MIB, TEN, Growth, Post, at_once, bombs, form, native, send, text
from tests.stores.steps import added

ROOT = Path(__file__).parents[1]
BOMB = 9_900_000
DELIVERIES = 24
FILE = 7_800_000
"""Bytes of a delivered mail's file; with it the request is what ACS takes, 10 MiB."""

SENDER = "{transport: acs, address: noreply@example.com, live: true, rate: unlimited}"


class Host(NamedTuple):
    """A process that has answered once."""

    port: int
    pid: int
    environ: dict[str, str]


Start = Callable[[Path, str], AbstractContextManager[Host]]
"""Starts a host with its files in a folder, on the fake ACS of a connection string."""


def main() -> None:
    """Measure and print."""
    if not MEASURABLE:
        print("memory: only Linux tells what a process takes at its peak")
        return
    print(f"{'':44}{'sent':>8}{'grown':>8}{'times':>7}  answers")
    with acs() as provider:
        _measure("embedded", embedded, provider)
        if find_spec("azure_functions_runtime") is None:
            print("the worker: Azure's worker code needs Python 3.13")
            return
        from tests import azurite

        with azurite.running() as emulator:
            _measure("worker", lambda folder, acs: worker(folder, acs, emulator.account()), provider)


def _measure(name: str, start: Start, provider: str) -> None:
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    cases: dict[str, tuple[Post, int]] = {
        "a file in JSON": (native(TEN, send_at=later), 1),
        "a text in JSON": (text(TEN, send_at=later), 1),
        "files in a form, and captured": (form(TEN), 1),
        "16 files in JSON": (native(TEN, send_at=later), 16),
        "40 files in JSON": (native(TEN, send_at=later), 40),
        **{bomb: (post, 1) for bomb, post in bombs(BOMB).items()},
    }
    for case, (post, count) in cases.items():
        with tempfile.TemporaryDirectory() as folder, start(Path(folder), provider) as host:
            growth = Growth(host.pid)
            answers = at_once(host.port, post, count)
            time.sleep(2)
            _print(f"{name}: {case}", count * len(post.body), growth.most, answers)
    with tempfile.TemporaryDirectory() as folder, start(Path(folder), provider) as host:
        asyncio.run(_fill(host.environ))
        growth = Growth(host.pid)
        sent = _sent(host.port)
        _print(f"{name}: {DELIVERIES} mails to ACS", DELIVERIES * FILE * 4 // 3, growth.most, Counter({202: sent}))


def _print(name: str, size: int, grown: int, answers: Counter[int]) -> None:
    shown = ", ".join(f"{count} x {status}" for status, count in sorted(answers.items()))
    print(f"{name:44}{size / MIB:8.1f}{grown / MIB:8.0f}{grown / size:7.1f}  {shown}", flush=True)


# ------------------------------------------------------------------------------------------------------------- hosts


@contextmanager
def embedded(folder: Path, provider: str) -> Iterator[Host]:
    """The embedded host."""
    environ = _environ(folder, f"sqlite:{folder / 'gateway.db'}", provider)
    with gateway_process.running_gateway(
        store=folder / "gateway.db", config=folder / "gateway.yaml", variables={"ACS_CONNECTION_STRING": provider}
    ) as gateway:
        yield _warm(Host(gateway.port, gateway.process.pid, environ))


@contextmanager
def worker(folder: Path, provider: str, account: str) -> Iterator[Host]:
    """Microsoft's worker, behind the model of its host."""
    environ = {**_environ(folder, "azure", provider), "AzureWebJobsStorage": account}
    command = [sys.executable, "-m", "tests.worker.fakehost", str(ROOT)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], **environ},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline().strip().rpartition(":")[2])
        yield _warm(Host(port, process.pid, environ))
    finally:
        process.kill()
        process.wait()


def _environ(folder: Path, store: str, provider: str) -> dict[str, str]:
    """With a second sender that really sends, to the fake; the other one captures."""
    config = gateway_process.SAMPLE.read_text("utf-8").replace("senders:\n", f"senders:\n  live: {SENDER}\n")
    (folder / "gateway.yaml").write_text(config, "utf-8")
    return {
        "GATEWAY_CONFIG": str(folder / "gateway.yaml"),
        "GATEWAY_STORE": store,
        "GATEWAY_ENVIRONMENT": "local",
        "ACS_CONNECTION_STRING": provider,
    }


def _warm(host: Host) -> Host:
    answered = send(host.port, Post("/v1/notifications", b'{"to": "ops@example.com", "text": "x"}'))
    if answered != 202:
        raise RuntimeError(f"the first request was answered with {answered}")
    time.sleep(2)
    return host


# -------------------------------------------------------------------------------------------------------- deliveries


@contextmanager
def acs() -> Iterator[str]:
    """The fake's connection string."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.servers", "acs"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip().partition("=")[2].strip("'")
    finally:
        process.kill()
        process.wait()


async def _fill(environ: dict[str, str]) -> None:
    """Large mails that are due together, in a moment."""
    gateway = await wiring.build(Settings.read(environ), environ)
    now = datetime.now(UTC)
    for _ in range(DELIVERIES):
        files = (make_attachment(content=os.urandom(FILE)),)
        due = now + timedelta(seconds=15)
        await added(gateway.store, due, sender="live", transport="acs", attachments=files, created=now)
    await gateway.close()


def _sent(port: int) -> int:
    """How many have left, when all have or two minutes are over."""
    request = Request(
        f"http://127.0.0.1:{port}/v1/notifications?status=sent", headers={"x-api-key": "example-key-admin"}
    )
    found = 0
    for _ in range(120):
        with urlopen(request) as answer:
            found = len(json.loads(answer.read())["items"])
        if found >= DELIVERIES:
            break
        time.sleep(1)
    return found


if __name__ == "__main__":
    main()
