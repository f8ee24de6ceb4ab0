"""How the inbox looks: on a phone, in the dark, to weak eyes, and without JavaScript."""

from __future__ import annotations

import pytest

from tests.browser.conftest import World
from tests.browser.devtools import Page
from tests.browser.steps import VIEWS, open_inbox, open_mail, subjects

pytestmark = pytest.mark.asyncio(loop_scope="session")

DARK = "matchMedia('(prefers-color-scheme: dark)').matches"


async def test_everything_can_be_read_without_javascript(world: World, page: Page) -> None:
    """List and mail are made by the server; only the list stands still."""
    await world.send(subject="Quiet", text="No script needed")
    await world.captured()
    await page.command("Emulation.setScriptExecutionDisabled", value=True)
    await page.goto(f"{world.gateway.url}/")
    assert await subjects(page) == ["Quiet"]
    async with page.loading():
        await page.click(".mail .subject")
    async with page.loading():
        await page.click('.tabs [href^="?view=text"]')
    assert await page.text(".part") == "No script needed"


async def test_a_mail_can_be_seen_in_light_and_in_dark(world: World, page: Page) -> None:
    """The frame follows the reader's system until a colour is chosen; the page itself stays as it is."""
    await world.send(html='<meta name="color-scheme" content="light dark"><p>Hi</p>')
    await page.looks(dark=True)
    frame = await page.frame(f"/captured/{await open_mail(world, page)}/html")
    seen = [await frame.run(DARK)]
    for colours in ("light", "dark"):
        await page.click(f"[name=colours][value={colours}]")
        seen.append(await frame.until(f"{DARK} === {'true' if colours == 'dark' else 'false'}"))
    assert seen == [True, True, True]
    assert await page.run(DARK) is True


TOO_WIDE = """
(() => {
  const scrolls = e => e && (/auto|scroll/.test(getComputedStyle(e).overflowX)
    || getComputedStyle(e).textOverflow === "ellipsis" || scrolls(e.parentElement));
  return [...document.querySelectorAll("body *")]
    .filter(e => e.checkVisibility() && e.getBoundingClientRect().right > innerWidth + 0.5 && !scrolls(e))
    .map(e => `${e.className || e.tagName} ends at ${e.getBoundingClientRect().right}`);
})()
"""


async def test_a_phone_shows_everything_without_scrolling_sideways(world: World, page: Page) -> None:
    """375 pixels are enough for the longest subject, address and file name; nothing is cut off."""
    word = "x" * 180
    file = {"name": f"{word}.txt", "content": "aGk="}
    html = f'<a href="https://{word}.example/">{word}</a>'
    await world.send(
        subject=word,
        text=word,
        html=html,
        to=[f"{'y' * 60}@example.com"],
        attachments=[file],
        headers={"X-A": word},
        tags=[word[:64]],
    )
    await world.captured()
    await page.looks(width=375, height=740)
    await open_inbox(world, page)
    wide = [("list", await page.run("innerWidth"), await page.run(TOO_WIDE))]
    for view in VIEWS:
        await open_mail(world, page, view)
        wide.append((view, await page.run("innerWidth"), await page.run(TOO_WIDE)))
    assert wide == [(view, 375, []) for view in ("list", *VIEWS)]


CONTRAST = """
(() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
  const rgb = colour => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data] };
  const light = ([r, g, b]) => { const [x, y, z] = [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * x + 0.7152 * y + 0.0722 * z };
  const ground = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor);
    if (c[3] > 250) return c } return [255, 255, 255, 255] };
  const poor = [];
  for (const e of document.querySelectorAll("body *")) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || !e.checkVisibility()) continue;
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) poor.push(`${e.className || e.tagName}: ${e.textContent.trim().slice(0, 30)} ${ratio.toFixed(2)}`);
  }
  return poor;
})()
"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_every_word_has_enough_contrast(world: World, page: Page, *, dark: bool) -> None:
    """At least 4.5 to 1 (WCAG AA), measured on what the browser computed."""
    await page.looks(dark=dark)
    await open_inbox(world, page)
    poor = list(await page.run(CONTRAST))
    await world.send(priority="high", tags=["a"], attachments=[{"name": "a.txt", "content": "aGk="}])
    await page.until("document.querySelectorAll('.mail').length === 1")
    poor += await page.run(CONTRAST)
    for view in ("html", "headers", "attachments", "raw", "history"):
        await open_mail(world, page, view)
        poor += await page.run(CONTRAST)
    assert poor == []
