"""JSON as tools really write it: a text comes in, its value goes out, or the reason why it is none.

What is counted is counted before anything is built: a text of 10 MB may hold five million values, which would take
half a gigabyte.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import isfinite, isnan
from typing import Any

from pydantic_core import from_json

MOST_VALUES = 200_000
"""Scalars, objects and lists of one JSON text. What holds more is no notification."""

LONGEST_MENDED = 500_000
"""Characters of a broken JSON that are worth the work; a longer one becomes text at once."""

LONGEST_PATH = 1000
LONGEST_STEP = 100
"""Characters of a path, and of one name in it, that are ever written out."""

Path = tuple[Any, ...]
"""Where a value stands: the path of what holds it, and its name or number in there. The whole value's is empty."""

_SCANNED = 64 * 1024
_STRUCTURE = b",[{"
_WHITE = b" \t\r\n"
# Half a character; where both halves stand side by side, they are one. Escaped backslashes are hidden before.
_HALF = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
_CONTROL = {chr(code): f"\\u{code:04x}" for code in range(32)} | {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_REPLACEMENT = "\\\\ufffd"
_BACKSLASH, _QUOTE = "\ufdd0", "\ufdd1"
"""Stand for an escaped backslash and an escaped quote while strings are mended; Unicode keeps both for such use."""


class TooComplex(ValueError):
    """The text holds more values than are worth being read."""

    def __init__(self) -> None:
        """The sentence names the limit."""
        super().__init__(f"it holds more than {MOST_VALUES} values")


def load(text: str) -> Any:
    """A JSON text's value; ValueError with the position otherwise, also for more than 200 levels. TooComplex.

    Line breaks and other control characters inside a string are taken too: every tool that fills a template with a
    text of several lines writes them.
    """
    if len(text) > 2 * MOST_VALUES:
        check(text.encode("utf-8", "surrogatepass"))
    try:
        return from_json(text)
    except ValueError:
        mended = text if len(text) > LONGEST_MENDED else _mended(text)
        if mended == text:
            raise
        return from_json(mended)


def check(text: bytes) -> None:
    """TooComplex when this JSON text has more than MOST_VALUES values; a shorter text need not be looked at."""
    if len(text) <= 2 * MOST_VALUES or 1 + sum(text.count(sign) for sign in _STRUCTURE) <= MOST_VALUES:
        return
    if _values(text) > MOST_VALUES:
        raise TooComplex


def _values(text: bytes) -> int:
    """How many values a JSON text has: one, one more for each comma, and one for the first in what is not empty."""
    count, empty = 1, 0
    before = b""
    for outside in _outside_strings(text):
        if not outside:
            continue
        count += sum(outside.count(sign) for sign in _STRUCTURE)
        # The two brackets of what is empty may stand in two pieces.
        empty += sum(outside.count(pair) for pair in (b"[]", b"{}")) + (before + outside[:1] in {b"[]", b"{}"})
        before = outside[-1:]
        if count - empty > MOST_VALUES + 1:  # the next bracket may still close what is empty
            break
    return count - empty


def _outside_strings(text: bytes) -> Iterator[bytes]:
    """The text without white space and with a quote for each string, in pieces: C does the work, the room is small."""
    start, inside = 0, False
    while start < len(text):
        raw = text[start : start + _SCANNED]
        if (len(raw) - len(raw.rstrip(b"\\"))) % 2:  # do not part an escape
            raw = text[start : start + _SCANNED + 1]
        piece = raw.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        outside = b'"'.join(piece[inside::2])
        inside ^= len(piece) % 2 == 0
        yield (outside + b'"' * inside).translate(None, _WHITE)
        start += len(raw)


def _mended(text: str) -> str:
    """Control characters in strings as escapes, half characters as U+FFFD; the same text where there is neither."""
    if _BACKSLASH in text or _QUOTE in text:
        return text
    pieces = text.replace("\\\\", _BACKSLASH).replace('\\"', _QUOTE).split('"')
    inside = '"'.join(pieces[1::2])
    if "\\u" in inside:
        inside = _HALF.sub(_REPLACEMENT, inside)
    for sign, escape in _CONTROL.items():  # `translate` takes ten times as long
        inside = inside.replace(sign, escape)
    pieces[1::2] = inside.split('"') if len(pieces) > 1 else []
    return '"'.join(pieces).replace(_QUOTE, '\\"').replace(_BACKSLASH, "\\\\")


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


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Every scalar of a JSON value in order, with its path, which costs nothing until it is `written`."""
    if not isinstance(value, dict | list) or not value:
        yield path, scalar(value)
        return
    stack = [(path, _children(value))]
    while stack:
        path, rest = stack[-1]
        for name, child in rest:
            if isinstance(child, dict | list) and child:
                stack.append(((path, name), _children(child)))
                break
            yield (path, name), scalar(child)
        else:
            stack.pop()


def _children(value: dict[str, Any] | list[Any]) -> Iterator[tuple[Any, Any]]:
    return iter(value.items() if isinstance(value, dict) else enumerate(value))


def is_deeper(value: Any, levels: int) -> bool:
    """Whether more than so many lists and objects of a JSON value stand in one another."""
    level, found = [value], 0
    while found <= levels and (level := [child for child in level if isinstance(child, dict | list)]):
        found += 1
        level = [item for child in level for item in (child.values() if isinstance(child, dict) else child)]
    return found > levels


def written(path: Path, longest: int = LONGEST_PATH) -> str:
    """A path for people, `a.b[0].c`, cut where it is longer than anybody reads."""
    steps = []
    while path:
        path, step = path
        steps.append(step)
    text = ""
    while steps and len(text) <= longest:
        step = steps.pop()
        text += f"[{step}]" if isinstance(step, int) else f".{step[:LONGEST_STEP]}"
    return text.removeprefix(".")[:longest]
