"""A Message comes in, the JSON or MIME that Microsoft Graph takes goes out (CSDL `message`), or why it cannot carry it.

Graph's JSON has one body, so text beside html is lost there (Exchange makes a text from the html), and headers of one's
own must begin with x-. MIME carries everything, but no wish about Sent Items, and counts base64 twice.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any, Literal

from gateway.address import Address, one_line
from gateway.message import Attachment, Message, Priority
from gateway.mime import build, custom_headers, message_id
from gateway.transports.graph_client import Cloud, limit

RECIPIENTS = 500
"""To, cc and bcc together (the limit per message in Graph's documents; an administrator may raise it to 1,000)."""

REQUEST = 4 * 1024 * 1024
"""Bytes of one request; a longer one is answered 413."""

DIRECT = 3_000_000
"""Bytes of a file that goes in one request; longer ones need an upload session (outlook-large-attachments.md)."""

LARGEST = 150_000_000
"""Bytes of a file that goes by upload session (the same page)."""

HEADERS = 5
"""Headers of one's own in one message; each new name uses up one of the mailbox's named properties for good."""

TAG = "String {9d2c7f1e-4b0a-4c56-8f7b-62a1d3e05c48} Name NotificationId"
"""The extended property that holds the operation id; never change it, or what is on its way cannot be found."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a sender says: `mailbox` "" is the From address's own; `on_unknown` None is the mode's default."""

    mailbox: str = ""
    mode: Literal["draft", "direct"] = "draft"
    save_to_sent: bool = True
    on_unknown: Literal["park", "resend"] | None = None


def draft(message: Message, cloud: Cloud) -> tuple[dict[str, Any], tuple[int, ...]]:
    """The tagged draft, and which attachments (by their number) have to follow it one by one."""
    whole = _basics(message) | _own_headers(message, _trouble_with_headers(message, cloud))
    whole["internetMessageId"] = message_id(message)
    whole["singleValueExtendedProperties"] = [{"id": TAG, "value": message.operation_id}]
    inside, rest = _shared_out(message.attachments, cloud, REQUEST - len(json.dumps(whole)))
    if inside:
        whole["attachments"] = inside
    return whole, rest


def _shared_out(
    attachments: tuple[Attachment, ...], cloud: Cloud, room: int
) -> tuple[list[dict[str, Any]], tuple[int, ...]]:
    """The small ones go with the draft while there is room: one request less each, and never half of them there."""
    if room < 0:
        raise limit("Graph takes at most 4 MB in one request, and the mail's text alone is longer")
    inside, rest = [], []
    for number, attachment in enumerate(attachments):
        _check(attachment, cloud)
        part = {} if large(attachment) else file(attachment)
        size = len(json.dumps(part)) + 20
        if part and size <= room:
            room -= size
            inside.append(part)
        else:
            rest.append(number)
    return inside, tuple(rest)


def submission(message: Message, options: Options, cloud: Cloud) -> dict[str, Any] | str:
    """What `sendMail` takes: MIME as base64 where only MIME carries all of it and there is room, else JSON."""
    whole: dict[str, Any] = {"message": _basics(message)}
    trouble = _trouble_with_headers(message, cloud)
    if options.save_to_sent and (trouble or (message.text and message.html)):
        raw = base64.b64encode(build(message, blind=True)).decode()
        if len(raw) <= REQUEST:
            return raw
    whole["message"] |= _own_headers(message, trouble)
    if message.attachments:
        whole["message"]["attachments"] = [file(attachment) for attachment in message.attachments]
    if not options.save_to_sent:
        whole["saveToSentItems"] = False
    if len(json.dumps(whole)) > REQUEST:
        raise limit("Graph takes at most 4 MB in one sendMail, attachments in base64 included; mode: draft takes more")
    return whole


def _basics(message: Message) -> dict[str, Any]:
    """The message without attachments and headers of one's own; what is empty is left out."""
    if len(message.recipients) > RECIPIENTS:
        raise limit(f"Graph takes at most {RECIPIENTS} recipients in one message")
    optional = {
        "ccRecipients": _recipients(message.cc),
        "bccRecipients": _recipients(message.bcc),
        "replyTo": _recipients(message.reply_to),
        "importance": "high" if message.priority is Priority.HIGH else "",
    }
    return {
        "subject": one_line(message.subject),
        "body": {"contentType": "html" if message.html else "text", "content": message.html or message.text},
        "from": _recipient(message.from_),
        "toRecipients": _recipients(message.to),
        **{name: value for name, value in optional.items() if value},
    }


def file(attachment: Attachment) -> dict[str, Any]:
    """One attachment with its content."""
    inline = {"isInline": True, "contentId": one_line(attachment.content_id)} if attachment.content_id else {}
    return {
        "@odata.type": "#microsoft.graph.fileAttachment",
        "name": name(attachment),
        "contentType": kind(attachment),
        "contentBytes": base64.b64encode(attachment.content).decode(),
        **inline,
    }


def name(attachment: Attachment) -> str:
    """Its file name, fit for a header."""
    return one_line(attachment.name) or "attachment"


def kind(attachment: Attachment) -> str:
    """Its content type."""
    return one_line(attachment.content_type) or "application/octet-stream"


def large(attachment: Attachment) -> bool:
    """Whether it needs an upload session."""
    return len(attachment.content) > DIRECT


def _check(attachment: Attachment, cloud: Cloud) -> None:
    if len(attachment.content) > LARGEST:
        raise limit("Graph takes at most 150 MB in one attachment")
    if large(attachment) and not cloud.sessions:
        raise limit(f"Graph's {cloud.name} cloud has no upload sessions, so an attachment may have at most 3 MB there")


def _trouble_with_headers(message: Message, cloud: Cloud) -> str:
    """Why JSON cannot carry the caller's own headers, "" when it can."""
    headers = custom_headers(message)
    if headers and not cloud.headers:
        return f"Graph's {cloud.name} cloud has no headers of one's own"
    if len(headers) > HEADERS:
        return f"Graph takes at most {HEADERS} headers of one's own"
    return ""


def _own_headers(message: Message, trouble: str) -> dict[str, Any]:
    if trouble:
        raise limit(f"{trouble}; leave them out, or use mode: direct with a mail that has room in 4 MB of MIME")
    pairs = [{"name": key, "value": value} for key, value in custom_headers(message).items()]
    return {"internetMessageHeaders": pairs} if pairs else {}


def _recipients(addresses: tuple[Address, ...]) -> list[dict[str, Any]]:
    return [_recipient(address) for address in addresses]


def _recipient(address: Address) -> dict[str, Any]:
    shown = one_line(address.name)
    return {"emailAddress": {"address": address.email, "name": shown} if shown else {"address": address.email}}
