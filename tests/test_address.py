"""Addresses: what people write is understood, what could smuggle a recipient or a header is refused."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.address import Address, has_control, one_line, split_addresses

EMOJI = "\N{HEAVY BLACK HEART}\ufe0f \N{WARNING SIGN}\ufe0f 1\ufe0f\N{COMBINING ENCLOSING KEYCAP} \N{ROCKET}"
FAMILY = "\N{MAN}\u200d\N{WOMAN}\u200d\N{GIRL}"
FILLERS = (
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180f\u2065\u2800\u3164\ufe0e\ufe0f\uffa0\ufff0\U000e0100\U000e01ef\U000e0fff"
)


@pytest.mark.parametrize(
    ("text", "email", "name"),
    [
        ("ops@example.com", "ops@example.com", ""),
        ("  ops@example.com ", "ops@example.com", ""),
        ("Ops Team <ops@example.com>", "ops@example.com", "Ops Team"),
        ('"Team, Ops" <ops@example.com>', "ops@example.com", "Team, Ops"),
        ('"A \\"quoted\\" name" <ops@example.com>', "ops@example.com", 'A "quoted" name'),
        ("<ops@example.com>", "ops@example.com", ""),
        ("Jörg <j@bücher.example>", "j@xn--bcher-kva.example", "Jörg"),
        ("o'brien+tag@sub.example.co.uk", "o'brien+tag@sub.example.co.uk", ""),
        ("root@localhost", "root@localhost", ""),
    ],
)
def test_an_address_is_read_as_people_write_it(text: str, email: str, name: str) -> None:
    """Bare, named, quoted and international spellings become one value."""
    assert Address(email=email, name=name) == Address.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ops",
        "ops@",
        "@contoso.com",
        "a@b@c",
        "ops@example.com\r\nBcc: x@y.z",
        "Ops\n <ops@example.com>",
        "ops@example.com, x@y.z",
        "a <b@c.d> <e@f.g>",
        "ops@exa mple.com",
        "ops@-example.com",
        "ops@example..com",
        ".ops@example.com",
        "ops@example\u2028.com",
        "x" * 65 + "@example.com",
        "ops@" + "a." * 130 + "com",
        '"quoted local"@example.com',
        "ops(comment)@example.com",
    ],
)
def test_what_is_no_single_mailbox_is_refused_without_repeating_it(text: str) -> None:
    """The error says what to write and never quotes the caller, since it may reach a log."""
    with pytest.raises(ValueError, match=r"must not contain|is not an e-mail address") as refusal:
        Address.parse(text)

    assert not text or text not in str(refusal.value)


def test_a_list_is_split_at_commas_outside_quotes() -> None:
    """Commas and semicolons part addresses, those inside a quoted name do not."""
    assert ['"A, B" <a@b.c>', "d@e.f", "G <g@h.i>"] == split_addresses('"A, B" <a@b.c>, d@e.f; G <g@h.i>')


@given(st.text())
def test_no_text_at_all_becomes_an_address_with_a_line_break(text: str) -> None:
    """Whatever is accepted can stand in a header."""
    try:
        address = Address.parse(text)
    except ValueError:
        return

    assert not has_control(address.email + address.name)


@given(st.text())
def test_one_line_is_one_line_whatever_comes(text: str) -> None:
    """A header's text has no control characters, and is left alone when it had none."""
    assert not has_control(one_line(text))


def test_only_what_is_seen_is_left_of_a_line() -> None:
    """Gone are all controls, format and private characters, halves, noncharacters and fillers that Unicode has."""
    hidden = [
        chr(code)
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
        or code & 0xFFFE == 0xFFFE
        or 0xFDD0 <= code <= 0xFDEF
        or chr(code) in FILLERS
    ]

    assert [] == [f"U+{ord(character):04X}" for character in hidden if one_line(f"a{character}b") not in ("ab", "a b")]


def test_what_is_seen_stays() -> None:
    """Every letter, mark, digit, sign and symbol of every script, apart from those that only select or fill."""
    seen = [
        chr(code)
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code))[0] in "LMNPS" and chr(code) not in FILLERS
    ]
    selectors = {
        chr(code)
        for first, last in ((0x180B, 0x180F), (0xFE00, 0xFE0F), (0xE0100, 0xE01EF))
        for code in range(first, last + 1)
    }

    assert set() == {character for character in seen if one_line(f"a{character}b") != f"a{character}b"} - selectors


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (EMOJI, EMOJI),
        (FAMILY, "\N{MAN}\N{WOMAN}\N{GIRL}"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("\u200f\u05d0\u05d1 \u2067\u05d2\u05d3\u2069", "\u05d0\u05d1 \u05d2\u05d3"),
        ("a\ufe0f\ufe0fb", "ab"),
        ("Grüße\u00ad aus\u00a0Köln\u3000\u2003!", "Grüße aus Köln !"),
        ("\u0646\u06cc\u200c\u062f", "\u0646\u06cc\u062f"),
    ],
)
def test_a_line_reads_as_it_was_meant(text: str, expected: str) -> None:
    """Emoji keep their colour, languages from right to left their words."""
    assert expected == one_line(text)


@pytest.mark.parametrize(
    "text", ["Pay\u202eroll <a@b.test>", '"Pay\u2066roll\u2069" <a@b.test>', "\ufeffPay\u00adroll <a@b.test>"]
)
def test_a_name_is_only_what_is_seen(text: str) -> None:
    """Copied from a page it often has marks in it, so they are removed and the address is taken."""
    assert Address(email="a@b.test", name="Payroll") == Address.parse(text)


@given(st.text())
def test_a_line_that_was_made_once_stays_as_it_is(text: str) -> None:
    """A subject passes the same gate at acceptance and at the provider's door."""
    assert one_line(text) == one_line(one_line(text))
