"""An ACS client in a few lines, independent of Microsoft's: a payload comes in, the fake's bare answer goes out."""

from __future__ import annotations

import json
from email.utils import format_datetime
from io import BytesIO
from typing import Any, NamedTuple

import aiohttp

from tests.servers.acs import KEY, FakeAcs
from tests.servers.acs_contract import content_hash, signature

MAIL: dict[str, Any] = {
    "senderAddress": "noreply@example.com",
    "content": {"subject": "Größe", "plainText": "91 %", "html": "<p>91 %</p>"},
    "recipients": {"to": [{"address": "ops@example.com", "displayName": "Ops"}], "bcc": [{"address": "b@example.com"}]},
    "attachments": [{"name": "a.txt", "contentType": "text/plain", "contentInBase64": "YQ==", "contentId": "a"}],
    "replyTo": [{"address": "desk@example.com"}],
    "headers": {"X-Ticket": "7"},
    "userEngagementTrackingDisabled": True,
}


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Any
    body: Any


class Caller:
    """An ACS client in a few lines, independent of Microsoft's."""

    def __init__(self, fake: FakeAcs, url: str, session: aiohttp.ClientSession) -> None:
        """Signs with the fake's own key."""
        self.fake = fake
        self.url = url
        self.session = session

    async def call(self, method: str, target: str, body: bytes = b"", **headers: str) -> Answer:
        """One signed request; a header given replaces the right one."""
        host = self.url.removeprefix("http://")
        date = format_datetime(self.fake.clock(), usegmt=True)
        signed = signature(KEY, method, target, date, host, body)
        right = {
            "x-ms-date": date,
            "x-ms-content-sha256": content_hash(body),
            "Authorization": f"HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature={signed}",
        }
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(
            method, self.url + target, data=BytesIO(body), headers=right | given
        ) as response:
            text = await response.text()
            is_json = response.content_type == "application/json"
            return Answer(response.status, response.headers, json.loads(text) if is_json else text)

    async def send(self, operation: str, payload: Any = MAIL, **headers: str) -> Answer:
        """One submission."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        target = "/emails:send?api-version=2025-09-01"
        return await self.call("POST", target, body, Operation_Id=operation, **headers)

    async def ask(self, operation: str) -> Answer:
        """One question for the status."""
        return await self.call("GET", f"/emails/operations/{operation}?api-version=2025-09-01")
