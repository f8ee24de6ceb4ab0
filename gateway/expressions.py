"""An owner's `/expression/` over strangers' text: what gateway.yaml says comes in, a test for one text goes out.

Python's own engine goes back and forth, and may need hours for forty letters. This is the Rust engine that pydantic
brings along (crate regex): its time grows with the text alone, and what it cannot run it refuses, look-around and back
references. Whoever checks a configuration and whoever uses it ask here, so that what was accepted also runs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from pydantic_core import SchemaError, SchemaValidator, core_schema

LOOKED_AT = 1000
"""Characters of a text; a title or a label is shorter."""


def written(value: str) -> str | None:
    """The expression between two slashes; None for a plain word."""
    return value[1:-1] if len(value) > 1 and value.startswith("/") and value.endswith("/") else None


@cache
def compiled(expression: str) -> Callable[[str], bool]:
    """Whether it matches anywhere in the beginning of a text, without case. ValueError says why it cannot run."""
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


def _explained(error: str) -> str:
    """The engine's own reason, without the expression."""
    reason = error.rpartition("error: ")[2] if "error: " in error else "it is too large"
    return (
        f"is no regular expression that can be used: {reason}. It may have no look-around, no back reference and no "
        r"atomic group; the end of the text is $ or \z"
    )
