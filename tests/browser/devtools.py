"""A real browser: Chromium's path comes in, pages that can be clicked, typed into and looked at go out.

A small client of the DevTools protocol (https://chromedevtools.github.io/devtools-protocol/) over the websocket of
aiohttp, which the gateway installs anyway: no driver program, no second package.
"""

from __future__ import annotations

import asyncio
import base64
import json
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.browser.protocol import SECONDS, BrowserError, Connection

STRANGER = "attacker.test"
"""A name that leads to this machine and is not its own: what DNS rebinding makes of somebody else's."""

FLAGS = (
    "--headless",
    "--no-sandbox",  # root, as in a container, cannot use Chromium's own
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--no-first-run",
    "--no-default-browser-check",
    "--remote-debugging-port=0",
    # Nothing but this machine, which also has a stranger's name: every other name does not resolve.
    f"--host-resolver-rules=MAP {STRANGER} 127.0.0.1 , MAP * ~NOTFOUND"
    + "".join(f" , EXCLUDE {own}" for own in ("127.*", "0.0.0.0", "*::*", "localhost", "localhost.", "*.localhost")),
)

_WAIT = """
new Promise((found, failed) => {{
  const end = Date.now() + {milliseconds};
  (function look() {{
    let value = false;
    try {{ value = {expression}; }} catch (error) {{ if (Date.now() > end) return failed(error); }}
    if (value) return found(value);
    if (Date.now() > end) return failed(new Error("did not happen"));
    setTimeout(look, 20);
  }})();
}})
"""


_MIDDLE = """
(element => {{
  element.scrollIntoView({{block: "center", behavior: "instant"}});
  const box = element.getBoundingClientRect();
  return [box.x + box.width / 2, box.y + box.height / 2];
}})({where})
"""


@dataclass
class Page:
    """One tab."""

    connection: Connection
    session: str
    target: str
    context: str
    _dialogs: int = 0

    async def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Give this tab a command."""
        return await self.connection.command(method, self.session, **parameters)

    async def goto(self, url: str) -> None:
        """Open an address and wait until it is loaded."""
        async with self.loading():
            answer = await self.command("Page.navigate", url=url)
            if "errorText" in answer:
                raise BrowserError(f"{url}: {answer['errorText']}")

    @asynccontextmanager
    async def loading(self) -> AsyncIterator[None]:
        """Wait at the end of the block for the page that something in it has led to."""
        place = len(self.connection.events)
        yield
        await self.connection.event("Page.loadEventFired", self.session, place)

    async def run(self, script: str) -> Any:
        """The value of a JavaScript expression; a promise is awaited."""
        answer = await self.command("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise BrowserError(f"{script[:200]}: {json.dumps(answer['exceptionDetails'])[:600]}")
        return answer["result"].get("value")

    async def until(self, expression: str) -> Any:
        """Wait until a JavaScript expression is true, and return its value."""
        try:
            return await self.run(_WAIT.format(expression=expression, milliseconds=int(SECONDS * 1000)))
        except BrowserError as error:
            text = await self.run("document.body.innerText")
            raise BrowserError(f"{expression} did not become true: {error}\nThe page says:\n{text}") from None

    async def texts(self, selector: str) -> list[str]:
        """The visible text of every element that matches."""
        found = await self.run(f"[...document.querySelectorAll({json.dumps(selector)})].map(e => e.innerText.trim())")
        return list(found)

    async def text(self, selector: str) -> str:
        """The visible text of the first element that matches, once there is one."""
        await self.until(f"document.querySelector({json.dumps(selector)})")
        return (await self.texts(selector))[0]

    async def click(self, selector: str) -> None:
        """Press the mouse in the middle of an element, as a hand would."""
        where = f"document.querySelector({json.dumps(selector)})"
        await self.until(where)
        x, y = await self.run(_MIDDLE.format(where=where))
        for kind in ("mousePressed", "mouseReleased"):
            await self.command("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def write(self, selector: str, text: str) -> None:
        """Type into a field."""
        await self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        await self.command("Input.insertText", text=text)

    async def choose(self, selector: str, *files: Path) -> None:
        """Choose files in a file field."""
        root = (await self.command("DOM.getDocument"))["root"]["nodeId"]
        node = (await self.command("DOM.querySelector", nodeId=root, selector=selector))["nodeId"]
        await self.command("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    async def allow(self, *permissions: str) -> None:
        """Grant every page of this tab's profile some permissions."""
        await self.connection.command(
            "Browser.grantPermissions", browserContextId=self.context, permissions=permissions
        )

    async def answer_dialog(self, *, accept: bool) -> str:
        """Answer the question that a script asks; what it was."""
        asked = await self.connection.event("Page.javascriptDialogOpening", self.session, self._dialogs)
        self._dialogs = len(self.connection.events)
        await self.command("Page.handleJavaScriptDialog", accept=accept)
        return str(asked["message"])

    async def download(self, selector: str, folder: Path) -> tuple[str, bytes]:
        """Click a link that saves a file; the name the browser gives it, and what is in it."""
        await self.connection.command(
            "Browser.setDownloadBehavior",
            behavior="allowAndName",
            browserContextId=self.context,
            downloadPath=str(folder),
            eventsEnabled=True,
        )
        place = len(self.connection.events)
        await self.click(selector)
        begun = await self.connection.event("Browser.downloadWillBegin", "", place)
        while (progress := await self.connection.event("Browser.downloadProgress", "", place))["state"] != "completed":
            assert progress["state"] == "inProgress", progress
            place += 1
        return begun["suggestedFilename"], await asyncio.to_thread((folder / begun["guid"]).read_bytes)

    async def frame(self, path: str) -> Page:
        """The inside of the frame that shows `path`, which a script of the page itself may not read."""
        targets = (await self.connection.command("Target.getTargets"))["targetInfos"]
        frame = next(target for target in targets if target["type"] == "iframe" and target["url"].endswith(path))
        attached = await self.connection.command("Target.attachToTarget", targetId=frame["targetId"], flatten=True)
        return Page(self.connection, attached["sessionId"], frame["targetId"], self.context)

    async def looks(self, *, width: int = 1280, height: int = 800, dark: bool = False) -> None:
        """Be a screen of this size, in light or dark mode."""
        await self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.command("Emulation.setEmulatedMedia", features=[scheme])

    async def screenshot(self, *, whole: bool = False) -> bytes:
        """What is to be seen as PNG; `whole` with what lies below the fold."""
        shot = await self.command("Page.captureScreenshot", captureBeyondViewport=whole)
        return base64.b64decode(shot["data"])

    def happened(self, method: str) -> list[dict[str, Any]]:
        """What this tab's events of one name told so far."""
        events = self.connection.events
        return [e["params"] for e in events if e["method"] == method and e.get("sessionId") == self.session]


@dataclass
class Browser:
    """One running Chromium with a profile of its own."""

    connection: Connection

    async def page(self, *, private: bool = True) -> Page:
        """Open a tab in a profile that nobody else sees: no cookies, no credentials.

        Or in the browser's own profile: only there Chromium connects ahead of time.
        """
        made = await self.connection.command("Target.createBrowserContext") if private else {"browserContextId": ""}
        context = made["browserContextId"]
        within = {"browserContextId": context} if private else {}
        created = await self.connection.command("Target.createTarget", url="about:blank", **within)
        target = created["targetId"]
        attached = await self.connection.command("Target.attachToTarget", targetId=target, flatten=True)
        page = Page(self.connection, attached["sessionId"], target, context)
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            await page.command(f"{domain}.enable")
        return page


@asynccontextmanager
async def browser(program: Path, profile: Path) -> AsyncIterator[Browser]:
    """A browser for the length of a block; `profile` is an empty folder for its user data."""
    process = await asyncio.create_subprocess_exec(
        program, *FLAGS, f"--user-data-dir={profile}", stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE
    )
    drain: asyncio.Task[None] | None = None
    try:
        address, drain = await _address(process)
        async with aiohttp.ClientSession() as http, http.ws_connect(address, max_msg_size=0) as socket:
            connection = Connection(socket)
            reading = asyncio.create_task(connection.read())
            yield Browser(connection)
            with suppress(BrowserError, TimeoutError):
                await connection.command("Browser.close")
            await reading
    finally:
        await _end(process)
        if drain:
            await drain


async def _address(process: Process) -> tuple[str, asyncio.Task[None]]:
    """Where the browser listens, as it says on stderr; what it says afterwards is read and dropped."""
    assert process.stderr is not None
    said = []
    async with asyncio.timeout(SECONDS * 2):
        async for line in process.stderr:
            said.append(line.decode("utf-8", "replace"))
            if said[-1].startswith("DevTools listening on "):
                return said[-1].split()[-1], asyncio.create_task(_drain(process.stderr))
    raise BrowserError(f"Chromium did not start: {''.join(said)}")


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.read(65536):
        pass


async def _end(process: Process) -> None:
    try:
        async with asyncio.timeout(5):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
