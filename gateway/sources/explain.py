"""Why a caller's fields were refused: pydantic's errors come in, dotted names with what to write instead go out.

No sentence repeats a value: it may be a secret, and the caller knows it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from gateway.address import one_line
from gateway.errors import MOST_FAULTS

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_TIME = "must be a time with Z or an offset, such as 2026-12-24T18:00:00Z"
_SENTENCES = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "datetime_from_date_parsing": _TIME,
    "datetime_object_invalid": _TIME,
    "datetime_parsing": _TIME,
    "dict_type": "must be an object",
    "enum": "must be {expected}",
    "missing": "is missing",
    "model_type": "must be a string, or an object as the documentation shows",
    "string_pattern_mismatch": "has characters that may not stand there; it must match {pattern}",
    "string_too_long": "is too long; at most {max_length} characters",
    "string_too_short": "must not be empty",
    "string_type": "must be a string",
    "timezone_aware": _TIME,
    "too_long": "has too many entries; at most {max_length}",
    "tuple_type": "must be a list",
}
_MEANT = {"body": "text", "content": "text", "message": "text", "recipients": "to", "plaintext": "text"}


def explain(error: ValidationError, model: type[BaseModel]) -> dict[str, str]:
    """Each failing field with one sentence; `model` is asked for the fields there are."""
    found: dict[str, str] = {}
    for item in error.errors(include_url=False, include_input=False):
        found.setdefault(dotted(item["loc"]), _sentence(item, model))
        if len(found) == MOST_FAULTS:
            break
    return found


def dotted(path: Iterable[int | str]) -> str:
    """`attachments[0].content`; names are the caller's own, so they are cut and made one line."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part != "[key]":
            text += f".{shown(part)}"
    return text.removeprefix(".")


def shown(name: str) -> str:
    """A caller's name for a field, fit for an answer."""
    return one_line(name[:100])[:64] or "(no name)"


def _sentence(item: ErrorDetails, model: type[BaseModel]) -> str:
    kind = item["type"]
    if kind == "extra_forbidden":
        return _unknown(item["loc"], model)
    context: dict[str, Any] = item.get("ctx", {})
    template = _SENTENCES.get(kind)
    if template is not None:
        return template.format(**context)
    return item["msg"].removeprefix("Value error, ")


def _unknown(path: tuple[int | str, ...], model: type[BaseModel]) -> str:
    """The likeliest field first, then all: callers write what another service calls it."""
    name = str(path[-1])
    if len(path) > 1:
        return "is unknown"
    if name.lower() in {"from", "sender", "from_", "senderaddress"}:
        return "is unknown: the sender belongs to the configuration of the source, no caller chooses it"
    import difflib

    simple = "".join(filter(str.isalnum, name[:64])).lower()
    names = {"".join(filter(str.isalnum, known)): known for known in model.model_fields}
    close = difflib.get_close_matches(simple, names, 1)
    meant = _MEANT.get(simple) or (names[close[0]] if close else "")
    known = ", ".join(model.model_fields)
    return f"is unknown{f', did you mean {meant}?' if meant else ';'} known fields are {known}"
