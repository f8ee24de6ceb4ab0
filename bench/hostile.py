"""What hostile bodies cost: processor time for a megabyte on each door, and for how long the loop stood still."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.hostile import Doors, doors
from tests.hostile_bodies import DOORS
from tests.hostile_shapes import MIB, Hostile

GOAL = 100
"""Milliseconds of processor time for a megabyte of anything."""

SIZES = {"form": 250 * 1024, "head": 32 * 1024}
"""Where a whole megabyte is refused unread: a form's text, a request's head on the embedded host."""

ROUNDS = 3


def main() -> None:
    """Measure and print, the most expensive first."""
    logging.getLogger("gateway").setLevel(logging.CRITICAL)
    asyncio.run(_all())


async def _all() -> None:
    above = 0
    with TemporaryDirectory() as folder:
        async with doors(Path(folder)) as gateway:
            for door, bodies in DOORS.items():
                size = SIZES.get(door, MIB)
                rows = sorted([await _row(gateway, door, body, size) for body in bodies], reverse=True)
                print(f"{door}, {size // 1024} KiB {'ms/MiB':>37}  growth  loop ms  answer")
                for rate, growth, still, name, ended in rows:
                    above += rate > GOAL
                    print(f"  {name:<46} {rate:6.0f}  {growth:6.1f}  {still:7.0f}  {ended}")
                print()
    print(f"{above} of {sum(map(len, DOORS.values()))} above the goal of {GOAL} ms for a megabyte")


async def _row(gateway: Doors, door: str, body: Hostile, size: int) -> tuple[float, float, float, str, str]:
    """Milliseconds for a megabyte, times as much as for a quarter of it, the loop's longest pause, name and answer."""
    quarter = min([(await gateway.cost(door, body, size // 4))[0] for _ in range(ROUNDS)])
    whole, pauses = [], []
    for _ in range(ROUNDS):
        async with _pauses() as found:
            spent, length, ended = await gateway.cost(door, body, size)
        whole.append(spent)
        pauses.append(max(found))
    rate = min(whole) * 1000 * MIB / max(length, size // 2)
    return rate, min(whole) / max(quarter, 0.001), min(pauses) * 1000, body.name, ended


@asynccontextmanager
async def _pauses() -> AsyncIterator[list[float]]:
    """The seconds between two turns of the loop, for the length of a block."""
    found = [0.0]

    async def tick() -> None:
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(0)
            found.append(time.perf_counter() - begun)

    task = asyncio.create_task(tick())
    await asyncio.sleep(0)
    try:
        yield found
        await asyncio.sleep(0)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


if __name__ == "__main__":
    main()
