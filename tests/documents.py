"""The documents as data: Markdown files come in, their code blocks, tables, links and sections go out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
ADDRESS = "http://127.0.0.1:7071"
"""Where the gateway is in every sample; a test puts the address of its own there."""

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_WORD = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Block:
    """One code block; `before` and `after` are the paragraphs around it."""

    file: str
    line: int
    language: str
    text: str
    before: str
    after: str

    def __str__(self) -> str:
        """`docs/http.md:73`, the name of its test."""
        return f"{self.file}:{self.line}"

    def at(self, url: str) -> str:
        """The text for a gateway at another address."""
        return self.text.replace(ADDRESS, url)


@dataclass(frozen=True)
class Document:
    """One Markdown file; `name` is its path from the root."""

    name: str
    text: str

    def __str__(self) -> str:
        """Its name, which is that of its tests."""
        return self.name

    @property
    def blocks(self) -> list[Block]:
        """Its code blocks."""
        return list(self._blocks())

    def _blocks(self) -> Iterator[Block]:
        for match in _FENCE.finditer(self.text):
            before = self.text[: match.start()].strip().rpartition("\n\n")[2]
            after = self.text[match.end() :].strip().partition("\n\n")[0]
            line = self.text.count("\n", 0, match.start()) + 1
            yield Block(self.name, line, match[1], match[2], " ".join(before.split()), " ".join(after.split()))

    @property
    def prose(self) -> str:
        """Everything but the code blocks."""
        return _FENCE.sub("", self.text)

    @property
    def words(self) -> list[str]:
        """Whatever stands between single backticks."""
        return [" ".join(word.split()) for word in _WORD.findall(self.prose)]

    @property
    def links(self) -> list[str]:
        """Every link's target."""
        return _LINK.findall(self.prose)

    @property
    def anchors(self) -> set[str]:
        """What a link may name behind a #."""
        return {anchor(title) for _, title in _HEADING.findall(self.prose)}

    def section(self, title: str) -> str:
        """The text below a heading, down to the next one of its rank or a higher one."""
        text = _FENCE.sub(lambda match: re.sub(r"^#", "\\#", match[0], flags=re.MULTILINE), self.text)
        found = [(len(match[1]), match[2], match.start(), match.end()) for match in _HEADING.finditer(text)]
        for index, (rank, name, _, start) in enumerate(found):
            if name == title:
                end = next((begin for other, _, begin, _ in found[index + 1 :] if other <= rank), len(text))
                return text[start:end]
        raise AssertionError(f"{self.name} has no section {title}")

    def rows(self, title: str) -> list[list[str]]:
        """The cells of every table row in a section but the headings."""
        section = self.section(title)
        return [
            [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            for line in section.splitlines()
            if line.startswith("| `")
        ]

    def table(self, title: str) -> dict[str, list[str]]:
        """A section's rows by the word in their first cell."""
        return {row[0].strip("`"): row[1:] for row in self.rows(title)}


def anchor(title: str) -> str:
    """A heading's anchor as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


@cache
def documents() -> dict[str, Document]:
    """Every document people read, by its path from the root."""
    files = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))]
    names = [str(file.relative_to(ROOT)) for file in files]
    return {name: Document(name, (ROOT / name).read_text("utf-8")) for name in names}


def blocks(*languages: str) -> list[Block]:
    """The code blocks in these languages, of all documents."""
    return [block for document in documents().values() for block in document.blocks if block.language in languages]
