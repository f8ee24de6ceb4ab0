"""The DevTools protocol: commands go to the browser over a websocket, results and events come back."""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import dataclass, field
from typing import Any

import aiohttp

SECONDS = 15.0
"""How long anything a test waits for may take."""


class BrowserError(Exception):
    """The browser refused a command, a script of a test threw, or nothing happened in time."""


@dataclass
class Connection:
    """The protocol: commands are answered by number, events are kept by session and told to whoever waits."""

    socket: aiohttp.ClientWebSocketResponse
    events: list[dict[str, Any]] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _answers: dict[int, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)
    _happened: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def read(self) -> None:
        """Take what the browser says until it closes."""
        async for frame in self.socket:
            said = json.loads(frame.data)
            if answer := self._answers.pop(said.get("id", 0), None):
                if not answer.done():
                    answer.set_result(said)
            else:
                async with self._happened:
                    self.events.append(said)
                    self._happened.notify_all()

    async def command(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """Give one command and wait for its result."""
        number = next(self._numbers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        target = {"sessionId": session} if session else {}
        await self.socket.send_json({"id": number, "method": method, "params": parameters, **target})
        async with asyncio.timeout(SECONDS + 5):
            said = await self._answers[number]
        if "error" in said:
            raise BrowserError(f"{method}: {said['error']['message']}")
        result: dict[str, Any] = said["result"]
        return result

    async def event(self, method: str, session: str, after: int) -> dict[str, Any]:
        """The first event of this name behind place `after`."""

        def found() -> dict[str, Any] | None:
            events = self.events[after:]
            return next((e for e in events if e["method"] == method and e.get("sessionId", "") == session), None)

        async with asyncio.timeout(SECONDS), self._happened:
            return (await self._happened.wait_for(found) or {})["params"]  # type: ignore[no-any-return]  # any JSON
