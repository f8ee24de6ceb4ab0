"""How long the embedded host waits for its callers, and whose connection ends when there are too many.

Open this when a client was told 408, 431 or 503 by the embedded host, or was cut off. `protocol.py` has the rules of
one connection; here is what they share: the limits, how many there may be, and the look at all of them now and then.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from gateway.telemetry import WARNING, log

OTHER_FILES = 256
"""Open files that are no connections of callers: the store's, the providers', and a reserve."""

FRESH_SECONDS = 1.0
"""A connection this young may still be about to send; others go before it."""

REFUSED_AT_ONCE = 64
"""Connections beyond the limit that are told so; further ones are only closed."""

_LOG_SECONDS = 60.0


@dataclass(frozen=True)
class Patience:
    """What a caller may take of time and room; docs/embedded-host.md lists them."""

    connections: int = 2048
    head_seconds: float = 10.0
    """From a connection's or a request's first byte until its head is complete."""
    head_bytes: int = 32 * 1024
    """Request line and headers together; trailers too."""
    stall_seconds: float = 10.0
    """Within each such time a body, or the reading of an answer, goes on by `rate` bytes for each second."""
    rate: int = 1024
    rest_seconds: float = 10.0
    """How long the rest of a body is read and thrown away after its answer: a caller that is cut off while it still
    writes never sees the answer."""
    rest_bytes: int = 64_000_000

    @property
    def step(self) -> int:
        """Bytes that count as going on."""
        return max(1, int(self.rate * self.stall_seconds))

    @property
    def pause(self) -> float:
        """Between two looks at the connections."""
        return min(1.0, self.head_seconds / 5, self.stall_seconds / 5, self.rest_seconds / 5)


class Connection(Protocol):
    """What is known of one connection here."""

    since: float
    """When it began to wait for its caller, or the caller last went on."""

    def look(self, now: float) -> None:
        """End it, if its caller took too long."""
        ...

    def cut(self) -> None:
        """End it at once."""
        ...


class Connections:
    """All of them; at the limit a new one takes the place of whichever has waited longest for its caller."""

    def __init__(self, patience: Patience) -> None:
        """None yet."""
        self.patience = patience
        self._all: set[Connection] = set()
        # In the order in which they began to wait. A dict, since it is ordered and gives up any member at once.
        self._idle: dict[Connection, None] = {}
        self._reading: dict[Connection, None] = {}
        self._cut = 0
        self._logged = float("-inf")

    def __len__(self) -> int:
        return len(self._all)

    def came(self, connection: Connection, now: float) -> bool:
        """Whether there is a place for it, perhaps that of another one. Without one it can only be refused."""
        has_place = len(self._all) < self.patience.connections or self._make_room(now)
        self._all.add(connection)
        self.idle(connection)
        if not has_place and len(self._all) > self.patience.connections + REFUSED_AT_ONCE:
            connection.cut()
        return has_place

    def left(self, connection: Connection) -> None:
        """It has ended."""
        self._all.discard(connection)
        self.busy(connection)

    def idle(self, connection: Connection) -> None:
        """Nothing, or not a whole head, is here: the first to go."""
        self.busy(connection)
        self._idle[connection] = None

    def reading(self, connection: Connection) -> None:
        """A body is under way and has just gone on."""
        self.busy(connection)
        self._reading[connection] = None

    def busy(self, connection: Connection) -> None:
        """It waits for us, not for its caller, and so it stays."""
        self._idle.pop(connection, None)
        self._reading.pop(connection, None)

    def _make_room(self, now: float) -> bool:
        oldest = [next(iter(waiting)) for waiting in (self._idle, self._reading) if waiting]
        if not oldest:
            return False
        connection = next((one for one in oldest if now - one.since > FRESH_SECONDS), oldest[0])
        self.left(connection)
        connection.cut()
        self._cut += 1
        if now - self._logged > _LOG_SECONDS:
            self._log(now)
        return True

    def _log(self, now: float) -> None:
        log("connections_cut", WARNING, count=self._cut)
        self._cut = 0
        self._logged = now

    async def watch(self) -> None:
        """Look at all of them, for ever."""
        clock = asyncio.get_running_loop().time
        last = clock()
        while True:
            await asyncio.sleep(self.patience.pause)
            now = clock()
            # What came while something else kept the loop busy was not read yet, so nobody is to blame this time.
            if now - last < 3 * self.patience.pause:
                self._look(list(self._all), now)
            if self._cut and now - self._logged > _LOG_SECONDS:
                self._log(now)
            last = now

    def _look(self, connections: Iterable[Connection], now: float) -> None:
        for connection in connections:
            connection.look(now)


def possible(wanted: int) -> int:
    """How many connections the process may have: its limit of open files is raised for them, as far as it can be."""
    if sys.platform == "win32":
        return wanted
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    fewer = max(soft - OTHER_FILES, soft // 2)
    log("few_connections", WARNING, count=fewer)
    return fewer
