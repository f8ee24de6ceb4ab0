"""What a person does in the inbox: a world and a tab come in, the tab stands where the test needs it afterwards."""

from __future__ import annotations

from tests.browser.conftest import World
from tests.browser.devtools import Page

VIEWS = ("html", "text", "headers", "attachments", "raw", "history")
"""The parts of a mail, as its tabs name them in their links."""


async def open_inbox(world: World, page: Page) -> None:
    """Open the list and wait until it follows what comes in."""
    await page.goto(f"{world.gateway.url}/")
    await page.until("document.getElementById('live')?.dataset.state === 'on'")


async def subjects(page: Page) -> list[str]:
    """What the list shows, from the top."""
    return await page.texts(".mail .subject")


async def open_mail(world: World, page: Page, view: str = "") -> str:
    """Open the newest captured mail; its id."""
    mail = (await world.captured())[-1]
    await page.goto(f"{world.gateway.url}/captured/{mail['id']}?view={view}")
    return str(mail["id"])
