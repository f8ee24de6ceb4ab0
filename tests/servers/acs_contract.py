"""What ACS Email demands of a request: headers and body come in, a Refused goes out when something is wrong.

Facts: swagger 2025-09-01 (api-version, required fields and types), azure-communication-email 1.1.0 `_shared/policy.py`
(the signature), service-limits.md (50 recipients, 10 MB), email-headers.md (content ids, Message-ID validation).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

API_VERSIONS = frozenset({"2023-03-31", "2024-07-01-preview", "2025-09-01"})
LARGEST = 10 * 1024 * 1024
RECIPIENTS = 50
CLOCK_SKEW = timedelta(minutes=15)
SIGNED = "x-ms-date;host;x-ms-content-sha256"
MESSAGE_ID = re.compile(r"<[^<>@\s]+@[^<>@\s]+>")


class Refused(Exception):
    """The service says no: an HTTP status, its own code and a sentence."""

    def __init__(self, status: int, code: str, message: str) -> None:
        """What the answer will say."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def content_hash(body: bytes) -> str:
    """The value of x-ms-content-sha256."""
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def signature(key: str, method: str, target: str, date: str, host: str, body: bytes) -> str:
    """The Signature of one request; `target` is the path with its query."""
    text = f"{method}\n{target}\n{date};{host};{content_hash(body)}"
    return base64.b64encode(hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()).decode()


def check_credentials(
    method: str, target: str, headers: Mapping[str, str], body: bytes, key: str, tokens: frozenset[str], now: datetime
) -> None:
    """A good signature or a known token passes; everything else is 401, as ACS says it."""
    given = headers.get("authorization", "")
    if given.removeprefix("Bearer ") in tokens and given.startswith("Bearer "):
        return
    date = headers.get("x-ms-date", "")
    expected = signature(key, method, target, date, headers.get("host", ""), body)
    right = (
        hmac.compare_digest(given.encode(), f"HMAC-SHA256 SignedHeaders={SIGNED}&Signature={expected}".encode())
        and headers.get("x-ms-content-sha256") == content_hash(body)
        and _recent(date, now)
    )
    if not right:
        raise Refused(401, "Denied", "Denied by the resource provider.")


def _recent(date: str, now: datetime) -> bool:
    try:
        at = parsedate_to_datetime(date)
    except ValueError:
        return False
    return at.tzinfo is UTC and abs(now - at) < CLOCK_SKEW


def check_message(payload: Any) -> None:
    """The first thing that is wrong with an EmailMessage is 400."""
    for problem in _problems(payload):
        raise Refused(400, "BadRequest", problem)


def _problems(payload: Any) -> Iterator[str]:
    if not isinstance(payload, dict):
        yield "The request body must be an object."
        return
    yield from _fields("", payload, _MESSAGE)
    content, recipients = payload.get("content"), payload.get("recipients")
    if isinstance(content, dict):
        yield from _fields("content.", content, _CONTENT)
        if not content.get("plainText") and not content.get("html"):
            yield "content must have plainText or html."
    if isinstance(recipients, dict):
        yield from _recipients(recipients)
    yield from _each("replyTo", payload.get("replyTo", []), _ADDRESS)
    yield from _attachments(payload.get("attachments", []), payload.get("headers", {}))
    if any(not isinstance(value, str) for value in payload.get("headers", {}).values()):
        yield "headers must be a map of strings."


_MESSAGE: dict[str, tuple[type, bool]] = {
    "senderAddress": (str, True),
    "content": (dict, True),
    "recipients": (dict, True),
    "attachments": (list, False),
    "replyTo": (list, False),
    "headers": (dict, False),
    "userEngagementTrackingDisabled": (bool, False),
}
_CONTENT: dict[str, tuple[type, bool]] = {"subject": (str, True), "plainText": (str, False), "html": (str, False)}
_RECIPIENTS: dict[str, tuple[type, bool]] = {"to": (list, True), "cc": (list, False), "bcc": (list, False)}
_ADDRESS: dict[str, tuple[type, bool]] = {"address": (str, True), "displayName": (str, False)}
_ATTACHMENT: dict[str, tuple[type, bool]] = {
    "name": (str, True),
    "contentType": (str, True),
    "contentInBase64": (str, True),
    "contentId": (str, False),
}


def _fields(where: str, value: dict[str, Any], expected: dict[str, tuple[type, bool]]) -> Iterator[str]:
    for name in value:
        if name not in expected:
            yield f"{where}{name} is not a known field."
    for name, (kind, required) in expected.items():
        if name not in value and required:
            yield f"{where}{name} is required."
        if name in value and not isinstance(value[name], kind):
            yield f"{where}{name} has the wrong type."


def _each(where: str, values: Any, expected: dict[str, tuple[type, bool]]) -> Iterator[str]:
    for value in values if isinstance(values, list) else []:
        if isinstance(value, dict):
            yield from _fields(f"{where}.", value, expected)
        else:
            yield f"{where} must be a list of objects."


def _recipients(recipients: dict[str, Any]) -> Iterator[str]:
    yield from _fields("recipients.", recipients, _RECIPIENTS)
    everyone = [one for kind in ("to", "cc", "bcc") for one in recipients.get(kind, [])]
    yield from _each("recipients", everyone, _ADDRESS)
    if not recipients.get("to"):
        yield "recipients.to must not be empty."
    if len(everyone) > RECIPIENTS:
        yield f"A message may have at most {RECIPIENTS} recipients."


def _attachments(attachments: Any, headers: Any) -> Iterator[str]:
    yield from _each("attachments", attachments, _ATTACHMENT)
    for attachment in attachments if isinstance(attachments, list) else []:
        try:
            base64.b64decode(attachment["contentInBase64"], validate=True)
        except (binascii.Error, KeyError, TypeError, ValueError):
            yield "attachments.contentInBase64 is not base64."
    ids = [one["contentId"] for one in attachments if "contentId" in one]
    if len(set(ids)) < len(ids) and headers.get("x-ms-acsemail-ignore-duplicate-content-id") != "true":
        yield "attachments.contentId must be unique."


def checked_message_id(payload: dict[str, Any], seen: set[str]) -> str:
    """The Message-ID to remember; only looked at when the message asks for validation, then a duplicate is 400."""
    headers = {name.lower(): value for name, value in payload.get("headers", {}).items()}
    given: str = headers.get("message-id", "")
    if headers.get("x-ms-acsemail-validate-message-id") == "true" and (
        not MESSAGE_ID.fullmatch(given) or given in seen
    ):
        raise Refused(400, "BadRequest", "The internet message id is invalid or a duplicate.")
    return given
