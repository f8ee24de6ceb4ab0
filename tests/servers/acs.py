"""A fake Azure Communication Services Email: HTTP requests come in, the `sent` log is the only truth.

Both operations of api-version 2025-09-01 (swagger), HMAC and bearer checked, bodies validated, quotas, every answer a
repeated Operation-Id may get, and a menu of faults (acs_faults.py). A test sets the attributes; run by hand
(`python -m tests.servers acs --port 9001`) the same is set with POST /_control and read with GET /_sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID, uuid4

from tests.servers.acs_contract import (
    API_VERSIONS,
    LARGEST,
    Refused,
    check_credentials,
    check_message,
    checked_message_id,
)
from tests.servers.acs_events import texts
from tests.servers.acs_faults import Fault, fault
from tests.servers.serve import Receive, Scope, Send
from tests.servers.wire import Request, answer, drop, gone, read

KEY = "ZXhhbXBsZSBrZXksIG9ubHkgZm9yIHRlc3RzIQ=="
"""The access key the fake knows unless told otherwise: "example key, only for tests!"."""

Repeated = Literal["replay202", "400", "409", "501", "send-again"]


class Sent(NamedTuple):
    """One mail that went out."""

    operation: str
    payload: dict[str, Any]


@dataclass
class Operation:
    """One accepted submission: its payload and how often its status was asked for."""

    payload: dict[str, Any]
    failed: bool = False
    asked: int = 0


@dataclass
class Quota:
    """At most `limit` requests in `window` seconds; refused ones count too, as service-limits.md says."""

    limit: int
    window: float
    times: deque[datetime] = field(default_factory=deque)

    def spend(self, now: datetime) -> int:
        """0, or the seconds to wait."""
        while self.times and (now - self.times[0]).total_seconds() >= self.window:
            self.times.popleft()
        self.times.append(now)
        if len(self.times) <= self.limit:
            return 0
        return math.ceil(self.window - (now - self.times[-self.limit]).total_seconds())


class FakeAcs:
    """The ASGI app; every attribute may be changed at any time."""

    def __init__(
        self, *, key: str = KEY, tokens: Iterable[str] = (), clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """`tokens`: bearer tokens it takes besides the key."""
        self.key = key
        self.tokens = frozenset(tokens)
        self.clock = clock
        self.repeated: Repeated = "replay202"
        self.statuses: Sequence[str] = ("Running", "Succeeded")
        self.quotas: list[Quota] = []
        self.get_quotas: list[Quota] = []
        self.faults: deque[str] = deque()
        self.get_faults: deque[str] = deque()
        self.mood: Callable[[str], str] = lambda _method: "ok"
        self.sent: list[Sent] = []
        self.requests: list[Request] = []
        self.operations: dict[str, Operation] = {}
        self.message_ids: set[str] = set()
        self.late: set[asyncio.Task[None]] = set()
        self._news = asyncio.Condition()

    @property
    def posts(self) -> list[Request]:
        """Every submission that came, accepted or not."""
        return [request for request in self.requests if request.method == "POST"]

    @property
    def gets(self) -> list[Request]:
        """Every question for a status."""
        return [request for request in self.requests if request.method == "GET"]

    async def until(self, condition: Callable[[FakeAcs], bool]) -> None:
        """Wait until the condition holds; it is looked at when a request comes, ends or lands."""
        async with self._news:
            await self._news.wait_for(lambda: condition(self))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        assert scope["type"] == "http"
        request = await read(scope, receive)
        if request.path in ("/_control", "/_sent", "/_events"):
            await answer(send, 200, self._by_hand(request))
            return
        self.requests.append(request)
        await self._tell()
        try:
            trouble = self._send(request) if request.method == "POST" else self._status(request)
            await self._reply(request, trouble, receive, send)
        except Refused as refused:
            await _refuse(send, refused)
        except _Limited as limited:
            await _error(send, 429, "TooManyRequests", {"retry-after": str(limited)})
        await self._tell()

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    # ------------------------------------------------------------------------------------------ the two operations

    def _send(self, request: Request) -> Fault:
        if request.path != "/emails:send":
            raise Refused(404, "NotFound", "There is nothing here.")
        self._check(request, self.quotas)
        payload = _json(request.body)
        check_message(payload)
        operation = _operation_id(request.headers.get("operation-id"))
        request.facts.update(operation=operation, payload=payload)
        return fault(self.faults.popleft() if self.faults else self.mood("POST"))

    def _status(self, request: Request) -> Fault:
        self._check(request, self.get_quotas)
        request.facts["operation"] = _operation_id(request.path.removeprefix("/emails/operations/"))
        return fault(self.get_faults.popleft() if self.get_faults else self.mood("GET"))

    def _check(self, request: Request, quotas: list[Quota]) -> None:
        if request.query.get("api-version") not in API_VERSIONS:
            raise Refused(400, "InvalidApiVersionParameter", "The api-version is missing or unknown.")
        if len(request.body) > LARGEST:
            raise Refused(413, "RequestEntityTooLarge", "A request may have at most 10 MB.")
        now = self.clock()
        check_credentials(request.method, request.target, request.headers, request.body, self.key, self.tokens, now)
        waits = [quota.spend(now) for quota in quotas]
        if any(waits):
            raise _Limited(max(waits))

    async def _reply(self, request: Request, trouble: Fault, receive: Receive, send: Send) -> None:
        """The answer of a request that was in order, or what the fault makes of it."""
        if trouble.lands == 0.0:
            body, headers = self._accept(request) if request.method == "POST" else self._known(request)
            await self._tell()
        elif trouble.lands:
            task = asyncio.create_task(self._land(request, trouble.lands))
            self.late.add(task)
            task.add_done_callback(self.late.discard)
        match trouble.then:
            case "answer":
                await answer(send, 202 if request.method == "POST" else 200, body, headers)
            case "nonsense":
                await answer(send, 202, b"<html>busy</html>")
            case "failed":
                self.operations[request.facts["operation"]] = Operation(request.facts["payload"], failed=True)
                await answer(send, 202, _result(request.facts["operation"], "Failed"))
            case "status":
                headers = {"retry-after": trouble.retry_after} if trouble.retry_after else {}
                await _error(send, trouble.status, "Example", headers)
            case "drop" | "bytes":
                await drop(request, receive, trouble.raw)
            case "hang":
                await gone(receive)

    async def _land(self, request: Request, seconds: float) -> None:
        await asyncio.sleep(seconds)
        with contextlib.suppress(Refused):
            self._accept(request)
        await self._tell()

    def _accept(self, request: Request) -> tuple[dict[str, Any], dict[str, str]]:
        operation, payload = request.facts["operation"], request.facts["payload"]
        known = self.operations.get(operation)
        if known is None or self.repeated == "send-again":
            message_id = checked_message_id(payload, self.message_ids)
            self.message_ids.add(message_id)
            self.operations[operation] = Operation(payload)
            self.sent.append(Sent(operation, payload))
        elif self.repeated != "replay202" or known.payload != payload:
            status = 400 if self.repeated == "replay202" else int(self.repeated)
            raise Refused(status, "OperationIdConflict", "The Operation-Id matches an existing operation.")
        location = f"http://{request.headers['host']}/emails/operations/{operation}?api-version=2025-09-01"
        return _result(operation, self.statuses[0]), {"operation-location": location, "retry-after": "20"}

    def _known(self, request: Request) -> tuple[dict[str, Any], dict[str, str]]:
        operation = self.operations.get(request.facts["operation"])
        if operation is None:
            raise Refused(404, "NotFound", "The operation is not known.")
        status = "Failed" if operation.failed else self.statuses[min(operation.asked, len(self.statuses) - 1)]
        operation.asked += 1
        return _result(request.facts["operation"], status), {"retry-after": "20"} if status in _WORKING else {}

    # ---------------------------------------------------------------------------------------------------- by hand

    def _by_hand(self, request: Request) -> Any:
        """POST /_control sets attributes and quotas, GET /_sent shows the log, GET /_events what Event Grid says."""
        if request.path == "/_events":
            return texts(self.sent)
        if request.path == "/_sent":
            return [sent._asdict() for sent in self.sent]
        wishes = json.loads(request.body)
        for name in wishes.keys() & {"repeated", "statuses", "key"}:
            setattr(self, name, wishes[name])
        for word in (*wishes.get("faults", ()), *wishes.get("get_faults", ())):
            fault(word)
        self.faults.extend(wishes.get("faults", ()))
        self.get_faults.extend(wishes.get("get_faults", ()))
        for name in wishes.keys() & {"quotas", "get_quotas"}:
            setattr(self, name, [Quota(limit, window) for limit, window in wishes[name]])
        if wishes.get("clear"):
            self.sent.clear()
            self.operations.clear()
        return {"repeated": self.repeated, "faults": list(self.faults), "sent": len(self.sent)}


class _Limited(Exception):
    """The quota is used up; the seconds to wait."""


_WORKING = frozenset({"NotStarted", "Running"})


def _operation_id(text: str | None) -> str:
    try:
        return str(UUID(text)) if text is not None else str(uuid4())
    except ValueError:
        raise Refused(400, "BadRequest", "The operation id must be a UUID.") from None


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        raise Refused(400, "BadRequest", "The request body is not JSON.") from None


def _result(operation: str, status: str) -> dict[str, Any]:
    result: dict[str, Any] = {"id": operation, "status": status}
    if status in ("Failed", "Canceled"):
        message = "Email was dropped after several attempts to deliver."
        result["error"] = {"code": "EmailDropped", "message": message}
    return result


async def _refuse(send: Send, refused: Refused) -> None:
    body = {"error": {"code": refused.code, "message": refused.message}}
    await answer(send, refused.status, body, {"x-ms-error-code": refused.code})


async def _error(send: Send, status: int, code: str, headers: dict[str, str]) -> None:
    body = {"error": {"code": code, "message": "The service says no."}}
    await answer(send, status, body, {"x-ms-error-code": code, **headers})
