"""One captured mail for people: a Message comes in, the parts that message.html shows go out.

Nothing here trusts the mail: addresses that are not http or https are no links, types that are no pictures are not
shown, names are fit for a header.
"""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.parser import BytesHeaderParser
from email.policy import compat32
from itertools import chain, islice
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from gateway.htmltext import MOST_TOKENS, READ_LIMIT, attribute, tokens, unescaped
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

HEADER_SHOWN = 10_000
"""Characters of a header field, before it is decoded."""

LINKS_SHOWN = 50
LINK_TEXT = 500
LONGEST_TAG = 5000

HTML_READ = READ_LIMIT
"""Characters of the HTML in which links are looked for."""

REPEATED = 1_000_000
"""Characters of inline pictures beyond three times the mail itself: one picture may be named a million times."""

_CID = re.compile(r"""cid:([^"'\s)>]{1,1000})""", re.IGNORECASE)
_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\:]+")
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9 ._()-]")
_PICTURE = re.compile(r"image/[a-z0-9.+-]+", re.IGNORECASE)


# An `iframe` has a whole document in its srcdoc, in which all this could stand once more; and Chromium connects to
# where the content of a frame lies before it asks the policy.
_CALLS = r"<(?:link|base|meta|iframe|frame|frameset|fencedframe|portal|object|embed|applet)(?=[\s/>])"
_KEPT = (
    r"""<meta\s++(?:charset="?[\w-]++"?|name="(?:viewport|color-scheme|supported-color-schemes)"\s++"""
    r"""content="[^"'<>]*+")\s*+/?>"""
)
_CALLING_TAG = re.compile(rf"""{_CALLS}(?:[^"'<>]++|"[^"<>]*+"|'[^'<>]*+')*+>""", re.IGNORECASE)
_HARMLESS_TAG = re.compile(_KEPT, re.IGNORECASE)
_CALLING = re.compile(f"(?P<kept>{_KEPT})|{_CALLS}", re.IGNORECASE)


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
    """The mail's HTML without what calls elsewhere, its inline pictures put in as data: its frame fetches nothing."""
    pictures = {
        file.content_id.strip("<>"): _data_url(file)
        for file in message.attachments
        if file.content_id and _PICTURE.fullmatch(file.content_type)
    }
    if not pictures:
        return silent(message.html)
    room = REPEATED + 3 * sum(map(len, pictures.values()))

    def put_in(found: re.Match[str]) -> str:
        nonlocal room
        picture = pictures.get(unquote(unescaped(found[1])), "")
        room -= len(picture)
        return picture if picture and room >= 0 else found[0]

    return silent(_CID.sub(put_in, message.html))


def silent(content: str) -> str:
    """HTML without the elements that no Content-Security-Policy keeps from opening a connection.

    `<link rel=preconnect>` tells somebody who reads the mail, when and from where. What a reader of tags takes for a
    comment or a value, a browser may take for a tag (in `<!-- --!> <link>`, or in `<a b'> <link>'>`). So what looks
    like a whole tag goes, and whatever is left that could begin one begins an element that does nothing.
    """
    kept = _CALLING_TAG.sub(lambda found: found[0] if _HARMLESS_TAG.fullmatch(found[0]) else "", content)
    # As a link, bgsound may stand in a head and has no end; no browser does anything with it any more.
    return _CALLING.sub(lambda found: found["kept"] or "<bgsound", kept)


def _data_url(file: Attachment) -> str:
    return f"data:{file.content_type};base64,{base64.b64encode(file.content).decode('ascii')}"


def links(content: str) -> list[Link]:
    """Where the mail's links go, each address once: they cannot be followed inside the frame."""
    found: dict[str, Link] = {}
    url, words, length = "", [], 0
    for name, close, inside in chain(islice(tokens(content[:HTML_READ]), MOST_TOKENS), [("a", True, "")]):
        if url and not name and length < LINK_TEXT:
            words.append(inside[: LINK_TEXT - length])
            length += len(words[-1])
        if name != "a":
            continue
        if url.lower().startswith(("http://", "https://")):
            found.setdefault(url, Link(" ".join(unescaped("".join(words)).split()), url))
        if len(found) == LINKS_SHOWN:
            break
        url, words, length = "" if close else attribute("href", inside[:LONGEST_TAG]), [], 0
    return list(found.values())


def headers(raw: bytes) -> list[tuple[str, str]]:
    """The header fields in their order, unfolded and decoded."""
    fields = BytesHeaderParser(policy=compat32).parsebytes(raw.partition(b"\r\n\r\n")[0]).items()
    return [(name, _decoded(" ".join(str(value).split()))) for name, value in fields]


def _decoded(value: str) -> str:
    """One header field; `decode_header` takes the square of the length, so a long one is cut before a word of it."""
    if len(value) <= HEADER_SHOWN:
        return str(make_header(decode_header(value)))
    end = value.rfind(" ", 0, HEADER_SHOWN)
    end = end if end > 0 else HEADER_SHOWN
    return f"{make_header(decode_header(value[:end]))} … ({len(value) - end} more characters)"


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
