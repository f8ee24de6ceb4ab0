"""No expression of the package costs more than its text is long: one did, and a post of 121 bytes hung the process."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from gateway.sources.multipart import parts
from tests import patterns
from tests.documents import ROOT

SECONDS = 120
"""How long the process may take that tries them; it takes ten."""


def slow(*planted: str) -> list[str]:
    """The names of the expressions that went over their budget, found by a process that can be ended."""
    command = [sys.executable, "-m", "tests.patterns", *planted]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=True)
    return [json.loads(line)["name"] for line in done.stdout.splitlines()]


def test_no_expression_of_the_package_is_slow_on_any_text_made_against_it() -> None:
    """Every expression, with the methods that the code calls on it."""
    assert [] == slow()


@pytest.mark.parametrize(
    "expression",
    [
        r';\s*([a-z]+)="((?:\\["\\]|[^"])*)"',
        r"^(\w+\s?)*$",
        r"(a|a)+!",
        r"(?:[^;]*;?)*x",
        r"\s+$",
        r"<[^>]*>x",
    ],
)
def test_an_expression_with_overlapping_readings_would_be_found(expression: str) -> None:
    """Exponential ones, and those that are slow by the square of the length."""
    assert [expression] == slow(expression)


def test_every_expression_has_a_name_under_which_it_is_tried() -> None:
    """One that is written inside a call of `re` would be in no list."""
    assert [] == list(patterns.inline())


def test_the_expressions_are_found_where_they_stand() -> None:
    """The list is not empty because nobody looked in the right place."""
    found = {expression.name: expression.methods for expression in patterns.expressions()}
    assert {"finditer"} == found["gateway.sources.multipart._PARAMETER"]
    assert len(found) > 40


@pytest.mark.parametrize(
    ("disposition", "expected"),
    [
        (r'form-data; name="a\"b"', ('a"b', None)),
        (r'form-data; name="a\\b"', ("a\\b", None)),
        (r'form-data; name="f"; filename="C:\new\scan.pdf"', ("f", "scan.pdf")),
        (r'form-data; name="f"; filename="C:\scans\"', ("f", "scans")),
        (r'form-data; name="f"; filename="\\"', ("f", "file")),
        (r'form-data; name="f"; filename="/"', ("f", "file")),
        (r'form-data; name="f"; filename=""', ("f", "")),
        (r'form-data; name="f"; filename="a;b\"c.txt"', ("f", 'a;b"c.txt')),
        (r"form-data; name=f; filename=plain name.txt", ("f", "plain name.txt")),
        (r'form-data; name="ends in a backslash\"', ("ends in a backslash\\", None)),
        (r'form-data; name="' + "\\" * 63, ('"' + "\\" * 63, None)),
    ],
)
def test_a_disposition_is_read_whatever_its_backslashes(disposition: str, expected: tuple[str, str | None]) -> None:
    """As curl, browsers, .NET and somebody who wants to break it write it."""
    body = f"--b\r\nContent-Disposition: {disposition}\r\n\r\nx\r\n--b--\r\n".encode()
    (part,) = parts(body, "multipart/form-data; boundary=b")
    assert expected == (part.name, part.filename)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ('Content-Disposition: form-data; name="' + "n" * 1100 + '"', "Content-Disposition of more than 1024 bytes"),
        ('Content-Disposition: form-data; name="' + "\\" * 2000, "Content-Disposition of more than 1024 bytes"),
        ("Content-Disposition: form-data" + "; a=b" * 21, "Content-Disposition of more than 20 parameters"),
        ("\r\n".join(f"X-{number}: {'x' * 3000}" for number in range(3)), "more than 8192 bytes of headers"),
    ],
)
def test_a_part_with_longer_headers_than_any_name_needs_is_refused(headers: str, reason: str) -> None:
    """The limits are asked before an expression sees the text."""
    body = f"--b\r\n{headers}\r\n\r\nx\r\n--b--\r\n".encode()
    with pytest.raises(ValueError, match=reason):
        parts(body, "multipart/form-data; boundary=b")
