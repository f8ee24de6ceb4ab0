"""docs/security.md names a test for each control: it is there, and each threat has one."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.documents import ROOT, documents

PAGE = documents()["docs/security.md"]
_TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
_ROW = re.compile(r"^\| (?!---)(.+) \|$", re.MULTILINE)


def named() -> list[tuple[str, str]]:
    """Every test that the page names: its file, and its function or "" for the whole file."""
    return [(file, function or "") for file, function in _TEST.findall(PAGE.text)]


def threats() -> list[list[str]]:
    """The rows of the table of threats, without its heading."""
    rows = [row.split(" | ") for row in _ROW.findall(PAGE.section("Threats, controls, tests"))]
    return [row for row in rows if row[0] != "threat"]


@cache
def functions(file: str) -> frozenset[str]:
    """The names of a file's functions and methods."""
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize(("file", "function"), sorted(set(named())))
def test_a_test_that_the_page_names_is_there(file: str, function: str) -> None:
    """A control whose test was renamed or removed must not go on being promised."""
    assert (ROOT / file).is_file()
    assert not function or (function.startswith("test_") and function in functions(file))


def test_every_threat_has_a_control_and_a_test() -> None:
    """A row without a test is a hope."""
    assert len(threats()) > 30
    assert [] == [row for row in threats() if len(row) != 3 or not row[1].strip() or not _TEST.search(row[2])]
