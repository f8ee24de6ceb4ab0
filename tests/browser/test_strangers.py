"""Pages of other web sites in a real browser: they read no captured mail, change nothing, and learn nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.browser.conftest import World
from tests.browser.devtools import STRANGER, Page

pytestmark = pytest.mark.asyncio(loop_scope="session")

ASKED_BY = {
    "another port of the same address": "127.0.0.1",
    "another name of the machine": "localhost",
    "another site": STRANGER,
}

ATTEMPT = """
(async () => {
  const seen = [];
  for (const path of ["/v1/captured", "/v1/captured?subject=code&wait=1", "/", "/inbox.js", "/health/ready"])
    for (const mode of ["cors", "no-cors"])
      try {
        const answer = await fetch(GATEWAY + path, {mode, credentials: "include"});
        if (answer.type !== "opaque") seen.push(await answer.text());
      } catch {}
  for (const [method, path] of [["DELETE", "/v1/captured"], ["POST", "/v1/notifications?code=CODE"],
                                ["POST", "/v1/webhooks/alertmanager?code=CODE"]])
    for (const mode of ["cors", "no-cors"])
      try {
        const body = method === "POST" ? JSON.stringify({to: "ops@example.com", subject: "forged"}) : undefined;
        await fetch(GATEWAY + path, {method, mode, body});
      } catch {}
  for (const [kind, path] of [["script", "/inbox.js"], ["img", "/v1/captured"], ["iframe", "/"]])
    seen.push(...await new Promise(done => {
      const element = document.createElement(kind);
      element.onload = () => done(kind === "iframe" ? [] : [`${kind} loaded`]);
      element.onerror = () => done([]);
      element.src = GATEWAY + path;
      document.body.append(element);
    }));
  return seen;
})()
"""

PROBE = """
(async () => {
  const slow = [];
  await Promise.all(SUBJECTS.map(async subject => {
    const begun = performance.now();
    const path = `${GATEWAY}/v1/captured?wait=8&subject=${encodeURIComponent(subject)}`;
    try { await fetch(path, {mode: "no-cors"}); } catch {}
    if (performance.now() - begun > 4000) slow.push(subject);
  }));
  return slow;
})()
"""


def script(text: str, world: World, **values: Any) -> str:
    """A script with its words in it; the sample's keys are known to everybody."""
    values = {"GATEWAY": world.gateway.url, **values}
    for word, value in values.items():
        text = text.replace(word, json.dumps(value) if word.isupper() and word != "CODE" else str(value))
    return text


async def stand_on(page: Page, world: World, name: str) -> None:
    """Open a page of the stranger's web site under this name."""
    world.stranger.pages["/"] = "<!doctype html><title>Stranger</title><body>Nothing to see"
    await page.goto(world.stranger.url.replace("127.0.0.1", name))


@pytest.mark.parametrize("who", ASKED_BY)
async def test_a_page_of_another_site_reads_and_changes_nothing(world: World, page: Page, who: str) -> None:
    """Neither with a script, nor with what a page may embed, nor with a key that everybody knows."""
    await world.send(subject="Your code is 482 913")
    await world.captured()
    await stand_on(page, world, ASKED_BY[who])

    seen = await page.run(script(ATTEMPT, world, CODE="example-key-app"))

    assert [] == seen
    assert ["Your code is 482 913"] == await world.only_captured()


async def test_a_page_under_a_name_that_now_leads_here_reads_nothing(world: World, page: Page) -> None:
    """Its scripts are of the same origin as the gateway's answers, and every answer is a refusal."""
    await world.send(subject="Your code is 482 913")
    await world.captured()
    await page.goto(f"{world.gateway.url.replace('127.0.0.1', STRANGER)}/")
    assert STRANGER in await page.run("location.host")

    asked = """
    Promise.all([["GET", "/v1/captured"], ["GET", "/"], ["DELETE", "/v1/captured"], ["GET", "/health/live"],
                 ["POST", "/v1/notifications?code=example-key-app"], ["POST", "/v1/forms/contact"]].map(
      async ([method, path]) => { const answer = await fetch(path, {method}); return answer.status; }))
    """

    assert [421] * 6 == await page.run(asked)
    assert ["Your code is 482 913"] == await world.only_captured()


@pytest.mark.parametrize("who", ASKED_BY)
async def test_waiting_tells_a_page_of_another_site_nothing(world: World, page: Page, who: str) -> None:
    """Whatever is asked for, there or not, is refused at once; a search by timing finds no letter of a code."""
    await world.send(subject="Your code is 482 913")
    await world.captured()
    await stand_on(page, world, ASKED_BY[who])

    subjects = [f"Your code is {digit}" for digit in "0123456789"]
    assert [] == await page.run(script(PROBE, world, SUBJECTS=subjects))


@pytest.mark.parametrize(
    "name",
    ["localhost.", "dev.localhost", "127.0.0.2", "2130706433", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]"],
)
async def test_waiting_tells_nothing_under_whatever_name_the_machine_has(world: World, page: Page, name: str) -> None:
    """To some of them a browser does not say which site asks."""
    await stand_on(page, world, STRANGER)
    gateway = world.gateway.url.replace("127.0.0.1", name)

    assert [] == await page.run(script(PROBE, world, GATEWAY=gateway, SUBJECTS=["nothing is about this"]))


async def test_a_window_that_a_stranger_opens_shows_no_mail_as_data_and_tells_him_nothing(
    world: World, page: Page
) -> None:
    """A link may lead to the inbox, which lets go of who has opened it."""
    await world.send(subject="Your code is 482 913")
    await world.captured()
    await stand_on(page, world, STRANGER)
    opened = f"globalThis.opened = window.open({json.dumps(world.gateway.url + '/')}); 1"
    await page.command("Runtime.evaluate", expression=opened, userGesture=True)

    assert await page.until("opened.closed")


async def test_a_link_leads_a_person_to_the_inbox(world: World, page: Page) -> None:
    """From a page of documents, say."""
    await world.send(subject="Your code is 482 913")
    await world.captured()
    world.stranger.pages["/"] = f"<!doctype html><a href='{world.gateway.url}/'>Mail</a>"
    await page.goto(world.stranger.url.replace("127.0.0.1", STRANGER))

    async with page.loading():
        await page.click("a")

    assert ["Your code is 482 913"] == await page.texts(".mail .subject")
