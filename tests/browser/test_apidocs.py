"""The API's page in a real browser: it shows and tries every route, and nothing on it comes from anywhere else."""

from __future__ import annotations

import json

import pytest

from tests.browser.conftest import World
from tests.browser.devtools import Page

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_apis_page_needs_nobody_else(world: World, page: Page) -> None:
    """No request leaves for another place, no rule of the page is broken, every route is there, and one is tried."""
    await page.goto(f"{world.gateway.url}/docs")
    await page.until("document.querySelectorAll('.opblock').length > 8")
    shown = await page.texts(".opblock-summary-path")
    mine = "[...document.querySelectorAll('.opblock')].find(route => route.innerText.includes('The process answers'))"
    route = f"document.getElementById({json.dumps(await page.run(f'{mine}.id'))})"
    for button in (".opblock-summary-control", ".try-out__btn", ".execute"):
        await page.until(f"{route}.querySelector('{button}') !== null")
        await page.run(f"{route}.querySelector('{button}').click()")
    answered = await page.until(f"{route}.querySelector('.live-responses-table .response')?.innerText")

    asked = [event["request"]["url"] for event in page.happened("Network.requestWillBeSent")]
    said = [event["entry"]["text"] for event in page.happened("Log.entryAdded")]
    assert "200" in answered
    assert {"/v1/notifications", "/v1/captured", "/health/live"} <= {path.replace("\u200b", "") for path in shown}
    assert [] == [url for url in asked if not url.startswith((f"{world.gateway.url}/", "data:"))]
    assert [] == said
    assert [] == page.happened("Runtime.exceptionThrown")


async def test_no_site_may_frame_the_apis_page(world: World, page: Page) -> None:
    """Keys are typed there."""
    world.friend.pages["/"] = f"<!doctype html><iframe src='{world.gateway.url}/docs'></iframe>"
    await page.goto(world.friend.url)

    assert await page.until("document.querySelector('iframe').contentDocument === null")
    assert 0 == await page.run("document.querySelector('iframe').contentWindow.length")
    refused = page.happened("Network.responseReceived")
    assert [403] == [event["response"]["status"] for event in refused if event["response"]["url"].endswith("/docs")]
