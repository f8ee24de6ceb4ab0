"""An owner's `/expression/` over strangers' text: what gateway.yaml says comes in, a test for one text goes out.

Python's own engine goes back and forth, and may need hours for forty letters. This is the Rust engine that pydantic
brings along (crate regex): its time grows with the text alone, and what it cannot run it refuses, look-around and back
references. Whoever checks a configuration and whoever uses it ask here, so that what was accepted also runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

from pydantic_core import SchemaError, SchemaValidator, core_schema

LOOKED_AT = 1000
"""Characters of a text; a title or a label is shorter."""


MOST_STEPS = 2000
"""Letters and classes of an expression with its repetitions written out. The engine's time grows with them too: a
thousand characters take 50 ms of it at the worst here, and two seconds with the 40,000 of `([ab]{1,200}){1,200}`."""

_PIECE = re.compile(
    r"\\(?:[xuUpPN]\{[^}]*+\}|.)|(\((?:\?[^:>)]*+[:>]?)?)|\[\^?\]?(?:\\.|[^\]\\])*+\]?|\{(\d+)(,?)(\d*)\}|.", re.DOTALL
)


def written(value: str) -> str | None:
    """The expression between two slashes; None for a plain word."""
    return value[1:-1] if len(value) > 1 and value.startswith("/") and value.endswith("/") else None


@cache
def compiled(expression: str) -> Callable[[str], bool]:
    """Whether it matches anywhere in the beginning of a text, without case. ValueError says why it cannot run."""
    if steps(expression) > MOST_STEPS:
        raise ValueError(_explained(f"error: it is too large, with more than {MOST_STEPS} letters when written out"))
    schema = core_schema.str_schema(pattern=f"(?i){expression}", regex_engine="rust-regex")
    try:
        validator = SchemaValidator(schema)
    except SchemaError as error:
        raise ValueError(_explained(str(error))) from None

    def test(text: str) -> bool:
        beginning = text[:LOOKED_AT]
        if not beginning.isascii():  # half a character is no text for the engine
            beginning = beginning.encode("utf-8", "replace").decode()
        return validator.isinstance_python(beginning)

    return test


def steps(expression: str) -> int:
    """About how many letters and classes an expression has with its counted repetitions written out."""
    around: list[int] = []
    total = last = 0
    for piece in _PIECE.finditer(expression):
        text = piece[0]
        if piece[1] is not None:
            around.append(total)
            total = last = 0
        elif text == ")":
            total, last = (around.pop() if around else 0) + total, total
        elif piece[2] is not None:
            most = int((piece[4] or piece[2])[:9])
            total, last = total + last * max(most - 1, 0), last * max(most, 1)
        elif text not in {"?", "*", "+"}:
            total, last = total + 1, 1
    return total


def _explained(error: str) -> str:
    """The engine's own reason, without the expression."""
    reason = error.rpartition("error: ")[2] if "error: " in error else "it is too large"
    return (
        f"is no regular expression that can be used: {reason}. It may have no look-around, no back reference and no "
        r"atomic group; the end of the text is $ or \z"
    )
