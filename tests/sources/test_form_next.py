"""Where a form may send a browser: `_next` on the source's own sites, and nowhere else."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domains import origin_of
from gateway.sources.form import Form, next_url, read_form
from tests.sources.test_form import SITE, URLENCODED, encoded

ORIGINS = (SITE, "http://localhost:3000", "https://[2001:db8::1]:8443")


def form(wanted: str, origin: str = SITE) -> Form:
    return read_form(encoded([("a", "1"), ("_next", wanted)]), {**URLENCODED, "origin": origin})


class TestNext:
    """`_next` sends a browser somewhere in our name."""

    @pytest.mark.parametrize(
        ("wanted", "url"),
        [
            (f"{SITE}/thanks", f"{SITE}/thanks"),
            (SITE, SITE),
            (f" {SITE}/thanks?a=b&c=%20d#e ", f"{SITE}/thanks?a=b&c=%20d#e"),
            ("HTTPS://WWW.EXAMPLE.COM:443/x", "HTTPS://WWW.EXAMPLE.COM:443/x"),
            (f"{SITE}/größe", f"{SITE}/gr%C3%B6%C3%9Fe"),
            ("http://localhost:3000/x", "http://localhost:3000/x"),
            ("https://[2001:db8::1]:8443/x", "https://[2001:db8::1]:8443/x"),
            ("/thanks", f"{SITE}/thanks"),
            ("/", f"{SITE}/"),
            ("/a//b?next=//evil.test", f"{SITE}/a//b?next=//evil.test"),
            ("/@evil.test", f"{SITE}/@evil.test"),
            ("https://www\u3002example\uff0ecom/x?y", f"{SITE}/x?y"),
        ],
    )
    def test_the_sources_own_sites_are_allowed(self, wanted: str, url: str) -> None:
        """A path is taken to be on the site that the form stands on."""
        assert url == next_url(form(wanted), ORIGINS)

    @pytest.mark.parametrize(
        "wanted",
        [
            "",
            " ",
            "//evil.test",
            "///evil.test",
            "////evil.test",
            "/\\evil.test",
            "\\/evil.test",
            "\\\\evil.test",
            "/\t/evil.test",
            "/\n/evil.test",
            "\t//evil.test",
            "\x00//evil.test",
            "https://evil.test",
            "https://evil.test/https://www.example.com",
            f"{SITE}.evil.test",
            f"{SITE}@evil.test",
            f"{SITE}:@evil.test",
            f"{SITE}:443@evil.test",
            "https://evil.test#@www.example.com",
            "https://evil.test?@www.example.com",
            "https://evil.test\\@www.example.com",
            "https://evil.test%2F@www.example.com",
            "https://www.example.com%2eevil.test",
            "https://www.example.com%00.evil.test",
            "https://www.example.com\\.evil.test",
            "https://www.example.com\\@evil.test",
            "https:/\\www.example.com",
            "https:www.example.com",
            "https:/www.example.com",
            "https:///www.example.com",
            "https:/evil.test",
            "https:evil.test",
            "http://www.example.com/downgraded",
            "https://www.example.com:444/",
            "https://www.example.com:99999/",
            "https://www.example.com:x/",
            "https://example.com",
            "https://wwwXexample.com",
            "https://www.example.com.",
            "https://www.example\u200b.com",
            "https://www.example.com\uff0fevil.test",
            "https://www.\u0435xample.com",
            "https://[::1",
            "https://[evil.test]",
            "ftp://www.example.com",
            "javascript:alert(1)",
            "javascript://www.example.com/%0aalert(1)",
            "data:text/html,<script>alert(1)</script>",
            "thanks.html",
            "?thanks",
            "#thanks",
            "./thanks",
            f"{SITE}/x\r\nSet-Cookie: a=b",
            f"{SITE}/x\r\n\r\n<script>",
            f"{SITE}/a b",
            f"{SITE}/x\u2028y",
            f"{SITE}/x\x85y",
            f"{SITE}/" + "x" * 3000,
        ],
    )
    def test_everything_else_is_not(self, wanted: str) -> None:
        """Other sites, other schemes, and every trick to make one look like ours."""
        assert next_url(form(wanted), ORIGINS) is None

    def test_an_international_site_is_named_as_browsers_write_it(self) -> None:
        """However the page wrote it: a Location header is ASCII."""
        listed = ("https://www.xn--mller-kva.de", "https://*.example.org")

        assert "https://www.xn--mller-kva.de/danke" == next_url(form("https://www.Müller.de/danke"), listed)
        assert "https://a.b.example.org" == next_url(form("https://a.b.example.org"), listed)
        assert next_url(form("https://example.org"), listed) is None

    def test_a_star_opens_no_redirect(self) -> None:
        """Everyone may post then, but our address lends its name to nobody."""
        assert next_url(form("https://evil.test/"), ("*",)) is None
        assert next_url(form("/thanks", "https://evil.test"), ("*",)) is None
        assert f"{SITE}/thanks" == next_url(form("/thanks"), ("*", SITE))

    @pytest.mark.parametrize("origin", ["null", "", "https://evil.test", "https://www.example.com@evil.test"])
    def test_a_path_needs_a_known_site(self, origin: str) -> None:
        """Without one there is nothing it could be on."""
        assert next_url(form("/thanks", origin), ORIGINS) is None

    def test_the_referer_names_the_site_too(self) -> None:
        """Browsers that send no Origin with a plain form send that."""
        body = encoded([("a", "1"), ("_next", "/thanks")])
        found = read_form(body, {**URLENCODED, "referer": f"{SITE}/contact?x=y"})

        assert f"{SITE}/thanks" == next_url(found, ORIGINS)

    @settings(deadline=None)
    @given(st.text(max_size=40) | st.text("/\\@:.?#%[]htpswevilxamco \t", max_size=40).map(SITE.__add__))
    def test_whatever_is_asked_the_answer_is_on_an_allowed_site(self, wanted: str) -> None:
        """And is fit for a Location header."""
        found = next_url(form(wanted), ORIGINS)

        if found is not None:
            assert (True, True) == (found.isascii(), found.isprintable())
            assert " " not in found
            assert urlsplit(found).hostname in {"www.example.com", "localhost", "2001:db8::1"}
            assert origin_of(found) in {origin_of(origin) for origin in ORIGINS}
