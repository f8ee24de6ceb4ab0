"""Between text and HTML: a caller's HTML comes in and readable text goes out, or text comes in and safe HTML goes out.

Reading is one pass over the characters whatever they are: html.parser takes quadratic time over unclosed comments
(CPython gh-135462), and a caller's HTML may be 10 MB.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from itertools import islice

from markupsafe import Markup, escape

READ_LIMIT = 200_000
"""Characters of HTML that are made into text; a longer mail is read as HTML by everybody who can read it at all."""

MOST_TOKENS = 20_000
"""Tags and texts of it that are read; a real mail of that length has a quarter of them."""

MOST_LINKS = 1000
"""Web addresses of a text that are made links; each takes six times its room as one."""

CELL_GAP = "   "
"""What stands between the cells of a row."""

# Every alternative ends at the end of the input at the latest and keeps what it consumed: one pass, no way back.
_TOKEN = re.compile(
    r"""
      (?P<text>(?:[^<]++|<(?![a-zA-Z!?/]))++)
    | <!--.*?(?:-->|\Z)
    | <(?P<close>/?)(?P<name>[a-zA-Z][a-zA-Z0-9]*+)(?P<attributes>(?:[^"'>]++|"[^"]*(?:"|\Z)|'[^']*(?:'|\Z))*+)>?
    | <[!?/][^>]*>?
    """,
    re.DOTALL | re.VERBOSE,
)
_RAW_END = {
    name: re.compile(rf"</{name}", re.IGNORECASE)
    for name in ("script", "style", "title", "template", "textarea", "svg")
}
_ATTRIBUTE = {
    name: re.compile(rf"""(?:^|[\s"']){name}\s*+=\s*+(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
    for name in ("href", "alt")
}
_LONG_NUMBER = re.compile(r"&#\d{9,};?")
_PARAGRAPHS = frozenset("p h1 h2 h3 h4 h5 h6 ul ol dl table blockquote pre hr figure fieldset".split())
_LINES = frozenset(
    "div section article header footer main nav aside address form tr li dt dd center caption figcaption".split()
)


def text_of(html: str) -> str:
    """The readable text of an HTML document: links as `text (url)`, rows as lines, no scripts and styles."""
    reader = _Reader()
    for name, close, content in islice(tokens(html[:READ_LIMIT]), MOST_TOKENS):
        if not name:
            reader.text(unescaped(content))
        elif close:
            reader.close(name)
        else:
            reader.open(name, content)
    return reader.result()


def unescaped(text: str) -> str:
    """Text with its entities as characters; a number that is none for Python (4,300 digits) is a replacement."""
    return unescape(_LONG_NUMBER.sub("\ufffd", text)) if "&" in text else text


def tokens(html: str) -> Iterator[tuple[str, bool, str]]:
    """Name, whether it closes, and attributes of each tag; without a name it is text."""
    at = 0
    while token := _TOKEN.match(html, at):
        at = token.end()
        if token["text"]:
            yield "", False, token[0]
        elif token["name"]:
            name = token["name"].lower()
            if name in _RAW_END and not token["close"]:
                end = _RAW_END[name].search(html, at)
                at = end.start() if end else len(html)
            else:
                yield name, bool(token["close"]), token["attributes"]


def attribute(name: str, attributes: str) -> str:
    """The value of `href` or `alt` among a tag's attributes."""
    match = _ATTRIBUTE[name].search(attributes)
    return unescaped(next(filter(None, match.groups()), "")).strip() if match else ""


class _Reader:
    """Writes text as a browser without colours would; breaks and spaces are held back until something follows."""

    def __init__(self) -> None:
        self._out: list[str] = []
        self._breaks = 0
        self._gap = ""
        self._verbatim = False
        self._lists: list[int | None] = []
        self._link = ""
        self._link_from = 0

    def result(self) -> str:
        return "".join(self._out).strip()

    def text(self, data: str) -> None:
        if self._verbatim:
            self._write(data)
            return
        words = data.split()
        self._gap = self._gap or " " * data[:1].isspace()
        if words:
            self._write(" ".join(words))
            self._gap = " " * data[-1:].isspace()

    def open(self, name: str, attributes: str) -> None:
        if name == "br":
            self._break(min(self._breaks + 1, 2))
        elif name in {"td", "th"}:
            self._gap = CELL_GAP
        elif name == "a":
            self._link, self._link_from = attribute("href", attributes), len(self._out)
        elif name == "img":
            self.text(attribute("alt", attributes))
        else:
            self._block(name)
            self._start(name)

    def close(self, name: str) -> None:
        if name == "a":
            self._end_link()
        elif name in {"td", "th"}:
            self._gap = CELL_GAP
        elif name in {"ul", "ol"} and self._lists:
            self._lists.pop()
        elif name == "pre":
            self._verbatim = False
        self._block(name)

    def _start(self, name: str) -> None:
        if name in {"ul", "ol"}:
            self._lists.append(0 if name == "ol" else None)
        elif name == "li":
            self._bullet()
        elif name == "pre":
            self._verbatim = True
        elif name == "hr":
            self._write("-" * 40)
            self._break(2)

    def _block(self, name: str) -> None:
        if name in _PARAGRAPHS:
            self._break(1 if self._lists else 2)
        elif name in _LINES:
            self._break(1)

    def _bullet(self) -> None:
        count = self._lists[-1] if self._lists else None
        if count is not None:
            count += 1
            self._lists[-1] = count
        self._write("  " * min(len(self._lists) - 1, 8) + (f"{count}. " if count else "- "))

    def _end_link(self) -> None:
        url, self._link = self._link, ""
        if not url:  # of many ends that nobody opened, none looks at all the text again
            return
        words = "".join(self._out[self._link_from :]).strip()
        shown = url.removeprefix("mailto:")
        if (
            words
            and url.lower().startswith(("http://", "https://", "mailto:"))
            and shown.rstrip("/") != words.rstrip("/")
        ):
            self._out.append(f" ({shown})")

    def _break(self, count: int) -> None:
        self._breaks = max(self._breaks, count)
        self._gap = ""

    def _write(self, text: str) -> None:
        if self._out and self._breaks:
            self._out.append("\n" * self._breaks)
        elif self._out and not self._out[-1].endswith((" ", "\n")):
            self._out.append(self._gap)
        self._breaks, self._gap = 0, ""
        self._out.append(text)


_URL = re.compile(r"https?://[^\s<>\"'`]+[^\s<>\"'`.,;:!?)\]}]", re.IGNORECASE)
_LINK = Markup('<a class="link" href="'), Markup('" style="color:#1d5fbf">'), Markup("</a>")


def longest(text: str) -> int:
    """About how long `lines` may become: a tab is four spaces, and each of those six characters."""
    signs = sum(text.count(sign) for sign in "<>&\"'\n")
    return len(text) + 4 * signs + 23 * text.count("\t") + 10 * text.count("  ")


def lines(text: str) -> Markup:
    """Text as HTML that shows the same lines and columns everywhere."""
    return _shaped(escape(text))


def linked(text: str) -> Markup:
    """As `lines`, with web addresses made links; for words whose author is trusted to send people somewhere."""
    if "://" not in text:
        return lines(text)
    parts, at = [], 0
    for url in islice(_URL.finditer(text), MOST_LINKS):
        address = escape(url[0])
        parts += [escape(text[at : url.start()]), _LINK[0], address, _LINK[1], address, _LINK[2]]
        at = url.end()
    return _shaped(Markup().join([*parts, escape(text[at:])]))


def _shaped(html: Markup) -> Markup:
    """Line breaks and kept spaces as elements, since Outlook knows no `white-space: pre-wrap`."""
    if "\t" in html or "\r" in html:
        html = html.replace("\r\n", "\n").expandtabs(4)
    if "  " in html:
        html = html.replace("  ", Markup("&nbsp;&nbsp;"))
    return html.replace("\n", Markup("<br>\n")) if "\n" in html else html
