"""Run a fake provider by hand: `python -m tests.servers acs --port 9001` in, its address and key on the screen out."""

from __future__ import annotations

import argparse
import asyncio
import contextlib

from tests.servers.acs import KEY, FakeAcs
from tests.servers.graph import IDENTITY_HEADER, FakeGraph
from tests.servers.serve import serve

SERVERS = {
    "acs": (FakeAcs, ("ACS_CONNECTION_STRING='endpoint={url}/;accesskey=" + KEY + "'",)),
    "graph": (
        FakeGraph,
        (
            "GRAPH_ENDPOINT={url}",
            # The gateway asks for its token as an app on App Service does, and the fake answers.
            "IDENTITY_ENDPOINT={url}/msi/token",
            f"IDENTITY_HEADER={IDENTITY_HEADER}",
        ),
    ),
}
"""Each fake, and what the gateway's environment needs to reach it."""


async def main() -> None:
    """Serve until Ctrl+C."""
    parser = argparse.ArgumentParser(prog="python -m tests.servers", description="Fake providers on 127.0.0.1.")
    parser.add_argument("server", choices=sorted(SERVERS))
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    make, variables = SERVERS[options.server]
    async with serve(make(), port=options.port, lifespan="off") as url:
        for variable in variables:
            print(variable.format(url=url), flush=True)
        print(
            f"GET {url}/_sent shows what was sent, POST {url}/_control sets faults, switches and the rest.", flush=True
        )
        await asyncio.Event().wait()


with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main())
