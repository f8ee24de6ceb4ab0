"""Graph's requests: what goes in them in each mode, limits found before the call, clouds with gaps, four at once."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from typing import Any

import pytest

from gateway.address import Address
from gateway.errors import Outcome, Reason
from gateway.message import Message, Priority
from gateway.transports.graph import Graph
from gateway.transports.graph_client import CLOUDS, Account, Cloud, root
from gateway.transports.graph_payload import TAG, Options
from gateway.transports.identity import Identity
from tests.factories import make_attachment, make_message
from tests.servers.graph import TOKEN
from tests.servers.serve import Receive, Scope, Send, serve
from tests.transports.conftest import failure
from tests.transports.graph_way import GraphWay, graph_way
from tests.transports.ways import MemoryFence, Token

FULL: dict[str, Any] = {
    "to": (Address(email="ops@example.com", name="Ops"), Address(email="b@example.com")),
    "cc": (Address(email="c@example.com"),),
    "bcc": (Address(email="d@example.com"),),
    "reply_to": (Address(email="jo@example.org", name="Jo"),),
    "priority": Priority.HIGH,
    "headers": {"X-Ticket": "7", "Bcc": "evil@example.org"},
    "attachments": (
        make_attachment(content=b"a"),
        make_attachment(name="l.png", content_type="image/png", content=b"b", content_id="logo"),
    ),
}


async def test_a_draft_has_everything_and_our_marks(draft: GraphWay) -> None:
    """Field by field as the CSDL names them: html is the one body, the tag and the Message-ID are the operation id."""
    message = make_message(**FULL)
    await draft.graph.send(message, 1, MemoryFence())
    (made,) = draft.fake.calls("create")
    assert json.loads(made.body) == {
        "subject": "Disk almost full",
        "body": {"contentType": "html", "content": "<p>The disk of web-1 is 91 % full.</p>"},
        "from": {"emailAddress": {"address": "noreply@example.com", "name": "Example"}},
        "toRecipients": [
            {"emailAddress": {"address": "ops@example.com", "name": "Ops"}},
            {"emailAddress": {"address": "b@example.com"}},
        ],
        "ccRecipients": [{"emailAddress": {"address": "c@example.com"}}],
        "bccRecipients": [{"emailAddress": {"address": "d@example.com"}}],
        "replyTo": [{"emailAddress": {"address": "jo@example.org", "name": "Jo"}}],
        "importance": "high",
        "internetMessageHeaders": [{"name": "X-Ticket", "value": "7"}],
        "internetMessageId": f"<{message.operation_id}@example.com>",
        "singleValueExtendedProperties": [{"id": TAG, "value": message.operation_id}],
        "attachments": [
            {
                "@odata.type": "#microsoft.graph.fileAttachment",
                "name": "report.pdf",
                "contentType": "application/pdf",
                "contentBytes": "YQ==",
            },
            {
                "@odata.type": "#microsoft.graph.fileAttachment",
                "name": "l.png",
                "contentType": "image/png",
                "contentBytes": "Yg==",
                "isInline": True,
                "contentId": "logo",
            },
        ],
    }


def test_the_tag_is_the_one_that_earlier_versions_wrote() -> None:
    """Another one would not find what is on its way."""
    assert TAG == "String {9d2c7f1e-4b0a-4c56-8f7b-62a1d3e05c48} Name NotificationId"


async def test_a_draft_is_two_calls(draft: GraphWay) -> None:
    """Made and sent; the sending has no body and says so; its id outlives a move to another folder."""
    await draft.graph.send(make_message(), 1, MemoryFence())
    made, sent = draft.fake.requests
    assert [one.facts["operation"] for one in (made, sent)] == ["create", "send"]
    assert (sent.headers["content-length"], sent.body) == ("0", b"")
    assert {one.headers["prefer"] for one in (made, sent)} == {'IdType="ImmutableId"'}


FORMS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "text and html": ({}, {}, "text/plain"),
    "html only": ({"text": ""}, {}, "application/json"),
    "text only": ({"html": ""}, {}, "application/json"),
    "five headers": ({"html": "", "headers": {f"X-{n}": "1" for n in range(5)}}, {}, "application/json"),
    "six headers": ({"html": "", "headers": {f"X-{n}": "1" for n in range(6)}}, {}, "text/plain"),
    "not to be kept": ({}, {"save_to_sent": False}, "application/json"),
    "too long for MIME": ({"attachments": (make_attachment(content=b"x" * 2_500_000),)}, {}, "application/json"),
}


@pytest.mark.parametrize("form", FORMS)
async def test_directly_it_is_mime_where_only_mime_carries_it_all(form: str) -> None:
    """And JSON where that is enough, or where MIME cannot say it or has no room."""
    fields, options, expected = FORMS[form]
    async with graph_way(mode="direct", **options) as way:
        await way.graph.send(make_message(**fields), 1, MemoryFence())
    (request,) = way.fake.requests
    (sent,) = way.fake.sent
    assert (request.headers["content-type"], sent.saved) == (expected, options.get("save_to_sent", True))


async def test_the_mime_has_blind_copies_and_importance() -> None:
    """Graph takes them from there."""
    async with graph_way(mode="direct") as way:
        await way.graph.send(make_message(**FULL), 1, MemoryFence())
    (sent,) = way.fake.sent
    raw = base64.b64decode(way.fake.requests[0].body).decode()
    assert (sent.mail.bcc, sent.mail.importance, sent.mail.headers) == (
        (("d@example.com", ""),),
        "high",
        {"X-Ticket": "7"},
    )
    assert "evil@example.org" not in raw


@pytest.mark.parametrize("mode", ["draft", "direct"])
async def test_another_mailbox_may_send_under_the_address(mode: str) -> None:
    """Send As, or on behalf: From is the address, the mailbox is in the path."""
    async with graph_way(mode=mode, mailbox="help+desk@example.com") as way:
        await way.graph.send(make_message(), 1, MemoryFence())
    (sent,) = way.fake.sent
    assert (sent.mailbox, sent.mail.sender) == ("help+desk@example.com", ("noreply@example.com", "Example"))


async def test_normal_mail_says_nothing_about_importance(draft: GraphWay) -> None:
    """The default is Graph's."""
    await draft.graph.send(make_message(), 1, MemoryFence())
    assert "importance" not in json.loads(draft.fake.requests[0].body)


# -------------------------------------------------------------------------------------------------- limits and clouds

US, CHINA = CLOUDS["graph.microsoft.us"], CLOUDS["microsoftgraph.chinacloudapi.cn"]
REMEDY = "leave them out, or use mode: direct with a mail that has room in 4 MB of MIME"
SMALL = "Graph takes at most 4 MB in one"
LIMITS: dict[str, tuple[dict[str, Any], str, Cloud, str]] = {
    "recipients": (
        {"bcc": tuple(Address(email=f"a{number}@example.com") for number in range(500))},
        "draft",
        Cloud(),
        "Graph takes at most 500 recipients in one message",
    ),
    "recipients directly": (
        {"bcc": tuple(Address(email=f"a{number}@example.com") for number in range(500))},
        "direct",
        Cloud(),
        "Graph takes at most 500 recipients in one message",
    ),
    "text": ({"html": "x" * 4_300_000}, "draft", Cloud(), f"{SMALL} request, and the mail's text alone is longer"),
    "size": (
        {"attachments": (make_attachment(content=b"x" * 3_200_000),)},
        "direct",
        Cloud(),
        f"{SMALL} sendMail, attachments in base64 included; mode: draft takes more",
    ),
    "headers": (
        {"headers": {f"X-{number}": "1" for number in range(6)}},
        "draft",
        Cloud(),
        f"Graph takes at most 5 headers of one's own; {REMEDY}",
    ),
    "headers in China": (
        {"headers": {"X-Ticket": "7"}},
        "draft",
        CHINA,
        f"Graph's China cloud has no headers of one's own; {REMEDY}",
    ),
    "files in the US": (
        {"attachments": (make_attachment(content=b"x" * 3_000_001),)},
        "draft",
        US,
        "Graph's US Government cloud has no upload sessions, so an attachment may have at most 3 MB there",
    ),
}


@pytest.mark.parametrize("limit", LIMITS)
async def test_what_graph_would_certainly_refuse_is_refused_before_the_call(limit: str) -> None:
    """For good, and with the limit or the gap of the cloud."""
    fields, mode, cloud, text = LIMITS[limit]
    async with graph_way(mode=mode) as way:
        graph = Graph(way.account(cloud), way.graph.options)
        error = await failure(graph, make_message(**fields))
        await graph.close()
    assert (error.outcome, error.permanent, str(error)) == (Outcome.NO, True, f"refused: {text}")
    assert way.fake.requests == []


async def test_the_limits_themselves_are_allowed(draft: GraphWay) -> None:
    """Five hundred recipients, and three megabytes in one request."""
    bcc = tuple(Address(email=f"a{number}@example.com") for number in range(499))
    file = (make_attachment(content=b"x" * 3_000_000),)
    await draft.graph.send(make_message(bcc=bcc, attachments=file), 1, MemoryFence())
    assert [one.facts["operation"] for one in draft.fake.requests] == ["create", "send"]


async def test_china_takes_headers_in_mime(direct: GraphWay) -> None:
    """Its JSON does not know them."""
    direct.fake.cloud_headers = False
    graph = Graph(direct.account(CHINA), direct.graph.options)
    await graph.send(make_message(html="", headers={"X-Ticket": "7"}), 1, MemoryFence())
    await graph.close()
    assert [one.mail.headers for one in direct.fake.sent] == [{"X-Ticket": "7"}]


ROOTS = {
    "https://graph.microsoft.com/": "https://graph.microsoft.com",
    "https://graph.microsoft.com/v1.0": "https://graph.microsoft.com",
    "graph.microsoft.us": "https://graph.microsoft.us",
    "http://graph.microsoft.com": "https://graph.microsoft.com",
    "http://127.0.0.1:9002/": "http://127.0.0.1:9002",
    "http://localhost.example.com": "https://localhost.example.com",
}


@pytest.mark.parametrize("text", ROOTS)
def test_only_a_fake_on_this_machine_is_reached_without_tls(text: str) -> None:
    """The root is scheme and host."""
    assert root(text) == ROOTS[text]


@pytest.mark.parametrize("text", ["", "ftp://graph.microsoft.com", "https://"])
def test_what_cannot_be_graph_is_refused_with_the_remedy(text: str) -> None:
    """Before anything is sent there."""
    with pytest.raises(
        ValueError, match=re.escape("must be Microsoft Graph's root, such as https://graph.microsoft.com")
    ):
        root(text)


def test_a_cloud_is_known_by_its_host() -> None:
    """Global by default."""
    hosts = ["graph.microsoft.com", *CLOUDS, "127.0.0.1"]
    clouds = [Account(f"https://{host}", Identity.default).cloud.name for host in hosts]
    assert clouds == ["global", "US Government", "US Department of Defense", "China", "global"]


async def test_the_token_is_asked_for_the_clouds_own_scope(draft: GraphWay) -> None:
    """The root and `/.default`; once for many mails."""
    token = Token(TOKEN)
    graph = Graph(Account(draft.url, lambda: Identity(token), clock=draft.clock))
    for _ in range(3):
        await graph.send(make_message(), 1, MemoryFence())
    await graph.close()
    assert (token.scopes, token.closed) == ([f"{draft.url}/.default"], 1)


# ------------------------------------------------------------------------------------------------- calls and the wire


async def test_one_submission_is_one_request(direct: GraphWay) -> None:
    """Nothing retries behind our back, whatever Retry-After says."""
    direct.fake.faults["send-mail"].extend(["429:1", "503:1", "504", "307"])
    for _ in range(4):
        await failure(direct.graph)
    assert (len(direct.fake.requests), direct.fake.sent) == (4, [])


async def test_a_redirect_is_not_followed(direct: GraphWay) -> None:
    """The mail and its token would go to somebody else."""

    async def elsewhere(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        location = f"{direct.url}/v1.0/users/noreply@example.com/sendMail".encode()
        await send({"type": "http.response.start", "status": 307, "headers": [(b"location", location)]})
        await send({"type": "http.response.body", "body": b""})

    async with serve(elsewhere, lifespan="off") as url:
        moved = Graph(Account(url, lambda: Identity(Token(TOKEN)), clock=direct.clock), Options(mode="direct"))
        error = await failure(moved)
        await moved.close()
    assert (error.outcome, error.answered, direct.fake.requests) == (Outcome.MAYBE, True, [])


async def test_the_deadline_cuts_a_silent_provider(draft: GraphWay) -> None:
    """While the draft is made that is a no; there is time left then, but none for a mail."""
    draft.graph.deadline = 0.3
    draft.fake.faults["create"].append("hang")
    draft.fake.faults["send"].append("hang")
    making, sending = await failure(draft.graph), await failure(draft.graph)
    assert [(one.outcome, one.reason, one.answered) for one in (making, sending)] == [
        (Outcome.NO, Reason.CONNECTION_LOST, False),
        (Outcome.MAYBE, Reason.CONNECTION_LOST, False),
    ]


@pytest.mark.parametrize("operation", ["create", "send"])
async def test_who_cancels_a_submission_gets_no_other_error(draft: GraphWay, operation: str) -> None:
    """A host that stops must not see it as an answer."""
    draft.fake.faults[operation].append("hang")
    sending = asyncio.create_task(draft.graph.send(make_message(), 1, MemoryFence()))
    await draft.fake.until(lambda fake: len(fake.calls(operation)) == 1)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending


@pytest.mark.parametrize("mode", ["draft", "direct"])
async def test_four_at_once_in_one_mailbox_and_no_more(mode: str) -> None:
    """Graph would answer 429 to a fifth; forty mails all get through, and other mailboxes are not held up."""
    async with graph_way(mode=mode) as way:
        way.fake.latency = 0.01
        other = Graph(way.graph.account, Options(mailbox="other@example.com"))
        many: list[tuple[Graph, Message]] = [(way.graph, make_message()) for _ in range(20)]
        many += [(other, make_message()) for _ in range(20)]
        await asyncio.gather(*(graph.send(message, 1, MemoryFence()) for graph, message in many))
    assert (len(way.fake.sent), way.fake.busiest) == (40, 4)


async def test_who_finds_no_slot_is_sent_away_soon(draft: GraphWay, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certain no, with a second to wait; nothing of it reached Graph."""
    monkeypatch.setattr("gateway.transports.graph_client.WAIT", 0.05)
    draft.fake.faults["create"].extend(["hang"] * 4)
    busy = [asyncio.create_task(draft.graph.send(make_message(), 1, MemoryFence())) for _ in range(4)]
    await draft.fake.until(lambda fake: len(fake.requests) == 4)
    error = await failure(draft.graph)
    for one in busy:
        one.cancel()
    await asyncio.gather(*busy, return_exceptions=True)
    assert (error.outcome, error.reason, error.retry_after) == (Outcome.NO, Reason.THROTTLED, 1.0)
    assert len(draft.fake.requests) == 4


def test_every_event_loop_has_its_own_connections() -> None:
    """An HTTP session belongs to one loop; two of them in one process do not meet."""
    graphs: list[Graph] = []

    async def once() -> int:
        async with graph_way(mode="draft") as way:
            graphs.append(graphs[0] if graphs else Graph(way.account()))
            graphs[0].account.endpoint = way.url
            await graphs[0].send(make_message(), 1, MemoryFence())
            await graphs[0].close()
            return len(way.fake.sent)

    assert [asyncio.run(once()), asyncio.run(once())] == [1, 1]
