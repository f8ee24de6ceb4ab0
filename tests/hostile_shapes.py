"""Bodies that want to cost more than they weigh: JSON, forms and text, each of about the size that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

MIB = 1024 * 1024

JSON = {"content-type": "application/json"}
URLENCODED = {"content-type": "application/x-www-form-urlencoded"}
TEXT = {"content-type": "text/plain"}
MULTIPART = {"content-type": "multipart/form-data; boundary=b"}

Make = Callable[[int], bytes]


@dataclass(frozen=True)
class Hostile:
    """One way to be expensive: `make` gives a body of about that many bytes."""

    name: str
    make: Make
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)


def run_of(piece: str | bytes, before: str | bytes = b"", after: str | bytes = b"") -> Make:
    """`piece` again and again between two ends."""
    middle, first, last = (text.encode() if isinstance(text, str) else text for text in (piece, before, after))
    return lambda size: first + middle * (max(1, (size - len(first) - len(last)) // len(middle))) + last


def numbered(piece: str, before: str = "", after: str = "") -> Make:
    """The same with a number in each piece, for `%d`."""

    def make(size: int) -> bytes:
        count = max(1, size // (len(piece) + 4))
        return (before + "".join(piece % number for number in range(count)) + after).encode()

    return make


def _long_key(size: int) -> bytes:
    return b'{"' + b"k" * (size // 3) + b'": [[' + b"0," * (size // 3) + b"0]]}"


def _medium_key(size: int) -> bytes:
    return b'{"' + b"k" * 70 + b'": [' + b"0," * (size // 2) + b"0]}"


def _deep(inner: bytes) -> Make:
    """Leaves below 190 levels."""
    return lambda size: b'{"a":' + b'{"a":' * 180 + b"[" + inner * (size // len(inner)) + b"0]" + b"}" * 181


def _many_objects(size: int) -> bytes:
    one = b'{"a":{"b":{"c":{"d":0}}}},'
    return b"[" + one * (size // len(one)) + b"0]"


def _parts(size: int, part: bytes, count: int = 1000) -> bytes:
    each = max(0, size // count - len(part) - 60)
    text = b'--b\r\nContent-Disposition: form-data; name="a%d"\r\n\r\n' + part + b"x" * each + b"\r\n"
    return b"".join(text % number for number in range(count)) + b"--b--\r\n"


def _dispositions(size: int, piece: bytes, count: int = 1000) -> bytes:
    """Parts whose Content-Disposition is as long as it may be."""
    count = min(count, size // 1000)
    part = b"--b\r\nContent-Disposition: form-data" + piece * (900 // len(piece)) + b"\r\n\r\nx\r\n"
    return part * count + b"--b--\r\n"


def _one_part(
    headers: bytes = b'Content-Disposition: form-data; name="a"', *, first: bytes = b"", inside: bytes = b"x"
) -> Make:
    def make(size: int) -> bytes:
        return b"--b\r\n" + headers + b"\r\n\r\n" + first + inside * (size // len(inside)) + b"\r\n--b--\r\n"

    return make


def _part_headers(piece: bytes) -> Make:
    def make(size: int) -> bytes:
        return b"--b\r\n" + piece * (size // len(piece)) + b"\r\n\r\nx\r\n--b--\r\n"

    return make


def _fields(name: str, value: str, count: int = 1000) -> Make:
    """A form of `count` fields, each as long as its share."""
    return lambda size: b"&".join([f"{name}=".encode() + value.encode() * (size // count // len(value))] * count)


def _named_fields(piece: str, count: int = 190) -> Make:
    """A form that is taken: fields of different names."""
    return lambda size: "&".join(
        f"f{number}={piece * (size // count // len(piece))}" for number in range(count)
    ).encode()


JSON_BODIES = [
    Hostile("json: a list of zeros", run_of("0,", "[", "0]")),
    Hostile("json: a list of empty objects", run_of("{},", "[", "0]")),
    Hostile("json: a list of empty lists", run_of("[],", "[", "0]")),
    Hostile("json: a list of empty strings", run_of('"",', "[", "0]")),
    Hostile("json: an object of many keys", numbered('"k%d":0,', "{", '"z":0}')),
    Hostile("json: one key of many letters, many zeros", _long_key),
    Hostile("json: one key of 70 letters, many zeros", _medium_key),
    Hostile("json: zeros in 180 levels", _deep(b"0,")),
    Hostile("json: words in 180 levels", _deep(b'"abc",')),
    Hostile("json: objects in objects", _many_objects),
    Hostile("json: objects in 150 levels", run_of('{"a":' * 150 + "0" + "}" * 150 + ",", "[", "0]")),
    Hostile("json: nothing in 150 levels", run_of('{"a":' * 150 + "[]" + "}" * 150 + ",", "[", "0]")),
    *(
        Hostile(f"json: a string of control characters {code:02x}", run_of(bytes((code,)), '{"a":"', '"}'))
        for code in (0x00, 0x09, 0x0C, 0x1F)
    ),
    Hostile("json: a string of all control characters", run_of(bytes(range(32)), '{"a":"', '"}')),
    Hostile("json: a string of commas", run_of(",", '{"a":"', '"}')),
    Hostile("json: a string of escaped quotes", run_of('\\"', '{"a":"', '"}')),
    Hostile("json: a string of line breaks", run_of("\n", '{"a":"', '"}')),
    Hostile("json: strings of a line break", run_of('"\n",', "[", "0]")),
    Hostile("json: half characters", run_of("\\ud800", '{"a":"', '"}')),
    Hostile("json: strings of half a character", run_of('"\\ud800",', "[", "0]")),
    Hostile("json: an open string of escapes", run_of("\\n", '{"a":"')),
    Hostile("json: open quotes", run_of('"', "[")),
    Hostile("json: open quotes and commas", run_of('",', "[")),
    Hostile("json: open brackets", run_of("[")),
    Hostile("json: open objects", run_of('{"a":')),
    Hostile("json: long whole numbers", run_of("9" * 4200 + ",", "[", "0]")),
    Hostile("json: one number", run_of("9")),
    Hostile("json: one list of a number", run_of("9", "[", "]")),
    Hostile("json: one fraction", run_of("9", "[0.", "]")),
    Hostile("json: fractions", run_of("0." + "9" * 700 + "e-5,", "[", "0]")),
    Hostile("json: blanks", run_of(" ", "{", "}")),
    Hostile("json: blanks between", run_of(" \n,0", "[0", "]")),
]
"""Whatever reads JSON gets these."""

HEADS = [
    Hostile("query: keys", run_of("code=a&"), {}),
    Hostile("query: one key", run_of("a", "code="), {}),
    Hostile("query: ampersands", run_of("&", "a="), {}),
    Hostile("query: per cent signs", run_of("%", "subject="), {}),
    Hostile("query: a subject", run_of("a", "subject="), {}),
    Hostile("query: an address", run_of("a@", "to="), {}),
    Hostile("query: a time of digits", run_of("9", "since="), {}),
    Hostile("query: a time of noughts", run_of("0", "since=2026-01-01T00:00:00."), {}),
    Hostile("query: a number", run_of("9", "limit="), {}),
    Hostile("query: a cursor", run_of("9", "cursor="), {}),
    *(
        Hostile(f"header: {name} of {what}", run_of(piece, before), {"name": name})
        for name, what, piece, before in (
            ("authorization", "base64", "QUJD", "Basic "),
            ("authorization", "blanks", " ", "Basic "),
            ("x-api-key", "letters", "a", ""),
            ("accept", "types", "text/htm,", ""),
            ("cookie", "pairs", "a=b; ", ""),
            ("origin", "colons", ":", "https://"),
            ("origin", "dots", "a.", "https://"),
            ("origin", "letters", "\xe9", "https://"),
            ("referer", "brackets", "[", "https://"),
            ("content-type", "semicolons", "; ", "text/plain"),
            ("content-type", "charsets", ";charset", "text/plain"),
            ("content-type", "boundaries", ';boundary="', "multipart/form-data"),
            ("content-type", "blanks", " ", "multipart/form-data;"),
            ("idempotency-key", "letters", "a", ""),
            ("x-forwarded-for", "addresses", "1.1.1.1, ", ""),
            ("forwarded", "pairs", "for=1;", ""),
            ("host", "labels", "a.", ""),
            ("traceparent", "noughts", "0", "00-"),
            ("access-control-request-headers", "names", "a,", ""),
        )
    ),
    Hostile("headers: one name again and again", run_of("a:b\n"), {}),
    Hostile("headers: one key again and again", run_of("x-api-key:b\n"), {}),
    Hostile("headers: one address again and again", run_of("x-forwarded-for:1.1.1.1\n"), {}),
]
"""A request's head: what stands in the query, in one header, or in many."""

FORM_BODIES = [
    Hostile("text: a value of many lines", run_of("\nx", "a=b"), TEXT),
    Hostile("text: a value of many empty lines", run_of("\n", "a=b", "\nx"), TEXT),
    Hostile("text: many fields", numbered("a%d=b\n"), TEXT),
    Hostile("text: one field many times", run_of("a=b\n"), TEXT),
    Hostile("text: names that are none", run_of("a ", "a=b\n"), TEXT),
    Hostile("text: lines of almost a name", run_of("a" * 100 + " \n", "a=b\n"), TEXT),
    Hostile("urlencoded: per cent signs", run_of("%", "a="), URLENCODED),
    Hostile("urlencoded: escapes", run_of("%41", "a="), URLENCODED),
    Hostile("urlencoded: half escapes", run_of("%4", "a="), URLENCODED),
    Hostile("urlencoded: a name of escapes", run_of("%5B", "", "=1"), URLENCODED),
    Hostile("urlencoded: plus signs", run_of("+", "a="), URLENCODED),
    Hostile("urlencoded: ampersands", run_of("&", "a="), URLENCODED),
    Hostile("urlencoded: many fields", numbered("a%d=1&"), URLENCODED),
    Hostile("urlencoded: one field many times", run_of("a=1&"), URLENCODED),
    Hostile("urlencoded: entities under a charset", run_of("%26%23945;", "_charset_=iso-8859-1&a="), URLENCODED),
    Hostile("urlencoded: short entities", run_of("&#1;".replace("&", "%26"), "_charset_=big5&a="), URLENCODED),
    Hostile("urlencoded: many fields of broken JSON", _fields("payload", '["'), URLENCODED),
    Hostile("urlencoded: many fields of broken lists", _fields("data", "[[0,"), URLENCODED),
    *(
        Hostile(f"urlencoded: 190 fields of {what}", _named_fields(piece), URLENCODED)
        for what, piece in (
            ("brackets", "<"),
            ("tabs", "%09"),
            ("line breaks", "%0A"),
            ("words", "a+"),
            ("marks", "%E2%80%AE"),
        )
    ),
    Hostile("urlencoded: a field of JSON zeros", run_of("0,", "payload=[", "0]"), URLENCODED),
    Hostile("urlencoded: a field of JSON strings", run_of('"\n",', "data=[", "0]"), URLENCODED),
    Hostile("untyped: equal signs", run_of("=", "a"), {}),
    Hostile("untyped: blanks", run_of(" "), {}),
    Hostile("bytes: FF", run_of(b"\xff", b"a=b\n"), TEXT),
    Hostile("bytes: 81", run_of(b"\x81", b"a=b\n"), TEXT),
    Hostile("bytes: C3", run_of(b"\xc3", b"a=b\n"), TEXT),
    Hostile("bytes: C3 and a letter", run_of(b"\xc3a", b"a=b\n"), TEXT),
    Hostile("bytes: UTF-16 of halves", run_of(b"\x00\xd8", b"\xff\xfea\x00=\x00"), TEXT),
    Hostile(
        "bytes: UTF-32 that is none", run_of(b"\xff\xff\xff\xff", b"\xff\xfe\x00\x00a\x00\x00\x00=\x00\x00\x00"), TEXT
    ),
    Hostile("bytes: NUL", run_of(b"\x00", b"a=b\n"), TEXT),
    *(
        Hostile(f"bytes: {charset}", run_of(b"\xff\x81", b"a=b\n"), {"content-type": f"text/plain; charset={charset}"})
        for charset in ("shift_jis", "euc-jp", "euc-kr", "gb18030", "big5", "gbk", "koi8-r", "iso-8859-8")
    ),
    Hostile("text: control characters", run_of("\x0b\x0c\x1c", "a=b\n"), TEXT),
    Hostile("urlencoded: control characters", run_of("\x01\x7f", "a="), URLENCODED),
    Hostile("urlencoded: control characters, escaped", run_of("%01", "a="), URLENCODED),
    Hostile("urlencoded: a name that grows in lower case", run_of("\u0130", "", "=1"), URLENCODED),
    Hostile("text: separators of every kind", run_of("\r\n\u2028\x85", "a=b\n"), TEXT),
    Hostile("multipart: parameters", lambda size: _dispositions(size, b";a=b"), MULTIPART),
    Hostile("multipart: parameters with an open quote", lambda size: _dispositions(size, b';a="'), MULTIPART),
    Hostile("multipart: a thousand fields", lambda size: _parts(size, b""), MULTIPART),
    Hostile("multipart: carriage returns", _one_part(inside=b"\r"), MULTIPART),
    Hostile("multipart: line ends", _one_part(inside=b"\r\n"), MULTIPART),
    Hostile("multipart: almost boundaries", _one_part(inside=b"\r\n--"), MULTIPART),
    Hostile("multipart: almost boundaries, longer", _one_part(inside=b"\r\n--\r"), MULTIPART),
    *(
        Hostile(
            f"multipart: a file {name} of {what}",
            _one_part(
                f'Content-Disposition: form-data; name="a"; filename="{name}"'.encode(), first=first, inside=piece
            ),
            MULTIPART,
        )
        for name, what, first, piece in (
            ("a.png", "PNG", b"\x89PNG\r\n\x1a\n", b"\x00\x00\x00\x00IDAT"),
            ("a.png", "brackets", b"\x89PNG\r\n\x1a\n", b"<"),
            ("a.pdf", "PDF", b"%PDF-1.4\n", b"%PDF-"),
            ("a.pdf", "objects", b"%PDF-1.4\n", b"1 0 obj <<"),
            ("a.pdf", "blanks", b"", b" "),
            ("a.jpg", "marks", b"\xff\xd8\xff", b"\xff\xd8\xff"),
            ("a.gif", "heads", b"GIF89a", b"GIF89a"),
            ("a.svg", "comments", b"<svg", b"<!--"),
            ("a.html", "brackets", b"<html>", b"<"),
            ("a.txt", "blanks", b"", b" \n"),
            ("a.txt", "letters", b"", b"a"),
            ("a.csv", "commas", b"", b","),
            ("a.zip", "entries", b"PK\x03\x04", b"PK\x01\x02"),
            ("a.docx", "entries", b"PK\x03\x04", b"PK\x03\x04[Content_Types].xml"),
            ("a.webp", "chunks", b"RIFF\x00\x00\x00\x00WEBP", b"VP8 "),
            ("a.heic", "boxes", b"\x00\x00\x00\x18ftypheic", b"\x00\x00\x00\x08free"),
            ("a.exe", "heads", b"MZ", b"MZ"),
        )
    ),
    Hostile(
        "multipart: a file of carriage returns",
        _one_part(b'Content-Disposition: form-data; name="a"; filename="a.txt"', inside=b"\r"),
        MULTIPART,
    ),
    Hostile(
        "multipart: a file of almost boundaries",
        _one_part(b'Content-Disposition: form-data; name="a"; filename="a.txt"', inside=b"\r\n--"),
        MULTIPART,
    ),
    Hostile(
        "multipart: a file of boundaries without an end",
        _one_part(b'Content-Disposition: form-data; name="a"; filename="a.txt"', inside=b"\r\n--bb"),
        MULTIPART,
    ),
    Hostile("multipart: headers", _part_headers(b"a:b\r\n"), MULTIPART),
    Hostile("multipart: a header", _part_headers(b"a"), MULTIPART),
    Hostile(
        "multipart: a name of quotes",
        lambda size: _part_headers(b'; a="')(size).replace(b"--b\r\n", b"--b\r\nContent-Disposition: form-data", 1),
        MULTIPART,
    ),
    Hostile(
        "multipart: a path as a file's name",
        lambda size: _part_headers(b"/")(size).replace(
            b"--b\r\n", b'--b\r\nContent-Disposition: form-data; name="a"; filename="', 1
        ),
        MULTIPART,
    ),
    Hostile(
        "multipart: an encoded name",
        lambda size: _part_headers(b"%41")(size).replace(
            b"--b\r\n", b"--b\r\nContent-Disposition: form-data; name*=utf-8''", 1
        ),
        MULTIPART,
    ),
    Hostile(
        "multipart: parts without an end",
        run_of('--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n'),
        MULTIPART,
    ),
    Hostile("multipart: bytes that are none", run_of("x"), MULTIPART),
]
"""Whatever reads forms and text gets these."""
