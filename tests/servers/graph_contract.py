"""What Microsoft Graph checks in a mail: JSON or MIME comes in, a Mail goes out, or a Refused with Graph's own code.

Written from Graph's CSDL and documents: field names and types, limits, and which headers a caller may set.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from email.utils import getaddresses
from typing import Any

from tests.servers.acs_contract import Refused

REQUEST = 4 * 1024 * 1024
DIRECT = 3 * 1024 * 1024
RECIPIENTS = 500
PIECE = 4 * 1024 * 1024
SESSION = 150 * 1024 * 1024

Mailbox = tuple[str, str]


@dataclass
class File:
    """One attachment."""

    name: str
    kind: str
    content: bytes
    content_id: str = ""


@dataclass
class Mail:
    """A mail as the mailbox keeps it, whether it came as JSON or as MIME."""

    subject: str = ""
    text: str = ""
    html: str = ""
    sender: Mailbox = ("", "")
    to: tuple[Mailbox, ...] = ()
    cc: tuple[Mailbox, ...] = ()
    bcc: tuple[Mailbox, ...] = ()
    reply_to: tuple[Mailbox, ...] = ()
    importance: str = "normal"
    message_id: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    files: list[File] = field(default_factory=list)
    mime: bool = False

    @property
    def size(self) -> int:
        """About its bytes on the wire."""
        return len(self.text) + len(self.html) + sum(len(one.content) * 4 // 3 for one in self.files)


# ---------------------------------------------------------------------------------------------------------------- JSON

_ADDRESSES = ("toRecipients", "ccRecipients", "bccRecipients", "replyTo")
_MESSAGE: dict[str, type] = {
    "subject": str,
    "body": dict,
    "from": dict,
    "importance": str,
    "internetMessageId": str,
    "internetMessageHeaders": list,
    "singleValueExtendedProperties": list,
    "attachments": list,
    **dict.fromkeys(_ADDRESSES, list),
}


def parsed(body: bytes) -> Any:
    """The body as JSON."""
    try:
        return json.loads(body)
    except ValueError:
        raise Refused(400, "BadRequest", "Unable to read JSON request payload.") from None


def mail_of(value: Any, *, headers: bool = True) -> Mail:
    """A `message` in JSON; `headers`: whether this cloud has internetMessageHeaders."""
    _fields("message", value, _MESSAGE)
    body = value.get("body", {"contentType": "text", "content": ""})
    _fields("body", body, {"contentType": str, "content": str})
    if body.get("contentType") not in ("text", "html"):
        raise _bad("body.contentType")
    if value.get("importance", "normal") not in ("low", "normal", "high"):
        raise _bad("importance")
    to, cc, bcc, reply_to = (tuple(map(_mailbox, value.get(name, []))) for name in _ADDRESSES)
    if len(to) + len(cc) + len(bcc) > RECIPIENTS:
        raise Refused(400, "ErrorInvalidRecipients", "Too many recipients.")
    return Mail(
        subject=value.get("subject", ""),
        text=body["content"] if body["contentType"] == "text" else "",
        html=body["content"] if body["contentType"] == "html" else "",
        sender=_mailbox(value["from"]) if "from" in value else ("", ""),
        to=to,
        cc=cc,
        bcc=bcc,
        reply_to=reply_to,
        importance=value.get("importance", "normal"),
        message_id=value.get("internetMessageId", ""),
        headers=dict(_headers(value.get("internetMessageHeaders", []), allowed=headers)),
        tags={one["id"]: one["value"] for one in value.get("singleValueExtendedProperties", [])},
        files=[file_of(one) for one in value.get("attachments", [])],
    )


def file_of(value: Any) -> File:
    """A fileAttachment."""
    expected = {"@odata.type": str, "name": str, "contentType": str, "contentBytes": str}
    _fields("attachment", value, {**expected, "isInline": bool, "contentId": str})
    if value.get("@odata.type") != "#microsoft.graph.fileAttachment" or not value.get("name"):
        raise _bad("attachment")
    try:
        content = base64.b64decode(value["contentBytes"], validate=True)
    except (binascii.Error, KeyError, ValueError):
        raise _bad("attachment.contentBytes") from None
    if len(content) > DIRECT:
        raise Refused(413, "RequestEntityTooLarge", "An attachment in one request may have 3 MB.")
    inline = value.get("isInline", False)
    return File(value["name"], value.get("contentType", ""), content, value.get("contentId", "") if inline else "")


def _headers(values: list[Any], *, allowed: bool) -> Iterator[tuple[str, str]]:
    if values and not allowed:
        raise _bad("internetMessageHeaders")
    for one in values:
        _fields("internetMessageHeader", one, {"name": str, "value": str})
        if not one["name"].lower().startswith("x-"):
            raise Refused(400, "InvalidInternetMessageHeader", "The name must begin with x-.")
        yield one["name"], one["value"]


def _mailbox(value: Any) -> Mailbox:
    _fields("recipient", value, {"emailAddress": dict})
    _fields("emailAddress", value["emailAddress"], {"address": str, "name": str})
    if "@" not in value["emailAddress"].get("address", ""):
        raise Refused(400, "ErrorInvalidRecipients", "At least one recipient is not valid.")
    return value["emailAddress"]["address"], value["emailAddress"].get("name", "")


def _fields(where: str, value: Any, expected: dict[str, type]) -> None:
    if not isinstance(value, dict):
        raise _bad(where)
    for name, one in value.items():
        if name not in expected or not isinstance(one, expected[name]):
            raise _bad(f"{where}.{name}")


def _bad(where: str) -> Refused:
    return Refused(400, "RequestBodyRead", f"The property {where} is not known or has the wrong type.")


# ---------------------------------------------------------------------------------------------------------------- MIME


def mail_of_mime(body: bytes) -> Mail:
    """A whole mail in base64; its Bcc header names the blind copies."""
    try:
        raw = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(400, "ErrorMimeContentInvalidBase64String", "Invalid base64 string for MIME content.") from None
    message = BytesParser(_class=EmailMessage, policy=default).parsebytes(raw)
    to, cc, bcc, reply_to, sender = (_of(message, name) for name in ("to", "cc", "bcc", "reply-to", "from"))
    if len(to) + len(cc) + len(bcc) > RECIPIENTS:
        raise Refused(400, "ErrorInvalidRecipients", "Too many recipients.")
    urgent = str(message.get("importance", "normal"))
    own = {name: str(value) for name, value in message.items() if re.match("x-(?!priority)", name, re.IGNORECASE)}
    mail = Mail(
        subject=str(message["subject"]),
        sender=sender[0] if sender else ("", ""),
        to=to,
        cc=cc,
        bcc=bcc,
        reply_to=reply_to,
        importance=urgent,
        message_id=str(message.get("message-id", "")),
        headers=own,
        mime=True,
    )
    for part in message.walk():
        _take(mail, part)
    return mail


def _take(mail: Mail, part: Any) -> None:
    if part.is_multipart():
        return
    content = part.get_content()
    if part.get_content_disposition() is None and part.get_content_maintype() == "text":
        content = content.replace("\r\n", "\n").removesuffix("\n").replace("\n", "\r\n")
        setattr(mail, "html" if part.get_content_subtype() == "html" else "text", content)
        return
    data = content.encode() if isinstance(content, str) else bytes(content)
    content_id = str(part.get("content-id", "")).strip("<>")
    mail.files.append(File(part.get_filename() or "", part.get_content_type(), data, content_id))


def _of(message: EmailMessage, name: str) -> tuple[Mailbox, ...]:
    return tuple((address, shown) for shown, address in getaddresses([str(message[name])] if name in message else []))
