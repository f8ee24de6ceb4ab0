"""A storm: so many notifications, kills and faults come in; what was sent, lost and sent twice goes out, counted.

Several gateways work on one store and one fake ACS. Callers post through HTTP what applications and Alertmanager send,
the provider fails a fifth of all calls in every way of its menu, and a random gateway is killed with SIGKILL again and
again. The fake's log of what was sent is the only truth.

    python -m tests.end_to_end.storm --count 10000 --kills 500
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sqlite3
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp

from gateway.auth import hash_key
from gateway.message import OPEN
from tests import gateway_process
from tests.gateway_process import GatewayProcess
from tests.servers.acs import KEY, FakeAcs
from tests.servers.serve import serve

OPERATIONS = "SELECT n.id, m.operation_id FROM messages m JOIN notifications n ON n.seq = m.notification"

WORKERS = 4
CALLERS = 16

MENU = (
    "429:1",
    "429",
    "500",
    "503:1",
    "401",
    "drop-before-accept",
    "garbage",
    "hang",
    "late:1",
    "accept-then-503",
    "accept-then-drop",
    "accept-then-hang",
    "accept-then-garbage",
    "accept-then-nonsense",
    "accept-then-cut",
)
"""Every fault that may be mended by waiting; the others are refusals for good, which no gateway can help."""

ASKED = ("429:1", "500", "503:1", "401", "drop", "garbage", "hang", "accept-then-cut")
"""The same for the question what became of an operation."""

IMPATIENT = """
from gateway import message, retry
message.DEADLINES["acs"] = 2.0  # a claim lasts twice as long, and nobody wants to wait a minute after each kill
retry.STEPS = (1.0, 2.0, 4.0, 8.0)
from gateway.cli import main
raise SystemExit(main())
"""

CONFIG = f"""\
senders:
  noreply: {{transport: acs, address: noreply@example.com, live: true, rate: unlimited}}
sources:
  app:
    kind: native
    keys: ["{hash_key("example-key-app")}"]
    sender: noreply
    allow: ["*"]
  alertmanager:
    kind: alertmanager
    keys: ["{hash_key("example-key-alertmanager")}"]
    sender: noreply
    routes:
      - match: {{severity: critical}}
        to: [oncall@example.com]
        priority: high
      - to: [ops@example.com]
admin:
  keys: ["{hash_key("example-key-admin")}"]
"""


@dataclass
class Outcome:
    """What a storm did; `accepted` maps a notification's id to its number."""

    accepted: dict[str, int] = field(default_factory=dict)
    kills: int = 0
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    operations: dict[str, str] = field(default_factory=dict)
    sent: Counter[str] = field(default_factory=Counter)
    subjects: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)

    @property
    def lost(self) -> list[str]:
        """Accepted and never sent."""
        return [id for id in self.accepted if not self.sent[self.operations[id]]]

    @property
    def twice(self) -> list[str]:
        """Operations that were sent more than once."""
        return [operation for operation, count in self.sent.items() if count > 1]

    @property
    def doubled(self) -> list[str]:
        """Subjects of native notifications that were mailed more than once, whatever their operation."""
        return [subject for subject, count in self.subjects.items() if count > 1]

    def __str__(self) -> str:
        """The ledger of the run."""
        return "\n".join(
            (
                f"accepted {len(self.accepted)}, killed {self.kills} times, {self.seconds:.0f} s",
                f"provider calls that failed: {sum(self.faults.values())} in {len(self.faults)} ways",
                *(f"  {word:<28}{count:>6}" for word, count in self.faults.most_common()),
                f"mails sent {sum(self.sent.values())}, of which nobody was told {len(self.sent) - len(self.accepted)}",
                f"final states: {', '.join(f'{status} {count}' for status, count in self.statuses.items())}",
                f"lost {len(self.lost)}, sent twice {len(self.twice)}, same subject twice {len(self.doubled)}",
            )
        )


class Storm:
    """One run."""

    def __init__(self, folder: Path, *, count: int, kills: int, pause: float, seed: int = 1) -> None:
        """`pause`: seconds between two kills."""
        self.folder = folder
        self.count = count
        self.numbers = list(range(count))
        self.kills = kills
        self.pause = pause
        self.chance = random.Random(seed)
        self.fake = FakeAcs()
        self.fake.mood = self._mood
        self.outcome = Outcome()
        self.workers: list[GatewayProcess] = []
        self.url = ""

    async def run(self) -> Outcome:
        """Post everything, kill meanwhile, and wait until nothing is open any more."""
        (self.folder / "gateway.yaml").write_text(CONFIG, "utf-8")
        started = time.monotonic()
        timeout = aiohttp.ClientTimeout(total=15)
        async with serve(self.fake) as self.url, aiohttp.ClientSession(timeout=timeout) as http:
            try:
                self.workers = list(await asyncio.gather(*(self._start() for _ in range(WORKERS))))
                killing = asyncio.create_task(self._kill())
                await asyncio.gather(*(self._post(http) for _ in range(CALLERS)))
                await killing
                await self._settled(http)
                await self._final(http)
            finally:
                for worker in self.workers:
                    worker.kill()
        self._count()
        self.outcome.seconds = time.monotonic() - started
        return self.outcome

    def _mood(self, method: str) -> str:
        """A fifth of all calls goes wrong."""
        if self.chance.random() >= 0.2:
            return "ok"
        word = self.chance.choice(MENU if method == "POST" else ASKED)
        self.outcome.faults[f"{method} {word}"] += 1
        return word

    async def _start(self) -> GatewayProcess:
        connection = f"endpoint={self.url}/;accesskey={KEY}"
        return await asyncio.to_thread(
            gateway_process.start,
            store=self.folder / "gateway.db",
            config=self.folder / "gateway.yaml",
            variables={"ACS_CONNECTION_STRING": connection},
            program=("-c", IMPATIENT),
        )

    async def _kill(self) -> None:
        for _ in range(self.kills):
            await asyncio.sleep(self.pause * 2 * self.chance.random())
            place = self.chance.randrange(WORKERS)
            await asyncio.to_thread(self.workers[place].kill)
            self.outcome.kills += 1
            self.workers[place] = await self._start()

    async def _post(self, http: aiohttp.ClientSession) -> None:
        """A careful caller: what was not answered is posted again, a native one under its key."""
        while self.numbers or not self._killed:
            if not self.numbers or not self._time_for_more:
                await asyncio.sleep(0.02)
                continue
            number = self.numbers.pop()
            id = await self._posted(http, number)
            if id:
                self.outcome.accepted[id] = number
            else:
                self.numbers.append(number)
                await asyncio.sleep(0.05)

    @property
    def _time_for_more(self) -> bool:
        """The storm lasts as long as the killing."""
        return len(self.outcome.accepted) * self.kills <= self.count * (self.outcome.kills + 1)

    @property
    def _killed(self) -> bool:
        return self.outcome.kills >= self.kills

    async def _posted(self, http: aiohttp.ClientSession, number: int) -> str:
        url = self.chance.choice(self.workers).url
        native = number % 2 == 0
        path = "/v1/notifications" if native else "/v1/webhooks/alertmanager"
        headers = {"x-api-key": "example-key-app" if native else "example-key-alertmanager"}
        if native:
            headers["Idempotency-Key"] = f"n{number}"
        body = _native(number) if native else _alert(number)
        try:
            async with http.post(url + path, json=body, headers=headers) as response:
                answer = await response.json() if response.status in {200, 202} else {}
        except (aiohttp.ClientError, OSError, TimeoutError):
            return ""
        return str(answer.get("id", ""))

    async def _settled(self, http: aiohttp.ClientSession) -> None:
        """Until nothing is open, or nothing has changed for a minute."""
        last, since = -1, time.monotonic()
        while time.monotonic() - since < 60:
            waiting = await self._open(http)
            if waiting == 0:
                return
            if waiting != last:
                last, since = waiting, time.monotonic()
            await asyncio.sleep(0.5)

    async def _open(self, http: aiohttp.ClientSession) -> int:
        """How many notifications are open; at least one, while some are."""
        headers = {"x-api-key": "example-key-admin"}
        pages = [await self._page(http, {"status": status, "limit": "1000"}, headers) for status in sorted(OPEN)]
        return sum(len(page["items"]) for page in pages)

    async def _page(self, http: aiohttp.ClientSession, query: dict[str, str], headers: dict[str, str]) -> Any:
        async with http.get(f"{self.workers[0].url}/v1/notifications", params=query, headers=headers) as response:
            return await response.json()

    async def _final(self, http: aiohttp.ClientSession) -> None:
        """The ledger's word about each."""
        cursor: str | None = ""
        while cursor is not None:
            page = await self._page(http, {"limit": "1000", "cursor": cursor}, {"x-api-key": "example-key-admin"})
            self.outcome.statuses.update(item["status"] for item in page["items"])
            cursor = page["next"]

    def _count(self) -> None:
        with closing(sqlite3.connect(self.folder / "gateway.db")) as store:
            self.outcome.operations = dict(store.execute(OPERATIONS))
        for sent in self.fake.sent:
            self.outcome.sent[sent.operation] += 1
            subject = sent.payload["content"]["subject"]
            if subject.startswith("native "):
                self.outcome.subjects[subject] += 1


def _native(number: int) -> dict[str, Any]:
    urgent = {"priority": "high"} if number % 10 == 0 else {}
    return {"to": f"user{number}@example.com", "subject": f"native {number}", "text": "x" * 500, **urgent}


def _alert(number: int) -> dict[str, Any]:
    """One alert as Alertmanager groups it, with its own start, so that it is no other's repetition."""
    labels = {"alertname": f"Alert{number}", "severity": "critical" if number % 11 == 0 else "warning"}
    seconds = f"{number % 86400 // 3600:02d}:{number % 3600 // 60:02d}:{number % 60:02d}"
    alert = {"status": "firing", "labels": labels, "startsAt": f"2026-03-02T{seconds}.{number:06d}Z"}
    return {"version": "4", "status": "firing", "groupLabels": labels, "alerts": [alert], "groupKey": f"g{number}"}


async def _main(count: int, kills: int, pause: float, seed: int) -> int:
    with TemporaryDirectory() as folder:
        outcome = await Storm(Path(folder), count=count, kills=kills, pause=pause, seed=seed).run()
    print(outcome, flush=True)
    return 1 if outcome.lost or outcome.twice or outcome.doubled else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A storm of notifications, kills and faults.")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--pause", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    raise SystemExit(asyncio.run(_main(**vars(parser.parse_args()))))
