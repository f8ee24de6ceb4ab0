"""The form door: web pages' posts, with CORS for the configured sites only, and a bot that learns nothing."""

from __future__ import annotations

import io
from typing import Any

import aiohttp
import pytest

from tests.conftest import CONFIG, KEYS, Running, Start

DOOR = "/v1/forms/contact"
SITE = {"Origin": "https://www.example.com"}
BROWSER = {**SITE, "Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
FIELDS = {"name": "Zoë Müller", "email": "zoe@example.org", "message": "Hello,\r\n<b>call</b> me"}


async def test_a_script_gets_json_and_the_mail_has_the_fields_in_order(gateway: Running) -> None:
    """200, and a reply goes to the visitor."""
    reply = await gateway.call("POST", DOOR, data=FIELDS, headers=SITE)

    assert (200, "queued") == (reply.status, reply.json["status"])
    assert "https://www.example.com" == reply.headers["Access-Control-Allow-Origin"]
    (mail,) = await gateway.mails()
    assert (["info@example.com"], ["zoe@example.org"]) == (mail["to"], mail["reply_to"])
    assert mail["text"].index("Zoë Müller") < mail["text"].index("zoe@example.org") < mail["text"].index("Hello,")
    assert "<b>call</b>" not in mail["html"]


async def test_a_browser_is_sent_to_next_or_to_a_thank_you_page(gateway: Running) -> None:
    """303 after a plain form, to a page of the configured sites or to ours."""
    own = await gateway.call("POST", DOOR, data=FIELDS, headers=BROWSER)
    named = await gateway.call(
        "POST", DOOR, data={**FIELDS, "_next": "https://www.example.com/thanks?x=1"}, headers=BROWSER
    )
    foreign = await gateway.call("POST", DOOR, data={**FIELDS, "_next": "https://evil.test/"}, headers=BROWSER)

    assert [
        (303, "/v1/forms/contact/thanks"),
        (303, "https://www.example.com/thanks?x=1"),
        (303, "/v1/forms/contact/thanks"),
    ] == [(reply.status, reply.headers["Location"]) for reply in (own, named, foreign)]
    page = await gateway.call("GET", "/v1/forms/contact/thanks")
    assert (200, True) == (page.status, b"has been sent" in page.body)


@pytest.mark.parametrize(("headers", "status"), [(SITE, 200), (BROWSER, 303)])
async def test_a_bot_sees_exactly_what_a_human_sees(gateway: Running, headers: dict[str, str], status: int) -> None:
    """The honeypot's answer differs in nothing but the id; no mail, nothing in the ledger."""
    human = await gateway.call("POST", DOOR, data=FIELDS, headers=headers)
    bot = await gateway.call("POST", DOOR, data={**FIELDS, "_gotcha": "http://spam.test"}, headers=headers)

    def look(reply: Any) -> Any:
        changing = {"X-Notification-Id", "Date", "Content-Length"}
        kept = {name: value for name, value in reply.headers.items() if name.title() not in changing}
        return reply.status, kept, reply.body.replace(reply.headers["X-Notification-Id"].encode(), b"ID")

    assert status == human.status
    assert look(human) == look(bot)
    assert len(human.headers["X-Notification-Id"]) == len(bot.headers["X-Notification-Id"])
    assert 1 == len(await gateway.mails())


async def test_a_foreign_site_is_refused(gateway: Running) -> None:
    """403; without an Origin (a server, curl) the post is taken."""
    replies = [
        await gateway.call("POST", DOOR, data=FIELDS, headers={"Origin": origin})
        for origin in ("https://evil.test", "https://www.example.com.evil.test", "http://www.example.com", "Null")
    ]

    assert [(403, "foreign_origin")] * 4 == [reply.code for reply in replies]
    assert not any("Access-Control-Allow-Origin" in reply.headers for reply in replies)
    assert 200 == (await gateway.call("POST", DOOR, data=FIELDS)).status


async def test_preflight_says_yes_to_the_configured_sites_only(gateway: Running) -> None:
    """A fetch with JSON asks first."""
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    own = await gateway.call("OPTIONS", DOOR, headers={**SITE, **asked})
    foreign = await gateway.call("OPTIONS", DOOR, headers={"Origin": "https://evil.test", **asked})

    assert (204, "https://www.example.com", "POST", "content-type") == (
        own.status,
        own.headers["Access-Control-Allow-Origin"],
        own.headers["Access-Control-Allow-Methods"],
        own.headers["Access-Control-Allow-Headers"],
    )
    assert "Access-Control-Allow-Origin" not in foreign.headers
    assert "Access-Control-Allow-Methods" not in foreign.headers


async def test_json_from_fetch_and_files_are_taken(gateway: Running) -> None:
    """The three encodings a page can send."""
    form = aiohttp.FormData(FIELDS, quote_fields=False)
    form.add_field("cv", b"%PDF-1.4", filename="Lebenslauf Müller.pdf", content_type="application/pdf")

    json_reply = await gateway.call("POST", DOOR, json=FIELDS, headers=SITE)
    multipart = await gateway.call("POST", DOOR, data=form, headers=SITE)

    assert [200, 200] == [json_reply.status, multipart.status]
    mails = await gateway.mails(2)
    files = [attachment["name"] for mail in mails for attachment in mail["attachments"]]
    assert ["Lebenslauf Müller.pdf"] == files


async def test_a_form_cannot_add_recipients_or_headers(gateway: Running) -> None:
    """Reserved names of other services do nothing here; a line break in the subject neither."""
    hostile = {**FIELDS, "_cc": "victim@evil.test", "_to": "victim@evil.test", "_subject": "x\r\nBcc: victim@evil.test"}

    assert 200 == (await gateway.call("POST", DOOR, data=hostile, headers=SITE)).status

    (mail,) = await gateway.mails()
    assert (["info@example.com"], [], []) == (mail["to"], mail["cc"], mail["bcc"])
    assert "[contact] x Bcc: victim@evil.test" == mail["subject"]


@pytest.mark.parametrize("email", ["not an address", "a@b.c\r\nBcc: x@evil.test", "", "{{ 7*7 }}"])
async def test_a_visitors_typo_does_not_lose_the_message(gateway: Running, email: str) -> None:
    """A reply-to that is no address is left out."""
    assert 200 == (await gateway.call("POST", DOOR, data={**FIELDS, "email": email}, headers=SITE)).status

    (mail,) = await gateway.mails()
    assert [] == mail["reply_to"]


@pytest.mark.parametrize(
    ("body", "content_type", "code"),
    [
        (b"", "application/x-www-form-urlencoded", (400, "empty_body")),
        (b"--x\r\nbroken", "multipart/form-data; boundary=y", (400, "malformed")),
        (b"_gotcha=", "application/x-www-form-urlencoded", (422, "invalid")),
        (b"x" * 11 * 1024 * 1024, "application/x-www-form-urlencoded", (413, "too_large")),
        (b"&".join(b"f%d=1" % n for n in range(500)), "application/x-www-form-urlencoded", (422, "invalid")),
    ],
)
async def test_a_bad_form_is_refused_in_the_callers_language(
    gateway: Running, body: bytes, content_type: str, code: tuple[int, str]
) -> None:
    """problem+json that a page's script may read, a small page for a person."""
    script = await gateway.call("POST", DOOR, data=io.BytesIO(body), headers={**SITE, "Content-Type": content_type})
    person = await gateway.call("POST", DOOR, data=io.BytesIO(body), headers={**BROWSER, "Content-Type": content_type})

    assert code == script.code
    assert "https://www.example.com" == script.headers["Access-Control-Allow-Origin"]
    assert (code[0], "text/html; charset=utf-8") == (person.status, person.headers["Content-Type"])


async def test_latin1_bytes_are_read(gateway: Running) -> None:
    """Old pages and old scripts do not send UTF-8."""
    body = "name=J%F6rg&message=Gr%FC%DFe"

    assert (
        200
        == (
            await gateway.call(
                "POST", DOOR, data=body.encode(), headers={**SITE, "Content-Type": "application/x-www-form-urlencoded"}
            )
        ).status
    )

    (mail,) = await gateway.mails()
    assert "Jörg" in mail["text"]
    assert "Grüße" in mail["text"]


async def test_get_on_a_form_is_405(gateway: Running) -> None:
    """Fields in a URL end up in logs and histories."""
    reply = await gateway.call("GET", DOOR + "?name=x")

    assert (405, "method_not_allowed") == reply.code


class TestIdempotency:
    """A page's script may send again; a stranger who guesses its key changes nothing for it."""

    async def test_a_stranger_cannot_take_a_pages_key(self, gateway: Running) -> None:
        """Whoever posts first under the same key: both messages arrive, and neither sees the other's answer."""
        key = {**SITE, "Idempotency-Key": "order-1234"}
        stranger = await gateway.call("POST", DOOR, data={"message": "taken"}, headers=key)
        visitor, again = [await gateway.call("POST", DOOR, data=FIELDS, headers=key) for _ in range(2)]

        ids = [reply.json["id"] for reply in (stranger, visitor, again)]
        assert ([200] * 3, 2, ids[1]) == ([stranger.status, visitor.status, again.status], len(set(ids)), ids[2])
        assert [None, "true"] == [reply.headers.get("Idempotency-Replay") for reply in (visitor, again)]

    async def test_a_second_try_with_another_boundary_and_captcha_is_the_same_form(self, gateway: Running) -> None:
        """A browser makes both anew for every try; another file is another message."""

        async def post(content: bytes, token: str) -> str:
            form = aiohttp.FormData({**FIELDS, "h-captcha-response": token})
            form.add_field("cv", content, filename="cv.pdf", content_type="application/pdf")
            reply = await gateway.call("POST", DOOR, data=form, headers={**SITE, "Idempotency-Key": "1"})
            return str(reply.json["id"])

        first, again, other = await post(b"%PDF-1", "a"), await post(b"%PDF-1", "b"), await post(b"%PDF-2", "a")

        assert (first, True) == (again, first != other)

    async def test_a_key_of_the_source_keeps_its_meaning(self, start: Start) -> None:
        """Who has one is known: the same Idempotency-Key with another body is refused, as everywhere."""
        gateway = await start(CONFIG.replace("    kind: form\n", "    kind: form\n    keys: [HASH-app]\n"))
        headers = {"x-api-key": KEYS["app"], "Idempotency-Key": "1"}
        first = await gateway.call("POST", DOOR, data=FIELDS, headers=headers)
        other = await gateway.call("POST", DOOR, data={"message": "other"}, headers=headers)
        page = await gateway.call("POST", DOOR, data={"message": "other"}, headers={**SITE, "Idempotency-Key": "1"})

        assert [(200, ""), (422, "idempotency_key_reused"), (200, "")] == [first.code, other.code, page.code]
