"""Clients that measure the storage: a connection string comes in; one counts what a store calls, one calls barely."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import formatdate

import aiohttp
from yarl import URL

from gateway.message import Message
from gateway.settings import Settings
from gateway.stores.azure_account import account
from gateway.stores.azure_auth import SharedKey
from gateway.stores.azure_rest import VERSION, Answer, Request, Rest


class Counting(Rest):
    """A client that keeps its requests and counts the rows that come back."""

    def __init__(self, connection_string: str) -> None:
        """Nothing is counted yet."""
        self.account = account(Settings(storage=connection_string))
        super().__init__(self.account)
        self.requests: list[Request] = []
        self.rows = 0

    async def send(self, request: Request, total: float = 100.0) -> Answer:
        """Send and count; an emulator may take its time."""
        answer = await super().send(request, total)
        self.requests.append(request)
        self.rows += answer.body.count(b'"RowKey"')
        return answer

    def forget(self) -> None:
        """Begin again."""
        self.requests.clear()
        self.rows = 0


@dataclass
class Bare:
    """The calls of one `add`, as the fastest client would make them for other messages of the same size."""

    session: aiohttp.ClientSession
    recorded: Message
    calls: list[tuple[URL, dict[str, str], bytes]]

    @classmethod
    async def of(cls, session: aiohttp.ClientSession, rest: Counting, recorded: Message) -> Bare:
        """What `rest` has just sent for `recorded`; a signature is good for fifteen minutes."""
        signer = SharedKey(rest.account)
        calls = []
        for request in rest.requests:
            url = rest.endpoints[request.service] + request.path + (f"?{request.query}" if request.query else "")
            headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": VERSION, **(request.headers or {})}
            headers["content-length"] = str(len(request.body))
            headers["authorization"] = await signer.sign(request.service, request.method, url, headers)
            calls.append((URL(url, encoded=True), headers, request.body))
        return cls(session, recorded, calls)

    async def add(self, message: Message) -> None:
        """One after the other, as they must be."""
        old, new = self.recorded, message
        names = {
            old.notification: new.notification,
            old.operation_id: new.operation_id,
            _turned(old.notification): _turned(new.notification),
        }
        for url, headers, recorded in self.calls:
            body = recorded
            for name, other in names.items():
                body = body.replace(name.encode(), other.encode())
            async with self.session.post(url, headers=headers, data=body) as response:
                if response.status >= 300 or b"HTTP/1.1 4" in await response.read():
                    raise RuntimeError(f"a bare call was refused: {response.status}")


def _turned(id: str) -> str:
    """An id as the list's rows have it."""
    return bytes(255 - byte for byte in id.encode()).hex()
