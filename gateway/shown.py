"""The ledger as callers see it: Entries and Messages come in, plain JSON values go out."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

from gateway.address import Address
from gateway.ledger import Entry, MessageState
from gateway.message import Message
from gateway.suppressions import Suppression


def time_json(at: datetime) -> str:
    """ISO 8601 in UTC with a Z, milliseconds kept."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _emails(addresses: tuple[Address, ...]) -> list[str]:
    return [address.email for address in addresses]


def entry_json(entry: Entry) -> dict[str, Any]:
    """A notification with its messages and its history."""
    return {
        "id": entry.id,
        "source": entry.source,
        "kind": entry.kind,
        "title": entry.title,
        "state": entry.state,
        "severity": entry.severity,
        "unmapped": entry.unmapped,
        "status": entry.status,
        "reason": entry.reason or next((m.reason for m in entry.messages if m.status == entry.status), ""),
        "created": time_json(entry.created),
        "messages": [
            {
                "id": message.id,
                "to": _emails(message.to),
                "sender": message.sender,
                "status": message.status,
                "reason": message.reason,
                "attempts": message.attempts,
                **_recipients(message),
            }
            for message in entry.messages
        ],
        "history": [
            {"at": time_json(event.at), "event": event.event}
            | {key: value for key, value in (("message", event.message), ("reason", event.reason)) if value}
            for event in entry.history
        ],
    }


def _recipients(message: MessageState) -> dict[str, Any]:
    """What the provider reported, if it did."""
    if not message.recipients:
        return {}
    shown = [
        {"email": each.email, "status": each.status, "reason": each.reason, "at": time_json(each.at)}
        for each in message.recipients
    ]
    return {"recipients": shown}


def suppression_json(item: Suppression) -> dict[str, Any]:
    """An address that gets no mail."""
    times = {"at": time_json(item.at), "expires": time_json(item.expires)}
    return {"address": item.address, "reason": item.reason, **times}


def message_json(message: Message) -> dict[str, Any]:
    """A mail with its content, for dry runs and captured mail; attachments as base64."""
    return {
        "id": message.id,
        "notification": message.notification,
        "source": message.source,
        "sender": message.sender,
        "from": message.from_.email,
        "from_name": message.from_.name,
        "to": _emails(message.to),
        "cc": _emails(message.cc),
        "bcc": _emails(message.bcc),
        "reply_to": _emails(message.reply_to),
        "subject": message.subject,
        "text": message.text,
        "html": message.html,
        "headers": message.headers,
        "tags": list(message.tags),
        "priority": message.priority,
        "created": time_json(message.created),
        "attachments": [
            {
                "name": attachment.name,
                "content_type": attachment.content_type,
                "content_id": attachment.content_id,
                "size": len(attachment.content),
                "content": base64.b64encode(attachment.content).decode("ascii"),
            }
            for attachment in message.attachments
        ],
    }
