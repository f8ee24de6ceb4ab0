"""The inbox as a person uses it: mail arrives while the page is open, is opened, and can do no harm."""

from __future__ import annotations

import asyncio
import json
import re
import struct
import zlib
from base64 import b64encode
from pathlib import Path

import pytest

from tests import tools
from tests.browser.conftest import World
from tests.browser.devtools import Page
from tests.browser.steps import VIEWS, open_inbox, open_mail, subjects
from tests.gateway_process import start

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOSTILE = '<script>document.title="owned"</script><img src=x onerror=alert(1)>'


def trap(home: str) -> str:
    """HTML that tries every way to run or to call home as soon as it is shown."""
    return f"""<html><head><meta http-equiv="refresh" content="0;url={home}/refresh">
<link rel="stylesheet" href="{home}/style"><base href="{home}/">
<script>document.title = "owned"; parent.document.title = "owned"; fetch("{home}/fetch")</script>
<script src="{home}/script"></script></head>
<body onload="document.title = 'owned'" style="background: url({home}/background)">
<p id="said">Dear reader</p>
<img src="{home}/picture"><img src="x" onerror="top.document.title = 'owned'">
<svg onload="document.title = 'owned'"></svg><iframe src="{home}/frame"></iframe>
<form id="f" action="{home}/form"></form><script>document.getElementById("f").submit()</script>
</body></html>"""


def picture() -> bytes:
    """A PNG of 8 by 4 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 8, 4, 8, 2, 0, 0, 0)
    rows = (b"\0" + bytes((29, 95, 191)) * 8) * 4
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


async def test_mail_shows_up_while_the_page_is_open(world: World, page: Page) -> None:
    """Newest first, without a reload."""
    await open_inbox(world, page)
    await page.run("globalThis.same = true")
    await world.send(subject="The first")
    await page.until("document.querySelectorAll('.mail').length === 1")
    await world.send(subject="The second", priority="high", attachments=[{"name": "a.txt", "content": "aGk="}])
    await page.until("document.querySelectorAll('.mail').length === 2")
    assert await subjects(page) == ["The second", "The first"]
    assert await page.texts(".mail:first-child .tag:not([hidden])") == ["app", "high priority", "1 file"]
    assert await page.text("#news") == "New mail: The second"
    assert await page.run("globalThis.same") is True


async def test_the_server_and_the_script_make_the_same_rows(world: World, page: Page) -> None:
    """A reload changes nothing but the mark of what is new."""
    await open_inbox(world, page)
    text = "  Two lines\n\tof \u00a0text " + "and more " * 90
    await world.send(subject="One & <b>same</b>", text=text, to=["ops@example.com", "dev@example.com"])
    await page.until("document.querySelectorAll('.mail').length === 1")
    row = """(row => { row.classList.remove("new"); row.querySelector("time").textContent = "";
             return row.innerHTML.replace(/\\s+/g, " ").replaceAll('hidden=""', "hidden") })
             (document.querySelector('.mail').cloneNode(true))"""
    live = re.sub(r' title="[^"]*"', "", await page.run(row))
    await page.goto(f"{world.gateway.url}/")
    assert re.sub(r' title="[^"]*"', "", await page.run(row)) == live


async def test_an_empty_inbox_shows_commands_that_work_as_they_are(world: World, page: Page) -> None:
    """Each command is run in a shell; each makes a mail, and the page that showed them fills."""
    curl = tools.curl()
    await open_inbox(world, page)
    assert await page.text("#empty h2") == "No mail yet"
    commands = await page.run("[...document.querySelectorAll('.example pre code')].map(code => code.textContent)")
    names = await page.texts(".example h3")
    assert names == ["contact", "alertmanager", "by-path", "app", "other"]
    known = [command for name, command in zip(names, commands, strict=True) if name != "by-path"]
    for command in known:
        assert command.startswith("curl ")
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", str(curl) + command.removeprefix("curl") + " --silent --show-error --fail", stdout=-1, stderr=-1
        )
        said, complaint = await process.communicate()
        assert (process.returncode, json.loads(said)["status"]) == (0, "queued"), complaint
    await page.until("document.querySelectorAll('.mail').length === 4")
    assert await page.run("document.getElementById('empty')") is None


async def test_a_command_is_copied_by_its_button(world: World, page: Page) -> None:
    """What the clipboard holds is the whole command."""
    await page.goto(f"{world.gateway.url}/")
    await page.allow("clipboardReadWrite", "clipboardSanitizedWrite")
    await page.click(".example [data-copy]")
    await page.until("document.querySelector('.example [data-copy]').textContent === 'Copied'")
    command = await page.run("document.querySelector('.example code').textContent")
    assert await page.run("navigator.clipboard.readText()") == command


async def test_a_mail_opens_with_all_its_parts(world: World, page: Page) -> None:
    """Who wrote to whom, the text, the headers, the files, the raw mail and its history."""
    file = {"name": "Grundriss Küche.pdf", "content_type": "application/pdf", "content": "JVBERi0="}
    await world.send(
        to=["Ops <ops@example.com>"],
        cc="dev@example.com",
        bcc="audit@example.com",
        subject="Grüße aus Köln",
        text="Plain as day",
        html="<p>Rich as <b>night</b></p>",
        headers={"X-Ticket": "4711"},
        attachments=[file],
    )
    await world.captured()
    await open_inbox(world, page)
    async with page.loading():
        await page.click(".mail .subject")
    assert await page.text("h1") == "Grüße aus Köln"
    facts = dict(zip(await page.texts(".facts dt"), await page.texts(".facts dd"), strict=True))
    del facts["Captured"]
    assert facts == {
        "From": "Example <noreply@example.com>",
        "To": "Ops <ops@example.com>",
        "Cc": "dev@example.com",
        "Bcc": "audit@example.com",
        "Source": "app, by sender noreply",
        "Status": "captured",
    }
    shown = {}
    for view in ("text", "headers", "attachments", "raw", "history"):
        async with page.loading():
            await page.click(f'.tabs [href^="?view={view}"]')
        assert await page.text(".tabs [aria-current]") in {view.title(), "Attachments 1"}
        shown[view] = await page.text(".part")
    assert shown["text"] == "Plain as day"
    assert re.search(r"Subject\s+Grüße aus Köln", shown["headers"])
    assert re.search(r"X-Ticket\s+4711", shown["headers"])
    assert "audit@example.com" not in shown["headers"]
    assert shown["attachments"].split() == ["Grundriss", "Küche.pdf", "application/pdf,", "5", "bytes"]
    assert "Content-Type: multipart/mixed" in shown["raw"]
    assert re.search(r"accepted.*captured", shown["history"], re.DOTALL)


async def test_the_html_of_a_mail_is_shown_and_cannot_run_or_call_home(world: World, page: Page) -> None:
    """Scripts, pictures, styles, forms and redirects of a hostile mail do nothing, in the frame or out of it."""
    await world.send(subject="Dear reader", html=trap(world.stranger.url))
    await page.goto(f"{world.gateway.url}/")
    frame = f"/captured/{await open_mail(world, page)}/html"
    assert await (await page.frame(frame)).text("#said") == "Dear reader"
    assert await page.run("document.querySelector('iframe').getAttribute('sandbox')") == ""
    assert await page.run("document.title") == "Dear reader · Captured mail"
    # The same document outside its frame, where somebody might open it.
    await page.goto(world.gateway.url + frame)
    assert await page.text("#said") == "Dear reader"
    assert await page.run("document.title") == ""
    assert await page.run("origin") == "null"
    assert world.stranger.requests == []
    refusals = [event["entry"]["text"] for event in page.happened("Log.entryAdded")]
    assert any("Blocked script execution" in text for text in refusals)


CALLING = (
    '<link rel=preconnect href="{home}/1">',
    '<!-- --!><link rel="preconnect" href="{home}/2">',
    "<a b'><link rel=preconnect href='{home}/3'>",
    """<iframe sandbox srcdoc="&lt;link rel=preconnect href='{home}/4'&gt;"></iframe>""",
    "<meta http-equiv=refresh content='0; url={home}/5'>",
    "<frameset><frame src='{home}/6'></frameset>",
)
"""Each makes a browser open a connection."""

CALLS = f"""<html><head><base href="{{home}}/0"><link rel="dns-prefetch" href="{{home}}/0"></head><body>
<p id="said">Dear reader</p><p>{"<p>".join(CALLING)}<p>{"<p>".join(CALLING).replace("<link", "<li<link>nk")}
<svg>{CALLING[0]}</svg><noscript>{CALLING[0]}</noscript><style></style x>{CALLING[0]}"""


async def test_a_mail_that_is_shown_opens_no_connection(world: World) -> None:
    """No link, no base and no redirect is left for the browser, in its frame or out of it; this one would tell."""
    opened = asyncio.Event()

    def accepted(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.set()
        writer.close()

    page = await world.browser.page(private=False)
    async with await asyncio.start_server(accepted, "127.0.0.1", 0) as server:
        home = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await world.send(subject="Dear reader", html=CALLS.format(home=home))
        await page.goto(f"{world.gateway.url}/")
        frame = f"/captured/{await open_mail(world, page)}/html"
        assert await (await page.frame(frame)).text("#said") == "Dear reader"
        await page.goto(world.gateway.url + frame)
        assert await page.text("#said") == "Dear reader"
        id = await world.send(subject="In frames", html=CALLING[-1].format(home=home))
        await world.captured("In frames")
        await page.goto(f"{world.gateway.url}/captured/{id}-1/html")
        quiet = not opened.is_set()
        for tag in CALLING:
            # What a browser does ahead of time it does within moments, as it does for a page of anybody else.
            opened.clear()
            world.friend.pages["/"] = f"<!doctype html>{tag.format(home=home)}"
            await page.goto(world.friend.url)
            await asyncio.wait_for(opened.wait(), 10)
    await world.browser.connection.command("Target.closeTarget", targetId=page.target)
    assert quiet


async def test_the_trap_springs_on_an_ordinary_page(world: World, page: Page) -> None:
    """The hostile mail of the test above is hostile indeed, and this browser would tell."""
    world.friend.pages["/"] = trap(world.stranger.url).replace('http-equiv="refresh"', "")
    world.stranger.pages["/form"] = "<title>Got you</title>"
    await page.goto(world.friend.url)
    await page.until("document.title === 'Got you'")
    home = {"/background", "/fetch", "/form", "/frame", "/picture", "/script", "/style"}
    assert set(world.stranger.requests) >= home


async def test_hostile_words_are_only_words(world: World, page: Page) -> None:
    """Markup in the subject, the text, a tag or a file's name is shown as it was written, everywhere."""
    file = {"name": f"../{HOSTILE}.html", "content_type": "text/html", "content": b64encode(b"<b>").decode()}
    await open_inbox(world, page)
    await world.send(subject=HOSTILE, text=HOSTILE, attachments=[file], tags=["<i>tag</i>"], headers={"X-A": HOSTILE})
    await page.until("document.querySelectorAll('.mail').length === 1")
    seen = [(await subjects(page), await page.texts(".mail .snippet"))]
    await open_inbox(world, page)
    seen.append((await subjects(page), await page.texts(".mail .snippet")))
    assert seen == [([HOSTILE], [HOSTILE])] * 2
    for view in VIEWS:
        await open_mail(world, page, view)
        assert await page.text("h1") == HOSTILE
        assert await page.run("document.querySelectorAll('main script, main img').length") == 0
        assert await page.run("document.title") == f"{HOSTILE} · Captured mail"
    assert page.happened("Page.javascriptDialogOpening") == []
    assert page.happened("Runtime.exceptionThrown") == []


async def test_an_inline_picture_is_shown_inside_the_mail(world: World, page: Page) -> None:
    """`cid:` leads to the attachment, though the frame may fetch nothing."""
    file = {"name": "p.png", "content_type": "image/png", "content": b64encode(picture()).decode(), "content_id": "p1"}
    await world.send(html='<p>Look: <img src="cid:p1" id="p"></p>', attachments=[file])
    frame = f"/captured/{await open_mail(world, page)}/html"
    await page.goto(world.gateway.url + frame)
    assert await page.until("document.getElementById('p').naturalWidth") == 8


async def test_an_attachment_is_saved_and_never_shown(world: World, page: Page, tmp_path: Path) -> None:
    """Even HTML that claims to be HTML, under a name that tries to leave the folder."""
    content = b"<script>document.title = 'owned'</script>"
    file = {"name": "../../evil.html", "content_type": "text/html", "content": b64encode(content).decode()}
    await world.send(attachments=[file])
    await open_mail(world, page, "attachments")
    name, saved = await page.download(".files a", tmp_path)
    assert name.endswith("evil.html")
    assert "/" not in name
    assert saved == content
    assert await page.run("document.title") == "Hello · Captured mail"


async def test_all_mail_is_deleted_after_a_question(world: World, page: Page) -> None:
    """A dialog asks first; then the list is empty again."""
    await world.send()
    await world.captured()
    await open_inbox(world, page)
    async with page.loading():
        pressed = asyncio.create_task(page.click("#clear"))
        await page.answer_dialog(accept=True)
        await pressed
    assert await page.text("#empty h2") == "No mail yet"
    assert await world.only_captured() == []


async def test_the_list_says_when_the_gateway_is_away_and_goes_on_when_it_is_back(
    world: World, page: Page, tmp_path: Path
) -> None:
    """A crash of the gateway, and one with a new store in its place."""
    gateway = await asyncio.to_thread(start, store=tmp_path / "one.db")
    try:
        await page.goto(f"{gateway.url}/")
        await page.until("document.getElementById('live')?.dataset.state === 'on'")
        await asyncio.to_thread(gateway.kill)
        await page.until("document.getElementById('live').dataset.state === 'away'")
        async with page.loading():
            gateway = await asyncio.to_thread(start, store=tmp_path / "two.db", port=gateway.port)
        await page.until("document.getElementById('live')?.dataset.state === 'on'")
    finally:
        await asyncio.to_thread(gateway.stop)
