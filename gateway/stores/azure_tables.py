"""One table of Azure Storage: rows and changes come in, rows and ETags go out; the table is made when it is missed.

https://learn.microsoft.com/rest/api/storageservices/table-service-rest-api
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from gateway.errors import StoreUnavailable
from gateway.stores.azure_rest import Answer, Request, Rest

Columns = Mapping[str, Any]

MOST_CHANGES = 100
"""Changes one transaction may hold; all in one partition and, together, 4 MiB."""

PAGE = 1000
"""Rows the service gives at once."""

_JSON = "application/json;odata=nometadata"
_HEADERS = {"accept": _JSON, "dataserviceversion": "3.0"}
_WITH_ETAGS = {**_HEADERS, "accept": "application/json;odata=fullmetadata"}
_WRITE = {**_HEADERS, "content-type": _JSON, "prefer": "return-no-content"}
_STATUS = re.compile(rb"^HTTP/1\.1 (\d{3})", re.MULTILINE)
_ETAG = re.compile(rb"^etag: *([^\r\n]+)", re.MULTILINE | re.IGNORECASE)
_CODE = re.compile(rb'"code" *: *"(?:\d+:)?(\w+)"')


class Conflict(Exception):
    """A condition did not hold, or the row is there, or is not: read back and see what is true."""

    def __init__(self, status: int, code: str, tries: int) -> None:
        """404, 409 or 412, the service's word, and how often it was asked: an earlier try may have been applied."""
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code
        self.tries = tries


class Change(NamedTuple):
    """One step of a transaction."""

    method: str
    row: str
    columns: Columns
    etag: str = ""


def insert(row: str, columns: Columns) -> Change:
    """A row that is not there yet."""
    return Change("POST", row, columns)


def merge(row: str, columns: Columns, etag: str = "*") -> Change:
    """Some columns of a row, the others stay."""
    return Change("PATCH", row, columns, etag)


def replace(row: str, columns: Columns, etag: str) -> Change:
    """All columns of a row."""
    return Change("PUT", row, columns, etag)


def delete(row: str, etag: str = "*") -> Change:
    """A row that is there."""
    return Change("DELETE", row, {}, etag)


class Table:
    """Rows of one table."""

    def __init__(self, rest: Rest, name: str) -> None:
        """The table need not exist."""
        self._rest = rest
        self._name = name

    async def get(self, partition: str, row: str) -> tuple[dict[str, Any], str] | None:
        """One row and its ETag."""
        answer = await self._rest.send(Request("table", "GET", self._path(partition, row), headers=_HEADERS))
        if answer.status == 404:
            return None
        return json.loads(_good(answer).body), answer.headers["ETag"]

    async def query(
        self,
        partition: str,
        low: str,
        high: str,
        *,
        where: str = "",
        select: str = "",
        top: int = PAGE,
        etags: bool = False,
    ) -> AsyncIterator[list[dict[str, Any]]]:
        """Rows of one partition with low ≤ RowKey < high, in pages; `where` is evaluated by the service.

        `etags`: each row has its ETag under `odata.etag`.
        """
        headers = _WITH_ETAGS if etags else _HEADERS
        keys = f"PartitionKey eq '{partition}' and RowKey ge '{low}' and RowKey lt '{high}'"
        asked = {"$filter": f"{keys} and {where}" if where else keys, "$select": select, "$top": str(min(top, PAGE))}
        more: dict[str, str] = {}
        while True:
            query = "&".join(f"{quote(name)}={quote(text, safe='')}" for name, text in (asked | more).items() if text)
            answer = await self._rest.send(Request("table", "GET", f"/{self._name}()", query, headers))
            if answer.status == 404:
                return
            yield json.loads(_good(answer).body)["value"]
            more = {
                name: answer.headers[f"x-ms-continuation-{name}"]
                for name in ("NextPartitionKey", "NextRowKey")
                if f"x-ms-continuation-{name}" in answer.headers
            }
            if not more:
                return

    async def rows(self, partition: str, low: str, high: str, *, where: str = "", select: str = "") -> list[Any]:
        """All those rows."""
        pages = self.query(partition, low, high, where=where, select=select)
        return [row async for page in pages for row in page]

    async def first(
        self, partition: str, low: str, high: str, limit: int, *, where: str = "", etags: bool = False
    ) -> list[Any]:
        """The first `limit` of those rows."""
        found: list[Any] = []
        async for page in self.query(partition, low, high, where=where, top=limit, etags=etags):
            found += page
            if len(found) >= limit:
                break
        return found[:limit]

    async def change(self, partition: str, changes: Sequence[Change]) -> str:
        """Make all changes or none; the first one's new ETag. Conflict when a condition does not hold."""
        # aiohttp repeats a DELETE by itself when a connection ends, which would hide an earlier try. So it is a POST.
        alone = len(changes) == 1 and changes[0].method != "DELETE"
        request = self._alone(partition, changes[0]) if alone else self._together(partition, changes)
        answer, failed = await self._send(request)
        if failed == "TableNotFound":
            await self._create()
            answer, failed = await self._send(request)
        if answer.status == 202 and not failed:
            etag = _ETAG.search(answer.body)
            return etag.group(1).decode() if etag else ""
        return _good(answer).headers.get("ETag", "")

    async def _send(self, request: Request) -> tuple[Answer, str]:
        """The answer, a transaction's as if it had been its failing step's, and the error's word if there is one."""
        answer = await self._rest.send(request)
        statuses = [int(status) for status in _STATUS.findall(answer.body)] if answer.status == 202 else []
        bad = [status for status in statuses if status >= 400]
        if bad:
            code = _CODE.search(answer.body)
            headers = {"x-ms-error-code": code.group(1).decode() if code else ""}
            answer = Answer(bad[0], headers, b"", answer.tries)
        return answer, answer.code if answer.status >= 400 else ""

    async def _create(self) -> None:
        body = json.dumps({"TableName": self._name}).encode()
        answer = await self._rest.send(Request("table", "POST", "/Tables", headers=_WRITE, body=body))
        if answer.status != 409:  # made by somebody else meanwhile
            _good(answer)

    def _path(self, partition: str, row: str) -> str:
        return f"/{self._name}(PartitionKey='{quote(partition, safe='')}',RowKey='{quote(row, safe='')}')"

    def _step(self, partition: str, change: Change) -> tuple[str, dict[str, str], bytes]:
        """A change's path, headers and body."""
        headers = {**_WRITE, "if-match": change.etag} if change.etag else _WRITE
        if change.method == "DELETE":
            return self._path(partition, change.row), {**_HEADERS, "if-match": change.etag}, b""
        columns = {"PartitionKey": partition, "RowKey": change.row, **change.columns}
        path = f"/{self._name}" if change.method == "POST" else self._path(partition, change.row)
        return path, dict(headers), json.dumps(columns).encode()

    def _alone(self, partition: str, change: Change) -> Request:
        path, headers, body = self._step(partition, change)
        return Request("table", change.method, path, headers=headers, body=body)

    def _together(self, partition: str, changes: Sequence[Change]) -> Request:
        """An entity group transaction: multipart in multipart, as OData wants it."""
        assert len(changes) <= MOST_CHANGES
        boundary = uuid.uuid4().hex
        parts = [f"--batch_{boundary}\r\ncontent-type: multipart/mixed; boundary=changeset_{boundary}\r\n\r\n".encode()]
        for number, change in enumerate(changes):
            path, headers, body = self._step(partition, change)
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            head = (
                f"--changeset_{boundary}\r\ncontent-type: application/http\r\ncontent-transfer-encoding: binary\r\n"
                f"content-id: {number}\r\n\r\n{change.method} {self._rest.endpoints['table']}{path} HTTP/1.1\r\n"
                f"content-length: {len(body)}\r\n{lines}\r\n"
            )
            parts += [head.encode(), body, b"\r\n"]
        parts.append(f"--changeset_{boundary}--\r\n--batch_{boundary}--\r\n".encode())
        headers = {**_HEADERS, "content-type": f"multipart/mixed; boundary=batch_{boundary}"}
        return Request("table", "POST", "/$batch", headers=headers, body=b"".join(parts))


def _good(answer: Answer) -> Answer:
    """The answer, unless it is a refusal."""
    if answer.status in {404, 409, 412}:
        raise Conflict(answer.status, answer.code, answer.tries)
    if answer.status >= 400:
        raise StoreUnavailable(f"table storage refused: {answer.status} {answer.code}")
    return answer
