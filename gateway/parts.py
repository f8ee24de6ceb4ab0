"""What one mail may hold: a Target or a Message and its sender come in, parts that fit or a refusal go out.

The limits are those of the sender's own transport even where it captures, so that what is tested is what will be sent.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from gateway.address import Address
from gateway.config import Sender
from gateway.errors import Rejected
from gateway.message import Message, Target

RECIPIENTS = {"acs": 50, "graph": 500}
"""To, cc and bcc together in one mail (service-limits.md of ACS; Graph's page on messages)."""

MESSAGES = 32
"""Mails of one notification: each is three rows of a transaction on Azure, which has at most 100."""

_MEGABYTES = {"acs": 10, "graph": 4}


def ways_out(senders: Mapping[str, Sender], name: str) -> list[Sender]:
    """A sender and its fallback: a mail must fit both."""
    chosen = senders[name]
    fallback = senders.get(chosen.fallback or "")
    return [chosen, fallback] if fallback else [chosen]


def most(ways: Iterable[Sender]) -> int:
    """How many recipients one mail may have."""
    return min(RECIPIENTS.get(sender.transport, sys.maxsize) for sender in ways)


def count(recipients: int, limit: int) -> int:
    """How many mails that many recipients need."""
    return -(recipients // -limit)


def split(target: Target, limit: int) -> Sequence[Target]:
    """One target, or several that each fit; Rejected where blind copies would need somebody visible beside them."""
    visible = target.to + target.cc
    number = count(len(visible) + len(target.bcc), limit)
    if number <= 1:
        return [target]
    if len(visible) < number:
        what = f"a mail takes {limit} recipients, one of them in to; name {number} or more in to, or send fewer copies"
        raise Rejected(422, "too_many_recipients", "These are too many recipients.", fields={"bcc": what})
    return list(_parts(target, visible, number, limit))


def _parts(target: Target, visible: Sequence[Address], number: int, limit: int) -> Iterator[Target]:
    """The visible ones evenly and in their order, then blind copies where there is room."""
    begin, hidden = 0, 0
    for part in range(number):
        end = len(visible) * (part + 1) // number
        to = tuple(visible[begin : min(end, len(target.to))])
        cc = tuple(visible[max(begin, len(target.to)) : end])
        room = limit - (end - begin)
        bcc = target.bcc[hidden : hidden + room]
        yield replace(target, to=to or cc, cc=cc if to else (), bcc=bcc)
        begin, hidden = end, hidden + len(bcc)


def check_count(messages: int) -> None:
    """Rejected where a notification becomes more mails than can be written at once."""
    if messages > MESSAGES:
        what = f"this would be {messages} mails; one notification has at most {MESSAGES}, so send several"
        raise Rejected(422, "too_many_recipients", "These are too many recipients.", fields={"to": what})


def check_size(message: Message, ways: Iterable[Sender]) -> None:
    """Rejected where the provider would certainly refuse a mail of this size."""
    for sender in ways:
        megabytes = _MEGABYTES.get(sender.transport)
        if megabytes is None or _size(message, sender) <= megabytes * 1024 * 1024:
            continue
        draft = sender.transport == "graph" and sender.mode == "draft"
        part = "The text of a mail" if draft else "A mail with its attachments in base64"
        field = "attachments" if message.attachments and not draft else "text"
        raise Rejected(
            413, "mail_too_large", f"{part} may have at most {megabytes} MB.", fields={field: "is too large"}
        )


def _size(message: Message, sender: Sender) -> int:
    """About the bytes of the provider's request; Graph's drafts take their attachments one by one."""
    acs = sender.transport == "acs"
    texts = (message.text, message.html) if acs else (message.html or message.text,)
    files = message.attachments if acs or sender.mode == "direct" else ()
    written = sum(12 * len(text) for text in texts)
    if written > 1024 * 1024:
        # A character has between one and twelve bytes in JSON: what may be long is measured.
        written = sum(len(json.dumps(text)) for text in texts)
    return written + sum(-(len(file.content) // -3) * 4 for file in files)
