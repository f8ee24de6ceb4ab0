"""A small part of Kusto's language: a query and a table's rows come in, the rows that it answers with go out.

Just what the files under infra/queries use, and an error for everything else: what is tested here was understood. Two
words are as strict as Kusto's own: `==` and `in` know the case, `startswith` does not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

Row = dict[str, Any]
Value = Callable[[Mapping[str, Any]], Any]
Fold = Callable[[Sequence[Mapping[str, Any]]], Any]

_TOKEN = re.compile(
    r"\s*(?://[^\n]*\s*)*(?:(?P<span>\d+(?:ms|[smhd])\b)|(?P<number>\d+)|'(?P<text>[^']*)'"
    r"|(?P<word>[A-Za-z_]\w*)|(?P<sign>==|!=|>=|<=|[-+*/<>()\[\],.=|]))"
)
_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Unknown(Exception):
    """What this part of the language does not have."""


class Token(NamedTuple):
    """A piece of a query."""

    kind: str
    text: str


def run(query: str, rows: Sequence[Row]) -> list[Row]:
    """The answer."""
    return Query(tokens(query)).run(rows)


def tokens(query: str) -> list[Token]:
    """Its pieces, without comments."""
    found, at = [], 0
    query = query.rstrip()
    while at < len(query):
        match = _TOKEN.match(query, at)
        if not match:
            raise Unknown(query[at : at + 30])
        found.append(Token(match.lastgroup or "", match[match.lastgroup or 0]))
        at = match.end()
    return found


def _boolean(value: Any) -> bool:
    return value is True


def _number(value: Any) -> int | None:
    return int(value) if isinstance(value, (int, float)) or str(value).isdigit() else None


def _text(value: Any) -> str:
    return "" if value is None else json.dumps(value) if isinstance(value, (dict, list)) else str(value)


def _parsed(value: Any) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return None


def _bin(value: Any, step: Any) -> Any:
    return _EPOCH + (value - _EPOCH) // step * step if isinstance(step, timedelta) else value // step * step


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "bin": _bin,
    "isempty": lambda value: value in (None, ""),
    "isnotempty": lambda value: value not in (None, ""),
    "isnotnull": lambda value: value is not None,
    "parse_json": _parsed,
    "todouble": lambda value: value if isinstance(value, (int, float)) else None,
    "toint": _number,
    "tostring": _text,
}


def _percentile(values: Sequence[Any], percent: int) -> Any:
    return sorted(values)[max(0, -(-len(values) * percent // 100) - 1)] if values else None


def _column(rows: Sequence[Mapping[str, Any]], value: Value) -> list[Any]:
    return [found for row in rows if (found := value(row)) is not None]


def _folded(name: str, arguments: Sequence[Value]) -> Fold:
    """An aggregate."""
    folds: dict[str, Callable[..., Fold]] = {
        "count": lambda: len,
        "countif": lambda test: lambda rows: sum(_boolean(test(row)) for row in rows),
        "max": lambda value: lambda rows: max(_column(rows, value), default=None),
        "minif": lambda value, test: (
            lambda rows: min(_column([row for row in rows if _boolean(test(row))], value), default=None)
        ),
        "sum": lambda value: lambda rows: sum(_column(rows, value)),
        "percentile": lambda value, percent: lambda rows: _percentile(_column(rows, value), percent({})),
    }
    if name not in folds:
        raise Unknown(f"{name}()")
    return folds[name](*arguments)


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    ">": lambda left, right: left is not None and left > right,
    "<": lambda left, right: left is not None and left < right,
    "-": lambda left, right: left - right,
    "/": lambda left, right: left / right,
    "*": lambda left, right: left * right,
    "startswith": lambda left, right: str(left).lower().startswith(right.lower()),
}
_RANK = {"or": 1, "and": 2, "==": 3, "!=": 3, ">": 3, "<": 3, "startswith": 3, "in": 3, "-": 4, "/": 5, "*": 5}


class Query:
    """One query, read from left to right."""

    def __init__(self, found: list[Token]) -> None:
        """The pieces of it."""
        self.tokens = found
        self.at = 0

    def run(self, rows: Sequence[Row]) -> list[Row]:
        """The rows of `traces` go through one step after the other."""
        self._expect("traces")
        answer = [dict(row) for row in rows]
        steps: dict[str, Callable[[list[Row]], list[Row]]] = {
            "where": self._where,
            "extend": self._extend,
            "project": self._project,
            "summarize": self._summarize,
            "order": self._order,
            "top": self._top,
        }
        while self.at < len(self.tokens):
            self._expect("|")
            step = self._next().text
            if step not in steps:
                raise Unknown(step)
            answer = steps[step](answer)
        return answer

    # ------------------------------------------------------------------------------------------------- steps

    def _where(self, rows: list[Row]) -> list[Row]:
        test = self._expression()
        return [row for row in rows if _boolean(test(row))]

    def _extend(self, rows: list[Row]) -> list[Row]:
        named = self._named()
        return [{**row, **{name: value(row) for name, value in named}} for row in rows]

    def _project(self, rows: list[Row]) -> list[Row]:
        named = self._named()
        return [{name: value(row) for name, value in named} for row in rows]

    def _summarize(self, rows: list[Row]) -> list[Row]:
        folds = list(self._folds())
        by = self._named() if self._take("by") else []
        groups: dict[tuple[Any, ...], list[Row]] = {} if by else {(): []}
        for row in rows:
            groups.setdefault(tuple(value(row) for _, value in by), []).append(row)
        return [
            {
                **{name: key for (name, _), key in zip(by, keys, strict=True)},
                **{name: fold(group) for name, fold in folds},
            }
            for keys, group in groups.items()
        ]

    def _order(self, rows: list[Row]) -> list[Row]:
        self._expect("by")
        column, direction = self._column(), self._next().text
        return sorted(rows, key=lambda row: row[column], reverse=direction == "desc")

    def _top(self, rows: list[Row]) -> list[Row]:
        most = int(self._next().text)
        return self._order(rows)[:most]

    def _folds(self) -> Iterator[tuple[str, Fold]]:
        while True:
            name = self._column()
            self._expect("=")
            yield name, _folded(self._next().text, self._arguments())
            if not self._take(","):
                return

    def _named(self) -> list[tuple[str, Value]]:
        """`name = expression`, a column, or `bin(column, step)`, which is called as the column is."""
        found = []
        while True:
            start = self.at
            name = self._column()
            if not self._take("="):
                self.at = start
                name = self.tokens[start + 2].text if name == "bin" else name
            found.append((name, self._expression()))
            if not self._take(","):
                return found

    # ------------------------------------------------------------------------------------------- expressions

    def _expression(self, rank: int = 0) -> Value:
        left = self._term()
        while self.at < len(self.tokens) and _RANK.get(self.tokens[self.at].text, 0) > rank:
            word = self._next().text
            left = self._joined(word, left)
        return left

    def _joined(self, word: str, left: Value) -> Value:
        if word == "in":
            choices = self._arguments()
            return lambda row: left(row) in [choice(row) for choice in choices]
        right = self._expression(_RANK[word])
        if word == "and":
            return lambda row: _boolean(left(row)) and _boolean(right(row))
        if word == "or":
            return lambda row: _boolean(left(row)) or _boolean(right(row))
        return lambda row: OPERATORS[word](left(row), right(row))

    def _term(self) -> Value:
        token = self._next()
        if token.text == "(" and token.kind == "sign":
            inner = self._expression()
            self._expect(")")
            return inner
        if token.kind == "word":
            return self._path(self._called(token.text) if self._peek("(") else _of_row(token.text))
        if token.kind in _CONSTANTS:
            value = _CONSTANTS[token.kind](token.text)
            return lambda _: value
        raise Unknown(token.text)

    def _called(self, name: str) -> Value:
        if name not in FUNCTIONS:
            raise Unknown(f"{name}()")
        arguments = self._arguments()
        return lambda row: FUNCTIONS[name](*(argument(row) for argument in arguments))

    def _path(self, value: Value) -> Value:
        while self._peek(".") or self._peek("["):
            dotted = self._next().text == "."
            key = self._next().text
            if not dotted:
                self._expect("]")
            value = _member(value, key)
        return value

    def _arguments(self) -> list[Value]:
        self._expect("(")
        found: list[Value] = []
        while not self._take(")"):
            found.append(self._expression())
            self._take(",")
        return found

    # ------------------------------------------------------------------------------------------------ pieces

    def _next(self) -> Token:
        if self.at == len(self.tokens):
            raise Unknown("the end")
        self.at += 1
        return self.tokens[self.at - 1]

    def _column(self) -> str:
        token = self._next()
        if token.kind != "word":
            raise Unknown(token.text)
        return token.text

    def _peek(self, text: str) -> bool:
        return self.at < len(self.tokens) and self.tokens[self.at].text == text and self.tokens[self.at].kind != "text"

    def _take(self, text: str) -> bool:
        taken = self._peek(text)
        self.at += taken
        return taken

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise Unknown(f"{text} was expected at piece {self.at} of the query")


_CONSTANTS: dict[str, Callable[[str], Any]] = {
    "text": str,
    "number": int,
    "span": lambda text: timedelta(**{_UNITS[text.lstrip("0123456789")]: int(re.sub(r"\D", "", text))}),
}


def _of_row(name: str) -> Value:
    def value(row: Mapping[str, Any]) -> Any:
        if name not in row:
            raise Unknown(f"there is no column {name}")
        return row[name]

    return value


def _member(of: Value, key: str) -> Value:
    def value(row: Mapping[str, Any]) -> Any:
        found = of(row)
        return found.get(key) if isinstance(found, dict) else None

    return value
