"""One captured mail for people: a Message comes in, the parts that message.html shows go out.

Nothing here trusts the mail: addresses that are not http or https are no links, types that are no pictures are not
shown, names are fit for a header.
"""

from __future__ import annotations

import base64
import html
import re
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.parser import BytesHeaderParser
from email.policy import compat32
from html.parser import HTMLParser
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from gateway.message import Attachment, Message
from gateway.shown import time_json

VIEWS = {
    "html": "HTML",
    "text": "Text",
    "headers": "Headers",
    "attachments": "Attachments",
    "raw": "Raw",
    "history": "History",
}
"""The parts of a mail, in the order of their tabs."""

RAW_SHOWN = 200_000
"""Bytes of the raw mail that the page shows; the whole of it can be saved."""

LINKS_SHOWN = 50

_CID = re.compile(r"""cid:([^"'\s)>]+)""", re.IGNORECASE)
_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\:]+")
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9 ._()-]")
_PICTURE = re.compile(r"image/[a-z0-9.+-]+", re.IGNORECASE)


class Link(NamedTuple):
    """One link of a mail's HTML: what it says and where it really goes."""

    text: str
    url: str


def chosen(message: Message, view: str) -> str:
    """The view that was asked for, or the richest part the mail has."""
    if view in VIEWS:
        return view
    return "html" if message.html else "text"


def part(message: Message, view: str) -> dict[str, Any]:
    """What the template needs for this view."""
    if view == "html":
        return {"links": links(message.html)}
    if view not in {"headers", "raw"}:
        return {}
    from gateway import mime

    raw = mime.build(message)
    return {"headers": headers(raw)} if view == "headers" else {"raw": readable(raw), "cut": len(raw) - RAW_SHOWN}


def document(message: Message) -> str:
    """The mail's HTML with its inline pictures put in as data, since a frame without network cannot fetch them."""
    pictures = {
        file.content_id.strip("<>"): _data_url(file)
        for file in message.attachments
        if file.content_id and _PICTURE.fullmatch(file.content_type)
    }
    return _CID.sub(lambda found: pictures.get(unquote(html.unescape(found[1])), found[0]), message.html)


def _data_url(file: Attachment) -> str:
    return f"data:{file.content_type};base64,{base64.b64encode(file.content).decode('ascii')}"


class _Links(HTMLParser):
    """Collects links and their text."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Link] = []
        self._url = ""
        self._text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.handle_endtag("a")
            self._url = (dict(attrs).get("href") or "").strip()

    def handle_data(self, data: str) -> None:
        if self._url:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._url.lower().startswith(("http://", "https://")):
            self.found.append(Link(" ".join("".join(self._text).split()), self._url))
        if tag == "a":
            self._url = ""
            self._text = []


def links(content: str) -> list[Link]:
    """Where the mail's links go, each address once: they cannot be followed inside the frame."""
    parser = _Links()
    parser.feed(content)
    parser.close()
    found: dict[str, Link] = {}
    for link in parser.found:
        found.setdefault(link.url, link)
    return list(found.values())[:LINKS_SHOWN]


def headers(raw: bytes) -> list[tuple[str, str]]:
    """The header fields in their order, unfolded and decoded."""
    fields = BytesHeaderParser(policy=compat32).parsebytes(raw).items()
    return [(name, str(make_header(decode_header(" ".join(str(value).split()))))) for name, value in fields]


def readable(raw: bytes) -> str:
    """The beginning of the raw mail as text."""
    return raw[:RAW_SHOWN].decode("utf-8", "replace").replace("\r\n", "\n")


def disposition(name: str, number: int) -> str:
    """A Content-Disposition that saves a file under its name; RFC 6266 with a plain name for old clients."""
    safe = _UNSAFE.sub("_", name).strip(" .") or f"attachment-{number}"
    plain = _NOT_PLAIN.sub("_", safe)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(safe, safe='', errors='replace')}"


def snippet(text: str) -> str:
    """The beginning of a text on one line, as a list shows it."""
    return " ".join(text[:600].split())[:180]


def size(count: int) -> str:
    """A number of bytes for people."""
    if count < 1024:
        return f"{count} bytes"
    if count < 1024 * 1024:
        return f"{count / 1024:.1f} KB"
    return f"{count / 1024 / 1024:.1f} MB"


def clock(at: datetime) -> str:
    """A time for people, in UTC; inbox.js puts the reader's own in its place."""
    at = at.astimezone(UTC)
    return f"{at.day} {at:%b %Y, %H:%M:%S} UTC"


def iso(at: datetime) -> str:
    """A time for `<time datetime>`."""
    return time_json(at)
