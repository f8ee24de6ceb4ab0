"""Azurite for tests: nothing comes in, a running emulator on free ports goes out, ended by its process id.

It has many storage accounts, so that every test begins with an empty one.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests import tools

KEY = "ZXhhbXBsZQ=="
_NAMES = [f"account{number}" for number in range(2000)]
START_SECONDS = 30.0


@dataclass(frozen=True)
class Azurite:
    """One emulator; `ports` maps blob, queue and table to where they listen on 127.0.0.1."""

    ports: dict[str, int]
    pid: int
    unused: Iterator[str] = field(default_factory=lambda: iter(_NAMES))

    def account(self) -> str:
        """The connection string of an account nobody has used, for AzureWebJobsStorage."""
        return connection_string(self.ports, next(self.unused))


def connection_string(ports: dict[str, int], name: str) -> str:
    """A connection string for these ports, perhaps those of a proxy."""
    endpoints = "".join(f"{service.title()}Endpoint=http://127.0.0.1:{port}/{name};" for service, port in ports.items())
    return f"DefaultEndpointsProtocol=http;AccountName={name};AccountKey={KEY};{endpoints}"


@contextmanager
def running() -> Iterator[Azurite]:
    """An emulator of one's own, in memory, for as long as the block lasts."""
    program = tools.azurite()
    with TemporaryDirectory() as folder:
        ports = _free_ports()
        process = _start(program, ports, Path(folder))
        try:
            _wait(process, ports)
            yield Azurite(ports, process.pid)
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()


def _free_ports() -> dict[str, int]:
    """Three ports nobody listens on; Azurite takes no 0 for "any"."""
    sockets = {service: socket.create_server(("127.0.0.1", 0)) for service in ("blob", "queue", "table")}
    ports = {service: listener.getsockname()[1] for service, listener in sockets.items()}
    for listener in sockets.values():
        listener.close()
    return ports


def _start(program: Path, ports: dict[str, int], folder: Path) -> subprocess.Popen[bytes]:
    where = [word for service, port in ports.items() for word in (f"--{service}Port", str(port))]
    flags = ["--silent", "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--loose"]
    environ = {**os.environ, "AZURITE_ACCOUNTS": ";".join(f"{name}:{KEY}" for name in _NAMES)}
    return subprocess.Popen([program, *flags, *where], cwd=folder, stdout=subprocess.DEVNULL, env=environ)


def _wait(process: subprocess.Popen[bytes], ports: dict[str, int]) -> None:
    """Until all three services take connections."""
    deadline = time.monotonic() + START_SECONDS
    missing = set(ports.values())
    while missing:
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"Azurite did not start (exit status {process.returncode})")
        for port in tuple(missing):
            with socket.socket() as probe:
                probe.settimeout(1.0)
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    missing.discard(port)
        time.sleep(0.05)
