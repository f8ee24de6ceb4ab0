"""What a body really is: bytes and headers of any caller come in, a JSON value, form fields or text goes out.

The Content-Type is a hint, not a fact. JSON arrives as text/plain (SNS, fetch), as a form (curl -d, PowerShell), inside
a form field (Uptime Kuma, Slack's format) and without any type (Icinga); text in UTF-8, UTF-16 or what Windows
PowerShell 5.1 writes. Nothing here raises for any bytes.

Two things JSON texts hold although JSON has no place for them: a lone surrogate (half an emoji, cut by a tool) becomes
U+FFFD, and NaN, Infinity or 1e999 stay floats, which `scalar` shows as words and no source passes on as a number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite, isnan
from typing import Any
from urllib.parse import unquote_to_bytes

from pydantic_core import from_json

from gateway.address import seen
from gateway.sources.multipart import Part, is_multipart, parts

MOST_PAIRS = 1000
"""Form fields that are read; what is beyond is only counted."""

LONGEST_MENDED = 500_000
"""Characters of a broken JSON that are worth the work; a longer one becomes text at once."""

_BOMS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
# Only these may be named by a caller: Python also has codecs that decompress, or need quadratic time.
_CHARSET = re.compile(
    r"windows-?125[0-8]|cp125[0-8]|iso-?8859-\d{1,2}|koi8-[ru]|shift_jis|euc-(?:jp|kr)|gbk|gb2312|gb18030|big5",
)
_CHARSET_PARAMETER = re.compile(r';\s*charset\s*=\s*"?([\w.:-]+)', re.IGNORECASE)
# The closing quote may be missing, so that the pattern always matches: a failing one would start anew at every quote.
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_CONTROL_OR_ESCAPE = re.compile(
    r"[\x00-\x1f]|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\\.",
    re.DOTALL,
)
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_ENTITY = re.compile(r"&#(\d{1,7});")
_UNTYPED_NAME = re.compile(r"[\w.%+\[\]-]{1,100}")
_BLANK = re.compile(r"\s")
_JSON_FIELDS = ("payload", "data")


class Shape(StrEnum):
    """What a body turned out to be."""

    EMPTY = "empty"
    """Nothing but white space."""
    JSON = "json"
    """`value` holds it."""
    FORM = "form"
    """`pairs` and `files` hold it."""
    TEXT = "text"
    """`text` holds it; `flaw` says what keeps it from being the JSON or form it looks like."""


@dataclass(frozen=True, slots=True)
class Payload:
    """A body, understood. `pairs` has every form field in order, a file's with the file's name."""

    shape: Shape
    text: str = ""
    value: Any = None
    pairs: tuple[tuple[str, str], ...] = ()
    files: tuple[Part, ...] = ()
    left_out: int = 0
    flaw: str = ""


def sniff(body: bytes, headers: Mapping[str, str]) -> Payload:
    """What `body` is, by looking at it."""
    content_type = headers.get("content-type", "")
    flaw = ""
    if is_multipart(body, content_type):
        try:
            return _multipart(parts(body, content_type))
        except ValueError as error:
            flaw = str(error)
    text = decode(body, charset_of(content_type))
    media = content_type.partition(";")[0].strip().lower()
    start = text.lstrip()[:1]
    if not start:
        return Payload(Shape.EMPTY)
    if start in '{["' or media.endswith(("/json", "+json")):
        try:
            return Payload(Shape.JSON, value=load(text))
        except ValueError as error:
            flaw = str(error)
    if not flaw and _is_form(text.strip(), media):
        return _form(text.strip())
    return Payload(Shape.TEXT, text=text, flaw=flaw)


def charset_of(content_type: str) -> str:
    """The charset a Content-Type names, or nothing."""
    match = _CHARSET_PARAMETER.search(content_type)
    return match.group(1) if match else ""


def decode(body: bytes, charset: str = "") -> str:
    """Text of whatever bytes: by its BOM, as UTF-8, in the charset its sender named, as windows-1252."""
    for mark, encoding in _BOMS:
        if body.startswith(mark):
            return body[len(mark) :].decode(encoding, "replace")
    try:
        return body.decode()
    except UnicodeDecodeError:
        repaired = body.decode("utf-8", "replace")
    # A tool that cuts its text by bytes breaks one character; windows-1252 breaks every one that is not ASCII.
    broken = repaired.count("\ufffd")
    if len(repaired) - len(repaired.encode("ascii", "ignore")) > 2 * broken:
        return repaired
    return body.decode(_known(charset) or "cp1252", "replace")


def _known(charset: str) -> str:
    """The codec of a charset that is no UTF; browsers mean windows-1252 by iso-8859-1 (WHATWG Encoding)."""
    label = charset.lower()
    if label in {"iso-8859-1", "iso8859-1", "latin1", "us-ascii"}:
        return "cp1252"
    if not _CHARSET.fullmatch(label):
        return ""
    try:
        b"".decode(label)
    except LookupError:
        return ""
    return label


def load(text: str) -> Any:
    """A JSON text's value; ValueError with the position otherwise, also for more than 200 levels.

    Line breaks and other control characters inside a string are taken too: every tool that fills a template with a
    text of several lines writes them.
    """
    try:
        return from_json(text)
    except ValueError:
        mended = text if len(text) > LONGEST_MENDED else _STRING.sub(_mended_string, text)
        if mended == text:
            raise
        return from_json(mended)


def _mended_string(match: re.Match[str]) -> str:
    return _CONTROL_OR_ESCAPE.sub(_mended, match.group())


def _mended(match: re.Match[str]) -> str:
    found = match.group()
    if found < " ":
        return f"\\u{ord(found):04x}"
    return "\\ufffd" if len(found) == 6 else found


def scalar(value: Any) -> str:
    """A JSON scalar as people write it; null and empty containers are empty."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, dict | list):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not isfinite(value):
        return "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return str(value)


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Every scalar of a JSON value in order, under its path: `a.b[0].c`."""
    if isinstance(value, dict) and value:
        for key, child in value.items():
            yield from leaves(child, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and value:
        for index, child in enumerate(value):
            yield from leaves(child, f"{name}[{index}]")
    else:
        yield name, scalar(value)


def plain(text: str) -> str:
    """`text` with one kind of line break and no character that is none."""
    return _UNPRINTABLE.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def _is_form(text: str, media: str) -> bool:
    """A form's name ends at its first =; a log line sent by curl -d has blanks before it."""
    name, equals, value = text.partition("=")
    if media == "application/x-www-form-urlencoded":
        return bool(equals) and not _BLANK.search(name)
    return bool(equals) and not media and bool(_UNTYPED_NAME.fullmatch(name)) and not _BLANK.search(value)


def _form(text: str) -> Payload:
    pieces = text.split("&", MOST_PAIRS)
    left_out = pieces.pop().count("&") + 1 if len(pieces) > MOST_PAIRS else 0
    raw = [piece.partition("=") for piece in pieces if piece]
    charset = next((value for name, _, value in raw if name == "_charset_"), "")
    pairs = tuple((_unquoted(name, charset), _unquoted(value, charset)) for name, _, value in raw)
    return _with_json(Payload(Shape.FORM, pairs=pairs, left_out=left_out))


def _unquoted(piece: str, charset: str) -> str:
    return _in_charset(unquote_to_bytes(piece.replace("+", " ")), charset)


def _in_charset(raw: bytes, charset: str, hint: str = "") -> str:
    """A field in its form's `_charset_`; `hint` is what the part says of itself."""
    codec = _known(charset)
    if not codec:
        return decode(raw, hint)
    # What the form's charset cannot say, a browser writes as a numeric entity (HTML standard, form submission).
    return _ENTITY.sub(_character, raw.decode(codec, "replace"))


def _character(match: re.Match[str]) -> str:
    number = int(match.group(1))
    return chr(number) if 31 < number < 0xD800 or 0xDFFF < number < 0x110000 else match.group()


def _multipart(found: list[Part]) -> Payload:
    charset = next((decode(part.content).strip() for part in found if part.name == "_charset_"), "")
    files = tuple(part for part in found if part.filename)
    pairs = tuple((part.name, _value(part, charset)) for part in found if part.filename != "")
    return _with_json(Payload(Shape.FORM, pairs=pairs, files=files))


def _value(part: Part, charset: str) -> str:
    if part.filename:
        name = seen(part.filename)
        return name if part.content else f"{name} (empty file)"
    return _in_charset(part.content, charset, charset_of(part.content_type))


def _with_json(form: Payload) -> Payload:
    """The form, or the JSON in its field that is made for it (Slack and GitHub: payload, Uptime Kuma: data)."""
    for name, text in form.pairs:
        if name in _JSON_FIELDS and text.lstrip()[:1] in ("{", "["):
            try:
                return Payload(Shape.JSON, value=load(text), pairs=form.pairs, files=form.files)
            except ValueError:
                continue
    return form
