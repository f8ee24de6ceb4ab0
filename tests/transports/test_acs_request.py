"""ACS's requests: the same bytes each time, one call a try, its limits, its payload, and where it goes."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gateway.address import Address
from gateway.errors import Outcome, Reason, TransportError
from gateway.message import Priority
from gateway.transports.acs import LARGEST, Acs
from gateway.transports.acs_payload import payload
from tests.factories import make_attachment, make_message
from tests.servers.acs import KEY, FakeAcs
from tests.servers.acs_contract import check_message
from tests.servers.serve import Receive, Scope, Send, serve
from tests.transports.conftest import AcsWay, failure
from tests.transports.ways import MemoryFence

CONTRACTS = Path(__file__).parents[2] / ".." / "shared" / "contracts" / "acs"

NO, MAYBE = Outcome.NO, Outcome.MAYBE


# --------------------------------------------------------------------------------------------------- the request itself


async def test_each_try_sends_the_same_bytes_under_the_same_id(acs: AcsWay) -> None:
    """Only the tracing id differs, and it can be derived from the stored one."""
    acs.fake.faults.extend(["429", "503"])
    message = make_message()
    await failure(acs.acs, message)
    await failure(acs.acs, message, 2)
    await acs.acs.send(message, 3, MemoryFence())
    assert {request.body for request in acs.fake.posts} == {json.dumps(payload(message)).encode()}
    assert {request.headers["operation-id"] for request in acs.fake.posts} == {message.operation_id}
    assert len({request.headers["x-ms-client-request-id"] for request in acs.fake.posts}) == 3


async def test_one_submission_is_one_request(acs: AcsWay) -> None:
    """No poller asks for the status, and nothing retries behind our back, whatever Retry-After says."""
    acs.fake.faults.extend(["ok", "429:1", "503:1", "500", "307"])
    message = make_message()
    await acs.acs.send(message, 1, MemoryFence())
    for _ in range(4):
        await failure(acs.acs)
    assert (len(acs.fake.posts), acs.fake.gets) == (5, [])


async def test_a_redirect_is_not_followed(acs: AcsWay) -> None:
    """The request would be submitted a second time, to somebody else."""

    async def elsewhere(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        location = f"{acs.url}/emails:send?api-version=2025-09-01".encode()
        await send({"type": "http.response.start", "status": 307, "headers": [(b"location", location)]})
        await send({"type": "http.response.body", "body": b""})

    async with serve(elsewhere, lifespan="off") as url:
        moved = Acs(url, key=KEY)
        error = await failure(moved)
        await moved.close()
    assert (error.outcome, error.answered, acs.fake.requests) == (MAYBE, True, [])


async def test_the_deadline_cuts_a_silent_provider(acs: AcsWay) -> None:
    """A submission and a question."""
    acs.acs.deadline = 0.1
    acs.fake.faults.append("hang")
    acs.fake.get_faults.append("hang")
    began = asyncio.get_running_loop().time()
    error = await failure(acs.acs)
    with pytest.raises(TransportError) as asked:
        await acs.acs.reconcile(make_message(), MemoryFence())
    assert asyncio.get_running_loop().time() - began < 2
    for cut in (error, asked.value):
        assert (cut.outcome, cut.reason, cut.answered) == (MAYBE, Reason.CONNECTION_LOST, False)


async def test_who_cancels_a_submission_gets_no_other_error(acs: AcsWay) -> None:
    """A host that stops must not see it as an answer."""
    acs.fake.faults.append("hang")
    sending = asyncio.create_task(acs.acs.send(make_message(), 1, MemoryFence()))
    await acs.fake.until(lambda fake: len(fake.posts) == 1)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending


LIMITS: dict[str, tuple[dict[str, Any], str]] = {
    "recipients": (
        {"bcc": tuple(Address(email=f"a{number}@example.com") for number in range(50))},
        "refused: ACS takes at most 50 recipients in one message",
    ),
    "size": (
        {"attachments": (make_attachment(content=b"x" * (LARGEST * 3 // 4)),)},
        "refused: ACS takes at most 10 MB in one request, attachments in base64 included",
    ),
}


@pytest.mark.parametrize("limit", LIMITS)
async def test_what_acs_would_certainly_refuse_is_refused_before_the_call(acs: AcsWay, limit: str) -> None:
    """For good, and with the limit."""
    fields, text = LIMITS[limit]
    error = await failure(acs.acs, make_message(**fields))
    assert (error.outcome, error.permanent, str(error), acs.fake.requests) == (NO, True, text, [])


async def test_fifty_recipients_are_not_too_many(acs: AcsWay) -> None:
    """The limit itself is allowed."""
    bcc = tuple(Address(email=f"a{number}@example.com") for number in range(49))
    await acs.acs.send(make_message(bcc=bcc), 1, MemoryFence())
    assert len(acs.fake.sent) == 1


def test_every_event_loop_has_its_own_client() -> None:
    """An HTTP session belongs to one loop; two of them in one process do not meet."""
    acs_of: list[Acs] = []

    async def once() -> int:
        fake = FakeAcs()
        async with serve(fake, lifespan="off") as url:
            acs_of.append(acs_of[0] if acs_of else Acs(url, key=KEY))
            acs_of[0].endpoint = url
            await acs_of[0].send(make_message(), 1, MemoryFence())
            await acs_of[0].close()
        return len(fake.sent)

    assert [asyncio.run(once()), asyncio.run(once())] == [1, 1]


# ---------------------------------------------------------------------------------------------------------- the payload


def test_the_whole_payload() -> None:
    """Field by field as the swagger names them; the sender is bare, tracking is off, high priority is a header."""
    message = make_message(
        to=(Address(email="ops@example.com", name="Ops"), Address(email="b@example.com")),
        cc=(Address(email="c@example.com"),),
        bcc=(Address(email="d@example.com"),),
        reply_to=(Address(email="jo@example.org", name="Jo"),),
        priority=Priority.HIGH,
        headers={"X-Ticket": "7", "X-MS-ACSEmail-Suppress-Invalid-Attachment": "true", "Bcc": "evil@example.org"},
        attachments=(
            make_attachment(content=b"a"),
            make_attachment(name="l.png", content_type="image/png", content=b"b", content_id="logo"),
            make_attachment(name="m.png", content_type="image/png", content=b"c", content_id="logo"),
        ),
    )
    assert payload(message) == {
        "senderAddress": "noreply@example.com",
        "content": {
            "subject": "Disk almost full",
            "plainText": "The disk of web-1 is 91 % full.",
            "html": "<p>The disk of web-1 is 91 % full.</p>",
        },
        "recipients": {
            "to": [{"address": "ops@example.com", "displayName": "Ops"}, {"address": "b@example.com"}],
            "cc": [{"address": "c@example.com"}],
            "bcc": [{"address": "d@example.com"}],
        },
        "attachments": [
            {"name": "report.pdf", "contentType": "application/pdf", "contentInBase64": "YQ=="},
            {"name": "l.png", "contentType": "image/png", "contentInBase64": "Yg==", "contentId": "logo"},
            {"name": "m.png", "contentType": "image/png", "contentInBase64": "Yw=="},
        ],
        "replyTo": [{"address": "jo@example.org", "displayName": "Jo"}],
        "headers": {"X-Ticket": "7", "x-priority": "1"},
        "userEngagementTrackingDisabled": True,
    }


BARE: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"html": ""}, {"subject": "Disk almost full", "plainText": "The disk of web-1 is 91 % full."}),
    ({"text": ""}, {"subject": "Disk almost full", "html": "<p>The disk of web-1 is 91 % full.</p>"}),
    ({"text": "", "html": ""}, {"subject": "Disk almost full", "plainText": " "}),
    ({"html": "", "text": "x", "subject": "a\r\nBcc: b"}, {"subject": "a Bcc: b", "plainText": "x"}),
]


@pytest.mark.parametrize(("fields", "content"), BARE)
def test_what_is_empty_is_left_out_but_never_everything(fields: dict[str, Any], content: dict[str, str]) -> None:
    """A mail without any text still goes out."""
    made = payload(make_message(**fields))
    check_message(made)
    assert (made["content"], sorted(made)) == (
        content,
        ["content", "recipients", "senderAddress", "userEngagementTrackingDisabled"],
    )


def test_priority_is_said_once() -> None:
    """Also when the caller said something else."""
    message = make_message(priority=Priority.HIGH, headers={"X-Priority": "5"})
    assert payload(message)["headers"] == {"x-priority": "1"}


@pytest.mark.skipif(not CONTRACTS.exists(), reason="../shared/contracts is not beside the repository")
def test_the_payload_is_what_the_swagger_says() -> None:
    """EmailMessage of CommunicationServicesEmail.json, with unknown fields forbidden."""
    document = json.loads((CONTRACTS / "CommunicationServicesEmail.json").read_text())
    definitions = {name: one for name, one in document["definitions"].items() if name != "EmailSendResult"}
    for definition in definitions.values():
        definition["additionalProperties"] = False
    message = make_message(
        priority=Priority.HIGH,
        bcc=(Address(email="d@example.com"),),
        reply_to=(Address(email="jo@example.org", name="Jo"),),
        attachments=(make_attachment(content_id="logo"),),
    )
    schema = {"definitions": definitions, "$ref": "#/definitions/EmailMessage"}
    jsonschema.Draft4Validator(schema).validate(payload(message))


# ------------------------------------------------------------------------------------------------------------ endpoints

ENDPOINTS = {
    "https://contoso.communication.azure.com/": "https://contoso.communication.azure.com",
    "contoso.communication.azure.com": "https://contoso.communication.azure.com",
    "http://contoso.communication.azure.com": "https://contoso.communication.azure.com",
    "http://127.0.0.1:9001/": "http://127.0.0.1:9001",
    "http://localhost:9001": "http://localhost:9001",
    "http://[::1]:9001": "http://[::1]:9001",
    "http://localhost.example.com": "https://localhost.example.com",
    "http://127.0.0.1.example.com": "https://127.0.0.1.example.com",
}


@pytest.mark.parametrize("text", ENDPOINTS)
def test_only_a_fake_on_this_machine_is_reached_without_tls(text: str) -> None:
    """In a connection string and as an endpoint."""
    by_string = Acs.from_connection_string(f"Endpoint={text};AccessKey={KEY}")
    assert (Acs(text, key=KEY).endpoint, by_string.endpoint) == (ENDPOINTS[text], ENDPOINTS[text])


BAD = {
    "": "must be endpoint=https://NAME.communication.azure.com/;accesskey=KEY",
    "endpoint=https://x.example.com": "must be endpoint=https://NAME.communication.azure.com/;accesskey=KEY",
    "endpoint=https:///;accesskey=YQ==": "the endpoint must be https://NAME.communication.azure.com",
    "endpoint=https://x.example.com;accesskey=größe": "the access key must be base64, as the portal shows it",
    "endpoint=https://x.example.com;accesskey=a b": "the access key must be base64, as the portal shows it",
}


@pytest.mark.parametrize("text", BAD)
def test_a_connection_string_that_cannot_work_is_refused_at_once(text: str) -> None:
    """With the remedy and without the key."""
    with pytest.raises(ValueError, match=f"^{re.escape(BAD[text])}$"):
        Acs.from_connection_string(text)
