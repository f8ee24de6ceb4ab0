"""Tries every expression of the package against texts made to cost it much; run it to see what each costs.

An expression costs more than its text is long where its alternatives or repetitions overlap: exponentially (a run that
can be read in many ways) or by the square (a search that starts anew at every place). Which texts do that is found by
trying: prefixes, a repeated pump, an ending that keeps it from matching, of the characters that the expression names.

`python -m tests.patterns` prints one JSON object for each attempt that went over its budget of processor time. A
process of its own, since an expression that hangs cannot be ended in any other way.
"""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import re
import signal
import sys
from collections.abc import Iterable, Iterator
from itertools import chain, product
from time import process_time
from types import FrameType
from typing import Any, NamedTuple

import gateway
from tests.documents import ROOT

LENGTHS = (64, 2_000, 50_000)
"""Characters: exponential expressions are slow at the first, cubic ones at the second, quadratic ones at the last."""

BUDGET = 0.25
"""Seconds of processor time for one attempt; a linear one takes about a thousandth."""

METHODS = frozenset({"fullmatch", "match", "search", "sub", "split", "findall", "finditer"})

BOUNDED = {
    "gateway.address._NAMED": 1_000,
}
"""Expressions that may cost more than their text's length, and how many characters they are ever given."""

_PREFIXES = ("", '"', "<", "; name=", '; name="', ";a=", "http://", "charset=", "&#", "{{", "%", "a@", "_")
_PUMPS = (
    "\\",
    '\\"',
    " ",
    "a",
    "a.",
    "a ",
    "-",
    ".",
    ",",
    ";",
    '"',
    "<",
    ">",
    "<a ",
    "@",
    "=",
    "0",
    "%20",
    "\n",
    "\\a",
    "=;",
)
_ENDINGS = ("", "!", '"', "\\", "\n", "\x00", "é")


class Expression(NamedTuple):
    """One compiled expression, where it stands and the methods that the code calls on it."""

    name: str
    pattern: re.Pattern[str]
    methods: frozenset[str]


def modules() -> Iterator[Any]:
    """Every module of the package."""
    for found in pkgutil.walk_packages(gateway.__path__, "gateway."):
        if found.name != "gateway.__main__":
            yield importlib.import_module(found.name)


def expressions() -> list[Expression]:
    """Every expression that a module or a class keeps under a name, with how it is used wherever it is used."""
    found: dict[str, re.Pattern[str]] = {}
    for module in modules():
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
                found[f"{module.__name__}.{name}"] = value
    uses = _uses()
    return [Expression(name, pattern, uses.get(name, METHODS)) for name, pattern in sorted(found.items())]


def _uses() -> dict[str, frozenset[str]]:
    """The methods called on each expression, by its full name; one that is passed on is called by any."""
    uses: dict[str, set[str]] = {}
    for path in sorted((ROOT / "gateway").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr in METHODS:
                uses.setdefault(f"{module}.{node.value.id}", set()).add(node.attr)
    return {name: frozenset(methods) for name, methods in uses.items()}


def inline() -> list[str]:
    """Calls of `re` with an expression in them, which no list of names can find."""
    found = []
    for path in sorted((ROOT / "gateway").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            called = node.func if isinstance(node, ast.Call) else None
            if (
                isinstance(called, ast.Attribute)
                and isinstance(called.value, ast.Name)
                and called.value.id == "re"
                and called.attr in METHODS | {"subn"}
            ):
                found.append(f"{path.relative_to(ROOT)}:{called.lineno}")
    return found


def characters(pattern: str) -> set[str]:
    """What the expression itself names: its literal characters and the ends of its ranges."""
    found: set[str] = set()

    def look(node: Any) -> None:
        if isinstance(node, list | tuple) or type(node).__name__ == "SubPattern":
            items = list(node)
            if len(items) == 2 and str(items[0]) in {"LITERAL", "NOT_LITERAL"}:
                found.add(chr(items[1]))
            elif len(items) == 2 and str(items[0]) == "RANGE":
                found.update(map(chr, items[1]))
            for item in items:
                look(item)

    import re._parser as parser  # type: ignore[import-not-found]  # the only parser of expressions there is

    look(parser.parse(pattern))
    return found


def texts(pattern: str, length: int) -> Iterator[str]:
    """Texts of about `length` characters that may cost the expression much."""
    own = sorted(characters(pattern))[:24]
    pairs = [first + second for first, second in product(own[:10], repeat=2)] if length <= LENGTHS[0] else []
    pumps: Iterable[str] = dict.fromkeys(chain(_PUMPS, own, pairs))
    prefixes = dict.fromkeys(chain(_PREFIXES, own)) if length <= LENGTHS[0] else ("", '"', "<", '; name="', "http://")
    endings = _ENDINGS if length <= LENGTHS[1] else ("", "!", "\x00")
    for prefix, pump, ending in product(prefixes, pumps, endings):
        yield prefix + pump * (length // len(pump)) + ending


def attempt(expression: Expression, method: str, text: str) -> float:
    """Seconds of processor time; a method that yields is read to its end."""
    call = getattr(expression.pattern, method)
    begun = process_time()
    try:
        signal.setitimer(signal.ITIMER_PROF, 4 * BUDGET)
        result = call("", text) if method == "sub" else call(text)
        for _ in result if method == "finditer" else ():
            pass
    except TimeoutError:
        pass
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return process_time() - begun


def _stop(number: int, frame: FrameType | None) -> None:
    raise TimeoutError


def slow(expression: Expression) -> Iterator[dict[str, Any]]:
    """What goes over the budget; the first such text for a method is enough."""
    most = BOUNDED.get(expression.name, LENGTHS[-1])
    for method in sorted(expression.methods):
        tried = chain.from_iterable(texts(expression.pattern.pattern, min(length, most)) for length in LENGTHS)
        for text in tried:
            if (seconds := attempt(expression, method, text)) > BUDGET:
                yield {"name": expression.name, "method": method, "text": text[:40], "seconds": round(seconds, 3)}
                break


def main(planted: list[str]) -> None:
    """Try them all, or only these, which stand for ones that somebody may write."""
    signal.signal(signal.SIGPROF, _stop)
    own = [Expression(text, re.compile(text), frozenset({"search"})) for text in planted]
    for found in chain.from_iterable(map(slow, own or expressions())):
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
