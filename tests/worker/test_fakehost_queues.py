"""The host for tests keeps the real host's rules for queues and timers: each was seen with host 4.1037 or read."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.azurite import Azurite
from tests.worker.caller import Caller
from tests.worker.front import MASTER_KEY
from tests.worker.process import HostProcess, running, start
from tests.worker.storage import Queue, Storage, StorageFailed
from tests.worker.worker import AVAILABLE, NEEDS

pytestmark = [
    pytest.mark.skipif(not AVAILABLE, reason=NEEDS),
    pytest.mark.asyncio(loop_scope="module"),
]

APP = Path(__file__).with_name("queue_app.py")
MOST = 2
"""maxDequeueCount, so that a message's end does not take long."""


@dataclass
class Bench:
    """A host, its storage, and what its functions saw."""

    host: HostProcess
    storage: Storage
    caller: Caller

    def queue(self, name: str) -> Queue:
        """A queue of its account."""
        return self.storage.queue(name)

    async def seen(self, count: int = 1, **wanted: Any) -> list[dict[str, Any]]:
        """What a function saw, once it is so much."""
        found: list[dict[str, Any]] = []
        for _ in range(500):
            everything = (await self.caller.get("/seen")).json()["seen"]
            found = [seen for seen in everything if all(seen.get(name) == value for name, value in wanted.items())]
            if len(found) >= count:
                return found
            await asyncio.sleep(0.02)
        raise AssertionError(f"{wanted} was seen {len(found)} times; {self.host.log}")

    async def logged(self, words: str) -> str:
        """The host's log, once these words are in it."""
        for _ in range(500):
            if words in self.host.log:
                return self.host.log
            await asyncio.sleep(0.02)
        raise AssertionError(f"{words} is not in {self.host.log}")


def folder_with_app(folder: Path, **queues: Any) -> Path:
    """The app, with a host.json of the test's choice."""
    folder.mkdir(exist_ok=True)
    shutil.copy(APP, folder / "function_app.py")
    settings = {"maxDequeueCount": MOST, "maxPollingInterval": "00:00:00.2", "visibilityTimeout": "00:00:01"}
    settings |= {"messageEncoding": "none", "batchSize": 4, "newBatchThreshold": 1} | queues
    content = {"version": "2.0", "extensions": {"http": {"routePrefix": ""}, "queues": settings}}
    (folder / "host.json").write_text(json.dumps(content), "utf-8")
    return folder


@asynccontextmanager
async def bench(folder: Path, account: str, lease: float | None = None) -> AsyncIterator[Bench]:
    """A host on an account."""
    environ = {"AzureWebJobsStorage": account, "QUEUE": "named", "SECONDS": "*"}
    async with running(folder, folder / "log", environ, lease=lease) as host, aiohttp.ClientSession() as http:
        yield Bench(host, Storage(http, account), Caller(http, host.url))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plain(azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    """Messages are plain text; two were taken too often before, ten wait together, and one timer missed its time."""
    account = azurite.account()
    past = {name: (datetime.now(UTC) - timedelta(hours=1)).isoformat() for name in ("Last", "Next", "LastUpdated")}
    async with aiohttp.ClientSession() as http:
        storage = Storage(http, account)
        await storage.write("azure-webjobs-hosts/timers/test/missed/status", json.dumps(past).encode())
        for name, body in (("work", "crashed"), ("work-poison", "crashed there too")):
            await storage.queue(name).put(body)
            for _ in range(MOST):
                for message in await storage.queue(name).take(1, 60):
                    await storage.queue(name).hold(message, 0)
        for number in range(10):
            await storage.queue("batch").put(f"wait {number}")
    async with bench(folder_with_app(tmp_path_factory.mktemp("plain")), account) as ready:
        yield ready


async def test_a_missing_queue_is_looked_for_and_not_created(plain: Bench) -> None:
    """It works as soon as somebody puts a message there; its name and its connection come from settings."""
    with pytest.raises(StorageFailed, match="404"):
        await plain.queue("named").length()
    await plain.queue("named").put("at last")

    assert len(await plain.seen(function="named", body="at last")) == 1


async def test_a_message_arrives_with_its_metadata_and_is_deleted(plain: Bench) -> None:
    """Times with their zone, the count as a number."""
    before = datetime.now(UTC).replace(microsecond=0)
    await plain.queue("work").put("hello <&>\n\u00e9")

    (seen,) = await plain.seen(function="work", body="hello <&>\n\u00e9")
    inserted, expires, visible = (datetime.fromisoformat(seen[name]) for name in ("inserted", "expires", "visible"))

    assert (seen["count"], len(seen["id"])) == (1, 36)
    assert before <= inserted <= datetime.now(UTC)
    assert timedelta(days=7) == expires - inserted
    assert visible > inserted + timedelta(minutes=9)
    await emptied(plain.queue("work"))


async def emptied(queue: Queue) -> None:
    """Once a queue is empty."""
    for _ in range(500):
        if await queue.length() == 0:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{queue.name} is not empty")


async def test_the_fields_of_a_json_body_override_the_metadata(plain: Bench) -> None:
    """Whatever their case; so nothing of ours may rest on a message's id or count."""
    body = '{"id": "x", "dequeuecount": 7, "PopReceipt": null, "to": ["a"]}'
    await plain.queue("work").put(body)

    (seen,) = await plain.seen(function="work", body=body)

    assert (seen["id"], seen["count"]) == ("x", 7)
    assert seen["receipt"]


async def test_a_body_that_spoils_the_metadata_never_reaches_the_function(plain: Bench) -> None:
    """The library cannot read the time that the body put there, whichever function gets it."""
    await plain.queue("work").put('{"InsertionTime": "yesterday"}')

    await emptied(plain.queue("work"))
    log = await plain.logged("function poison failed")

    assert log.count("function work failed: ValueError: time data 'yesterday'") == MOST
    assert [seen for seen in await plain.seen() if "yesterday" in seen.get("body", "")] == []


async def test_a_function_that_takes_bytes_has_the_metadata_as_they_are(plain: Bench) -> None:
    """The host looks for fields in text only; so a trigger of data type binary cannot be misled."""
    body = '{"id": "x", "InsertionTime": "yesterday"}'
    await plain.queue("named").put(body)

    (seen,) = await plain.seen(function="named", body=body)

    assert (len(seen["id"]), seen["count"]) == (36, 1)
    assert datetime.fromisoformat(seen["inserted"]).tzinfo is not None


async def test_a_failure_comes_again_and_then_goes_to_poison(plain: Bench) -> None:
    """As a new message with the body alone: another id, counted from the beginning."""
    await plain.queue("work").put("fail twice")

    (poison,) = await plain.seen(function="poison", body="fail twice")
    tries = await plain.seen(MOST, function="work", body="fail twice")

    assert [seen["count"] for seen in tries] == [1, 2]
    assert tries[0]["id"] == tries[1]["id"] != poison["id"]
    assert poison["count"] == 1
    first, second, third = (datetime.fromisoformat(seen["visible"]) for seen in (*tries, poison))
    assert second - first >= timedelta(seconds=1)
    assert third >= second


async def test_a_failure_in_a_poison_queue_stays_there_unseen(plain: Bench) -> None:
    """A poison queue has none of its own, so what fails there waits for its lease to end."""
    await plain.queue("work-poison").put("fail for good")
    await plain.seen(function="poison", body="fail for good")
    await plain.queue("work-poison").put("afterwards")
    await plain.seen(function="poison", body="afterwards")

    assert len(await plain.seen(function="poison", body="fail for good")) == 1
    assert await plain.queue("work-poison").length() >= 1
    with pytest.raises(StorageFailed, match="404"):
        await plain.queue("work-poison-poison").length()


async def test_a_message_taken_too_often_goes_to_poison_without_being_run(plain: Bench) -> None:
    """So many crashes of hosts are enough to poison a message that nothing is wrong with."""
    (seen,) = await plain.seen(body="crashed")

    assert seen["function"] == "poison"


async def test_a_message_taken_too_often_in_a_poison_queue_is_run_all_the_same(plain: Bench) -> None:
    """There is nowhere else to put it, and the host of today does not leave it there unseen."""
    (seen,) = await plain.seen(body="crashed there too")

    assert ("poison", MOST + 1) == (seen["function"], seen["count"])


async def test_the_next_batch_is_fetched_when_few_are_under_way(plain: Bench) -> None:
    """Batches of four and a threshold of one: never more than five at once."""
    for count, passes in ((4, 3), (8, 4), (10, 3)):
        await waiting(plain, count)
        await plain.caller.get(f"/pass/{passes}")
    seen = await waiting(plain, 10)

    assert seen == [1, 2, 3, 4, 2, 3, 4, 5, 2, 3]
    await emptied(plain.queue("batch"))


async def waiting(bench: Bench, count: int) -> list[int]:
    """How many were waiting when each of them came, once there were so many."""
    for _ in range(500):
        seen = (await bench.caller.get("/seen")).json()["seen"]
        found = [item["waiting"] for item in seen if item.get("waiting")]
        if len(found) >= count:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"only {len(found)} of {count} came")


async def test_a_function_that_cannot_start_is_off_and_no_other(plain: Bench) -> None:
    """The log says which."""
    off = {line.split()[3] for line in plain.host.log.splitlines() if " is off: " in line}

    assert off == {"unnamed", "unconnected", "misnamed", "mistimed"}


async def test_timers_run_at_their_times_and_at_the_start_if_they_say_so(plain: Bench) -> None:
    """One that missed its time runs at the next start, past due; one more often than each minute keeps no record."""
    await plain.seen(2, function="tick", late=False)

    assert [seen["late"] for seen in await plain.seen(function="yearly")] == [False]
    assert [seen["late"] for seen in await plain.seen(function="missed")] == [True]
    status = await plain.storage.read("azure-webjobs-hosts/timers/test/missed/status")
    assert datetime.fromisoformat(json.loads(status or b"{}")["Next"]) > datetime.now(UTC)
    assert await plain.storage.read("azure-webjobs-hosts/timers/test/tick/status") is None


async def test_the_admin_endpoint_runs_queue_and_timer_functions_at_once(plain: Bench) -> None:
    """For who has the master key; a message that came so has no id and was never dequeued."""
    key = {"x-functions-key": MASTER_KEY}
    answers = [
        (await plain.caller.post(f"/admin/functions/{name}", json=body, headers=headers)).status
        for name, body, headers in (
            ("work", {"input": "by hand"}, key),
            ("missed", {"input": None}, key),
            ("work", {"input": "without a key"}, {}),
            ("nothing", {"input": ""}, key),
            ("seen", {"input": ""}, key),
            ("work", [], key),
        )
    ]

    (seen,) = await plain.seen(function="work", body="by hand")
    assert answers == [202, 202, 401, 404, 404, 400]
    assert (seen["id"], seen["count"]) == (None, 0)
    assert [run["late"] for run in await plain.seen(2, function="missed")] == [True, False]


async def test_every_invocation_has_a_trace(plain: Bench) -> None:
    """A caller's goes on in a span of the host's; a message and a timer begin one each."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    header = f"00-{trace}-b7ad6b7169203331-01"
    await plain.queue("work").put("traced")
    (message,) = await plain.seen(function="work", body="traced")
    ticks = await plain.seen(2, function="tick")
    told = (await plain.caller.get("/seen", headers={"traceparent": header})).json()["trace"]
    own = [(await plain.caller.get("/seen", headers=none)).json()["trace"] for none in ({}, {"traceparent": "x"})]

    version, same, span, flags = told.split("-")
    assert (version, same, flags) == ("00", trace, "01")
    assert span != "b7ad6b7169203331"
    begun = [*own, message["trace"], *(tick["trace"] for tick in ticks)]
    assert len({parent.split("-")[1] for parent in [told, *begun]}) == len(begun) + 1


async def test_a_host_killed_at_work_leaves_the_message_for_the_next_one(azurite: Azurite, tmp_path: Path) -> None:
    """After the lease, counted twice; a host that lives renews it and keeps the message to itself."""
    account, folder = azurite.account(), folder_with_app(tmp_path / "app")
    first = await start(folder, tmp_path / "log", {"AzureWebJobsStorage": account}, lease=2)
    try:
        async with aiohttp.ClientSession() as http:
            killed = Bench(first, Storage(http, account), Caller(http, first.url))
            await killed.queue("work").put("wait")
            (before,) = await killed.seen(function="work", body="wait")
            await asyncio.sleep(2.5)  # longer than the lease
            assert len(await killed.seen(function="work", body="wait")) == 1
    finally:
        await first.kill()

    async with bench(folder, account, lease=2) as second:
        (after,) = await second.seen(function="work", body="wait")
        await second.caller.get("/pass/1")

        assert (before["count"], after["count"]) == (1, 2)
        assert before["id"] == after["id"]
        await emptied(second.queue("work"))


async def test_with_base64_what_cannot_be_decoded_goes_to_poison_unseen(azurite: Azurite, tmp_path: Path) -> None:
    """The default encoding: text is decoded; bytes that are no text cannot be bound, and fail until they are poison."""
    account = azurite.account()
    async with bench(folder_with_app(tmp_path / "app", messageEncoding="base64"), account) as encoded:
        await encoded.queue("work").put(base64.b64encode(b"decoded").decode())
        await encoded.queue("work").put("{not base64}")
        await encoded.queue("work").put(base64.b64encode(b"\xff").decode())
        await encoded.seen(function="work", body="decoded")
        await emptied(encoded.queue("work"))

        assert [seen["body"] for seen in await encoded.seen() if "body" in seen] == ["decoded"]
        assert await encoded.queue("work-poison").length() == 2
