"""Shapes of a plain-text mail: strings and labelled values come in, lines that stand well in any client go out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

WIDTH = 76
"""Where a line breaks; RFC 5322 section 2.1.1 recommends at most 78 characters."""

LABEL_WIDTH = 24
"""The widest column of labels; a longer label pushes its value to the right."""


def wrap(text: str, indent: int = 0) -> str:
    """`text` with lines of at most WIDTH, each behind `indent` spaces; a long word, such as a URL, stays whole."""
    lead = " " * indent
    return "\n".join(
        lead + piece if piece else "" for line in text.splitlines() for piece in _pieces(line, WIDTH - indent)
    )


def aligned(pairs: Iterable[tuple[str, str]], indent: int = 0) -> str:
    """`name:  value` in two columns; further lines of a value stand below its first."""
    pairs = list(pairs)
    column = min(max((len(name) for name, _ in pairs), default=0), LABEL_WIDTH) + 3
    lead, below = " " * indent, " " * (indent + column)
    lines = []
    for name, value in pairs:
        first, *rest = [piece for line in value.splitlines() for piece in _pieces(line, WIDTH - len(below))] or [""]
        lines.append(f"{lead}{name + ':':<{column - 1}} {first}".rstrip())
        lines += [below + piece if piece else "" for piece in rest]
    return "\n".join(lines)


def underlined(title: str) -> str:
    """`title` with a line below it."""
    return f"{title}\n{'=' * min(len(title), WIDTH)}"


def _pieces(line: str, width: int) -> Iterator[str]:
    """A line broken at its spaces."""
    if len(line) <= width:
        yield line.rstrip()
        return
    piece = ""
    for word in line.split(" "):
        if piece and len(piece) + len(word) >= width:
            yield piece.rstrip()
            piece = word
        else:
            piece = f"{piece} {word}" if piece else word
    yield piece.rstrip()
