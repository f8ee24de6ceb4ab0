"""The form page's samples in a real browser: the HTML as it is, and the script that takes the same form."""

from __future__ import annotations

import pytest

from tests.browser.conftest import World
from tests.browser.devtools import Page
from tests.documents import Block, blocks

pytestmark = pytest.mark.asyncio(loop_scope="session")

SITE = "http://localhost:8080"
"""The visitor's web site in the samples."""


def sample(block: Block, world: World) -> str:
    """The block for this gateway and this web site."""
    return block.at(world.gateway.url).replace(SITE, world.friend.url)


async def fill_in(page: Page) -> None:
    await page.write("[name=name]", "Zoë Müller")
    await page.write("[name=email]", "zoe@example.net")
    await page.write("[name=message]", "Please call me back.")


async def check_mail(world: World) -> None:
    [mail] = await world.captured()
    assert ["zoe@example.net"] == mail["reply_to"]
    assert all(part in mail["text"] for part in ("Zoë Müller", "Please call me back."))
    assert "_gotcha" not in mail["text"]


@pytest.mark.parametrize("block", blocks("html"), ids=str)
async def test_the_form_in_the_documents_mails_what_was_filled_in(block: Block, world: World, page: Page) -> None:
    """A person fills it in, presses the button and is thanked: on the page's own site where the sample names one."""
    world.friend.pages["/contact"] = f"<!doctype html><title>Contact</title>{sample(block, world)}"
    world.friend.pages["/thanks.html"] = "<h1>Thank you</h1>"
    await page.goto(f"{world.friend.url}/contact")
    await fill_in(page)

    async with page.loading():
        await page.click("button")

    expected = f"{world.friend.url}/thanks.html" if "_next" in block.text else f"{world.form}/thanks"
    assert expected == await page.run("location.href")
    assert "Thank you" == await page.text("h1")
    await check_mail(world)


@pytest.mark.parametrize("block", blocks("js"), ids=str)
async def test_the_script_in_the_documents_sends_the_form_of_its_page(block: Block, world: World, page: Page) -> None:
    """The visitor stays where she is and reads the answer."""
    [form] = [html for html in blocks("html") if html.file == block.file]
    world.friend.pages["/contact"] = (
        f"<!doctype html><title>Contact</title>{sample(form, world)}<script>{block.text}</script>"
    )
    await page.goto(f"{world.friend.url}/contact")
    await fill_in(page)

    await page.click("button")

    assert await page.until("document.body.innerText.includes('Thank you.')")
    assert f"{world.friend.url}/contact" == await page.run("location.href")
    await check_mail(world)


@pytest.mark.parametrize("block", blocks("js"), ids=str)
async def test_the_script_in_the_documents_shows_why_it_did_not_work(block: Block, world: World, page: Page) -> None:
    """The reason is the gateway's own sentence."""
    [form] = [html for html in blocks("html") if html.file == block.file]
    page_text = sample(form, world).replace(" required", "")
    world.friend.pages["/contact"] = f"<!doctype html><title>Contact</title>{page_text}<script>{block.text}</script>"
    await page.goto(f"{world.friend.url}/contact")

    await page.click("button")

    assert await page.until("document.body.innerText.includes('has no field that is filled in')")
