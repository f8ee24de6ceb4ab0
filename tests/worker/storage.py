"""A storage account for the host and for tests: a connection string comes in, queues and blobs can be used.

A few lines over aiohttp and not the gateway's own client, which is under test, nor Azure's, whose import alone would
double the time a host needs to start. What is said here is Azure Storage's REST interface, signed with SharedKey.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

import aiohttp
import yarl
from multidict import CIMultiDictProxy

VERSION = "2021-12-02"
"""Of the protocol; every service and every Azurite since then speaks it."""

WEEK = 7 * 24 * 3600
"""How long a message lives, in seconds, unless its sender says otherwise."""

_SIGNED = (
    *("content-encoding", "content-language", "content-length", "content-md5", "content-type", "date"),
    *("if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range"),
)
"""What SharedKey signs beside the service's own headers, in its order."""


class StorageFailed(Exception):
    """The service refused, by its status and code."""

    def __init__(self, status: int, code: str) -> None:
        """As it answered."""
        super().__init__(f"{status} {code}")
        self.status = status


class Answer(NamedTuple):
    """A whole answer of the service."""

    headers: CIMultiDictProxy[str]
    body: bytes


@dataclass(frozen=True)
class Account:
    """What a connection string says."""

    name: str
    key: bytes
    endpoints: Mapping[str, str]

    @classmethod
    def parse(cls, connection_string: str) -> Account:
        """Of Azurite's kind, with all endpoints in it; KeyError when something is missing."""
        parts = dict(part.split("=", 1) for part in connection_string.split(";") if "=" in part)
        endpoints = {service: parts[f"{service.title()}Endpoint"].rstrip("/") for service in ("blob", "queue")}
        return cls(parts["AccountName"], base64.b64decode(parts["AccountKey"]), endpoints)


class Storage:
    """One account over one HTTP session."""

    def __init__(self, http: aiohttp.ClientSession, connection_string: str) -> None:
        """The caller closes `http`."""
        self._http = http
        self._account = Account.parse(connection_string)

    def queue(self, name: str) -> Queue:
        """A queue, which need not exist."""
        return Queue(self, name)

    async def call(
        self,
        service: str,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer:
        """One signed request; StorageFailed when it is refused."""
        base = self._account.endpoints[service]
        sent = {
            "x-ms-date": format_datetime(datetime.now(UTC), usegmt=True),
            "x-ms-version": VERSION,
            **(headers or {}),
        }
        if body:
            sent |= {"content-length": str(len(body)), "content-type": "application/octet-stream"}
        resource = urlsplit(base).path + path
        sent["authorization"] = self._signature(method, resource, query or {}, sent)
        words = "&".join(f"{name}={quote(value, safe='')}" for name, value in (query or {}).items())
        url = yarl.URL(f"{base}{path}{'?' if words else ''}{words}", encoded=True)
        unsigned = ["content-type"]  # must not be sent
        async with self._http.request(
            method, url, headers=sent, data=body or None, skip_auto_headers=unsigned
        ) as response:
            if response.status >= 400:
                raise StorageFailed(response.status, response.headers.get("x-ms-error-code", ""))
            return Answer(response.headers, await response.read())

    async def read(self, path: str) -> bytes | None:
        """A blob by container and name."""
        try:
            return (await self.call("blob", "GET", f"/{path}")).body
        except StorageFailed as failure:
            if failure.status != 404:
                raise
            return None

    async def write(self, path: str, content: bytes) -> None:
        """Write a blob, and its container before if there is none."""
        headers = {"x-ms-blob-type": "BlockBlob"}
        try:
            await self.call("blob", "PUT", f"/{path}", headers=headers, body=content)
        except StorageFailed as failure:
            if failure.status != 404:
                raise
            await _create(self, "blob", path.partition("/")[0], {"restype": "container"})
            await self.call("blob", "PUT", f"/{path}", headers=headers, body=content)

    async def delete(self, service: str, name: str, query: Mapping[str, str]) -> None:
        """Delete a queue, or a container, if it is there."""
        try:
            await self.call(service, "DELETE", f"/{name}", query=query)
        except StorageFailed as failure:
            if failure.status != 404:
                raise

    def _signature(self, method: str, resource: str, query: Mapping[str, str], headers: Mapping[str, str]) -> str:
        own = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers) if name.startswith("x-ms-"))
        words = "".join(f"\n{name}:{query[name]}" for name in sorted(query))
        lines = [method, *(headers.get(name, "") for name in _SIGNED)]
        text = "\n".join(lines) + f"\n{own}/{self._account.name}{resource}{words}"
        digest = hmac.digest(self._account.key, text.encode(), hashlib.sha256)
        return f"SharedKey {self._account.name}:{base64.b64encode(digest).decode()}"


@dataclass(frozen=True)
class Received:
    """A message somebody has taken; `receipt` is the proof, and another one after each renewal."""

    id: str
    text: str
    dequeued: int
    inserted: datetime
    expires: datetime
    visible: datetime
    receipt: str


class Queue:
    """One queue's verbs."""

    def __init__(self, storage: Storage, name: str) -> None:
        """It need not exist."""
        self._storage = storage
        self.name = name

    async def create(self) -> None:
        """Make sure that it exists."""
        await _create(self._storage, "queue", self.name, {})

    async def put(self, text: str, *, delay: int = 0, seconds: int = WEEK) -> None:
        """Add a message, and the queue before if there is none; -1 seconds are for ever."""
        body = f"<QueueMessage><MessageText>{escape(text)}</MessageText></QueueMessage>".encode()
        query = {"messagettl": str(seconds), "visibilitytimeout": str(delay)}
        try:
            await self._call("POST", "/messages", query, body)
        except StorageFailed as failure:
            if failure.status != 404:
                raise
            await self.create()
            await self._call("POST", "/messages", query, body)

    async def take(self, count: int, seconds: int) -> list[Received]:
        """Messages that nobody else sees for so long; none when there is no such queue."""
        query = {"numofmessages": str(count), "visibilitytimeout": str(seconds)}
        try:
            answer = await self._call("GET", "/messages", query)
        except StorageFailed as failure:
            if failure.status != 404:
                raise
            return []
        return [_received(element) for element in ET.fromstring(answer.body)]

    async def hold(self, message: Received, seconds: int) -> Received | None:
        """See to it that a message stays, or becomes, invisible for so long; None when it is somebody else's."""
        query = {"popreceipt": message.receipt, "visibilitytimeout": str(seconds)}
        try:
            answer = await self._call("PUT", f"/messages/{message.id}", query)
        except StorageFailed as failure:
            _lost(failure)
            return None
        return replace(message, receipt=answer.headers["x-ms-popreceipt"])

    async def delete(self, message: Received) -> None:
        """Delete it, unless it is somebody else's."""
        try:
            await self._call("DELETE", f"/messages/{message.id}", {"popreceipt": message.receipt})
        except StorageFailed as failure:
            _lost(failure)

    async def length(self) -> int:
        """How many messages there are, visible or not."""
        answer = await self._storage.call("queue", "GET", f"/{self.name}", query={"comp": "metadata"})
        return int(answer.headers["x-ms-approximate-messages-count"])

    async def _call(self, method: str, path: str, query: Mapping[str, str], body: bytes = b"") -> Answer:
        return await self._storage.call("queue", method, f"/{self.name}{path}", query=query, body=body)


async def _create(storage: Storage, service: str, name: str, query: Mapping[str, str]) -> None:
    try:
        await storage.call(service, "PUT", f"/{name}", query=query)
    except StorageFailed as failure:
        if failure.status != 409:  # somebody else was first
            raise


def _received(element: ET.Element) -> Received:
    return Received(
        id=element.findtext("MessageId", ""),
        text=element.findtext("MessageText", ""),
        dequeued=int(element.findtext("DequeueCount", "0")),
        inserted=parsedate_to_datetime(element.findtext("InsertionTime", "")),
        expires=parsedate_to_datetime(element.findtext("ExpirationTime", "")),
        visible=parsedate_to_datetime(element.findtext("TimeNextVisible", "")),
        receipt=element.findtext("PopReceipt", ""),
    )


def _lost(failure: StorageFailed) -> None:
    """A message that is gone (404), or has another receipt by now (400): whoever has it will see to it."""
    if failure.status not in {400, 404}:
        raise failure
