"""Queues of Azure Storage: message ids come in as doorbells, doorbells go out; a queue is made when it is missed.

https://learn.microsoft.com/rest/api/storageservices/queue-service-rest-api
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from typing import NamedTuple
from urllib.parse import quote

from gateway.errors import StoreUnavailable
from gateway.stores.azure_rest import TOTAL_SECONDS, Answer, Request, Rest

LONGEST_DELAY = 7 * 24 * 3600
"""Seconds a message may stay invisible, the service's limit."""

MOST = 32
"""Messages one call gives at most."""

_FIELD = re.compile(r"<(MessageId|PopReceipt|MessageText|DequeueCount)>(.*?)</\1>", re.DOTALL)
_MESSAGE = re.compile(r"<QueueMessage>(.*?)</QueueMessage>", re.DOTALL)


class Taken(NamedTuple):
    """A message that nobody else sees for a while; `id` and `receipt` delete it, it was taken `times` often."""

    id: str
    receipt: str
    text: str
    times: int = 1


class Queues:
    """All queues of one account."""

    def __init__(self, rest: Rest) -> None:
        """No queue need exist."""
        self._rest = rest

    async def put(self, queue: str, text: str, delay: int = 0, total: float = TOTAL_SECONDS) -> None:
        """Add a message that never expires; a lost answer may double it."""
        body = f"<QueueMessage><MessageText>{html.escape(text)}</MessageText></QueueMessage>".encode()
        query = f"messagettl=-1&visibilitytimeout={delay}"
        headers = {"content-type": "application/xml"}
        request = Request("queue", "POST", f"/{queue}/messages", query, headers, body)
        answer = await self._rest.send(request, total)
        if answer.status == 404:
            _good(await self._rest.send(Request("queue", "PUT", f"/{queue}"), total))
            answer = await self._rest.send(request, total)
        _good(answer)

    async def take(self, queue: str, most: int, hidden: int) -> list[Taken]:
        """Up to `most` messages, out of others' sight for `hidden` seconds."""
        query = f"numofmessages={min(most, MOST)}&visibilitytimeout={hidden}"
        answer = await self._rest.send(Request("queue", "GET", f"/{queue}/messages", query))
        if answer.status == 404:
            return []
        return [_taken(part) for part in _MESSAGE.findall(_good(answer).body.decode())]

    async def delete(self, queue: str, taken: Taken) -> None:
        """Remove a message; one that is gone, or somebody else's by now, is nobody's worry."""
        path = f"/{queue}/messages/{quote(taken.id, safe='')}"
        answer = await self._rest.send(Request("queue", "DELETE", path, f"popreceipt={quote(taken.receipt, safe='')}"))
        if answer.status not in {400, 404}:
            _good(answer)

    async def length(self, queue: str) -> int:
        """About how many messages there are, hidden ones included."""
        answer = await self._rest.send(Request("queue", "GET", f"/{queue}", "comp=metadata"))
        return 0 if answer.status == 404 else int(_good(answer).headers["x-ms-approximate-messages-count"])


def _taken(part: str) -> Taken:
    found = {name: html.unescape(value) for name, value in _FIELD.findall(part)}
    id, receipt, text = (found.get(name, "") for name in ("MessageId", "PopReceipt", "MessageText"))
    return Taken(id, receipt, plain(text), int(found.get("DequeueCount", 1)))


def plain(text: str) -> str:
    """A doorbell's text, whether it was written plainly or as base64: an id has a dash and base64 has none."""
    text = text.strip()
    if "-" in text:
        return text
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return text


def _good(answer: Answer) -> Answer:
    if answer.status >= 400:
        raise StoreUnavailable(f"queue storage refused: {answer.status} {answer.code}")
    return answer
