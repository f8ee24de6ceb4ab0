"""Addresses: what people write is understood, what could smuggle a recipient or a header is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.address import Address, has_control, one_line, split_addresses


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
