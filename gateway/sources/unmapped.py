"""What no parser understood: any bytes come in, a readable dump of them goes out (promise 3).

A dump never raises and hides nothing: what does not fit is counted, and the payload is attached as it came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice

from gateway.address import one_line
from gateway.message import Attachment
from gateway.notification import SEVERITY_WORDS, Notification, Pair, Severity
from gateway.sources.jsontext import LONGEST_PATH, Path, is_deeper, leaves, written
from gateway.sources.payload import Payload, Shape, plain, sniff

MOST_FIELDS = 200
LONGEST_VALUE = 2_000
LONGEST_TEXT = 100_000
LONGEST_TITLE = 150
LARGEST_COPY = 5_000_000
"""Bytes of the payload that are attached; ACS takes 10 MB for a whole mail, base64 included."""

_COUNTED = 10_000
_DEEPEST_INDENTED = 20
_TITLES = (
    "title subject headline alertname alerttitle alert name rulename summary problem event message msg text "
    "description details reason body"
).split()
_ENDINGS = ("title", "subject", "name", "summary", "message")
_SEVERITIES = ("severity", "level", "priority")
_DEEPEST_TITLE = 3


def dump(body: bytes, headers: Mapping[str, str], source: str, kind: str, known: Payload | None = None) -> Notification:
    """`body` as it came, in a form people can read; `known` is what its module has read of it already."""
    payload = known or sniff(body, headers)
    if payload.shape is Shape.EMPTY:
        return _notification(source, kind, f"Empty notification from {source}")
    if payload.shape is Shape.TEXT or isinstance(payload.value, str):
        return _of_text(payload, source, kind)
    return _of_fields(payload, source, kind)


def _notification(
    source: str,
    kind: str,
    title: str,
    text: str = "",
    fields: Iterable[Pair] = (),
    severity_word: str = "",
    copy: tuple[Attachment, ...] = (),
) -> Notification:
    return Notification(
        source=source,
        kind=kind,
        title=title,
        text=text,
        severity=SEVERITY_WORDS.get(severity_word.lower(), Severity.WARNING),
        severity_word=severity_word,
        fields=tuple(fields),
        attachments=copy,
        unmapped=True,
    )


def _of_text(payload: Payload, source: str, kind: str) -> Notification:
    text = (payload.value if payload.shape is Shape.JSON else payload.text).strip()
    title = _shortened_title(plain(text[:LONGEST_TEXT])) or f"Notification from {source}"
    copy = _copy(text, "txt") if len(text) > LONGEST_TEXT else ()
    return _notification(source, kind, title, _shortened(text, LONGEST_TEXT), copy=copy)


def _of_fields(payload: Payload, source: str, kind: str) -> Notification:
    given = ((name, value) for name, value in _values(payload) if value and not value.isspace())
    found = [
        (written(name) if isinstance(name, tuple) else name[:LONGEST_PATH], value)
        for name, value in islice(given, MOST_FIELDS)
    ]
    left_out = sum(1 for _ in islice(given, _COUNTED)) + payload.left_out
    fields = [Pair(name=_name(name), value=_shortened(value, LONGEST_VALUE)) for name, value in found]
    if left_out:
        many = "more than " if left_out >= _COUNTED else ""
        fields.append(Pair(name="…", value=f"{many}{left_out} more values"))
    whole = not left_out and all(len(value) <= LONGEST_VALUE for _, value in found)
    shown = [(name, plain(value[:LONGEST_VALUE])) for name, value in found]
    return _notification(
        source,
        kind,
        _title(shown) or f"Notification from {source}",
        fields=fields,
        severity_word=_severity_word(shown),
        copy=() if whole else _whole(payload),
    )


def _values(payload: Payload) -> Iterable[tuple[str | Path, str]]:
    """Every value with its name, or with its path, which is written out for the few that are shown."""
    return payload.pairs if payload.shape is Shape.FORM else leaves(payload.value)


def _whole(payload: Payload) -> tuple[Attachment, ...]:
    if payload.shape is Shape.FORM:
        return _copy("\n".join(f"{name}: {value}" for name, value in payload.pairs), "txt")
    from pydantic_core import to_json

    # Each value has a line of its own, with the blanks of all its levels before it.
    indent = None if is_deeper(payload.value, _DEEPEST_INDENTED) else 2
    return _copy(to_json(payload.value, indent=indent, inf_nan_mode="strings"), "json")


def _copy(content: str | bytes, ending: str) -> tuple[Attachment, ...]:
    if len(content) > LARGEST_COPY:  # of a text these are characters, of which none is less than a byte
        return ()
    raw = plain(content).encode() if isinstance(content, str) else content
    if len(raw) > LARGEST_COPY:
        return ()
    media = {"txt": "text/plain", "json": "application/json"}[ending]
    return (Attachment(name=f"payload.{ending}", content_type=media, content=raw),)


def _name(name: str) -> str:
    return one_line(name)[:200] or "value"


def _shortened(text: str, longest: int) -> str:
    """What is shown of it. Cut first: of 10 MB with one emoji in them each further copy takes 40."""
    cut = plain(text[:longest])
    return cut if len(text) <= longest else f"{cut}… ({len(text) - longest} more characters)"


def _shortened_title(text: str) -> str:
    line = one_line(text.strip().partition("\n")[0][:1000])
    return line if len(line) <= LONGEST_TITLE else f"{line[: LONGEST_TITLE - 1].rstrip()}…"


def _title(values: list[tuple[str, str]]) -> str:
    """By habit: the name closest to the root, then the one that names best; else what at least ends like one."""
    named = [(depth, word, value) for depth, word, value in _words(values) if depth <= _DEEPEST_TITLE]
    ranked = [(depth, _TITLES.index(word), value) for depth, word, value in named if word in _TITLES]
    if not ranked:
        ranked = [(depth, 0, value) for depth, word, value in named if word.endswith(_ENDINGS)][:1]
    return _shortened_title(min(ranked)[2]) if ranked else ""


def _severity_word(values: list[tuple[str, str]]) -> str:
    found = [
        (depth, _SEVERITIES.index(word), value.strip())
        for depth, word, value in _words(values)
        if word in _SEVERITIES and value.strip().lower() in SEVERITY_WORDS
    ]
    return min(found)[2] if found else ""


def _words(values: list[tuple[str, str]]) -> Iterable[tuple[int, str, str]]:
    """Each value with its depth and the last word of its path, however it is spelled."""
    for path, value in values:
        word = path.rpartition(".")[2].partition("[")[0]
        yield path.count(".") + path.count("["), "".join(filter(str.isalnum, word)).lower(), value
