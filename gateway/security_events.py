"""Who was kept out, in the log: a refusal and its request come in, one line goes out, however often it is repeated.

Open it for which refusals those are. Of each source and code the first is written at once and the rest of a minute as
one line with their `count`, so that a flood does not fill the log. What an operator does carries the key he used.
"""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any

from gateway import telemetry
from gateway.client import Clients, shown
from gateway.errors import Rejected
from gateway.telemetry import WARNING, log

UNAUTHORIZED = frozenset({"unauthorized", "forbidden"})
"""A key that nobody knows, that is not valid here, or none."""

REFUSED = frozenset(
    "foreign_host foreign_origin origin_required rate_limited recipient_not_allowed file_refused too_large "
    "too_complex".split()
)
"""What somebody tried who was not meant to, or more of it than he may."""

MINUTE = 60.0

Scope = MutableMapping[str, Any]


@dataclass
class _Repeated:
    """What came again since the last line; `client`: "" when it was not always the same."""

    count: int
    client: str
    ends: asyncio.TimerHandle


@dataclass
class SecurityEvents:
    """Those of one process."""

    clients: Clients
    _repeated: dict[tuple[str, str], _Repeated] = field(default_factory=dict)

    async def refused(self, error: Rejected, scope: Scope) -> None:
        """Write down a refusal, if it is one of those above."""
        if error.code not in UNAUTHORIZED and error.code not in REFUSED:
            return
        about = (telemetry.source(), error.code)
        client = shown(await self.clients.tags(scope))
        again = self._repeated.get(about)
        if again is None:
            _write(*about, client)
            self._wait(about)
        else:
            again.client = client if again.client == client or not again.count else ""
            again.count += 1

    async def operator(self, key: str, scope: Scope) -> None:
        """Lines of this task from now on say which admin key was used, and from where."""
        telemetry.by(key, shown(await self.clients.tags(scope)))

    def close(self) -> None:
        """Write what has not been written yet."""
        for about, again in self._repeated.items():
            again.ends.cancel()
            if again.count:
                _write(*about, again.client, again.count)
        self._repeated.clear()

    def _wait(self, about: tuple[str, str]) -> None:
        # In a context of its own: the line is not about the request that happened to be the first.
        ends = asyncio.get_running_loop().call_later(MINUTE, self._end, about, context=Context())
        self._repeated[about] = _Repeated(0, "", ends)

    def _end(self, about: tuple[str, str]) -> None:
        """A minute is over: one line, and another minute, unless nothing came."""
        again = self._repeated.pop(about)
        if again.count:
            _write(*about, again.client, again.count)
            self._wait(about)


def _write(source: str, code: str, client: str, count: int = 1) -> None:
    if code in UNAUTHORIZED:
        log("unauthorized", WARNING, source=source, code=code, client=client, count=count)
    else:
        log("refused", WARNING, source=source, code=code, client=client, count=count)
