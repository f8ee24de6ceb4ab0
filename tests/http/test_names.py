"""Names over HTTP: an address and an origin mean what people read, wherever they are compared."""

from __future__ import annotations

import pytest

from gateway.clock import wall_clock
from tests.conftest import CONFIG, KEYS, Running, Start

GERMAN = CONFIG.replace('["https://www.example.com", "http://127.0.0.1:9999"]', '["https://www.müller.de"]')
FORM = "/v1/forms/contact"
FIELDS = {"message": "Hello"}


async def test_a_mail_goes_to_the_domain_that_was_written(gateway: Running) -> None:
    """`straße.de` and `strasse.de` are two domains with two owners."""
    for domain in ("straße.de", "strasse.de"):
        await gateway.send({"to": f"info@{domain}", "text": "x"}, KEYS["other"])
    await gateway.mails(2)

    found = [mail["to"] for mail in await gateway.mails(1, to="info@straße.de")]
    others = [mail["to"] for mail in await gateway.mails(1, to="INFO@strasse.de")]

    assert ([["info@xn--strae-oqa.de"]], [["info@strasse.de"]]) == (found, others)


@pytest.mark.parametrize("domain", ["a\u200bb.de", "a\u200db.de", "xn--a.de", "a\u00adb.de"])
async def test_a_domain_that_is_none_is_refused_in_its_field(gateway: Running, domain: str) -> None:
    """As a string and as an object."""
    replies = [
        await gateway.send({"to": to, "text": "x"}, KEYS["other"])
        for to in (f"info@{domain}", {"email": f"info@{domain}"}, f"Info <info@{domain}>")
    ]

    assert [(422, "invalid")] * 3 == [reply.code for reply in replies]
    assert all("is not an e-mail address: it has" in str(reply.json["fields"]) for reply in replies)


@pytest.mark.parametrize(
    ("allowed", "to", "status"),
    [("straße.de", "straße.de", 202), ("straße.de", "strasse.de", 422), ("strasse.de", "straße.de", 422)],
)
async def test_allow_opens_the_domain_that_its_author_wrote(start: Start, allowed: str, to: str, status: int) -> None:
    """The list and the address are folded by the same rules."""
    gateway = await start(CONFIG.replace("*@example.com", f"*@{allowed}"))

    assert status == (await gateway.send({"to": f"info@{to}", "text": "x"})).status


async def test_an_address_leaves_the_suppression_list_however_it_is_written(gateway: Running) -> None:
    """A provider reports in ASCII, an operator types what he reads."""
    admin = {"x-api-key": KEYS["admin"]}
    listed = gateway.gateway.suppressions
    await listed.add("Info@xn--strae-oqa.de", "hard_bounce", wall_clock())

    other = await gateway.call("DELETE", "/v1/suppressions", params={"address": "info@strasse.de"}, headers=admin)
    same = await gateway.call("DELETE", "/v1/suppressions", params={"address": "info@straße.de"}, headers=admin)

    assert (404, 204) == (other.status, same.status)


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://www.xn--mller-kva.de", 200),
        ("file://", 403),
        ("chrome-extension://abcdefgh", 403),
        ("https://", 403),
        ("https://www.muller.de", 403),
        ("https://user@www.xn--mller-kva.de", 403),
    ],
)
async def test_an_international_site_admits_its_own_visitors_and_no_others(
    start: Start, origin: str, status: int
) -> None:
    """A browser names the site in ASCII; what hides its origin is not the site."""
    gateway = await start(GERMAN)

    reply = await gateway.call("POST", FORM, data=FIELDS, headers={"Origin": origin})

    assert (status, origin if status == 200 else None) == (
        reply.status,
        reply.headers.get("Access-Control-Allow-Origin"),
    )


async def test_a_wildcard_admits_the_pages_below_a_domain(start: Start) -> None:
    """And not those of the domain itself."""
    gateway = await start(GERMAN.replace("https://www.müller.de", "https://*.müller.de"))

    replies = [
        await gateway.call("POST", FORM, data=FIELDS, headers={"Origin": f"https://{name}xn--mller-kva.de"})
        for name in ("a.", "a.b.", "", "evil")
    ]

    assert [200, 200, 403, 403] == [reply.status for reply in replies]
