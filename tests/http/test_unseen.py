"""What nobody sees reaches no header, name or file name, whichever door it comes by; and a visitor is shown as one."""

from __future__ import annotations

import io
import json
import unicodedata
from collections.abc import Iterator
from email import message_from_bytes
from email.header import decode_header, make_header
from typing import Any

import aiohttp
import pytest

from gateway.queues import Intake
from tests.conftest import CONFIG, KEYS, Running, Start
from tests.http.test_webhooks import alert

HIDDEN = (
    "\u202e\u2066\u200b\u2060\u206a\ufeff\u00ad\u061c\u180e\u115f\u3164\uffa0\U000e0041\U000e0101\u200d\ue000\ufdd0"
)
FORM = "/v1/forms/contact"


def told(*values: str) -> list[str]:
    """The characters of these that nobody sees."""
    return [
        f"U+{ord(character):04X}"
        for value in values
        for character in value
        if character in HIDDEN or unicodedata.category(character) in {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
    ]


async def heads(gateway: Running, mail: dict[str, Any]) -> Iterator[str]:
    """Every header of the mail as it would go out, decoded, and the names of its files."""
    raw = message_from_bytes((await gateway.call("GET", f"/v1/captured/{mail['id']}/raw")).body)
    lines = [str(make_header(decode_header(value.replace("\r\n", "")))) for value in raw.values()]
    return iter(
        [*lines, *(part.get_filename() or "" for part in raw.walk()), *(file["name"] for file in mail["attachments"])]
    )


async def reply_to(gateway: Running) -> str:
    """The header of the only mail there is."""
    (mail,) = await gateway.mails()
    return str(message_from_bytes((await gateway.call("GET", f"/v1/captured/{mail['id']}/raw")).body)["Reply-To"])


async def by_form(gateway: Running) -> None:
    data = aiohttp.FormData()
    for name, value in (
        ("_subject", f"[CRITICAL]{HIDDEN} Pay"),
        ("_replyto", f'"Pay{HIDDEN}" <a@evil.test>'),
        ("message", "x"),
    ):
        data.add_field(name, value)
    data.add_field("file", io.BytesIO(b"%PDF-1.7\n"), filename=f"invoice{HIDDEN}.pdf", content_type="application/pdf")
    assert 200 == (await gateway.call("POST", FORM, data=data)).status


async def by_webhook(gateway: Running) -> None:
    headers = {"x-api-key": KEYS["alertmanager"]}
    assert (
        200
        == (await gateway.call("POST", "/v1/webhooks/alertmanager", json=alert(f"Pay{HIDDEN}"), headers=headers)).status
    )


async def by_a_webhook_nobody_knows(gateway: Running) -> None:
    headers = {"x-api-key": KEYS["alertmanager"]}
    body = {"title": f"Pay{HIDDEN}", "message": f"x{HIDDEN}"}
    assert 200 == (await gateway.call("POST", "/v1/webhooks/alertmanager", json=body, headers=headers)).status


def native() -> dict[str, Any]:
    return {
        "to": f"Pay{HIDDEN} <ops@example.com>",
        "cc": {"email": "cc@example.com", "name": f"Pay{HIDDEN}"},
        "reply_to": f'"Pay{HIDDEN}" <me@example.com>',
        "subject": f"Pay{HIDDEN}",
        "text": "x",
        "headers": {"X-Job": f"nightly{HIDDEN}"},
        "attachments": [{"name": f"invoice{HIDDEN}.pdf", "content": "eA=="}, {"name": HIDDEN, "content": "eA=="}],
    }


async def by_native(gateway: Running) -> None:
    assert 202 == (await gateway.send(native())).status


async def by_queue(gateway: Running) -> None:
    parts = gateway.gateway
    intake = Intake(parts.config, parts.store, lambda: parts.line, None)
    await intake.take(json.dumps({**native(), "source": "app"}).encode(), "1")


@pytest.mark.parametrize("door", [by_form, by_webhook, by_a_webhook_nobody_knows, by_native, by_queue])
async def test_what_nobody_sees_is_in_no_header_and_no_name(gateway: Running, door: Any) -> None:
    """It is removed rather than refused: pasted text is full of it, and what is seen is then what is there."""
    await door(gateway)

    (mail,) = await gateway.mails()
    assert [] == told(*(await heads(gateway, mail)))
    assert [] == told(mail["subject"], json.dumps([mail["from"], mail["to"], mail["cc"], mail["reply_to"]]))
    shown = (await gateway.call("GET", "/v1/notifications", headers={"x-api-key": KEYS["admin"]})).json
    assert [] == told(shown["items"][0]["title"])


async def test_a_subject_that_a_template_makes_has_none_either(start: Start) -> None:
    """Nor has one that is made of a visitor's fields."""
    gateway = await start(CONFIG.replace('    reply_to: "{{ fields.email }}"\n', '    subject: "{{ fields.topic }}"\n'))

    await gateway.call("POST", FORM, data={"topic": f"[CRITICAL] disk{HIDDEN} full", "message": "x"})

    (mail,) = await gateway.mails()
    assert "(CRITICAL) disk full" == mail["subject"]


async def test_emoji_and_joiners_stay_in_a_body(gateway: Running) -> None:
    """Languages and families need them there."""
    text = "\N{MAN}\u200d\N{WOMAN}\u200d\N{GIRL} \N{HEAVY BLACK HEART}\ufe0f \u0646\u06cc\u200c\u062f"

    await gateway.send({"to": "ops@example.com", "subject": "x", "text": text})
    await gateway.call("POST", FORM, data={"message": text})

    assert [True, True] == [text in mail["text"] for mail in await gateway.mails(2)]


# --------------------------------------------------------------------------------------------- who speaks is shown


@pytest.mark.parametrize(
    ("given", "subject"),
    [
        ("[CRITICAL] Payroll", "[contact] (CRITICAL) Payroll"),
        ("[contact] Payroll", "[contact] (contact) Payroll"),
        ("Re: [RESOLVED] Payroll", "[contact] Re: (RESOLVED) Payroll"),
        ("Payroll", "[contact] Payroll"),
        ("New message from contact", "New message from contact"),
        ("", "New message from contact"),
        ("x" * 999, f"[contact] {'x' * 169}…"),
    ],
)
async def test_a_visitors_subject_says_which_form_it_came_by(gateway: Running, given: str, subject: str) -> None:
    """It goes out in the owner's name, so nothing in front of it is the visitor's own, least of all an alert's tag."""
    await gateway.call("POST", FORM, data={"message": "x", "_subject": given})

    (mail,) = await gateway.mails()
    assert subject == mail["subject"]


async def test_the_owners_template_decides_what_a_subject_begins_with(start: Start) -> None:
    """Its own brackets stay, the visitor's do not."""
    gateway = await start(CONFIG.replace('    reply_to: "{{ fields.email }}"\n', '    subject: "[Web] {{ title }}"\n'))

    await gateway.call("POST", FORM, data={"message": "x", "_subject": "[CRITICAL] Payroll"})

    (mail,) = await gateway.mails()
    assert "[Web] (CRITICAL) Payroll" == mail["subject"]


@pytest.mark.parametrize("field", ["_replyto", "email"])
async def test_a_visitor_has_an_address_and_no_name(gateway: Running, field: str) -> None:
    """By the reserved field and by the owner's template; the mail's own words repeat the address alone."""
    await gateway.call("POST", FORM, data={"message": "x", field: '"Contoso Payroll (internal)" <a@evil.test>'})

    (mail,) = await gateway.mails()
    (answer,) = [line for line in mail["text"].splitlines() if line.startswith("Reply to this mail")]
    assert ("a@evil.test", "Reply to this mail to answer a@evil.test.") == (await reply_to(gateway), answer)


async def test_an_address_that_the_owner_wrote_keeps_its_name(start: Start) -> None:
    """Nobody else had a hand in it."""
    gateway = await start(CONFIG.replace("{{ fields.email }}", "Sales <sales@example.com>"))

    await gateway.call("POST", FORM, data={"message": "x"})

    assert "Sales <sales@example.com>" == await reply_to(gateway)
