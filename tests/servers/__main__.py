"""Run a fake provider by hand: `python -m tests.servers acs --port 9001` in, its address and key on the screen out."""

from __future__ import annotations

import argparse
import asyncio
import contextlib

from tests.servers.acs import KEY, FakeAcs
from tests.servers.serve import serve


async def main() -> None:
    """Serve until Ctrl+C."""
    parser = argparse.ArgumentParser(prog="python -m tests.servers", description="Fake providers on 127.0.0.1.")
    parser.add_argument("server", choices=["acs"])
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    async with serve(FakeAcs(), port=options.port, lifespan="off") as url:
        print(f"ACS_CONNECTION_STRING='endpoint={url}/;accesskey={KEY}'", flush=True)
        print(f"GET {url}/_sent shows what was sent, POST {url}/_control sets faults, quotas and the rest.", flush=True)
        await asyncio.Event().wait()


with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main())
