"""Blobs of one container of Azure Storage: names and contents come in and go out; made when it is missed.

https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api
"""

from __future__ import annotations

import html
import re
import uuid
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote

from gateway.errors import StoreUnavailable
from gateway.stores.azure_rest import Answer, Request, Rest

_BLOB = re.compile(r"<Blob>.*?<Name>(.*?)</Name>.*?<Last-Modified>(.*?)</Last-Modified>.*?</Blob>", re.DOTALL)
_MARKER = re.compile(r"<NextMarker>(.+?)</NextMarker>", re.DOTALL)
_WRITE = "x-ms-meta-write"


class Blobs:
    """One container."""

    def __init__(self, rest: Rest, container: str) -> None:
        """It need not exist."""
        self._rest = rest
        self._container = container

    async def put(self, name: str, content: bytes) -> bool:
        """Write a blob that is not there yet; False when the name is taken.

        A second try after a lost answer finds the first one's blob: who wrote it stands in its metadata.
        """
        mark = uuid.uuid4().hex
        headers = {
            "content-type": "application/octet-stream",
            "if-none-match": "*",
            "x-ms-blob-type": "BlockBlob",
            _WRITE: mark,
        }
        request = Request("blob", "PUT", self._path(name), headers=headers, body=content)
        answer = await self._rest.send(request)
        if answer.status == 404:
            await self._create()
            answer = await self._rest.send(request)
        if answer.status in {409, 412}:
            found = await self._rest.send(Request("blob", "HEAD", self._path(name)))
            return found.headers.get(_WRITE) == mark
        return _good(answer).status == 201

    async def get(self, name: str) -> bytes | None:
        """A blob's content."""
        answer = await self._rest.send(Request("blob", "GET", self._path(name)))
        return None if answer.status == 404 else _good(answer).body

    async def size(self, name: str) -> int | None:
        """How many bytes a blob has; None when there is none."""
        answer = await self._rest.send(Request("blob", "HEAD", self._path(name)))
        return None if answer.status == 404 else int(_good(answer).headers.get("content-length", 0))

    async def beginning(self, name: str, most: int) -> bytes | None:
        """A blob's first bytes, at most so many; None when there is none."""
        answer = await self._rest.send(
            Request("blob", "GET", self._path(name), headers={"x-ms-range": f"bytes=0-{most - 1}"})
        )
        if answer.status == 416:  # an empty one has no first byte
            return b""
        return None if answer.status == 404 else _good(answer).body

    async def delete(self, name: str) -> None:
        """Remove a blob, if it is there."""
        answer = await self._rest.send(Request("blob", "DELETE", self._path(name)))
        if answer.status != 404:
            _good(answer)

    async def old(self, before: datetime, prefix: str = "") -> list[str]:
        """The names of all blobs that begin so and were written before this time."""
        found: list[str] = []
        marker = ""
        while True:
            query = f"restype=container&comp=list&prefix={quote(prefix, safe='')}"
            query += f"&marker={quote(marker, safe='')}" if marker else ""
            answer = await self._rest.send(Request("blob", "GET", f"/{self._container}", query))
            if answer.status == 404:
                return found
            body = _good(answer).body.decode()
            found += [html.unescape(name) for name, at in _BLOB.findall(body) if parsedate_to_datetime(at) < before]
            following = _MARKER.search(body)
            if following is None:
                return found
            marker = html.unescape(following.group(1))

    async def _create(self) -> None:
        answer = await self._rest.send(Request("blob", "PUT", f"/{self._container}", "restype=container"))
        if answer.status != 409:  # made by somebody else meanwhile
            _good(answer)

    def _path(self, name: str) -> str:
        return f"/{quote(self._container, safe='')}/{quote(name, safe='/')}"


def _good(answer: Answer) -> Answer:
    if answer.status >= 400:
        raise StoreUnavailable(f"blob storage refused: {answer.status} {answer.code}")
    return answer
