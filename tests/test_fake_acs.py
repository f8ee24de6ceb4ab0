"""The fake ACS behaves as the provider may: repeated ids, quotas, and every fault of the menu."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import aiohttp
import pytest

from tests.servers.acs import FakeAcs, Quota, Repeated
from tests.servers.acs_caller import MAIL, Caller
from tests.servers.serve import serve


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    fake = FakeAcs(tokens=["example-token"])
    async with serve(fake, lifespan="off") as url, aiohttp.ClientSession() as session:
        yield Caller(fake, url, session)


async def test_a_mail_is_taken_once_and_its_status_progresses(caller: Caller) -> None:
    """202 with the operation's location, then Running and Succeeded."""
    operation = str(uuid4())
    sent = await caller.send(operation)
    location = f"{caller.url}/emails/operations/{operation}?api-version=2025-09-01"
    assert (sent.status, sent.body) == (202, {"id": operation, "status": "Running"})
    assert (sent.headers["Operation-Location"], sent.headers["Retry-After"]) == (location, "20")
    asked = [await caller.ask(operation) for _ in range(3)]
    assert [one.body["status"] for one in asked] == ["Running", "Succeeded", "Succeeded"]
    assert [one.headers.get("Retry-After") for one in asked] == ["20", None, None]
    assert caller.fake.sent == [(operation, MAIL)]


async def test_an_operation_nobody_sent_is_404(caller: Caller) -> None:
    """As contracts say by inference: unknown ids are not found."""
    answer = await caller.ask(str(uuid4()))
    assert (answer.status, answer.body["error"]["code"], answer.headers["x-ms-error-code"]) == (
        404,
        "NotFound",
        "NotFound",
    )


@pytest.mark.parametrize(
    ("repeated", "status", "sent"),
    [("replay202", 202, 1), ("400", 400, 1), ("409", 409, 1), ("501", 501, 1), ("send-again", 202, 2)],
)
async def test_a_repeated_operation_id_gets_what_the_switch_says(
    caller: Caller, repeated: Repeated, status: int, sent: int
) -> None:
    """Nobody knows what the real service answers, so every possibility can be had."""
    caller.fake.repeated = repeated
    operation = str(uuid4())
    await caller.send(operation)
    assert ((await caller.send(operation)).status, len(caller.fake.sent)) == (status, sent)


async def test_a_repeated_operation_id_with_another_body_is_400(caller: Caller) -> None:
    """The guidelines demand it of every Azure service."""
    operation = str(uuid4())
    await caller.send(operation)
    assert (await caller.send(operation, {**MAIL, "headers": {"X-Ticket": "8"}})).status == 400


async def test_a_message_id_is_only_taken_once_when_it_is_validated(caller: Caller) -> None:
    """The second, documented net against duplicates."""
    headers = {"Message-ID": "<one@example.com>", "x-ms-acsemail-validate-message-id": "true"}
    answers = [
        await caller.send(str(uuid4()), {**MAIL, "headers": {"Message-ID": "<one@example.com>"}}),
        await caller.send(str(uuid4()), {**MAIL, "headers": {"Message-ID": "<one@example.com>"}}),
        await caller.send(str(uuid4()), {**MAIL, "headers": headers}),
        await caller.send(str(uuid4()), {**MAIL, "headers": headers | {"Message-ID": "one"}}),
    ]
    assert [answer.status for answer in answers] == [202, 202, 400, 400]


async def test_a_quota_counts_refused_requests_too_and_says_when_to_return(caller: Caller) -> None:
    """Two a minute: the third is 429 and postpones everything, as service-limits.md warns."""
    times = [datetime(2026, 3, 2, 9, 30, tzinfo=UTC)]
    caller.fake.clock = lambda: times[-1]
    caller.fake.quotas = [Quota(2, 60)]
    answers = []
    for later in (0, 10, 20, 61, 71):
        times.append(times[0] + timedelta(seconds=later))
        answers.append(await caller.send(str(uuid4())))
    assert [(answer.status, answer.headers.get("Retry-After")) for answer in answers] == [
        (202, "20"),
        (202, "20"),
        (429, "50"),
        (429, "19"),
        (429, "50"),
    ]


FAULTS: dict[str, tuple[int | type[Exception], int]] = {
    "ok": (202, 1),
    "drop-before-accept": (aiohttp.ServerDisconnectedError, 0),
    "garbage": (aiohttp.ClientResponseError, 0),
    "accept-then-drop": (aiohttp.ServerDisconnectedError, 1),
    "accept-then-garbage": (aiohttp.ClientResponseError, 1),
    "accept-then-nonsense": (202, 1),
    "accept-then-cut": (aiohttp.ClientPayloadError, 1),
    "accept-then-500": (500, 1),
    "accept-then-504": (504, 1),
    "429": (429, 0),
    "401": (401, 0),
    "failed": (202, 0),
}


@pytest.mark.parametrize("word", FAULTS)
async def test_a_fault_strikes_one_request(caller: Caller, word: str) -> None:
    """The caller sees it once, the log tells what was really sent, the next request is served."""
    seen, sent = FAULTS[word]
    caller.fake.faults.append(word)
    if isinstance(seen, int):
        assert (await caller.send(str(uuid4()))).status == seen
    else:
        with pytest.raises(seen):
            await caller.send(str(uuid4()))
    assert len(caller.fake.sent) == sent
    assert (await caller.send(str(uuid4()))).status == 202


@pytest.mark.parametrize(("word", "sent"), [("hang", 0), ("accept-then-hang", 1)])
async def test_a_hanging_request_ends_when_its_caller_leaves(caller: Caller, word: str, sent: int) -> None:
    """Nothing is answered before."""
    caller.fake.faults.append(word)
    waiting = asyncio.create_task(caller.send(str(uuid4())))
    await caller.fake.until(lambda fake: len(fake.posts) == 1 and len(fake.sent) == sent)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert (waiting.cancelled(), len(caller.fake.sent)) == (True, sent)


async def test_a_late_request_lands_after_its_connection_ended(caller: Caller) -> None:
    """For a while the service truly says "unknown", and then the mail goes out."""
    caller.fake.faults.append("late:0.05")
    operation = str(uuid4())
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await caller.send(operation)
    assert (await caller.ask(operation)).status == 404
    await caller.fake.until(lambda fake: len(fake.sent) == 1)
    assert (await caller.ask(operation)).status == 200


async def test_a_submission_that_fails_later_was_not_sent(caller: Caller) -> None:
    """202 with Failed, and the same from the status."""
    caller.fake.faults.append("failed")
    operation = str(uuid4())
    answers = [await caller.send(operation), await caller.ask(operation)]
    assert [(one.status, one.body["status"], one.body["error"]["code"]) for one in answers] == [
        (202, "Failed", "EmailDropped"),
        (200, "Failed", "EmailDropped"),
    ]


async def test_questions_have_faults_and_quotas_of_their_own(caller: Caller) -> None:
    """A 429 to a question says nothing about the mail."""
    operation = str(uuid4())
    await caller.send(operation)
    caller.fake.get_faults.append("503:7")
    first = await caller.ask(operation)
    caller.fake.get_quotas = [Quota(1, 60)]
    answers = [first, await caller.ask(operation), await caller.ask(operation)]
    assert [answer.status for answer in answers] == [503, 200, 429]
    assert first.headers["Retry-After"] == "7"


async def test_by_hand_it_is_set_and_read_over_http(caller: Caller) -> None:
    """POST /_control and GET /_sent, without credentials."""
    wishes = {"repeated": "409", "faults": ["429:3"], "get_faults": ["503"], "quotas": [[30, 60], [100, 3600]]}
    async with caller.session.post(f"{caller.url}/_control", json=wishes) as response:
        assert await response.json() == {"repeated": "409", "faults": ["429:3"], "sent": 0}
    operation = str(uuid4())
    assert [(await caller.send(operation)).status for _ in range(3)] == [429, 202, 409]
    async with caller.session.get(f"{caller.url}/_sent") as response:
        assert await response.json() == [{"operation": operation, "payload": MAIL}]
    assert [(quota.limit, quota.window) for quota in caller.fake.quotas] == [(30, 60), (100, 3600)]
