"""A function app in a process of its own: a folder and its settings come in, a running host's URL and log go out."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

_START_SECONDS = 30


@dataclass(frozen=True)
class HostProcess:
    """What a test sees of it; `log` is everything the worker would send to the host."""

    url: str
    process: asyncio.subprocess.Process
    log_file: Path

    @property
    def log(self) -> str:
        """What it wrote so far."""
        return self.log_file.read_text("utf-8")

    def invocations(self, function: str) -> int:
        """How often it called a function that is no HTTP function."""
        return self.log.count(f"Executing 'Functions.{function}'")

    async def stop(self) -> None:
        """Ask it to end, if it is still there."""
        if self.process.returncode is None:
            self.process.terminate()
        await self.process.wait()

    async def kill(self) -> None:
        """End it as a crash does, with SIGKILL."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def running(
    folder: Path, log_file: Path, settings: Mapping[str, str], *, lease: float | None = None
) -> AsyncIterator[HostProcess]:
    """Start it in its folder, as the real host does, with these settings beside PATH; end it afterwards."""
    host = await start(folder, log_file, settings, lease=lease)
    try:
        yield host
    finally:
        await host.stop()


async def start(
    folder: Path, log_file: Path, settings: Mapping[str, str], *, port: int = 0, lease: float | None = None
) -> HostProcess:
    """Return when it listens; its log goes on where an earlier one's ended."""
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **settings}
    options = ["--port", str(port), *(["--lease", str(lease)] if lease else [])]
    with log_file.open("ab") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.worker.fakehost", str(folder), *options),
            cwd=folder,
            env=environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
        )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), _START_SECONDS)
    host = HostProcess(line.decode().strip(), process, log_file)
    if not host.url:
        await host.stop()
        raise AssertionError(f"the host did not start: {host.log}")
    return host
