"""The fake Graph keeps to Graph's documents where our transport never treads: it shall catch tomorrow's mistakes."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any, get_args

import aiohttp
import pytest

from gateway.mime import build
from tests.factories import make_message
from tests.servers.graph import TOKEN, FakeGraph
from tests.servers.graph_mailbox import Second
from tests.servers.serve import serve
from tests.transports.ways import Clock

BOX = "/v1.0/users/desk@example.com"
MAIL: dict[str, Any] = {
    "subject": "Größe",
    "body": {"contentType": "text", "content": "91 %"},
    "toRecipients": [{"emailAddress": {"address": "ops@example.com"}}],
}


class Caller:
    """A Graph client in a few lines, independent of ours."""

    def __init__(self, fake: FakeGraph, clock: Clock, url: str, session: aiohttp.ClientSession) -> None:
        """Signs with a token that the fake knows."""
        self.fake = fake
        self.clock = clock
        self.url = url
        self.session = session

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and JSON (or code of an error); a header given replaces the right one, an empty one is left out."""
        kind = "text/plain" if isinstance(body, bytes) else "application/json"
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        right = {"Authorization": f"Bearer {TOKEN}", "Content-Type": kind}
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {name: value for name, value in {**right, **given}.items() if value}
        async with self.session.request(method, self.url + path, data=BytesIO(content), headers=sent) as response:
            raw = await response.read()
            value: Any = json.loads(raw) if raw and response.content_type == "application/json" else None
            return response.status, value["error"]["code"] if response.status >= 400 else value

    async def draft(self) -> str:
        """A new one's path."""
        _, made = await self.call("POST", f"{BOX}/messages", MAIL)
        return f"{BOX}/messages/{made['id'].replace('/', '%2F')}"


@pytest.fixture
async def graph() -> AsyncIterator[Caller]:
    """A caller and its fake."""
    clock = Clock()
    fake = FakeGraph(clock=clock)
    async with serve(fake, lifespan="off") as url, aiohttp.ClientSession() as session:
        yield Caller(fake, clock, url, session)


REFUSED: dict[str, tuple[str, Any, dict[str, str], tuple[int, str]]] = {
    "no token": ("sendMail", {"message": MAIL}, {"Authorization": ""}, (401, "InvalidAuthenticationToken")),
    "another token": (
        "sendMail",
        {"message": MAIL},
        {"Authorization": "Bearer x"},
        (401, "InvalidAuthenticationToken"),
    ),
    "another field": ("messages", {**MAIL, "subjct": "x"}, {}, (400, "RequestBodyRead")),
    "another parameter": ("sendMail", {"message": MAIL, "save": True}, {}, (400, "RequestBodyRead")),
    "a wrong type": ("messages", {**MAIL, "toRecipients": "ops@example.com"}, {}, (400, "RequestBodyRead")),
    "a header of Graph's own": (
        "messages",
        {**MAIL, "internetMessageHeaders": [{"name": "Bcc", "value": "x"}]},
        {},
        (400, "InvalidInternetMessageHeader"),
    ),
    "no recipients": ("sendMail", {"message": {**MAIL, "toRecipients": []}}, {}, (400, "ErrorInvalidRecipients")),
    "no base64": ("sendMail", b"not base64!", {}, (400, "ErrorMimeContentInvalidBase64String")),
    "4 MB": ("messages", {**MAIL, "subject": "x" * 4_200_000}, {}, (413, "RequestEntityTooLarge")),
    "another address": ("mail", MAIL, {}, (404, "ResourceNotFound")),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_graph_would_refuse_is_refused(graph: Caller, case: str) -> None:
    """With its status and its code; nothing goes out."""
    path, body, headers, expected = REFUSED[case]
    assert (await graph.call("POST", f"{BOX}/{path}", body, **headers), graph.fake.sent) == (expected, [])


async def test_a_permission_opens_only_what_is_its_own(graph: Caller) -> None:
    """Mail.Send makes no drafts, Mail.ReadWrite sends nothing."""
    graph.fake.permissions = frozenset({"Mail.Send"})
    sent, making = (
        await graph.call("POST", f"{BOX}/sendMail", {"message": MAIL}),
        await graph.call("POST", f"{BOX}/messages", MAIL),
    )
    graph.fake.permissions = frozenset({"Mail.ReadWrite"})
    sending = await graph.call("POST", f"{await graph.draft()}/send")
    assert (sent[0], making, sending) == (202, (403, "ErrorAccessDenied"), (403, "ErrorAccessDenied"))


async def test_a_draft_may_be_made_of_mime(graph: Caller) -> None:
    """And is found by its Message-ID."""
    message = make_message()
    await graph.call("POST", f"{BOX}/messages", base64.b64encode(build(message)))
    condition = f"internetMessageId eq '<{message.operation_id}@example.com>'"
    _, found = await graph.call("GET", f"{BOX}/messages?$filter={condition}")
    status = await graph.call("GET", f"{BOX}/messages?$filter=subject eq 'x'")
    assert ([one["isDraft"] for one in found["value"]], status) == ([True], (400, "ErrorInvalidUrlQueryFilter"))


SECONDS = list(zip(get_args(Second), [(404, 1), (202, 1), (202, 2)], strict=True))


@pytest.mark.parametrize(("second", "expected"), SECONDS)
async def test_what_a_second_send_does_is_a_switch(graph: Caller, second: Second, expected: tuple[int, int]) -> None:
    """While the draft is still there."""
    graph.fake.ways.second, graph.fake.ways.send_delay = second, 60.0
    draft = await graph.draft()
    await graph.call("POST", f"{draft}/send")
    status, _ = await graph.call("POST", f"{draft}/send")
    assert (status, len(graph.fake.sent)) == expected


@pytest.mark.parametrize("id_changes", [True, False])
async def test_a_draft_goes_later_and_its_copy_shows_later_still(graph: Caller, *, id_changes: bool) -> None:
    """In the fake's own time, under its own id or another."""
    graph.fake.ways.id_changes = id_changes
    graph.fake.ways.send_delay, graph.fake.ways.visible_delay = 60.0, 30.0
    draft = await graph.draft()
    await graph.call("POST", f"{draft}/send")
    seen = []
    for wait in (59.0, 1.0, 30.0):
        graph.clock.pass_by(wait)
        status, value = await graph.call("GET", draft)
        seen.append(value["isDraft"] if status == 200 else status)
    assert seen == [True, 404, 404 if id_changes else False]


async def test_a_late_request_lands_when_its_time_has_come(graph: Caller) -> None:
    """The caller has long gone."""
    graph.fake.faults["send-mail"].append("late:30")
    with pytest.raises(aiohttp.ClientError):
        await graph.call("POST", f"{BOX}/sendMail", {"message": MAIL})
    counts = [len(graph.fake.sent)]
    for _ in range(2):
        graph.clock.pass_by(15)
        counts.append(len(graph.fake.sent))
    assert counts == [0, 0, 1]


async def test_ranges_of_an_upload_follow_each_other(graph: Caller) -> None:
    """Without our token, with the right numbers, each once."""
    wish = {"AttachmentItem": {"attachmentType": "file", "name": "a.bin", "size": 3_000_001}}
    _, session = await graph.call("POST", f"{await graph.draft()}/attachments/createUploadSession", wish)
    place = session["uploadUrl"].removeprefix(graph.url)
    first, piece = "bytes 0-1999999/3000001", b"x" * 2_000_000
    signed = await graph.call("PUT", place, piece, Content_Range=first)
    taken = await graph.call("PUT", place, piece, Content_Range=first, Authorization="")
    twice = await graph.call("PUT", place, piece, Content_Range=first, Authorization="")
    wrong = await graph.call("PUT", place, piece, Content_Range="bytes 5-6/3000001", Authorization="")
    rest = await graph.call(
        "PUT", place, b"x" * 1_000_001, Content_Range="bytes 2000000-3000000/3000001", Authorization=""
    )
    assert signed == (401, "InvalidAuthenticationToken")
    assert taken == (200, {"nextExpectedRanges": ["2000000"]})
    assert (twice, wrong, rest[0]) == ((416, "invalidRange"), (400, "invalidRange"), 201)


async def test_a_token_is_given_for_the_fake_only(graph: Caller) -> None:
    """As App Service gives it: with the header that the app was told, for the resource it wants."""
    right = f"/msi/token?api-version=2019-08-01&resource={graph.url}"
    other = "/msi/token?api-version=2019-08-01&resource=https://graph.microsoft.com"
    given = await graph.call("GET", right, X_IDENTITY_HEADER="example-identity-header")
    refused = [
        await graph.call("GET", right, X_IDENTITY_HEADER="x"),
        await graph.call("GET", other, X_IDENTITY_HEADER="example-identity-header"),
    ]
    assert (given[0], given[1]["access_token"], refused) == (200, TOKEN, [(400, "BadRequest")] * 2)


async def test_by_hand_switches_are_set_and_the_log_is_read(graph: Caller) -> None:
    """Over HTTP, as docs/graph.md shows it."""
    wish = {"faults": {"send-mail": ["accept-then-503"]}, "send_delay": 60}
    _, set_to = await graph.call("POST", "/_control", wish)
    status, _ = await graph.call("POST", f"{BOX}/sendMail", {"message": MAIL})
    _, log = await graph.call("GET", "/_sent")
    await graph.call("POST", "/_control", {"clear": True})
    assert (set_to["send_delay"], set_to["faults"], status) == (60, {"send-mail": ["accept-then-503"]}, 503)
    assert ([(one["subject"], one["to"]) for one in log], graph.fake.sent) == (
        [("Größe", [["ops@example.com", ""]])],
        [],
    )


async def test_a_fifth_request_at_once_in_one_mailbox_is_throttled(graph: Caller) -> None:
    """Other mailboxes are not."""
    graph.fake.latency = 0.05
    calls = [graph.call("POST", f"{BOX}/sendMail", {"message": MAIL}) for _ in range(5)]
    other = graph.call("POST", f"{BOX.replace('desk', 'other')}/sendMail", {"message": MAIL})
    answers = await asyncio.gather(*calls, other)
    assert sorted(status for status, _ in answers) == [202] * 5 + [429]
    assert (429, "ApplicationThrottled") in answers
