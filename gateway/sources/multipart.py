"""multipart/form-data: a body and its Content-Type come in, the parts in their order go out.

What browsers, curl, .NET and PowerShell really write is understood: raw UTF-8 or `%22` in names (the HTML standard),
backslash escapes (older curl), unquoted names (.NET), and `filename*` (RFC 5987).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

MOST_PARTS = 1000
"""More parts than this are no form; each costs time even if it is empty."""

LONGEST_HEADERS = 8 * 1024
"""Bytes of one part's headers, names and values together; a browser writes about 200."""

LONGEST_DISPOSITION = 1024
"""Bytes of one Content-Disposition: a field's and a file's name (255 bytes is what file systems allow)."""

MOST_PARAMETERS = 20
"""Of one Content-Disposition; RFC 6266 and RFC 2183 know seven."""

_MALFORMED = "its boundaries are not those of its Content-Type, or a part is broken"

_HEADER = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_BOUNDARY = re.compile(r';\s*boundary\s*=\s*(?:"([^"]+)"|([^\s;,]+))', re.IGNORECASE)
# Possessive, so that each character is read in one way only: a run of backslashes had Fibonacci many readings. The
# second form reads a name that ends in a lone backslash, which browsers do not escape.
_PARAMETER = re.compile(r';\s*+([A-Za-z]++\*?)\s*+=\s*+(?:"((?:[^"\\]++|\\.?)*+)"|"([^"]*+)"|([^;]*+))', re.DOTALL)
_ESCAPED = re.compile(r'\\(["\\])')
_PERCENT = re.compile("%(22|0D|0A)", re.IGNORECASE)
_SEPARATOR = re.compile(r"[/\\]")


@dataclass(frozen=True, slots=True)
class Part:
    """One part; `filename` is None for a text field and empty where no file was chosen."""

    name: str
    content: bytes
    content_type: str = ""
    filename: str | None = None


def is_multipart(body: bytes, content_type: str) -> bool:
    """Whether this is meant as multipart: the header says so, or the body begins as only a multipart one does."""
    if content_type[:19].lower() == "multipart/form-data":
        return True
    return body.startswith(b"--") and b"form-data" in body[:1000]


def parts(body: bytes, content_type: str) -> list[Part]:
    """Every part in order; ValueError when the body is malformed or cut off.

    One search for each part: what only begins as a boundary costs nothing, however often it stands there.
    """
    first = b"--" + _boundary(body, content_type)
    boundary = re.escape(first) + rb"(?:(--)|[ \t]*+(?=\r\n))"
    mark = re.compile(rb"\r\n" + boundary)
    found: list[Part] = []
    before = re.compile(rb"[\r\n]*+" + boundary).match(body)
    if before is None:
        wrong = next((at for at, (one, other) in enumerate(zip(first, body, strict=False)) if one != other), 0)
        raise ValueError(f"{_MALFORMED} (at byte {wrong})")
    while not before[1]:
        if len(found) == MOST_PARTS:
            raise ValueError(f"it has more than {MOST_PARTS} parts")
        headers, begin = _headers(body, before.end())
        behind = mark.search(body, begin)
        if behind is None:
            raise ValueError("it ends before its last boundary")
        found.append(_part(headers, body[begin : behind.start()]))
        before = behind
    return found


def _headers(body: bytes, at: int) -> tuple[dict[str, bytes], int]:
    """The headers behind a boundary, and where the content begins."""
    end = body.find(b"\r\n\r\n", at, at + LONGEST_HEADERS + 4)
    if end < 0 and len(body) - at > LONGEST_HEADERS + 4:
        raise ValueError(f"a part has more than {LONGEST_HEADERS} bytes of headers")
    if end < 0:
        raise ValueError("it ends before its last boundary")
    found = {}
    for line in body[at + 2 : end].split(b"\r\n") if end > at else ():
        name, colon, value = line.partition(b":")
        if not colon or not _HEADER.fullmatch(name):
            raise ValueError(f"{_MALFORMED} (at byte {at})")
        found[name.decode("ascii").lower()] = value.strip(b" \t")
    return found, end + 4


def _boundary(body: bytes, content_type: str) -> bytes:
    """The header's boundary, or the body's first line: scripts that set the header by hand leave it out."""
    if match := _BOUNDARY.search(content_type):
        return (match.group(1) or match.group(2)).encode("latin-1", "replace")
    first, end, _ = body[:300].partition(b"\r\n")
    if not first.startswith(b"--") or len(first) < 3 or not end:
        raise ValueError("it has no boundary")
    return first[2:]


def _part(headers: Mapping[str, bytes], content: bytes) -> Part:
    parameters = dict(_parameters(headers.get("content-disposition", b"")))
    filename = parameters.get("filename*", parameters.get("filename"))
    return Part(
        name=parameters.get("name*", parameters.get("name", "")),
        content=content,
        content_type=headers.get("content-type", b"").decode("latin-1").strip(),
        filename=None if filename is None else _last_piece(filename),
    )


def _last_piece(path: str) -> str:
    """Some browsers and scripts send a whole path; only its last piece is a name, and empty only where all is."""
    pieces = [piece.strip() for piece in _SEPARATOR.split(path)]
    return next((piece for piece in reversed(pieces) if piece), "file" if path.strip() else "")


def _parameters(disposition: bytes) -> Iterator[tuple[str, str]]:
    """The disposition's parameters in order; ValueError for one that is longer, or has more, than any name needs."""
    if len(disposition) > LONGEST_DISPOSITION:
        raise ValueError(f"a part has a Content-Disposition of more than {LONGEST_DISPOSITION} bytes")
    for number, match in enumerate(_PARAMETER.finditer(_text(disposition))):
        if number == MOST_PARAMETERS:
            raise ValueError(f"a part has a Content-Disposition of more than {MOST_PARAMETERS} parameters")
        name, quoted, unescaped, plain = match.groups()
        name = name.lower()
        value = (plain or "").strip() if quoted is None else _ESCAPED.sub(r"\1", quoted)
        value = value if unescaped is None else unescaped
        if not name.endswith("*"):
            yield name, _PERCENT.sub(lambda escape: chr(int(escape.group(1), 16)), value)
        elif value.count("'") >= 2:
            yield name, _text(unquote_to_bytes(value.split("'", 2)[2]))


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")
