"""YAML with a memory: text comes in, plain values and the line of every one of them go out.

`${env:NAME}` inside a string is replaced from the environment, so that no secret needs to stand in the file. What came
from there stands in no problem either: people paste those into tickets, and the log has more readers than the secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import yaml

from gateway.errors import Problem

Path = tuple[str | int, ...]

_VARIABLE = re.compile(r"\$\{env:([^}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def dotted(path: Path) -> str:
    """`('sources', 'crm', 'routes', 0, 'to')` as people write it: `sources.crm.routes[0].to`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".") or "(file)"


class Document:
    """One YAML file: `value`, the `problems` found while reading it, and `line(path)`, 1-based."""

    def __init__(self, text: str, file: str, environ: Mapping[str, str]) -> None:
        """Read `text`; nothing is raised, what is wrong stands in `problems`."""
        self.file = file
        self.problems: list[Problem] = []
        self._lines: dict[Path, int] = {}
        self._environ = environ
        self._written: dict[Path, tuple[str, str]] = {}
        self._used: dict[Path, dict[str, str]] = {}
        self.value: Any = self._read(text)

    def line(self, path: Path) -> int:
        """The line of a value, or of the nearest thing around it that the file has."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    def problem(self, path: Path, message: str) -> None:
        """Note a mistake at a path; the first one there says it, what follows from it would only confuse."""
        field = dotted(path)
        if all(problem.field != field for problem in self.problems):
            self.problems.append(Problem(self.file, self.line(path), field, message))

    def told(self, path: Path, text: str) -> str:
        """A text about the value at a path, with `${env:NAME}` wherever it quotes what came from the environment."""
        near = [where for where in self._used if where[: len(path)] == path[: len(where)]]
        for where in near:
            written, value = self._written[where]
            text = _without(value, written, text, anywhere=True)
        for where, used in self._used.items():
            for name, value in used.items():
                text = _without(value, reference(name), text, anywhere=where in near)
        return text

    def path(self, field: str) -> Path:
        """The path of a field as people write it; nowhere, when the file has none of that name."""
        return next((path for path in self._lines if dotted(path) == field), ("", field))

    def references(self, path: Path) -> str:
        """The references in the value at a path, or in the value it is a part of; "" when there is none."""
        whole = next((where for where in self._used if path[: len(where)] == where), None)
        return " and ".join(map(reference, self._used[whole])) if whole is not None else ""

    def instead(self, value: Any, path: Path, other: str) -> Any:
        """The value at a path with `other` wherever something came from the environment."""
        if isinstance(value, dict):
            return {key: self.instead(item, (*path, key), other) for key, item in value.items()}
        if isinstance(value, list):
            return [self.instead(item, (*path, index), other) for index, item in enumerate(value)]
        return other if path in self._used else value

    def _read(self, text: str) -> Any:
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 1
            self.problems.append(Problem(self.file, line, "(file)", f"is not valid YAML: {error.problem}"))
            return None
        except (yaml.YAMLError, RecursionError) as error:
            self.problems.append(Problem(self.file, 1, "(file)", f"is not valid YAML: {type(error).__name__}"))
            return None
        return None if node is None else self._value(node, ())

    def _value(self, node: yaml.Node, path: Path) -> Any:
        self._lines.setdefault(path, node.start_mark.line + 1)
        if len(path) > 32:  # an alias that contains itself, or a file nobody wrote by hand
            self.problem(path, "is nested too deeply")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
        value = yaml.SafeLoader("").construct_object(node)
        return self._substitute(value, path) if isinstance(value, str) else value

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            here = (*path, key)
            if key in result:
                self.problems.append(
                    Problem(self.file, key_node.start_mark.line + 1, dotted(here), "is written twice; keep one")
                )
                continue
            self._lines[here] = key_node.start_mark.line + 1
            result[key] = self._value(value_node, here)
        return result

    def _substitute(self, text: str, path: Path) -> str:
        used: dict[str, str] = {}

        def replace(match: re.Match[str]) -> str:
            name = match.group(1)
            if not _NAME.fullmatch(name):
                self.problem(path, "has a malformed reference; write ${env:NAME}")
                return ""
            if name not in self._environ:
                self.problem(path, f"needs the environment variable {name}, which is not set")
                return ""
            used[name] = self._environ[name]
            return used[name]

        value = _VARIABLE.sub(replace, text)
        if used:
            self._used[path] = used
            self._written[path] = text, value
        return value


def reference(name: str) -> str:
    """How gateway.yaml names an environment variable."""
    return f"${{env:{name}}}"


SHORT = 4
"""A value of fewer characters is only looked for as a whole word: `a` is in every sentence."""


def _without(value: str, shown: str, text: str, *, anywhere: bool) -> str:
    """The text with `shown` in place of the value, in whatever case it is quoted."""
    value = value.strip()
    if not value or not (anywhere or len(value) >= SHORT):
        return text
    word = value[0].isalnum() and value[-1].isalnum() and not (anywhere and len(value) >= SHORT)
    # As a path it may have been quoted without a slash too many.
    forms = "|".join(re.escape(form) for form in dict.fromkeys((value, *_paths(value))))
    quoted = re.compile(rf"\b(?:{forms})\b" if word else forms, re.IGNORECASE)
    return quoted.sub(lambda _: shown, text)


def _paths(value: str) -> tuple[str, ...]:
    path = str(PurePath(value)) if "/" in value or "\\" in value else ""
    return (path,) if len(path) >= SHORT else ()
