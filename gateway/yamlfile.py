"""YAML with a memory: text comes in, plain values and the line of every one of them go out.

`${env:NAME}` inside a string is replaced from the environment, so that no secret needs to stand in the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
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
        def replace(match: re.Match[str]) -> str:
            name = match.group(1)
            if not _NAME.fullmatch(name):
                self.problem(path, "has a malformed reference; write ${env:NAME}")
                return ""
            if name not in self._environ:
                self.problem(path, f"needs the environment variable {name}, which is not set")
                return ""
            return self._environ[name]

        return _VARIABLE.sub(replace, text)
