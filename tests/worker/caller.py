"""An HTTP caller for tests: a request comes in, the whole answer goes out, and the connection is given back."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import aiohttp
import yarl
from multidict import CIMultiDictProxy


class Reply(NamedTuple):
    """A whole answer."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    def json(self) -> Any:
        """The body, whatever its type says it is."""
        return json.loads(self.body)


class Caller:
    """Calls paths as they are written; nothing is escaped or normalised, no redirect followed."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        """`url` is where the host listens."""
        self._session = session
        self._url = url

    async def request(self, method: str, path: str, **options: Any) -> Reply:
        """`options` are aiohttp's."""
        url = yarl.URL(self._url + path, encoded=True)
        async with self._session.request(method, url, allow_redirects=False, **options) as response:
            return Reply(response.status, response.headers, await response.read())

    async def get(self, path: str, **options: Any) -> Reply:
        """GET."""
        return await self.request("GET", path, **options)

    async def head(self, path: str, **options: Any) -> Reply:
        """HEAD."""
        return await self.request("HEAD", path, **options)

    async def post(self, path: str, **options: Any) -> Reply:
        """POST."""
        return await self.request("POST", path, **options)
