"""Run the real gateway as a process of its own: a configuration and a store come in, its address goes out.

    with running_gateway(store=tmp_path / "g.db") as gateway:
        ...  # gateway.url is http://127.0.0.1:PORT; gateway.kill() is a crash, gateway.stop() a polite end

Everything here blocks: from an async test call `await asyncio.to_thread(start, …)`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import IO, Any

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "gateway.yaml"

START_SECONDS = 30.0
STOP_SECONDS = 45.0

_OURS = ("GATEWAY_", "ACS_", "AZURE_", "AzureWebJobs", "GRAPH_")


@dataclass
class GatewayProcess:
    """One `python -m gateway dev` that listens; `lines` is what it has logged so far, each a JSON object."""

    process: subprocess.Popen[str]
    lines: list[dict[str, Any]] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    port: int = 0
    _reader: Thread | None = None
    _listening: Event = field(default_factory=Event)

    @property
    def url(self) -> str:
        """Its base address, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None

    def stop(self) -> int:
        """Ask it to end, wait for that, and return its exit status."""
        self.process.terminate()
        try:
            return self._ended()
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the gateway did not stop when asked to; it said: {self.said()}") from None

    def kill(self) -> None:
        """End it as a crash does, with SIGKILL: nothing is finished, nothing is cleaned up."""
        self.process.kill()
        self._ended()

    def said(self) -> str:
        """Everything it wrote, for the text of a failing test."""
        return "\n".join([*self.other, *(json.dumps(line) for line in self.lines)]) or "nothing"

    def events(self, event: str) -> list[dict[str, Any]]:
        """The logged lines of one event."""
        return [line for line in self.lines if line.get("event") == event]

    def watch(self) -> None:
        """Read what it writes, in a thread of its own, and wait until it listens."""
        assert self.process.stderr is not None
        self._reader = Thread(target=self._read, args=(self.process.stderr,), daemon=True)
        self._reader.start()
        if not self._listening.wait(START_SECONDS) or not self.port:
            self.kill()
            raise AssertionError(f"the gateway did not start; it said: {self.said()}")

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self._take(line.rstrip("\n"))
        self._listening.set()

    def _take(self, line: str) -> None:
        try:
            value = json.loads(line)
        except ValueError:
            self.other.append(line)
            return
        self.lines.append(value)
        if value.get("event") == "listening":
            self.port = value["port"]
            self._listening.set()

    def _ended(self) -> int:
        status = self.process.wait(STOP_SECONDS)
        if self._reader:
            self._reader.join(STOP_SECONDS)
        return status


def start(
    *,
    store: Path | str,
    config: Path | str = SAMPLE,
    environment: str = "test",
    port: int = 0,
    variables: Mapping[str, str] | None = None,
    program: Sequence[str] = ("-m", "gateway"),
    options: Sequence[str] = (),
) -> GatewayProcess:
    """Start one and return when it listens; `store` is a path, or all that may stand behind `--store`.

    `program` is what Python runs: perhaps one that changes something before the gateway begins. `options` are more of
    `dev`.
    """
    store = f"sqlite:{store}" if isinstance(store, Path) else store
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    process = subprocess.Popen(
        [sys.executable, *program, "dev", "--config", str(config), "--store", store, "--port", str(port), *options],
        cwd=ROOT,
        env={**inherited, "GATEWAY_ENVIRONMENT": environment, **(variables or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    gateway = GatewayProcess(process)
    gateway.watch()
    return gateway


@contextmanager
def running_gateway(
    *,
    store: Path | str,
    config: Path | str = SAMPLE,
    environment: str = "test",
    port: int = 0,
    variables: Mapping[str, str] | None = None,
    program: Sequence[str] = ("-m", "gateway"),
    options: Sequence[str] = (),
) -> Iterator[GatewayProcess]:
    """A gateway for the length of a block; it is stopped politely at the end, unless it is gone already."""
    gateway = start(
        store=store,
        config=config,
        environment=environment,
        port=port,
        variables=variables,
        program=program,
        options=options,
    )
    try:
        yield gateway
    finally:
        if gateway.alive:
            gateway.stop()
        else:
            gateway.kill()
