"""A Message comes in, the same RFC 5322 bytes go out each time: for the capture inbox, and for whoever sends raw MIME.

Written out here, with the standard library's encoders: its EmailMessage decodes an encoded word that stands in a
subject as plain text, and takes 2 ms. Nothing in a message can make this fail or add a header: everything bound for one
is a single line first, and every body is encoded so that it cannot contain a boundary.
"""

from __future__ import annotations

import base64
import binascii
import re
import textwrap
from collections.abc import Iterator, Sequence
from datetime import UTC
from email.utils import format_datetime
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import quote

from gateway.address import Address, one_line
from gateway.message import Attachment, Message, Priority

_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*", re.ASCII)
_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}", re.ASCII)
_CHARSET = re.compile(r";\s*charset=(\"?)([A-Za-z0-9_.:-]{1,40})\1", re.ASCII | re.IGNORECASE)
_CUSTOM = re.compile(r"X-[A-Za-z0-9-]{1,64}", re.ASCII | re.IGNORECASE)
_UNSAFE_IN_ID = re.compile(r"[^A-Za-z0-9.-]")
_PLAIN_FILE_NAME = re.compile(r"[A-Za-z0-9_. +()-]{1,60}", re.ASCII)
_QUOTED = re.compile(r'(["\\])')
_PIECE = re.compile(r"(?:%[0-9A-F]{2}|[^%]){1,20}")
_WORD = "=?utf-8?b?*?="
_LEAST_IN_WORD, _MOST_IN_WORD = 12, 45
_READABLE = 64 * 1024
"""Longer texts go as base64: quoted-printable is for people who look at the raw mail."""


class _Part(NamedTuple):
    headers: tuple[str, ...]
    body: bytes


def build(message: Message, *, blind: bool = False) -> bytes:
    """The whole mail; blind copies are only in it for a provider who takes them from there and removes them."""
    root = _root(message)
    lines = [*_headers(message, blind=blind), "MIME-Version: 1.0", *root.headers]
    return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + root.body


def custom_headers(message: Message) -> dict[str, str]:
    """The caller's own `X-…` headers; any other could change who gets the mail or how it is read."""
    found: dict[str, tuple[str, str]] = {}
    for name, value in message.headers.items():
        if _CUSTOM.fullmatch(name):
            found.setdefault(name.lower(), (name, one_line(value)))
    return dict(found.values())


def message_id(message: Message) -> str:
    """The same Message-ID for every try, so that a duplicate can be told by it."""
    left, domain = (_UNSAFE_IN_ID.sub("", text) for text in (message.operation_id, message.from_.domain))
    return f"<{left or '0'}@{domain or 'localhost'}>"


def _headers(message: Message, *, blind: bool) -> Iterator[str]:
    yield _mailboxes("From", (message.from_,))
    bcc = message.bcc if blind else ()
    for name, addresses in (("To", message.to), ("Cc", message.cc), ("Bcc", bcc), ("Reply-To", message.reply_to)):
        if addresses:
            yield _mailboxes(name, addresses)
    yield _text("Subject", one_line(message.subject))
    yield f"Date: {format_datetime(message.created.astimezone(UTC))}"
    yield f"Message-ID: {message_id(message)}"
    urgent = {"X-Priority": "1", "Importance": "high"} if message.priority is Priority.HIGH else {}
    yield from (f"{name}: {value}" for name, value in urgent.items())
    for name, value in custom_headers(message).items():
        if name.lower() != "x-priority" or not urgent:
            yield _text(name, value)


# ------------------------------------------------------------------------------------------------------ header values


def _plain(text: str) -> bool:
    """Whether text can stand in a header as it is: ASCII, nothing a reader would decode, no word too long to fold."""
    return text.isascii() and "=?" not in text and max(map(len, text.split(" "))) < 70


def _text(name: str, value: str) -> str:
    if not _plain(value):
        return f"{name}: {_encoded(value, len(name) + 2)}"
    return "\r\n ".join(
        textwrap.wrap(f"{name}: {value}", 76, break_long_words=False, break_on_hyphens=False) or [f"{name}:"]
    )


def _encoded(text: str, used: int) -> str:
    """RFC 2047 words, folded; `used`: what stands before them on the first line.

    Written out, since the standard library's Header measures each line anew for every character.
    """
    raw = text.encode("utf-8", "replace")
    words, start, room = [], 0, (76 - used - len(_WORD)) // 4 * 3
    lead = "" if room >= _LEAST_IN_WORD else "\r\n "
    while start < len(raw):
        end = start + (room if room >= _LEAST_IN_WORD else _MOST_IN_WORD)
        while end < len(raw) and raw[end] & 0xC0 == 0x80:  # a word holds whole characters
            end -= 1
        words.append(_WORD.replace("*", base64.b64encode(raw[start:end]).decode("ascii")))
        start, room = end, _MOST_IN_WORD
    return lead + "\r\n ".join(words)


def _mailboxes(name: str, addresses: Sequence[Address]) -> str:
    return f"{name}: " + ",\r\n ".join(_mailbox(address, len(name) + 2) for address in addresses)


def _mailbox(address: Address, used: int) -> str:
    name = one_line(address.name)
    if not name:
        return address.email
    if not _plain(name) or len(name) > 70:
        phrase = _encoded(name, used)
    elif _ATOMS.fullmatch(name):
        phrase = name
    else:
        phrase = '"' + _QUOTED.sub(r"\\\1", name) + '"'
    return f"{phrase} <{address.email}>"


def _file_name(name: str) -> str:
    """The disposition's parameter; RFC 2231 in pieces when the name is long or not ASCII."""
    if _PLAIN_FILE_NAME.fullmatch(name):
        return f'; filename="{name}"'
    pieces = _PIECE.findall(quote(name, safe=""))
    pieces[0] = f"utf-8''{pieces[0]}"
    return "".join(f";\r\n filename*{number}*={piece}" for number, piece in enumerate(pieces))


# --------------------------------------------------------------------------------------------------------------- parts


def _root(message: Message) -> _Part:
    """Text, or text and html as alternatives; inline images beside the html, files around everything."""
    inline = [one for one in message.attachments if one.content_id and message.html]
    files = [one for one in message.attachments if not (one.content_id and message.html)]
    bodies = []
    if message.text or not message.html:
        bodies.append(_words("plain", message.text))
    if message.html:
        html = _words("html", message.html)
        bodies.append(_box(message, "related", [html, *map(_image, inline)]))
    return _box(message, "mixed", [_box(message, "alternative", bodies), *map(_file, files)])


def _box(message: Message, kind: str, parts: list[_Part]) -> _Part:
    """Several parts as one; a single part needs no box. "=_" is in no body, whichever way that is encoded."""
    if len(parts) == 1:
        return parts[0]
    boundary = f"=_{kind}_{sha256(message.operation_id.encode()).hexdigest()[:32]}"
    extra = '; type="text/html"' if kind == "related" else ""
    lines = []
    for part in parts:
        lines += [f"--{boundary}".encode(), "\r\n".join(part.headers).encode("ascii"), b"", part.body]
    lines += [f"--{boundary}--".encode(), b""]
    return _Part((f'Content-Type: multipart/{kind}{extra};\r\n boundary="{boundary}"',), b"\r\n".join(lines))


def _words(kind: str, text: str) -> _Part:
    content = text.replace("\r\n", "\n").replace("\r", "\n").encode()
    if len(content) < _READABLE and len(content) < 1.5 * len(text) + 1:
        encoding, body = "quoted-printable", binascii.b2a_qp(content).replace(b"\n", b"\r\n")
    else:
        encoding, body = "base64", _base64(content.replace(b"\n", b"\r\n"))
    return _Part((f"Content-Type: text/{kind}; charset=utf-8", f"Content-Transfer-Encoding: {encoding}"), body)


def _image(attachment: Attachment) -> _Part:
    return _attached(attachment, "inline", _content_id(attachment.content_id or ""))


def _file(attachment: Attachment) -> _Part:
    return _attached(attachment, "attachment", "")


def _attached(attachment: Attachment, disposition: str, content_id: str) -> _Part:
    headers = [
        f"Content-Type: {_content_type(attachment.content_type)}",
        "Content-Transfer-Encoding: base64",
        f"Content-Disposition: {disposition}{_file_name(one_line(attachment.name) or 'attachment')}",
    ]
    if content_id:
        headers.append(f"Content-ID: <{content_id}>")
    return _Part(tuple(headers), _base64(attachment.content))


def _content_type(text: str) -> str:
    """A plain type, with its charset; parts inside parts must not be base64 (RFC 2046), so those go as bytes."""
    kind = text.partition(";")[0].strip().lower()
    if not _TYPE.fullmatch(kind) or kind.startswith(("multipart/", "message/")):
        return "application/octet-stream"
    charset = _CHARSET.search(text)
    return f"{kind}; charset={charset.group(2)}" if charset else kind


def _content_id(text: str) -> str:
    """Fit for `cid:` in the html, where other characters are percent-encoded too (RFC 2392)."""
    return quote(one_line(text).strip("<>"), safe="!#$&'*+/=?^_`{|}~@.-")[:200]


def _base64(content: bytes) -> bytes:
    return base64.encodebytes(content).replace(b"\n", b"\r\n")
