"""Attachments of a recorded draft: those that are not there yet come in, each is added in one request or in pieces.

A piece that is lost is no lost upload: the session's address is a recorded fact, and the next claim asks it how far it
came. When nobody knows (Microsoft documents that question for drives only), a new session begins at the start.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from gateway.errors import Outcome, Reason, TransportError
from gateway.message import Attachment, Fence, Message
from gateway.transports.graph_client import Account, Answer, refusal
from gateway.transports.graph_payload import file, kind, large, name

PIECE = 12 * 320 * 1024
"""Bytes of one range: less than the 4 MB allowed, and the multiple that upload sessions elsewhere in Graph ask for."""

_OUT_OF_STEP = frozenset({404, 409, 410, 416})
"""The session is over, or has this piece: a lost answer looks like that when the connection asks by itself again."""

_FIRST = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Files:
    """The attachments of one message in one draft; `place` is the draft's path."""

    account: Account
    place: str
    message: Message
    fence: Fence

    async def add(self, numbers: tuple[int, ...]) -> None:
        """Add these, in order."""
        for number in numbers:
            attachment = self.message.attachments[number]
            if large(attachment):
                await self._upload(number, attachment)
            else:
                await self._post(attachment)

    async def missing(self, numbers: tuple[int, ...]) -> tuple[int, ...]:
        """Which of these are not there: by name, each name as often as it was wanted."""
        answer = await self.account.call("GET", f"{self.place}/attachments?$select=id,name")
        if answer.status != 200:
            raise refusal(answer)
        there = Counter(one.get("name") for one in answer.items("value"))
        there.subtract(name(one) for number, one in enumerate(self.message.attachments) if number not in numbers)
        absent = []
        for number in numbers:
            called = name(self.message.attachments[number])
            if there[called] > 0:
                there[called] -= 1
            else:
                absent.append(number)
        return tuple(absent)

    async def _post(self, attachment: Attachment) -> None:
        answer = await self.account.call("POST", f"{self.place}/attachments", file(attachment))
        if answer.status != 201:
            raise refusal(answer)

    async def _upload(self, number: int, attachment: Attachment) -> None:
        url, start = await self._session(number, attachment)
        total = len(attachment.content)
        while start < total:
            piece = attachment.content[start : start + PIECE]
            spoken = f"bytes {start}-{start + len(piece) - 1}/{total}"
            headers = {"Content-Range": spoken, "Content-Type": "application/octet-stream"}
            answer = await self.account.pre_authenticated("PUT", url, piece, headers)
            if answer.status == 201:
                return
            start = self._next(answer, start)

    def _next(self, answer: Answer, start: int) -> int:
        """Where the session wants to go on; never backwards, or one broken answer would keep us busy for ever."""
        if answer.status >= 400 and answer.status not in _OUT_OF_STEP:
            raise refusal(answer)
        wanted = _expected(answer)
        if answer.status not in (200, 202) or wanted is None or wanted <= start:
            raise _stuck(answer)
        return wanted

    async def _session(self, number: int, attachment: Attachment) -> tuple[str, int]:
        """The session's address and the next byte it wants: the recorded one's, or a new one's."""
        known: dict[str, Any] = json.loads(self.fence.facts.get("upload") or "{}")
        if known.get("attachment") == number:
            answer = await self.account.pre_authenticated("GET", known["url"], None, {})
            wanted = _expected(answer) if answer.status == 200 else None
            if wanted is not None:
                return known["url"], wanted
        return await self._begin(number, attachment), 0

    async def _begin(self, number: int, attachment: Attachment) -> str:
        size = len(attachment.content)
        wish: dict[str, Any] = {"attachmentType": "file", "name": name(attachment), "size": size}
        wish["contentType"] = kind(attachment)
        if attachment.content_id:
            wish |= {"isInline": True, "contentId": attachment.content_id}
        answer = await self.account.call(
            "POST", f"{self.place}/attachments/createUploadSession", {"AttachmentItem": wish}
        )
        url = answer.text("uploadUrl")
        if answer.status != 201 or not url:
            raise refusal(answer)
        await self.fence.record(upload=json.dumps({"attachment": number, "url": url}))
        return url


def _expected(answer: Answer) -> int | None:
    """The first byte of `nextExpectedRanges` ("2097152", "2097152-" or "0-99"); None when it cannot be read."""
    ranges = answer.body.get("nextExpectedRanges") if isinstance(answer.body, dict) else None
    match = _FIRST.match(str(ranges[0])) if isinstance(ranges, list) and ranges else None
    return int(match.group()) if match else None


def _stuck(answer: Answer) -> TransportError:
    detail = f"the upload session did not go on ({answer.status})"
    return TransportError(Outcome.MAYBE, Reason.PROVIDER_ERROR, answered=True, retry_after=answer.wait, detail=detail)
