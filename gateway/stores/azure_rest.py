"""Azure Storage over HTTP: one request comes in, the service's complete answer goes out, or StoreUnavailable.

The storage SDKs do the same at five times the CPU per call and 0.4 s of import. Every request here may be sent again
after a lost answer: reads change nothing, writes are conditional and whoever makes one reads back what became of it,
and a doorbell may ring twice.
"""

from __future__ import annotations

import asyncio
import io
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from gateway.errors import StoreUnavailable
from gateway.stores.azure_account import Account
from gateway.stores.azure_auth import Authority, authority

if TYPE_CHECKING:
    import aiohttp

VERSION = "2020-12-06"
"""x-ms-version: the newest that all three services of Azure and Azurite 3.35 take, tables included."""

TRIES = 4
PAUSE_SECONDS = 0.1
"""Before the second try; each further one waits three times as long, with half of jitter."""

TRY_SECONDS = 4.0
TOTAL_SECONDS = 10.0
"""All tries together: a caller of ours has a time limit too."""

TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
UNTRUSTED = frozenset({401, 403})

chance = random.random
"""A number from 0 up to 1; no secret depends on it."""

CONNECTIONS = 128
LONG_BODY = 256 * 1024
_NO_AUTO_HEADERS = frozenset({"Accept", "Accept-Encoding", "Content-Type", "User-Agent"})


@dataclass(frozen=True, slots=True)
class Request:
    """One call; `path` and `query` are encoded as they go over the wire, header names are in lower case."""

    service: str
    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] | None = None
    body: bytes = b""


class Answer(NamedTuple):
    """What the service said, and at which try."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    tries: int = 1

    @property
    def code(self) -> str:
        """The service's own word for an error."""
        return self.headers.get("x-ms-error-code") or _odata_code(self.body)


def _odata_code(body: bytes) -> str:
    """Tables answer with a body only."""
    try:
        return str(json.loads(body)["odata.error"]["code"])
    except (ValueError, LookupError, TypeError):
        return ""


class Rest:
    """A client for one storage account; connections are made at the first request and kept."""

    def __init__(self, account: Account, signer: Authority | None = None) -> None:
        """`signer` is the account's own unless a test brings one."""
        self.endpoints = account.endpoints
        self._signer = signer or authority(account)
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def send(self, request: Request, total: float = TOTAL_SECONDS) -> Answer:
        """The answer, after as many tries as it takes within `total` seconds; refusals (4xx) are answers."""
        import aiohttp

        clock = asyncio.get_running_loop().time
        deadline = clock() + total
        for number in count(1):
            try:
                async with asyncio.timeout(min(TRY_SECONDS, deadline - clock())):
                    answer = await self._once(request)
            except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
                what = type(error).__name__
            else:
                if not self._again(answer, number):
                    return answer._replace(tries=number)
                what = f"{answer.status} {answer.code}"
            pause = PAUSE_SECONDS * 3 ** (number - 1) * (1 + chance()) / 2
            if number >= TRIES or clock() + pause >= deadline:
                raise StoreUnavailable(
                    f"{request.service} storage: {request.method} failed {number} times, last {what}"
                )
            await asyncio.sleep(pause)
        raise AssertionError

    def _again(self, answer: Answer, number: int) -> bool:
        if answer.status in UNTRUSTED:
            return number == 1 and self._signer.forget()
        return answer.status in TRANSIENT

    async def _once(self, request: Request) -> Answer:
        from yarl import URL

        url = self.endpoints[request.service] + request.path
        url = f"{url}?{request.query}" if request.query else url
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": VERSION, **(request.headers or {})}
        if request.body or request.method in {"PUT", "POST", "PATCH"}:
            headers["content-length"] = str(len(request.body))
        headers["authorization"] = await self._sign(request, url, headers)
        # A long body in one piece would hold up the event loop; aiohttp reads a file in small ones.
        body = io.BytesIO(request.body) if len(request.body) > LONG_BODY else request.body or None
        session = self._open()
        async with session.request(request.method, URL(url, encoded=True), headers=headers, data=body) as response:
            return Answer(response.status, response.headers, await response.read())

    async def _sign(self, request: Request, url: str, headers: Mapping[str, str]) -> str:
        try:
            return await self._signer.sign(request.service, request.method, url, headers)
        except (OSError, StoreUnavailable):
            raise
        except Exception as error:
            # azure-identity's errors; naming them would import azure.core for people who use a key.
            raise StoreUnavailable(f"no token for the storage account: {type(error).__name__}") from error

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp

        if self._closed:
            raise StoreUnavailable("the store is closed")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=2.0),
                skip_auto_headers=_NO_AUTO_HEADERS,
            )
        return self._session

    async def close(self) -> None:
        """Close every connection."""
        self._closed = True
        if self._session:
            await self._session.close()
        await self._signer.close()
