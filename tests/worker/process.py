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


@asynccontextmanager
async def running(folder: Path, log_file: Path, settings: Mapping[str, str]) -> AsyncIterator[HostProcess]:
    """Start it in its folder, as the real host does, with these settings beside PATH; end it afterwards."""
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **settings}
    with log_file.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.worker.fakehost", str(folder)),
            cwd=folder,
            env=environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
        )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), _START_SECONDS)
        host = HostProcess(line.decode().strip(), process, log_file)
        assert host.url, host.log
        yield host
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
