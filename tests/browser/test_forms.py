"""What people's web pages do: plain HTML forms and scripts of other origins post to the gateway in a real browser."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import FILE, World
from tests.browser.devtools import Page
from tests.browser.protocol import BrowserError

pytestmark = pytest.mark.asyncio(loop_scope="session")

FORM = """<!doctype html><title>Contact</title>
<form method="post" action="{action}"{extra}>
  <input name="name"> <input name="email" type="email"> <textarea name="message"></textarea>
  <input name="_gotcha" style="display:none">
  {more}
  <button>Send</button>
</form>"""
UPLOAD = ' enctype="multipart/form-data"'


def form(world: World, more: str = "", extra: str = "") -> str:
    return FORM.format(action=world.form, more=more, extra=extra)


async def fill_in(page: Page) -> None:
    await page.write("[name=name]", "Zoë Müller")
    await page.write("[name=email]", "zoe@example.net")
    await page.write("[name=message]", "First line.\nSecond line <b>& more</b>.")


async def submit(page: Page) -> None:
    async with page.loading():
        await page.click("button")


async def test_a_plain_form_sends_its_visitor_to_the_next_page_and_mails_the_fields_in_their_order(
    world: World, page: Page
) -> None:
    """`_next` on an allowed web site is where the browser ends up."""
    thanks = f"{world.friend.url}/danke"
    world.friend.pages["/contact"] = form(world, f'<input type="hidden" name="_next" value="{thanks}">')
    world.friend.pages["/danke"] = "<h1>Danke!</h1>"
    await page.goto(f"{world.friend.url}/contact")
    await fill_in(page)
    await submit(page)
    assert await page.run("location.href") == thanks
    [mail] = await world.captured()
    places = [mail["text"].index(part) for part in ("Zoë Müller", "zoe@example.net", "First line.", "Second line <b>")]
    assert places == sorted(places)
    assert mail["reply_to"] == ["zoe@example.net"]
    assert "<b>" not in mail["html"].partition("Second line")[2][:40]


async def test_a_form_with_a_file_lands_on_our_thank_you_page_and_mails_the_file(
    world: World, page: Page, attachment: Path
) -> None:
    """A browser's multipart body arrives whole, and without `_next` there is a page of our own."""
    world.friend.pages["/contact"] = form(world, '<input type="file" name="plan">', UPLOAD)
    await page.goto(f"{world.friend.url}/contact")
    await fill_in(page)
    await page.choose("[name=plan]", attachment)
    await submit(page)
    assert await page.run("location.href") == f"{world.form}/thanks"
    assert await page.text("h1") == "Thank you"
    [mail] = await world.captured()
    [file] = mail["attachments"]
    assert (file["name"], file["content_type"]) == ("Grundriss Küche.pdf", "application/pdf")
    assert base64.b64decode(file["content"]) == FILE
    assert mail["text"].index("Zoë Müller") < mail["text"].index("First line.")


async def test_a_next_page_of_a_foreign_web_site_is_not_followed(world: World, page: Page) -> None:
    """The gateway is no open redirector."""
    world.friend.pages["/contact"] = form(world, f'<input name="_next" value="{world.stranger.url}/">')
    await page.goto(f"{world.friend.url}/contact")
    await fill_in(page)
    await submit(page)
    assert await page.run("location.href") == f"{world.form}/thanks"


FETCH = """
fetch({url}, {{
  method: "POST",
  headers: {{"Content-Type": "application/json", "X-Requested-With": "fetch"}},
  body: JSON.stringify({body}),
}}).then(async answer => ({{
  status: answer.status,
  id: answer.headers.get("X-Notification-Id"),
  body: await answer.json(),
}}))
"""


async def post(world: World, page: Page, body: dict[str, str]) -> Any:
    return await page.run(FETCH.format(url=json.dumps(world.form), body=json.dumps(body)))


async def test_a_script_of_an_allowed_web_site_posts_json_and_reads_the_answer(world: World, page: Page) -> None:
    """The preflight is answered, and so is the header with the notification's id."""
    world.friend.pages["/"] = "<title>App</title>"
    await page.goto(world.friend.url)
    answer = await post(world, page, {"name": "Zoë", "email": "zoe@example.net", "message": "By script"})
    assert answer["status"] == 200
    assert answer["body"] == {"id": answer["id"], "status": "queued"}
    [mail] = await world.captured()
    assert mail["notification"] == answer["id"]


async def test_a_script_of_a_foreign_web_site_can_neither_post_nor_read(world: World, page: Page) -> None:
    """Without leave of the preflight the browser does not even send the post."""
    world.stranger.pages["/"] = "<title>Elsewhere</title>"
    await page.goto(world.stranger.url)
    with pytest.raises(BrowserError, match="Failed to fetch"):
        await post(world, page, {"message": "from elsewhere"})
    assert await world.only_captured() == []


async def test_a_plain_form_of_a_foreign_web_site_is_refused_with_the_reason(world: World, page: Page) -> None:
    """No preflight stands before a plain form, so the post itself is answered with 403."""
    world.stranger.pages["/contact"] = form(world)
    await page.goto(f"{world.stranger.url}/contact")
    await fill_in(page)
    await submit(page)
    assert "origins" in await page.text("main")
    statuses = [event["response"]["status"] for event in page.happened("Network.responseReceived")]
    assert 403 in statuses
    assert await world.only_captured() == []


async def test_a_bot_in_the_honeypot_sees_exactly_what_a_person_sees(world: World, page: Page) -> None:
    """The same page, the same answer to a script, the same headers: only the mail is missing."""
    world.friend.pages["/contact"] = form(world)
    seen = []
    for trap in ("", "https://buy.example"):
        await page.goto(f"{world.friend.url}/contact")
        await fill_in(page)
        if trap:
            await page.run(f"document.querySelector('[name=_gotcha]').value = {json.dumps(trap)}")
        await submit(page)
        seen.append((await page.run("location.href"), await page.run("document.documentElement.outerHTML")))
    assert seen[0] == seen[1]
    await page.goto(f"{world.friend.url}/contact")
    person = await post(world, page, {"message": "a person"})
    bot = await post(world, page, {"message": "a bot", "_gotcha": "x"})
    assert {**bot, "id": "", "body": {**bot["body"], "id": ""}} == {
        **person,
        "id": "",
        "body": {**person["body"], "id": ""},
    }
    assert len(bot["id"]) == len(person["id"])
    assert len(await world.only_captured()) == 2
