"""JSON by parts is the same JSON, in pieces that stay small."""

from __future__ import annotations

import base64
import json
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.jsonparts import PIECE, joined, pieces
from gateway.message import Attachment, Message
from tests.factories import make_message

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
)


@given(VALUES)
def test_any_value_reads_back_as_it_was(value: Any) -> None:
    """Whether characters beyond ASCII are escaped or not."""
    for ascii_only in (False, True):
        written = joined(pieces(value, ascii_only=ascii_only))

        assert value == json.loads(written)
        assert written.isascii() or not ascii_only


@pytest.mark.parametrize("length", [0, 1, 2, 3, PIECE - 1, PIECE, PIECE + 1, 5 * PIECE + 2])
def test_long_texts_and_files_come_whole(length: int) -> None:
    """Cut where it does not matter: between characters, and behind each third byte."""
    text = ('é"\\\n\U0001f4a1' * length)[:length]
    content = os.urandom(length)
    parts = list(pieces({"text": text, "file": content, "end": [1]}))

    assert {"text": text, "file": base64.b64encode(content).decode(), "end": [1]} == json.loads(b"".join(parts))
    assert max(map(len, parts)) <= 5 * PIECE


def test_a_large_mail_is_written_as_the_model_reads_it() -> None:
    """With everything that a small one has."""
    message = make_message(
        text="ä" * 70_000,
        html="<p>ü</p>" * 20_000,
        attachments=(
            Attachment(name="ö.pdf", content_type="application/pdf", content=os.urandom(100_000)),
            Attachment(name="b.png", content=b"", content_id="b"),
        ),
        headers={"X-Ticket": "4711"},
    )

    assert message.large
    assert message == Message.model_validate_json(joined(message.pieces()))
