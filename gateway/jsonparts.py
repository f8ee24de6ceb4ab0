"""JSON by parts: a value with long texts or files in it comes in, its bytes go out a piece at a time.

Open this when a large mail takes too much memory on its way into the store or to the provider. json.dumps has a file of
10 MB four times while it writes it: as bytes, as base64, as text, and encoded.
"""

from __future__ import annotations

import io
import json
from base64 import b64encode
from collections.abc import Iterable, Iterator
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any

PIECE = 48 * 1024
"""Bytes of a file, or characters of a text, that are written at once; base64 needs a multiple of 3."""


def pieces(value: Any, *, ascii_only: bool = False) -> Iterator[bytes]:
    """The value as JSON; bytes in it become base64. The pieces are at most about 200 kB, whatever the value."""
    written = bytearray()
    for part in _parts(value, ascii_only=ascii_only):
        written += part
        if len(written) > PIECE:
            yield bytes(written)
            written.clear()
    if written:
        yield bytes(written)


def joined(parts: Iterable[bytes]) -> bytes:
    """All of it, without ever having it twice: a list of the pieces would."""
    buffer = io.BytesIO()
    for part in parts:
        buffer.write(part)
    return buffer.getvalue()


def _parts(value: Any, *, ascii_only: bool) -> Iterator[bytes]:
    if isinstance(value, dict):
        yield from _listed(b"{", b"}", (_member(*member, ascii_only=ascii_only) for member in value.items()))
    elif isinstance(value, list | tuple):
        yield from _listed(b"[", b"]", (_parts(item, ascii_only=ascii_only) for item in value))
    elif isinstance(value, bytes):
        yield b'"'
        view = memoryview(value)
        for start in range(0, len(value), PIECE):
            yield b64encode(view[start : start + PIECE])
        yield b'"'
    elif isinstance(value, str):
        encode = encode_basestring_ascii if ascii_only else encode_basestring
        yield b'"'
        for start in range(0, len(value), PIECE):
            yield encode(value[start : start + PIECE])[1:-1].encode()
        yield b'"'
    else:
        yield json.dumps(value).encode()


def _member(name: str, value: Any, *, ascii_only: bool) -> Iterator[bytes]:
    yield from _parts(name, ascii_only=ascii_only)
    yield b":"
    yield from _parts(value, ascii_only=ascii_only)


def _listed(begin: bytes, end: bytes, items: Iterable[Iterator[bytes]]) -> Iterator[bytes]:
    yield begin
    for number, item in enumerate(items):
        if number:
            yield b","
        yield from item
    yield end
