"""A Message comes in, the JSON that ACS's `emails:send` takes goes out (swagger 2025-09-01, EmailMessage)."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from typing import Any

from gateway.address import Address, one_line
from gateway.message import Attachment, Message, Priority
from gateway.mime import custom_headers

_RESERVED = re.compile("x-ms-", re.IGNORECASE)


Encode = Callable[[bytes], str | bytes]
"""What becomes of a file."""


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def payload(message: Message, encode: Encode = _base64) -> dict[str, Any]:
    """The request's body; what is empty is left out. `encode` may leave files as they are, to be written by parts.

    The sender is bare: ACS shows the display name configured for the sender's user name. Tracking is off: pixels and
    rewritten links have no place in a notification.
    """
    optional = {
        "attachments": list(_attachments(message.attachments, encode)),
        "replyTo": _addresses(message.reply_to),
        "headers": _headers(message),
    }
    return {
        "senderAddress": message.from_.email,
        "content": _content(message),
        "recipients": _recipients(message),
        **{name: value for name, value in optional.items() if value},
        "userEngagementTrackingDisabled": True,
    }


def _content(message: Message) -> dict[str, str]:
    content = {"subject": one_line(message.subject)}
    if message.html:
        content["html"] = message.html
    if message.text or not message.html:
        content["plainText"] = message.text or " "
    return content


def _recipients(message: Message) -> dict[str, Any]:
    recipients = {"to": _addresses(message.to)}
    if message.cc:
        recipients["cc"] = _addresses(message.cc)
    if message.bcc:
        recipients["bcc"] = _addresses(message.bcc)
    return recipients


def _addresses(addresses: tuple[Address, ...]) -> list[dict[str, str]]:
    return [
        {"address": one.email, "displayName": name} if (name := one_line(one.name)) else {"address": one.email}
        for one in addresses
    ]


def _attachments(attachments: tuple[Attachment, ...], encode: Encode) -> Iterator[dict[str, str | bytes]]:
    """A content id that comes twice is kept once: ACS refuses the whole message otherwise (email-headers.md)."""
    seen = set()
    for attachment in attachments:
        part: dict[str, str | bytes] = {
            "name": one_line(attachment.name) or "attachment",
            "contentType": one_line(attachment.content_type) or "application/octet-stream",
            "contentInBase64": encode(attachment.content),
        }
        if attachment.content_id and attachment.content_id not in seen:
            seen.add(attachment.content_id)
            part["contentId"] = one_line(attachment.content_id)
        yield part


def _headers(message: Message) -> dict[str, str]:
    """The caller's own headers without ACS's switches (one of them drops attachments silently).

    ACS has no field for importance; x-priority is its documented way (CHANGELOG 1.0.0b2).
    """
    headers = {name: value for name, value in custom_headers(message).items() if not _RESERVED.match(name)}
    if message.priority is Priority.HIGH:
        headers = {name: value for name, value in headers.items() if name.lower() != "x-priority"}
        headers["x-priority"] = "1"
    return headers
