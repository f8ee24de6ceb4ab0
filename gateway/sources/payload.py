"""What a body really is: bytes and headers of any caller come in, a JSON value, form fields or text goes out.

The Content-Type is a hint, not a fact. JSON arrives as text/plain (SNS, fetch), as a form (curl -d, PowerShell), inside
a form field (Uptime Kuma, Slack's format) and without any type (Icinga); text in UTF-8, UTF-16 or what Windows
PowerShell 5.1 writes. Nothing here raises for any bytes.

Two things JSON texts hold although JSON has no place for them: a lone surrogate (half an emoji, cut by a tool) becomes
U+FFFD, and NaN, Infinity or 1e999 stay floats, which `scalar` shows as words and no source passes on as a number.

A caller waits for none of this longer than its body is: each step is one pass that the interpreter's own C code makes.
"""

from __future__ import annotations

import re
from binascii import a2b_qp
from codecs import charmap_decode, getincrementaldecoder
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from itertools import islice
from typing import Any

from gateway.address import seen
from gateway.errors import Rejected
from gateway.sources.jsontext import MOST_VALUES, TooComplex, load
from gateway.sources.multipart import Part, is_multipart, parts

MOST_PAIRS = 1000
"""Form fields that are read; what is beyond is only counted."""

PIECE = 64 * 1024
"""What one call works on where it may take long, so that other threads have their turn."""

MOST_BARE = 1000
"""Per cent signs of a field that begin no escape; one with more was not escaped at all."""

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
_MULTIBYTE = frozenset("shift_jis euc-jp euc-kr gbk gb2312 gb18030 big5".split())
_CHARSET_PARAMETER = re.compile(r';\s*charset\s*=\s*"?([\w.:-]+)', re.IGNORECASE)
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_REPLACEMENT = "\ufffd".encode()
_AS_NUL = bytes(0 if _UNPRINTABLE.match(chr(code)) else code for code in range(256))
_ENTITY = re.compile(r"&#(\d{1,7});")
_UNTYPED_NAME = re.compile(r"[\w.%+\[\]-]{1,100}")
_BLANK = re.compile(r"\s")
_BARE_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
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


_TOO_COMPLEX = (
    f"The JSON has more than {MOST_VALUES} values (numbers, texts, objects and lists together). "
    "Send less, or the data as a file."
)


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
    too_complex: bool = False

    def simple(self) -> Payload:
        """The same; Rejected where its JSON has so many values that it was not read."""
        if self.too_complex:
            raise Rejected(413, "too_complex", _TOO_COMPLEX)
        return self


class Unmapped(ValueError):
    """A payload that is none of its kind; a dump need not read it once more."""

    def __init__(self, payload: Payload, why: str) -> None:
        """`why` quotes nothing."""
        super().__init__(why)
        self.payload = payload


def sniff(body: bytes, headers: Mapping[str, str], longest_text: int | None = None) -> Payload:
    """What `body` is, by looking at it; Rejected where what is no file has more than `longest_text` bytes."""
    content_type = headers.get("content-type", "")
    flaw, too_complex = "", False
    if is_multipart(body, content_type):
        try:
            found = parts(body, content_type)
        except ValueError as error:
            flaw = str(error)
            body = body[:longest_text]  # it will not be read, only refused
        else:
            _check_length(sum(len(part.name) + len(part.content) * (not part.filename) for part in found), longest_text)
            return _multipart(found)
    _check_length(len(body), longest_text)
    text = decode(body, charset_of(content_type))
    media = content_type.partition(";")[0].strip().lower()
    start = text.lstrip()[:1]
    if not start:
        return Payload(Shape.EMPTY)
    if start in '{["' or media.endswith(("/json", "+json")):
        try:
            return Payload(Shape.JSON, value=load(text))
        except ValueError as error:
            flaw, too_complex = str(error), isinstance(error, TooComplex)
    if not flaw and _is_form(text.strip(), media):
        return _form(text.strip())
    return Payload(Shape.TEXT, text=text, flaw=flaw, too_complex=too_complex)


def _check_length(count: int, limit: int | None) -> None:
    if limit is not None and count > limit:
        what = f"What is no file may have at most {limit // 1024} KiB ({limit} bytes)"
        raise Rejected(413, "too_large", f"{what}; send larger things as files of a multipart form.")


def charset_of(content_type: str) -> str:
    """The charset a Content-Type names, or nothing."""
    match = _CHARSET_PARAMETER.search(content_type)
    return match.group(1) if match else ""


def decode(body: bytes, charset: str = "") -> str:
    """Text of whatever bytes: by its BOM, as UTF-8, in the charset its sender named, as windows-1252."""
    for mark, encoding in _BOMS:
        if body.startswith(mark):
            return _in_pieces(body[len(mark) :], encoding)
    try:
        return body.decode()
    except UnicodeDecodeError:
        repaired = body.decode("utf-8", "replace")
    # A tool that cuts its text by bytes breaks one character; windows-1252 breaks every one that is not ASCII.
    broken = repaired.count("\ufffd")
    if len(repaired) - len(repaired.encode("ascii", "ignore")) > 2 * broken:
        return repaired
    return _in_codec(body, _known(charset) or "cp1252")


def _in_codec(raw: bytes, codec: str) -> str:
    """Text by one of the codecs that a caller may name; what is no character becomes U+FFFD."""
    table = _table(codec)
    # The error handler would be called for each byte that is no character, at 40 times the time.
    return charmap_decode(raw, "strict", table)[0] if table else _in_pieces(raw, codec)


def _in_pieces(raw: bytes, codec: str) -> str:
    """Text by its codec. A single call would keep every other thread waiting, a second for 10 MB of what is no text."""
    decoder = getincrementaldecoder(codec)("replace")
    pieces = [decoder.decode(raw[at : at + PIECE]) for at in range(0, len(raw), PIECE)]
    return "".join([*pieces, decoder.decode(b"", final=True)])


@cache
def _table(codec: str) -> str:
    """Every byte's character; empty for a codec in which a character may have several bytes."""
    found = "".join(bytes((code,)).decode(codec, "replace") for code in range(256))
    return found if len(found) == 256 and codec not in _MULTIBYTE else ""


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


def plain(text: str) -> str:
    """`text` with one kind of line break and no character that is none."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if len(text) <= PIECE:
        return _printable(text)
    return "".join(_printable(text[at : at + PIECE]) for at in range(0, len(text), PIECE))


def _printable(text: str) -> str:
    if not _UNPRINTABLE.search(text):
        return text
    try:  # as bytes: where there are many the expression takes ten times as long
        return text.encode().translate(_AS_NUL).replace(b"\x00", _REPLACEMENT).decode()
    except UnicodeEncodeError:
        return _UNPRINTABLE.sub("\ufffd", text)


def _is_form(text: str, media: str) -> bool:
    """A form's name ends at its first =; a log line sent by curl -d has blanks before it."""
    name, equals, value = text.partition("=")
    if media == "application/x-www-form-urlencoded":
        return bool(equals) and not _BLANK.search(name)
    return bool(equals) and not media and bool(_UNTYPED_NAME.fullmatch(name)) and not _BLANK.search(value)


def _form(text: str) -> Payload:
    pieces = text.split("&", MOST_PAIRS)
    left_out = pieces.pop().count("&") + 1 if len(pieces) > MOST_PAIRS else 0
    given = [piece.encode("utf-8", "replace").partition(b"=") for piece in pieces if piece]
    charset = next((value.decode("utf-8", "replace") for name, _, value in given if name == b"_charset_"), "")
    pairs = tuple(
        (_in_charset(_unescaped(name), charset), _in_charset(_unescaped(value), charset)) for name, _, value in given
    )
    return _with_json(Payload(Shape.FORM, pairs=pairs, left_out=left_out))


def unquoted(raw: bytes) -> str:
    """A name or a value of a query."""
    return _unescaped(raw).decode("utf-8", "replace")


def _unescaped(raw: bytes) -> bytes:
    """Escapes as bytes. urllib's decoder makes an object of each; these are the same escapes with another sign."""
    raw = raw.replace(b"+", b" ")
    if b"%" not in raw:
        return raw
    bare = sum(1 for _ in islice(_BARE_PERCENT.finditer(raw), MOST_BARE + 1))
    if bare > MOST_BARE:  # this was never escaped
        return raw
    return a2b_qp(_BARE_PERCENT.sub(b"%25", raw).replace(b"=", b"=3D").replace(b"%", b"="))


def _in_charset(raw: bytes, charset: str, hint: str = "") -> str:
    """A field in its form's `_charset_`; `hint` is what the part says of itself."""
    codec = _known(charset)
    if not codec:
        return decode(raw, hint)
    # What the form's charset cannot say, a browser writes as a numeric entity (HTML standard, form submission).
    known = _Characters()
    return _ENTITY.sub(lambda match: known[match[1]], _in_codec(raw, codec))


class _Characters(dict[str, str]):
    """A character by its number; what is none stays as it was written."""

    def __missing__(self, digits: str) -> str:
        number = int(digits)
        real = 31 < number < 0xD800 or 0xDFFF < number < 0x110000
        self[digits] = chr(number) if real else f"&#{digits};"
        return self[digits]


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
            except TooComplex:
                return replace(form, too_complex=True)
            except ValueError:
                continue
    return form
