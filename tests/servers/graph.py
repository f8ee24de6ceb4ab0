"""A fake Microsoft Graph for mail: HTTP requests come in, the `sent` log is the only truth.

sendMail in JSON and MIME, messages with search, attachments, upload sessions and an asynchronous `send`; tokens,
permissions, limits and four requests at once for each mailbox; every switch for what Microsoft leaves open, and the
menu of faults (acs_faults.py) for each operation. A test sets the attributes; run by hand
(`python -m tests.servers graph --port 9002`) the same is set with POST /_control and read with GET /_sent. By hand it
is also the token's source, as an App Service's managed identity is: that is the one login that needs no TLS.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any, NamedTuple

from tests.servers.acs_contract import Refused
from tests.servers.acs_faults import OK, Fault, fault
from tests.servers.graph_contract import DIRECT, PIECE, REQUEST, File, file_of, mail_of, mail_of_mime, parsed
from tests.servers.graph_mailbox import Behaviour, Mailboxes, Sent
from tests.servers.serve import Receive, Scope, Send
from tests.servers.wire import Request, answer, drop, gone, read

TOKEN = "example-graph-token"
IDENTITY_HEADER = "example-identity-header"
ALL = frozenset({"Mail.Send", "Mail.ReadWrite"})
AT_ONCE = 4

_USER = r"/v1\.0/users/(?P<mailbox>[^/]+)"
_ITEM = rf"{_USER}/messages/(?P<item>.+?)"
OPERATIONS = [
    (method, re.compile(pattern), name, permission)
    for method, pattern, name, permission in (
        ("POST", rf"{_USER}/sendMail", "send-mail", "Mail.Send"),
        ("POST", rf"{_USER}/messages", "create", "Mail.ReadWrite"),
        ("GET", rf"{_USER}/messages", "search", "Mail.ReadWrite"),
        ("POST", rf"{_ITEM}/send", "send", "Mail.Send"),
        ("POST", rf"{_ITEM}/attachments/createUploadSession", "session", "Mail.ReadWrite"),
        ("POST", rf"{_ITEM}/attachments", "attach", "Mail.ReadWrite"),
        ("GET", rf"{_ITEM}/attachments", "attachments", "Mail.ReadWrite"),
        ("GET", _ITEM, "get", "Mail.ReadWrite"),
        ("DELETE", _ITEM, "delete", "Mail.ReadWrite"),
        ("PUT", "/upload/(?P<session>.+)", "put", ""),
        ("GET", "/upload/(?P<session>.+)", "progress", ""),
        ("GET", "/msi/token", "token", ""),
    )
]
"""Method, path, the word that faults are set for, and the permission it needs."""


class Reply(NamedTuple):
    """What the fake would answer if nothing were in the way."""

    status: int
    body: Any = b""
    headers: dict[str, str] = {}


class FakeGraph:
    """The ASGI app; every attribute may be changed at any time."""

    def __init__(self, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """`clock` is the time everything slow waits for."""
        self.tokens = {TOKEN}
        self.permissions = ALL
        self.cloud_headers = True
        self.cloud_sessions = True
        self.latency = 0.0
        self.faults: defaultdict[str, deque[str]] = defaultdict(deque)
        self.requests: list[Request] = []
        self.busiest = 0
        self.boxes = Mailboxes(clock)
        self._busy: Counter[str] = Counter()
        self._news = asyncio.Condition()

    @property
    def ways(self) -> Behaviour:
        """The switches."""
        return self.boxes.ways

    @property
    def sent(self) -> list[Sent]:
        """Every mail that went out by now."""
        self.boxes.catch_up()
        return self.boxes.log

    def calls(self, operation: str) -> list[Request]:
        """The requests for one operation."""
        return [request for request in self.requests if request.facts["operation"] == operation]

    async def until(self, condition: Callable[[FakeGraph], bool]) -> None:
        """Wait until the condition holds; it is looked at when a request comes or ends."""
        async with self._news:
            await self._news.wait_for(lambda: condition(self))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        assert scope["type"] == "http"
        request = await read(scope, receive)
        self.boxes.catch_up()
        if request.path in ("/_control", "/_sent"):
            await answer(send, 200, self._by_hand(request))
            return
        operation, found = _operation(request)
        request.facts.update(operation=operation, **found)
        self.requests.append(request)
        await self._tell()
        mailbox = found.get("mailbox", "")
        self._busy[mailbox] += 1
        try:
            await self._serve(request, receive, send)
        except Refused as refused:
            await _refuse(send, refused)
        finally:
            self._busy[mailbox] -= 1
            await self._tell()

    async def _serve(self, request: Request, receive: Receive, send: Send) -> None:
        if self.latency:
            await asyncio.sleep(self.latency)
        self._check(request)
        act: Callable[[Request], Reply] = getattr(self, "_" + request.facts["operation"].replace("-", "_"))
        wishes = self.faults[request.facts["operation"]]
        trouble = fault(wishes.popleft()) if wishes else OK
        reply = Reply(202)
        if trouble.lands == 0.0:
            reply = act(request)
            self.boxes.catch_up()
            await self._tell()
        elif trouble.lands:
            self.boxes.later(trouble.lands, lambda: _quietly(act, request))
        await _say(reply, trouble, request, receive, send)

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    def _check(self, request: Request) -> None:
        """Token, permission, room."""
        operation, mailbox = request.facts["operation"], request.facts.get("mailbox", "")
        given = request.headers.get("authorization", "")
        if operation in ("put", "progress") and given:
            raise Refused(401, "InvalidAuthenticationToken", "An upload session takes no token.")
        if operation in ("put", "progress", "token"):
            return
        if not given.startswith("Bearer ") or given.removeprefix("Bearer ") not in self.tokens:
            raise Refused(401, "InvalidAuthenticationToken", "Access token is empty or not known.")
        if request.facts["permission"] not in self.permissions:
            raise Refused(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
        self.busiest = max(self.busiest, self._busy[mailbox])
        if self._busy[mailbox] > AT_ONCE:
            raise Refused(429, "ApplicationThrottled", "Application is over its MailboxConcurrency limit.")
        if len(request.body) > REQUEST:
            raise Refused(413, "RequestEntityTooLarge", "A request may have 4 MB.")

    # ------------------------------------------------------------------------------------------------ operations

    def _send_mail(self, request: Request) -> Reply:
        if request.headers.get("content-type", "").startswith("text/plain"):
            self.boxes.direct(request.facts["mailbox"], mail_of_mime(request.body), saved=True)
            return Reply(202)
        body = parsed(request.body)
        if not isinstance(body, dict) or body.keys() - {"message", "saveToSentItems"}:
            raise Refused(400, "RequestBodyRead", "The action takes message and saveToSentItems.")
        saved = body.get("saveToSentItems", True) is True
        mail = mail_of(body.get("message"), headers=self.cloud_headers)
        self.boxes.direct(request.facts["mailbox"], mail, saved=saved)
        return Reply(202)

    def _create(self, request: Request) -> Reply:
        mime = request.headers.get("content-type", "").startswith("text/plain")
        mail = mail_of_mime(request.body) if mime else mail_of(parsed(request.body), headers=self.cloud_headers)
        return Reply(201, self.boxes.create(request.facts["mailbox"], mail).shown())

    def _search(self, request: Request) -> Reply:
        found = self.boxes.search(request.facts["mailbox"], request.query.get("$filter", ""))
        return Reply(200, {"value": [item.shown() for item in found]})

    def _get(self, request: Request) -> Reply:
        return Reply(200, self.boxes.find(request.facts["mailbox"], request.facts["item"]).shown())

    def _delete(self, request: Request) -> Reply:
        self.boxes.delete(request.facts["mailbox"], request.facts["item"])
        return Reply(204)

    def _send(self, request: Request) -> Reply:
        if request.headers.get("content-length") != "0":
            raise Refused(411, "ErrorLengthRequired", "Content-Length: 0 is required.")
        self.boxes.send(request.facts["mailbox"], request.facts["item"])
        return Reply(202)

    def _attachments(self, request: Request) -> Reply:
        files = self.boxes.find(request.facts["mailbox"], request.facts["item"]).mail.files
        return Reply(200, {"value": [{"id": str(number), "name": one.name} for number, one in enumerate(files)]})

    def _attach(self, request: Request) -> Reply:
        item = self.boxes.find(request.facts["mailbox"], request.facts["item"])
        item.mail.files.append(file_of(parsed(request.body)))
        return Reply(201, {"id": str(len(item.mail.files))})

    def _session(self, request: Request) -> Reply:
        if not self.cloud_sessions:
            raise Refused(400, "BadRequest", "Resource not found for the segment 'createUploadSession'.")
        item = self.boxes.find(request.facts["mailbox"], request.facts["item"])
        wish = parsed(request.body)["AttachmentItem"]
        if wish.get("attachmentType") != "file" or wish.get("size", 0) < DIRECT * 9 // 10:
            raise Refused(400, "ErrorInvalidRequest", "An upload session takes a file of 3 MB and more.")
        cid = wish.get("contentId", "") if wish.get("isInline") else ""
        name = self.boxes.begin(item, File(wish["name"], wish.get("contentType", ""), b"", cid), wish["size"])
        url = f"http://{request.headers['host']}/upload/{name}?authtoken=example"
        return Reply(201, {"uploadUrl": url, "nextExpectedRanges": ["0-"]})

    def _put(self, request: Request) -> Reply:
        if len(request.body) > PIECE:
            raise Refused(413, "RequestEntityTooLarge", "A range may have 4 MB.")
        session = self.boxes.take(request.facts["session"], request.headers.get("content-range", ""), request.body)
        if len(session.file.content) == session.size:
            return Reply(201, b"", {"location": "https://outlook.office.com/api/v2.0/Attachments('1')"})
        return Reply(200, {"nextExpectedRanges": [str(len(session.file.content))]})

    def _progress(self, request: Request) -> Reply:
        session = self.boxes.session(request.facts["session"])
        return Reply(200, {"nextExpectedRanges": [f"{len(session.file.content)}-"]})

    def _token(self, request: Request) -> Reply:
        if request.headers.get("x-identity-header") != IDENTITY_HEADER:
            raise Refused(400, "BadRequest", "X-IDENTITY-HEADER is missing or wrong.")
        resource = request.query.get("resource", "")
        if resource != f"http://{request.headers['host']}":
            raise Refused(400, "BadRequest", "The resource is not this fake.")
        ends = str(int(datetime.now(UTC).timestamp()) + 3600)
        return Reply(200, {"access_token": TOKEN, "expires_on": ends, "resource": resource, "token_type": "Bearer"})

    def _unknown(self, request: Request) -> Reply:
        raise Refused(404, "ResourceNotFound", "Resource not found for the segment.")

    # --------------------------------------------------------------------------------------------------- by hand

    def _by_hand(self, request: Request) -> Any:
        """POST /_control sets switches and faults, GET /_sent shows the log."""
        if request.path == "/_sent":
            return [{"mailbox": one.mailbox, "saved": one.saved, **_readable(asdict(one.mail))} for one in self.sent]
        wishes = json.loads(request.body)
        for name in wishes.keys() & {one.name for one in fields(Behaviour)}:
            setattr(self.ways, name, wishes[name])
        for name, words in wishes.get("faults", {}).items():
            assert all(fault(word) for word in words)
            self.faults[name].extend(words)
        if wishes.get("clear"):
            self.boxes.log.clear()
            self.boxes.items.clear()
        return {**asdict(self.ways), "faults": {name: list(words) for name, words in self.faults.items() if words}}


def _operation(request: Request) -> tuple[str, dict[str, str]]:
    for method, pattern, name, permission in OPERATIONS:
        match = pattern.fullmatch(request.path)
        if match and method == request.method:
            return name, match.groupdict() | {"permission": permission}
    return "unknown", {"permission": "Mail.Send"}


def _quietly(act: Callable[[Request], Reply], request: Request) -> None:
    with contextlib.suppress(Refused):
        act(request)


async def _say(reply: Reply, trouble: Fault, request: Request, receive: Receive, send: Send) -> None:
    """The answer of a request that was in order, or what the fault makes of it."""
    match trouble.then:
        case "answer":
            await answer(send, reply.status, reply.body, reply.headers)
        case "nonsense":
            await answer(send, reply.status, b"<html>busy</html>")
        case "status":
            headers = {"retry-after": trouble.retry_after} if trouble.retry_after else {}
            if trouble.status == 202:
                await answer(send, 202, b"", headers)
            else:
                await _refuse(send, Refused(trouble.status, "Example", "The service says no."), headers)
        case "drop" | "bytes":
            await drop(request, receive, trouble.raw)
        case "hang":
            await gone(receive)
        case "failed":
            raise AssertionError("Graph has no such answer")


async def _refuse(send: Send, refused: Refused, headers: dict[str, str] | None = None) -> None:
    inner = {"request-id": "00000000-0000-0000-0000-000000000000", "date": "2026-03-02T09:30:00"}
    wait = {"retry-after": "1"} if refused.code == "ApplicationThrottled" else {}
    body = {"error": {"code": refused.code, "message": refused.message, "innerError": inner}}
    await answer(send, refused.status, body, wait | (headers or {}))


def _readable(mail: dict[str, Any]) -> dict[str, Any]:
    return mail | {"files": [one | {"content": base64.b64encode(one["content"]).decode()} for one in mail["files"]]}
