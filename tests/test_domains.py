"""Domains and origins: spellings of one name fold alike, two names never do, and what is no name is refused."""

from __future__ import annotations

import re
import subprocess
import sys

import idna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from gateway.address import Address, Addresses, folded, folded_pattern
from gateway.domains import domain_of, domain_pattern, is_listed, listed_origin, origin_of
from gateway.routing import _allow_pattern
from tests.documents import ROOT

ADDRESSES = TypeAdapter[tuple[Address, ...]](Addresses)

# What people and attackers write domains with: letters that IDNA 2003 and 2008 read differently, what cannot be seen,
# other widths, dots and scripts, and pieces of the ASCII form.
LETTERS = st.sampled_from(
    "abcxn019-._AZßς\u03c3Σİ\u0131\u017fKﬁüöÄé\u0301\u0308\u200b\u200c\u200d\u00ad\u2060\ufe0f。\uff0e｡\uff20\uff41\uff4d\u2102①ⅷאבم٣कष\u094d中国日💩☃"
)
NAMES = st.lists(st.sampled_from(["xn--", ".", ".de", "mller-kva", "strae-oqa", "example"]) | LETTERS, max_size=12).map(
    "".join
)


def read(name: str) -> str:
    """A folded name as UTS 46 says that it is to be read."""
    return ".".join(idna.ulabel(label) if label.startswith("xn--") else label for label in name.split("."))


@pytest.mark.parametrize(
    ("written", "domain"),
    [
        ("straße.de", "xn--strae-oqa.de"),
        ("STRAẞE.de", "xn--strae-oqa.de"),
        ("faß.de", "xn--fa-hia.de"),
        ("βόλος.com", "xn--nxasmm1c.com"),
        ("क्\u200dष.com", "xn--11b2ezcw70k.com"),
        ("Bücher.Example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("XN--Bcher-KVA.example", "xn--bcher-kva.example"),
        ("\uff45\uff58\uff41\uff4d\uff50\uff4c\uff45。\uff43\uff4f\uff4d", "example.com"),
        ("www\uff0eexample｡com", "www.example.com"),
        ("中国.中国", "xn--fiqs8s.xn--fiqs8s"),
        ("r3---sn-4g5e6n7k.example", "r3---sn-4g5e6n7k.example"),
        ("localhost", "localhost"),
    ],
)
def test_a_domain_becomes_what_browsers_and_mail_programs_make_of_it(written: str, domain: str) -> None:
    """IDNA 2008, non-transitional: ß and ς are letters of their own, joiners count where they can be seen."""
    assert domain == domain_of(written) == Address.parse(f"info@{written}").domain


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("a\u200bb.com", "invisible"),
        ("a\u00adb.com", "invisible"),
        ("a\u2060b.com", "invisible"),
        ("ab.com\ufeff", "invisible"),
        ("a\u200db.com", "IDNA 2008 does not allow"),
        ("a\u200cb.com", "IDNA 2008 does not allow"),
        ("a\u202eb.com", "IDNA 2008 does not allow"),
        ("xn--a.com", "IDNA 2008 does not allow"),
        ("xn--.com", "IDNA 2008 does not allow"),
        ("xn--strasse-.de", "IDNA 2008 does not allow"),
        ("xn--Bücher.de", "IDNA 2008 does not allow"),
        ("xn--b-0fa.xn--ls8h.la", "IDNA 2008 does not allow"),
        ("1א.com", "IDNA 2008 does not allow"),
        ("0a.אב", "IDNA 2008 does not allow"),
        ("b@ü.com", "IDNA 2008 does not allow"),
        ("b\uff20c.com", "IDNA 2008 does not allow"),
        ("℀.com", "IDNA 2008 does not allow"),
        ("ü" * 63 + ".com", "IDNA 2008 does not allow"),
        ("ü." * 200 + "com", "more than 253"),
        ("ü..com", "no domain such as"),
        ("ü.com.", "no domain such as"),
    ],
)
def test_what_uts_46_refuses_is_no_domain_and_no_address(written: str, why: str) -> None:
    """And says so, without repeating it; nothing is dropped in silence."""
    with pytest.raises(ValueError, match=why) as refusal:
        domain_of(written)
    with pytest.raises(ValueError, match="is not an e-mail address"):
        Address.parse(f"info@{written}")
    with pytest.raises(ValueError, match="is not an e-mail address"):
        ADDRESSES.validate_python([{"email": f"info@{written}"}])

    assert written not in str(refusal.value)


def test_a_local_part_stays_ascii() -> None:
    """No provider takes others."""
    with pytest.raises(ValueError, match="is not an e-mail address"):
        Address.parse("jörg@bücher.example")


@settings(deadline=None)
@given(NAMES)
def test_folding_a_folded_name_changes_nothing(written: str) -> None:
    """Whatever is accepted, as a domain and in an address, is ASCII and its own folded form."""
    try:
        once = domain_of(written)
    except ValueError:
        return

    assert once.isascii()
    assert once == domain_of(once)
    assert f"a@{once}" == folded(f"A@{written}") == folded(f"a@{once}")


@settings(deadline=None)
@given(NAMES)
def test_a_name_folds_to_what_is_read(written: str) -> None:
    """So no two names that UTS 46 tells apart fold alike: what comes out reads as what went in."""
    try:
        once = domain_of(written)
    except ValueError:
        return

    assert read(idna.uts46_remap(written, std3_rules=False)) == read(once)


@settings(deadline=None)
@given(st.text(max_size=40) | NAMES.map("a@".__add__))
def test_what_is_no_address_is_never_folded_into_one(text: str) -> None:
    """A suppression or a filter that nobody can have written to meets nobody."""
    try:
        address = Address.parse(text)
    except ValueError:
        with pytest.raises(ValueError, match=r"must not contain|is not an e-mail address"):
            Address.parse(folded(text))
    else:
        assert folded(address.email) == folded(folded(address.email))


@pytest.mark.parametrize(
    ("pattern", "email", "expected"),
    [
        ("*@straße.de", "info@straße.de", True),
        ("*@straße.de", "info@xn--strae-oqa.de", True),
        ("*@straße.de", "info@strasse.de", False),
        ("*@strasse.de", "info@straße.de", False),
        ("*@*.Bücher.example", "info@a.bücher.example", True),
        ("*@*.Bücher.example", "info@bücher.example", False),
        ("Ops-*@contoso.com", "ops-1@CONTOSO.com", True),
        ("*@contoso。com", "ops@contoso.com", True),
    ],
)
def test_a_pattern_is_folded_as_the_addresses_are(pattern: str, email: str, *, expected: bool) -> None:
    """`allow` opens the domain that its author reads, and no other."""
    allow = _allow_pattern((folded_pattern(pattern),))

    assert expected == bool(allow.fullmatch(folded(Address.parse(email).email)))


@pytest.mark.parametrize(
    "pattern", ["contoso.com", "*@", "*@*müller.de", "*@a\u200bb.de", "jörg@contoso.com", "*@xn--a.de"]
)
def test_a_pattern_that_matches_nobody_is_a_mistake(pattern: str) -> None:
    """Better said at the start than found when a mail is refused."""
    with pytest.raises(ValueError, match=r"matches no address|has "):
        folded_pattern(pattern)


def test_stars_may_stand_anywhere_in_a_domain() -> None:
    """In labels of their own, in a part of one, several of them."""
    assert "*.a.*-x.xn--mller-kva.de" == domain_pattern("*.A.*-X.müller.de")


def test_nobody_folds_an_address_by_rules_of_his_own() -> None:
    """Python's codec has the rules of 2003, and lower case alone leaves a domain as its author wrote it."""
    own = re.compile(r"""encode\(["']idna|mail\w*\.lower\(\)|mailbox\.lower\(\)|address\.lower\(\)""")
    files = [path for path in (ROOT / "gateway").rglob("*.py") if path.name != "address.py"]

    assert len(files) > 100
    assert [] == [path.name for path in files if own.search(path.read_text("utf-8"))]


# ------------------------------------------------------------------------------------------------------------- origins


@pytest.mark.parametrize(
    ("written", "origin"),
    [
        ("https://www.müller.de", "https://www.xn--mller-kva.de"),
        ("HTTPS://WWW.Contoso.COM:443", "https://www.contoso.com"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://contoso.com:80", "http://contoso.com"),
        ("https://contoso.com:80", "https://contoso.com:80"),
        ("http://[2001:DB8:0::1]:3000", "http://[2001:db8::1]:3000"),
        ("https://my_site.example.com", "https://my_site.example.com"),
        ("https://*.Straße.de:8443", "https://*.xn--strae-oqa.de:8443"),
        ("*", "*"),
    ],
)
def test_an_origin_is_listed_as_browsers_write_it(written: str, origin: str) -> None:
    """Scheme, host in ASCII, and the port where it is not the scheme's own."""
    assert origin == listed_origin(written) == listed_origin(origin)


@pytest.mark.parametrize(
    "written",
    [
        *("", "https://", "www.example.com", "null", "file://", "chrome-extension://abcdef", "ftp://example.com"),
        *("https://user@www.contoso.com", "https://x:99999", "https://x:0", "https://x:y", "https:/x", "https:x"),
        *("https://x/", "https://x/path", "https://x?", "https://x#", "https://x y", "https://\tx", " https://x"),
        *(
            "https://a\u200bb.de",
            "https://xn--a.de",
            "https://1.2.3.4.5",
            "https://1.2.3.999",
            "https://[::1",
            "https://[x]",
            "http://[::1].a.de",
            "http://a[::1]",
        ),
        *(
            "https://*",
            "https://*.com",
            "https://*.*.com",
            "https://a*.example.com",
            "https://*.1.2.3.4",
            "*.example.com",
        ),
    ],
)
def test_what_can_be_no_pages_origin_is_a_mistake(written: str) -> None:
    """It would let nobody in, or, compared as nothing, those who have none."""
    with pytest.raises(ValueError, match=r"is no origin; write .* https://www.example.com"):
        listed_origin(written)


@pytest.mark.parametrize(
    "origin", ["null", "", "file://", "file:///etc", "chrome-extension://abc", "about:blank", "//x"]
)
@pytest.mark.parametrize("listed", ["", "null", "https://", "file://", "https://x:99999", "https://*.example.com", "*"])
def test_what_is_no_origin_is_never_a_listed_one(origin: str, listed: str) -> None:
    """Not even where the list holds the same nothing."""
    assert not is_listed(origin, (listed,))


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("https://a.example.com", True),
        ("https://a.b.example.com", True),
        ("https://example.com", False),
        ("https://aexample.com", False),
        ("http://a.example.com", False),
        ("https://a.example.com:8443", False),
        ("https://a.example.com.evil.test", False),
        ("https://evil.test/.example.com", False),
        ("https://a.example.com@evil.test", False),
    ],
)
def test_a_wildcard_covers_the_names_below_a_domain(origin: str, *, expected: bool) -> None:
    """One label or more, in the same scheme and on the same port."""
    assert expected == is_listed(origin, ("https://*.example.com",))


@settings(deadline=None)
@given(st.text(max_size=30) | NAMES.map("https://".__add__))
def test_what_is_listed_admits_its_own_pages(written: str) -> None:
    """Whatever is accepted as an origin is admitted when a browser says it, and nothing at all never is."""
    try:
        listed = listed_origin(written)
    except ValueError:
        return

    assert listed == "*" or is_listed(origin_of(written.replace("*", "a", 1)), (listed,))
    assert not is_listed("", (listed,))


def test_an_ascii_name_pays_nothing_for_the_others() -> None:
    """The library's tables are read when the first international name comes, not at every cold start."""
    code = """
import sys
from gateway.address import Address, folded
Address.parse("Ops <ops@example.com>"), folded("OPS@example.com")
print("idna" in sys.modules)
Address.parse("ops@bücher.example")
print("idna" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ["False", "True"] == done.stdout.split()
