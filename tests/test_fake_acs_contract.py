"""The fake ACS keeps the contract: what it takes and refuses, the signature, and the swagger.

Facts: swagger 2025-09-01 of Azure/azure-rest-api-specs (Email), `_shared/policy.py` of azure-communication-email 1.1.0.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.servers.acs import KEY, FakeAcs
from tests.servers.acs_caller import MAIL, Caller
from tests.servers.acs_contract import LARGEST, Refused, check_message, content_hash, signature
from tests.servers.serve import serve

CONTRACTS = Path(__file__).parents[1] / ".." / "shared" / "contracts" / "acs"
with_contracts = pytest.mark.skipif(not CONTRACTS.exists(), reason="../shared/contracts is not beside the repository")


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
