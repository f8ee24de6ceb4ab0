"""kill -9 at any moment under the Functions host: whatever was taken, by HTTP or by queue, ends captured exactly once.

With SOAK=1 the storm is a long one, on function_app.py and host.json as they are deployed. The short one takes less
time than our own pauses: in it a doorbell counts as lost after seconds, not a minute, and the timer runs as often.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.message import OPEN
from gateway.settings import Settings
from gateway.stores.azure import AzureStore
from tests.azurite import Azurite, connection_string
from tests.conftest import KEYS
from tests.end_to_end.test_kill import free_port
from tests.factories import make_entry, make_message
from tests.faultproxy import Fault, proxied
from tests.worker import functions
from tests.worker.front import MASTER_KEY
from tests.worker.process import ROOT, HostProcess, start
from tests.worker.storage import Queue, Storage
from tests.worker.worker import AVAILABLE, NEEDS

pytestmark = pytest.mark.skipif(not AVAILABLE, reason=NEEDS)

SOAK = bool(os.environ.get("SOAK"))
COUNT, KILLS = (2000, 100) if SOAK else (100, 6)

LEASE = 12.0
"""Seconds until the messages of a killed host come back: longer than a claim of `capture`, as the real 600 are."""

HURRY = """
import datetime
import gateway.triggers
import gateway.upkeep
gateway.triggers.PAUSE = datetime.timedelta(seconds=1)
gateway.upkeep.OVERDUE = datetime.timedelta(seconds=5)

"""

CALLERS = 4
SETTLE_SECONDS = 240.0 if SOAK else 60.0
CRASHES = 5
"""maxDequeueCount of host.json."""


@dataclass
class Ledger:
    """What a storm did, and what became of it."""

    count: int
    http: set[str] = field(default_factory=set)
    queue: set[str] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    seconds: float = 0.0
    captured: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)

    @property
    def posted(self) -> int:
        """Answered with 202, or put into the queue."""
        return len(self.http) + len(self.queue)

    @property
    def lost(self) -> set[str]:
        """Taken, and never captured."""
        return (self.http | self.queue) - self.captured.keys()

    @property
    def doubled(self) -> set[str]:
        """Captured more than once."""
        return {subject for subject, count in self.captured.items() if count > 1}

    @property
    def settled(self) -> bool:
        """Whether nothing is missing or open any more."""
        return not self.lost and not OPEN & self.statuses.keys()

    def __str__(self) -> str:
        """The ledger of the run."""
        return "\n".join(
            (
                f"taken {self.posted} of {self.count}: {len(self.http)} by HTTP, {len(self.queue)} by queue",
                f"killed {self.kills} times, {self.seconds:.0f} s in all",
                f"posts that had to be repeated: {dict(self.refused) or 'none'}",
                f"captured {self.captured.total()}, final states {dict(self.statuses)}",
                f"lost {len(self.lost)}, captured twice {len(self.doubled)}",
            )
        )


class Storm:
    """Two hosts on one account, callers who post, and somebody who kills."""

    def __init__(self, folder: Path, account: str, http: aiohttp.ClientSession) -> None:
        """The app lies in `folder`, or is the one that is deployed."""
        self.ledger = Ledger(COUNT)
        self._app = ROOT if SOAK else functions.in_a_hurry(folder / "app", HURRY)
        self._environ = functions.settings(folder, account)
        self._log = folder / "log"
        self._http = http
        self._notifications = Storage(http, account).queue("notifications")
        self._numbers = iter(range(COUNT))
        self._ports = [free_port(), free_port()]
        self._hosts: list[HostProcess] = []
        self._news = asyncio.Condition()

    async def run(self) -> Ledger:
        """Post everything, kill meanwhile, and wait until nothing is open."""
        began = time.monotonic()
        try:
            self._hosts = [await self._start(port) for port in self._ports]
            await asyncio.gather(self._kill(), *(self._post() for _ in range(CALLERS)))
            await self._settle()
        finally:
            for host in self._hosts:
                await host.kill()
        self.ledger.seconds = time.monotonic() - began
        return self.ledger

    async def _start(self, port: int) -> HostProcess:
        return await start(self._app, self._log, self._environ, port=port, lease=LEASE)

    async def _kill(self) -> None:
        """Each time while the posts of another stretch come in."""
        for kill in range(1, KILLS + 1):
            await self._until(partial(self._due, kill))
            await asyncio.sleep(random.random() / 2)
            victim = random.randrange(2)
            await self._hosts[victim].kill()
            self._hosts[victim] = await self._start(self._ports[victim])
            await self._tell(kills=kill)

    async def _post(self) -> None:
        """By turns through HTTP and the queue, never much further than the kills."""
        for number in self._numbers:
            await self._until(partial(self._may, number))
            subject = f"storm {number}"
            mail = {"to": "ops@example.com", "subject": subject, "text": "x" * 500}
            if number % 2:
                await self._notifications.put(json.dumps({**mail, "source": "app"}))
                self.ledger.queue.add(subject)
            else:
                await self._post_one(mail)
                self.ledger.http.add(subject)
            await self._tell()

    def _due(self, kill: int) -> bool:
        return self.ledger.posted >= COUNT * kill // (KILLS + 1)

    def _may(self, number: int) -> bool:
        return number <= COUNT * (self.ledger.kills + 2) // (KILLS + 1)

    async def _post_one(self, mail: dict[str, Any]) -> None:
        """As a careful client: the same key until there is a 202, whoever answers."""
        headers = {"x-api-key": KEYS["app"], "Idempotency-Key": str(mail["subject"])}
        while True:
            url = f"http://127.0.0.1:{random.choice(self._ports)}/v1/notifications"
            try:
                async with self._http.post(url, json=mail, headers=headers) as response:
                    if response.status == 202:
                        return
                    self.ledger.refused[str(response.status)] += 1
            except (aiohttp.ClientError, OSError, TimeoutError):
                self.ledger.refused["no answer"] += 1
            await asyncio.sleep(0.05)

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with self._news:
            await self._news.wait_for(condition)

    async def _tell(self, kills: int | None = None) -> None:
        async with self._news:
            self.ledger.kills = self.ledger.kills if kills is None else kills
            self._news.notify_all()

    async def _settle(self) -> None:
        end = time.monotonic() + SETTLE_SECONDS
        while not self.ledger.settled:
            if not SOAK:
                await self._call("POST", "/admin/functions/sweep", json={"input": ""})
            self.ledger.captured = Counter(mail["subject"] for mail in await self._all("/v1/captured"))
            self.ledger.statuses = Counter(shown["status"] for shown in await self._all("/v1/notifications"))
            if time.monotonic() > end:
                return
            await asyncio.sleep(0.5)

    async def _all(self, path: str) -> list[Any]:
        """Every page."""
        found: list[Any] = []
        params = {"limit": "200"}
        while True:
            page = await self._call("GET", path, params=params)
            found += page["items"]
            if page["next"] is None:
                return found
            params["cursor"] = page["next"]

    async def _call(self, method: str, path: str, **options: Any) -> Any:
        headers = {"x-api-key": KEYS["admin"], "x-functions-key": MASTER_KEY}
        async with self._http.request(method, self._hosts[0].url + path, headers=headers, **options) as response:
            return await response.json() if response.status == 200 else {}


async def test_two_hosts_of_which_one_is_killed_again_and_again_capture_each_mail_once(
    azurite: Azurite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By HTTP and by queue at once; nothing is lost, nothing captured twice, nothing left open."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:
        ledger = await Storm(tmp_path, azurite.account(), http).run()

    if SOAK:
        with capsys.disabled():
            print(f"\n{ledger}")
    assert (ledger.posted, ledger.kills) == (COUNT, KILLS), ledger
    assert set() == ledger.lost | ledger.doubled, ledger
    assert ledger.captured.total() == COUNT, ledger
    # A copy in the poison queue of what was taken before its host was killed leaves a trace of its own.
    assert {"captured"} == ledger.statuses.keys() - {"skipped"}, ledger


async def test_a_doorbell_whose_host_crashed_five_times_is_rung_again(azurite: Azurite, tmp_path: Path) -> None:
    """The host that picks it up for the sixth time moves it to poison unseen; we look into the ledger and ring."""
    async with aiohttp.ClientSession() as http, proxied(azurite) as proxy:
        name = next(azurite.unused)
        direct = connection_string(azurite.ports, name)
        stalling = connection_string({**azurite.ports, "table": proxy.ports["table"]}, name)
        app, environ = functions.in_a_hurry(tmp_path / "app", HURRY), functions.settings(tmp_path, stalling)
        store = await AzureStore.open(Settings(storage=direct))
        message = make_message(created=datetime.now(UTC))
        await store.add(make_entry(message), [message], message.created)
        proxy.spoil(Fault.STALL)
        for crash in range(1, CRASHES + 1):
            host = await start(app, tmp_path / "log", environ, lease=1)
            try:
                await invoked(host, "outbox", crash)
            finally:
                await host.kill()
        proxy.spoil(None)
        host = await start(app, tmp_path / "log", environ, lease=30)
        try:
            await invoked(host, "outbox", CRASHES + 1)
            await emptied(Storage(http, direct).queue("outbox"))
            mails = await store.captured(after="", since=None, limit=10)
        finally:
            await host.kill()
            await store.close()

        assert [message.id] == [mail.message.id for mail in mails]
        assert host.log.count("a message of queue outbox goes to outbox-poison") == 1
        assert host.invocations("outbox_poison") == 1
        assert await Storage(http, direct).queue("outbox-poison").length() == 0


async def emptied(queue: Queue) -> None:
    """Once nothing is left in a queue, not even what is being worked on."""
    for _ in range(500):
        if await queue.length() == 0:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{queue.name} is not empty")


async def invoked(host: HostProcess, function: str, times: int) -> None:
    """Once a function has been called so often, by this host and those before it."""
    for _ in range(1000):
        if host.invocations(function) >= times:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{function} was not called {times} times: {host.log}")
