"""HTML as text and text as HTML: what stays readable, and that no input takes long."""

from __future__ import annotations

import time
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.htmltext import lines, linked, text_of
from gateway.plaintext import aligned, wrap


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("plain words", "plain words"),
        ("<p>One</p><p>Two<br>Three</p>", "One\n\nTwo\nThree"),
        ("a<br><br><br><br>b", "a\n\nb"),
        ("  <b>Hello</b>,\n  <i>you</i> !  ", "Hello, you !"),
        ("in<b>visi</b>ble", "invisible"),
        ("&lt;b&gt; &amp;&nbsp;&euro; &#8364;", "<b> & € €"),
        ("1 < 2 & 3 > 2", "1 < 2 & 3 > 2"),
        ('<a href="https://x.example/?a=1&amp;b=2">Pay</a>.', "Pay (https://x.example/?a=1&b=2)."),
        ("<a href='https://x.example/'>https://x.example</a>", "https://x.example"),
        ("<A HREF=https://x.example>Go</A>", "Go (https://x.example)"),
        (
            "<a href='mailto:a@x.example'>Write</a> <a href=mailto:a@x.example>a@x.example</a>",
            "Write (a@x.example) a@x.example",
        ),
        ("<a href='javascript:alert(1)'>Click</a> <a name=x>here</a>", "Click here"),
        ("<a href=https://x.example><img src=x alt='Our shop'></a>", "Our shop (https://x.example)"),
        ("<a href=https://x.example><img src=x></a>end", "end"),
        ("<ul><li>One<li>Two</ul>", "- One\n- Two"),
        ("<ol><li>a</li><li>b<ul><li>c</li></ul></li></ol>d", "1. a\n2. b\n  - c\n\nd"),
        ("<table><tr><th>Item<th>Price<tr><td>Bell<td>12</table>", "Item   Price\nBell   12"),
        ("<table><tr><td><p>Layout</p></td><td><div>column</div></td></tr></table>", "Layout\n\ncolumn"),
        ("<style>p{}</style><script>if (a<b) '</p>'</script><title>t</title>x", "x"),
        ("<script>never closed", ""),
        ("<!-- <p>no</p> -->x<!doctype html><?xml ?>", "x"),
        ("<pre>a\n  b</pre>", "a\n  b"),
        ("<h1>A</h1><hr>b", "A\n\n" + "-" * 40 + "\n\nb"),
        ("<p title='a > b'>x</p>", "x"),
        ("", ""),
        ("<", "<"),
        ("</>", ""),
        ("<p", ""),
    ],
)
def test_html_becomes_text_that_people_can_read(html: str, text: str) -> None:
    """Paragraphs, lists, rows and links survive; scripts and styles do not."""
    assert text_of(html) == text


@settings(deadline=None)
@given(
    st.text()
    | st.lists(st.sampled_from(["<", ">", "a", "/", "!--", "-->", '"', "'", "=", "href", " ", "&", "script"])).map(
        "".join
    )
)
def test_any_input_becomes_text(html: str) -> None:
    """Tag soup is no error."""
    assert isinstance(text_of(html), str)


@pytest.mark.parametrize(
    "piece",
    [
        "<!--",
        '<a "',
        "<a href='",
        "<",
        "&#",
        "<![CDATA[",
        "<script",
        "<ul><li>",
        "<a href=x>",
        "</a>",
        "<a href" + " " * 50,
        "</",
    ],
)
def test_no_input_takes_long(piece: str) -> None:
    """Megabytes that make html.parser read them again from every tag are read once."""
    start = time.process_time()

    text_of(piece * (2_000_000 // len(piece)))

    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a\nb\r\nc", "a<br>\nb<br>\nc"),
        ("a   b", "a&nbsp;&nbsp; b"),
        ("a\tb", "a&nbsp;&nbsp; b"),
        ("<b>&\"'", "&lt;b&gt;&amp;&#34;&#39;"),
        ("see https://x.example", "see https://x.example"),
    ],
)
def test_text_becomes_html_with_the_same_lines_and_columns(text: str, html: str) -> None:
    """And without a link that its author slipped in."""
    assert lines(text) == html


def test_web_addresses_become_links_where_the_author_is_trusted() -> None:
    """Without the punctuation behind them, and escaped."""
    link = (
        '<a class="link" href="https://x.example/?a=1&amp;b=2" style="color:#1d5fbf">https://x.example/?a=1&amp;b=2</a>'
    )

    assert linked('"See https://x.example/?a=1&b=2)."\n') == f"&#34;See {link}).&#34;<br>\n"
    assert linked("javascript://alert(1)") == "javascript://alert(1)"


def test_a_text_of_web_addresses_has_a_thousand_links_at_most() -> None:
    """What follows stays text: as a link each address would be six times as long."""
    html = linked("http://a.b/ " * 1500)

    assert (html.count("<a "), html.count("http://a.b/")) == (1000, 2 * 1000 + 500)


@settings(deadline=None)
@given(
    st.text()
    | st.lists(st.sampled_from(["https://", "a.example", '"', "'", "<", ">", " ", "\n", "&", ")"])).map("".join)
)
def test_text_never_becomes_markup(text: str) -> None:
    """Only line breaks and links to the web come out."""
    found = Elements(linked(text)).found

    assert {tag for tag, _ in found} <= {"a", "br"}
    assert all((attributes["href"] or "").lower().startswith("http") for tag, attributes in found if tag == "a")


class Elements(HTMLParser):
    """What a browser would find."""

    def __init__(self, html: str) -> None:
        """Read all of it."""
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember one element."""
        self.found.append((tag, dict(attrs)))


def test_values_stand_in_a_column() -> None:
    """Their further lines too; a very long name pushes only its own value."""
    pairs = [("host", "web-1"), ("text", "1\n2\n\n3"), ("none", "")]

    assert aligned(pairs, 1).split("\n") == [
        " host:  web-1",
        " text:  1",
        "        2",
        "",
        "        3",
        " none:",
    ]
    assert aligned([("a" * 30, "v"), ("b", "w")]) == f"{'a' * 30}: v\nb:{' ' * 25}w"
    assert aligned([]) == ""


def test_long_lines_are_wrapped_and_long_words_are_not() -> None:
    """A URL that is broken in two is of no use."""
    url = "https://x.example/" + "x" * 100

    assert wrap(f"{'word ' * 20}{url}\n\n  kept", 2).split("\n") == [
        "  " + ("word " * 15).strip(),
        "  " + ("word " * 5).strip(),
        "  " + url,
        "",
        "    kept",
    ]
    assert aligned([("a", "word " * 20)]) == f"a:  {('word ' * 14).strip()}\n    {('word ' * 6).strip()}"
