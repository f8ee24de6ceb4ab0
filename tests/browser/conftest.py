"""What the browser tests share: one Chromium, one gateway process, and web sites of two origins beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from gateway.keys import SAMPLE
from tests import tools
from tests.browser.devtools import Browser, Page, browser
from tests.conftest import CONFIG, with_hashes
from tests.gateway_process import GatewayProcess, start
from tests.servers.serve import Receive, Scope, Send, serve

FILE = b"%PDF-1.7 example"


@dataclass
class Site:
    """A web site: `pages` by path as HTML, and every request it got."""

    pages: dict[str, str] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    url: str = ""

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        """Answer with the page of this path."""
        self.requests.append(scope["path"])
        page = self.pages.get(scope["path"])
        headers = [(b"content-type", b"text/html; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200 if page else 404, "headers": headers})
        await send({"type": "http.response.body", "body": (page or "").encode()})


@dataclass
class World:
    """Everything that runs; `friend` is a web site the contact form allows, `stranger` one that it does not."""

    browser: Browser
    gateway: GatewayProcess
    friend: Site
    stranger: Site
    http: aiohttp.ClientSession

    @property
    def form(self) -> str:
        """Where the contact form posts to."""
        return f"{self.gateway.url}/v1/forms/contact"

    async def send(self, **fields: Any) -> str:
        """A native notification; its id."""
        headers = {"Authorization": f"Bearer {SAMPLE}app"}
        body = {"to": "ops@example.com", "subject": "Hello", "text": "Hello.", **fields}
        async with self.http.post(f"{self.gateway.url}/v1/notifications", json=body, headers=headers) as answer:
            assert answer.status == 202, await answer.text()
            return str((await answer.json())["id"])

    async def captured(self, subject: str = "") -> list[Any]:
        """The captured mails whose subject has this in it, as soon as there is one."""
        query = {"subject": subject, "wait": "10", "limit": "1000"}
        async with self.http.get(f"{self.gateway.url}/v1/captured", params=query) as answer:
            return list((await answer.json())["items"])

    async def only_captured(self) -> list[str]:
        """The subjects of everything captured so far, in the order it was accepted, proved by one mail behind it."""
        await self.send(subject="the last one")
        await self.captured("the last one")
        return [mail["subject"] for mail in await self.captured() if mail["subject"] != "the last one"]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def running_world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One browser and one gateway for all browser tests."""
    program = tools.chromium()
    folder = tmp_path_factory.mktemp("browser")
    friend, stranger = Site(), Site()
    async with AsyncExitStack() as stack:
        friend.url = await stack.enter_async_context(serve(friend, lifespan="off"))
        stranger.url = await stack.enter_async_context(serve(stranger, lifespan="off"))
        config = folder / "gateway.yaml"
        config.write_text(with_hashes(CONFIG.replace("http://127.0.0.1:9999", friend.url), SAMPLE), "utf-8")
        gateway = await asyncio.to_thread(start, store=folder / "gateway.db", config=config)
        stack.push_async_callback(asyncio.to_thread, gateway.stop)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        chromium = await stack.enter_async_context(browser(program, folder / "profile"))
        yield World(chromium, gateway, friend, stranger, http)


@pytest_asyncio.fixture(loop_scope="session")
async def world(running_world: World) -> World:
    """The same, with an empty inbox and web sites that have forgotten everything."""
    for site in (running_world.friend, running_world.stranger):
        site.pages.clear()
        site.requests.clear()
    async with running_world.http.delete(f"{running_world.gateway.url}/v1/captured") as answer:
        assert answer.status == 200
    return running_world


@pytest_asyncio.fixture(loop_scope="session")
async def page(world: World) -> AsyncIterator[Page]:
    """A fresh tab, closed at the end."""
    tab = await world.browser.page()
    yield tab
    await world.browser.connection.command("Target.closeTarget", targetId=tab.target)


@pytest.fixture
def attachment(tmp_path: Path) -> Path:
    """A small file to upload."""
    file = tmp_path / "Grundriss Küche.pdf"
    file.write_bytes(FILE)
    return file
