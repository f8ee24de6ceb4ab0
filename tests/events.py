"""What the gateway can log: its source code comes in, every event's word and where it is written goes out."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from gateway.message import Status

ROOT = Path(__file__).parent.parent

WRITERS = {"log": 0, "_log": 0, "_say": 0, "_not_done": 0, "_every": 1}
"""Functions that write a line, by the place of the word among their arguments; `_every` says it and `…_failed`."""

PASSED_ON = {
    "delivery.py": {"event", "settlement.event"},
    "host.py": {"event", "f'{event}_failed'"},
    "operators.py": {"event"},
    "triggers.py": {"event"},
}
"""Words that a writer has from somebody else, by file: another writer, a settlement, or a status."""


@cache
def events() -> frozenset[str]:
    """Every word; those of receipts and delivery reports, which are statuses, too."""
    receipts = {Status.SENT, Status.CAPTURED}
    reports = {Status.DELIVERED, Status.BOUNCED, Status.SUPPRESSED, Status.FAILED}
    written = {word for _, call in _calls() for word in _words(call)}
    return frozenset(written | {str(status) for status in receipts | reports} | {"report_foreign"})


def passed_on() -> dict[str, set[str]]:
    """By file: words that no constant in a call says."""
    found: dict[str, set[str]] = {}
    for file, call in _calls():
        given = _given(call)
        if given is not None and not isinstance(given, ast.Constant):
            found.setdefault(file, set()).add(ast.unparse(given))
    return found


def _calls() -> Iterator[tuple[str, ast.Call]]:
    for file in sorted((ROOT / "gateway").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                yield file.name, node


def _name(call: ast.Call) -> str:
    """Of a function, or of one in a module; a method of one's own writes nothing itself."""
    called = call.func
    if isinstance(called, ast.Attribute):
        return "" if getattr(called.value, "id", "") == "self" else called.attr
    return called.id if isinstance(called, ast.Name) else ""


def _given(call: ast.Call) -> ast.expr | None:
    place = WRITERS.get(_name(call), len(call.args))
    return call.args[place] if place < len(call.args) else None


def _words(call: ast.Call) -> Iterator[str]:
    settled = [word.value for word in call.keywords if word.arg == "event"]
    for node in (*settled, _given(call)):
        if isinstance(node, ast.Constant | ast.IfExp):
            words = [str(inner.value) for inner in ast.walk(node) if isinstance(inner, ast.Constant)]
            yield from words
            yield from (f"{word}_failed" for word in words if _name(call) == "_every")
