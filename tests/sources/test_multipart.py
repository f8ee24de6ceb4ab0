"""How a multipart body is taken apart: where a part ends, and what is no part."""

from __future__ import annotations

import pytest

from gateway.sources.multipart import LONGEST_HEADERS, MOST_PARTS, Part, parts

TYPE = "multipart/form-data; boundary=b"
HEAD = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\r\n",
        b"\r\n\r\n",
        b"--b--",
        b"\r\n--",
        b"\r\n--bb",
        b"\r\n--b x",
        b"\r\n--b-",
        b"\n--b--\n",
        b"\r\r\n\r",
        b"\x00\xff" * 100,
    ],
)
def test_what_only_begins_as_a_boundary_is_content(content: bytes) -> None:
    """Only a whole line of it ends a part."""
    assert [Part(name="a", content=content)] == parts(HEAD + content + b"\r\n--b--\r\n", TYPE)


def test_line_ends_before_blanks_behind_a_boundary_and_what_follows_the_last_are_skipped() -> None:
    """As RFC 2046 allows them."""
    body = b"\r\n\r\n" + HEAD + b"1\r\n--b \t\r\nContent-Disposition:form-data; name=b\r\n\r\n2\r\n--b--\r\n--b\r\nrest"

    assert [Part(name="a", content=b"1"), Part(name="b", content=b"2")] == parts(body, TYPE)


def test_a_part_without_headers_and_a_body_without_parts_are_read() -> None:
    """Nothing says what they are; they are not broken."""
    assert ([Part(name="", content=b"x")], []) == (parts(b"--b\r\n\r\nx\r\n--b--", TYPE), parts(b"--b--\r\n", TYPE))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "boundaries are not those"),
        (b"x" + HEAD + b"1\r\n--b--", "boundaries are not those"),
        (b"--c\r\n\r\nx\r\n--c--", "boundaries are not those"),
        (HEAD + b"1", "ends before its last boundary"),
        (HEAD + b"1\r\n--b\r\n", "ends before its last boundary"),
        (b"--b\r\nContent-Disposition: form-data\r\n", "ends before its last boundary"),
        (b"--b\r\nno colon\r\n\r\nx\r\n--b--", "a part is broken"),
        (b"--b\r\nA: 1\r\n folded\r\n\r\nx\r\n--b--", "a part is broken"),
        (b"--b\r\nA b: 1\r\n\r\nx\r\n--b--", "a part is broken"),
        (b"--b\r\nA: " + b"x" * LONGEST_HEADERS + b"\r\n\r\nx\r\n--b--", "bytes of headers"),
        (b"--b\r\n\r\n\r\n" * (MOST_PARTS + 1) + b"--b--", "parts"),
    ],
)
def test_a_broken_body_says_what_is_wrong(body: bytes, reason: str) -> None:
    """A ValueError that a caller can act on."""
    with pytest.raises(ValueError, match=reason):
        parts(body, TYPE)
