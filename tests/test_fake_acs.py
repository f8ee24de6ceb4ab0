"""The fake ACS keeps the provider's contract: what it takes, what it refuses and what each fault does.

Facts: swagger 2025-09-01 of Azure/azure-rest-api-specs (Email), `_shared/policy.py` of azure-communication-email 1.1.0.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import aiohttp
import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.servers.acs import KEY, FakeAcs, Quota, Repeated
from tests.servers.acs_contract import LARGEST, Refused, check_message, content_hash, signature
from tests.servers.serve import serve

CONTRACTS = Path(__file__).parents[1] / ".." / "shared" / "contracts" / "acs"
with_contracts = pytest.mark.skipif(not CONTRACTS.exists(), reason="../shared/contracts is not beside the repository")

MAIL: dict[str, Any] = {
    "senderAddress": "noreply@example.com",
    "content": {"subject": "Größe", "plainText": "91 %", "html": "<p>91 %</p>"},
    "recipients": {"to": [{"address": "ops@example.com", "displayName": "Ops"}], "bcc": [{"address": "b@example.com"}]},
    "attachments": [{"name": "a.txt", "contentType": "text/plain", "contentInBase64": "YQ==", "contentId": "a"}],
    "replyTo": [{"address": "desk@example.com"}],
    "headers": {"X-Ticket": "7"},
    "userEngagementTrackingDisabled": True,
}


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Any
    body: Any


class Caller:
    """An ACS client in a few lines, independent of Microsoft's."""

    def __init__(self, fake: FakeAcs, url: str, session: aiohttp.ClientSession) -> None:
        """Signs with the fake's own key."""
        self.fake = fake
        self.url = url
        self.session = session

    async def call(self, method: str, target: str, body: bytes = b"", **headers: str) -> Answer:
        """One signed request; a header given replaces the right one."""
        host = self.url.removeprefix("http://")
        date = format_datetime(self.fake.clock(), usegmt=True)
        signed = signature(KEY, method, target, date, host, body)
        right = {
            "x-ms-date": date,
            "x-ms-content-sha256": content_hash(body),
            "Authorization": f"HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature={signed}",
        }
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(
            method, self.url + target, data=BytesIO(body), headers=right | given
        ) as response:
            text = await response.text()
            is_json = response.content_type == "application/json"
            return Answer(response.status, response.headers, json.loads(text) if is_json else text)

    async def send(self, operation: str, payload: Any = MAIL, **headers: str) -> Answer:
        """One submission."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        target = "/emails:send?api-version=2025-09-01"
        return await self.call("POST", target, body, Operation_Id=operation, **headers)

    async def ask(self, operation: str) -> Answer:
        """One question for the status."""
        return await self.call("GET", f"/emails/operations/{operation}?api-version=2025-09-01")


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    fake = FakeAcs(tokens=["example-token"])
    async with serve(fake, lifespan="off") as url, aiohttp.ClientSession() as session:
        yield Caller(fake, url, session)


def test_the_signature_equals_one_made_with_openssl() -> None:
    """The vector was computed with `openssl dgst -sha256 -mac HMAC`."""
    body = '{"subject":"größe"}'.encode()
    date = "Mon, 02 Mar 2026 09:30:00 GMT"
    made = signature(KEY, "POST", "/emails:send?api-version=2025-09-01", date, "127.0.0.1:9001", body)
    assert (content_hash(body), made) == (
        "8RGfO8pzflg3C+D72HMQAkIztXwj12Rorn+VNbF5LRc=",
        "0h7J2h13pazuZBIZEdn4xyEtIiVdYSX3JduO5927loY=",
    )


@with_contracts
def test_the_signature_equals_the_one_of_microsofts_client() -> None:
    """The vector was made with azure-communication-email 1.1.0."""
    vector = json.loads((CONTRACTS / "hmac-test-vector.json").read_text())
    url = vector["url"].removeprefix("https://")
    host, _, target = url.partition("/")
    body = vector["body"].encode()
    made = signature(vector["key_base64"], vector["method"], f"/{target}", vector["x-ms-date"], host, body)
    assert vector["headers"]["Authorization"].endswith(f"&Signature={made}")
    assert content_hash(body) == vector["headers"]["x-ms-content-sha256"]


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


BAD_HEADERS = {
    "no signature": {"Authorization": ""},
    "a wrong signature": {"Authorization": "HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature=AA"},
    "a signature that is not ASCII": {"Authorization": "HMAC-SHA256 größe"},
    "another body's hash": {"x_ms_content_sha256": content_hash(b"other")},
    "another date": {"x_ms_date": "Mon, 02 Mar 2026 09:30:00 GMT"},
    "no date": {"x_ms_date": ""},
    "an unknown token": {"Authorization": "Bearer other"},
}


@pytest.mark.parametrize("case", BAD_HEADERS)
async def test_bad_credentials_are_401(caller: Caller, case: str) -> None:
    """The code is the one the real service uses."""
    answer = await caller.send(str(uuid4()), **BAD_HEADERS[case])
    assert (answer.status, answer.body["error"]["code"], caller.fake.sent) == (401, "Denied", [])


async def test_an_old_signature_is_401(caller: Caller) -> None:
    """A signature outlives no quarter of an hour."""
    right = caller.fake.clock
    old = right() - timedelta(minutes=16)
    moments = [old, right()]
    caller.fake.clock = lambda: moments.pop(0)
    assert (await caller.send(str(uuid4()))).status == 401


async def test_a_known_token_is_taken(caller: Caller) -> None:
    """Bearer in place of the signature."""
    assert (await caller.send(str(uuid4()), Authorization="Bearer example-token")).status == 202


def changed(path: str, value: Any) -> dict[str, Any]:
    """MAIL with one value replaced, or taken away where it is None."""
    payload: Any = deepcopy(MAIL)
    place = payload
    *parents, last = path.split(".")
    for name in parents:
        place = place[int(name)] if name.isdigit() else place[name]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return dict(payload)


BAD_BODIES: dict[str, Any] = {
    "not JSON": b"{",
    "not an object": [1],
    "no sender": changed("senderAddress", None),
    "no subject": changed("content.subject", None),
    "no text at all": {**MAIL, "content": {"subject": "x"}},
    "no recipients": changed("recipients", None),
    "no to": changed("recipients.to", None),
    "nobody in to": changed("recipients.to", []),
    "fifty-one recipients": changed("recipients.to", [{"address": f"a{n}@example.com"} for n in range(50)]),
    "a recipient without address": changed("recipients.to", [{"displayName": "x"}]),
    "a recipient that is a string": changed("recipients.to", ["ops@example.com"]),
    "an unknown field": {**MAIL, "importance": "high"},
    "an attachment without type": changed("attachments.0.contentType", None),
    "an attachment that is not base64": changed("attachments.0.contentInBase64", "%%%"),
    "a content id twice": {**MAIL, "attachments": MAIL["attachments"] * 2},
    "a header that is a number": changed("headers", {"X-Ticket": 7}),
    "headers that are a list": changed("headers", ["X-Ticket"]),
    "tracking that is a word": changed("userEngagementTrackingDisabled", "true"),
}


@pytest.mark.parametrize("case", BAD_BODIES)
async def test_a_bad_body_is_400(caller: Caller, case: str) -> None:
    """Nothing of it is sent."""
    answer = await caller.send(str(uuid4()), BAD_BODIES[case])
    assert (answer.status, answer.body["error"]["code"], caller.fake.sent) == (400, "BadRequest", [])


async def test_other_bad_requests_are_refused(caller: Caller) -> None:
    """No api-version, an operation id that is no UUID, another path, and more than 10 MB."""
    body = json.dumps(MAIL).encode()
    answers = [
        await caller.call("POST", "/emails:send", body),
        await caller.call("POST", "/emails:send?api-version=2019-01-01", body),
        await caller.send("first"),
        await caller.call("POST", "/emails:send/more?api-version=2025-09-01", body),
        await caller.send(str(uuid4()), body + b" " * LARGEST),
    ]
    assert [answer.status for answer in answers] == [400, 400, 400, 404, 413]


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
    assert (await caller.send(operation, changed("content.subject", "Other"))).status == 400


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


# ------------------------------------------------------------------------------------------------ against the swagger


def swagger(definition: str) -> Any:
    """A validator for one definition of the swagger."""
    document = json.loads((CONTRACTS / "CommunicationServicesEmail.json").read_text())
    types = json.loads((CONTRACTS / "common-types.data-plane.v1.types.json").read_text())
    definitions = types["definitions"] | document["definitions"]
    text = json.dumps({"definitions": definitions, "$ref": f"#/definitions/{definition}"})
    return jsonschema.Draft4Validator(
        json.loads(text.replace("../../../../../common-types/data-plane/v1/types.json#", "#"))
    )


@with_contracts
async def test_microsofts_own_example_is_taken(caller: Caller) -> None:
    """SendEmail.json of the swagger's examples."""
    example = json.loads((CONTRACTS / "examples" / "SendEmail.json").read_text())["parameters"]
    assert (await caller.send(example["operation-id"], example["emailMessage"])).status == 202


@with_contracts
async def test_every_answer_is_what_the_swagger_says(caller: Caller) -> None:
    """EmailSendResult for a yes, ErrorResponse for a no."""
    operation = str(uuid4())
    caller.fake.statuses = ("NotStarted", "Running", "Canceled")
    results = [await caller.send(operation)] + [await caller.ask(operation) for _ in range(3)]
    caller.fake.faults.extend(["429", "accept-then-500"])
    errors = [await caller.send(str(uuid4())), await caller.send(str(uuid4())), await caller.ask(str(uuid4()))]
    for answer in results:
        swagger("EmailSendResult").validate(answer.body)
    for answer in errors:
        swagger("ErrorResponse").validate(answer.body)


values: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.just([]) | st.just({}) | st.just([1])
)
places = st.sampled_from(
    "senderAddress content content.subject content.plainText recipients recipients.to recipients.bcc recipients.to.0 "
    "recipients.to.0.address attachments attachments.0 attachments.0.name attachments.0.contentInBase64 replyTo "
    "replyTo.0.address headers headers.X-Ticket userEngagementTrackingDisabled".split()
)


@with_contracts
@given(place=places, value=values)
def test_whatever_the_swagger_refuses_the_fake_refuses(place: str, value: Any) -> None:
    """The fake may be stricter than the document, never more lenient."""
    payload: Any = deepcopy(MAIL)
    *parents, last = place.split(".")
    parent = payload
    for name in parents:
        parent = parent[int(name)] if name.isdigit() else parent[name]
    parent[int(last) if last.isdigit() else last] = value
    if not swagger("EmailMessage").is_valid(payload):
        with pytest.raises(Refused):
            check_message(payload)
