"""Attachments by Graph: what goes in the draft, what after it and in pieces, an upload that goes on where it ended."""

from __future__ import annotations

import json

import pytest

from gateway.errors import Outcome, Reason
from gateway.message import Attachment
from gateway.transports.graph_files import PIECE
from tests.factories import make_attachment, make_message
from tests.servers.graph import Reply
from tests.transports.conftest import failure
from tests.transports.graph_way import GraphWay
from tests.transports.ways import MemoryFence


def files(*sizes: int) -> tuple[Attachment, ...]:
    """One file of each size, every one with a content of its own."""
    return tuple(
        make_attachment(name=f"{number}.bin", content=bytes([number + 1]) * size) for number, size in enumerate(sizes)
    )


def operations(way: GraphWay) -> list[str]:
    """What was called, in order."""
    return [request.facts["operation"] for request in way.fake.requests]


async def test_each_file_goes_the_shortest_way(draft: GraphWay) -> None:
    """In the draft while there is room, in a request of its own, or in pieces."""
    sizes = (1_000_000, 2_900_000, 9_000_000, 1_500_000)
    await draft.graph.send(make_message(attachments=files(*sizes)), 1, MemoryFence())
    (sent,) = draft.fake.sent
    assert operations(draft) == ["create", "attach", "session", "put", "put", "put", "send"]
    assert {one.name: len(one.content) for one in sent.mail.files} == {f"{n}.bin": size for n, size in enumerate(sizes)}


async def test_a_large_file_goes_in_ranges_without_our_token(draft: GraphWay) -> None:
    """The address is all the permission there is; ranges follow each other and have less than 4 MB."""
    size = 2 * PIECE + 5
    await draft.graph.send(make_message(attachments=files(size)), 1, MemoryFence())
    puts = draft.fake.calls("put")
    assert [one.headers["content-range"] for one in puts] == [
        f"bytes 0-{PIECE - 1}/{size}",
        f"bytes {PIECE}-{2 * PIECE - 1}/{size}",
        f"bytes {2 * PIECE}-{size - 1}/{size}",
    ]
    assert [one.headers.get("authorization") for one in puts] == [None] * 3
    assert max(len(one.body) for one in puts) < 4_000_000


async def test_an_inline_image_that_is_large_stays_inline(draft: GraphWay) -> None:
    """Its content id is said to the session."""
    file = make_attachment(name="photo.jpg", content_type="image/jpeg", content_id="photo", content=b"x" * 3_100_000)
    await draft.graph.send(make_message(attachments=(file,)), 1, MemoryFence())
    ((kept,),) = [one.mail.files for one in draft.fake.sent]
    assert (kept.content_id, kept.kind, kept.content == file.content) == ("photo", "image/jpeg", True)


@pytest.mark.parametrize("fault", ["503", "accept-then-503", "drop-before-accept", "429:30"])
async def test_an_upload_goes_on_where_it_ended(draft: GraphWay, fault: str) -> None:
    """The session is asked how far it came; what is there is not sent again."""
    message, fence = make_message(attachments=files(3 * PIECE)), MemoryFence()
    draft.fake.faults["put"].extend(["ok", fault, fault])
    error = await failure(draft.graph, message, fence=fence)
    draft.fake.faults.clear()
    await draft.graph.send(message, 2, fence)
    starts = [one.headers["content-range"].split("-")[0] for one in draft.fake.calls("put")]
    assert error.outcome is Outcome.NO
    assert (starts.count("bytes 0"), len(draft.fake.calls("session")), len(draft.fake.calls("progress"))) == (1, 1, 1)
    ((kept,),) = [one.mail.files for one in draft.fake.sent]
    assert len(kept.content) == 3 * PIECE


async def test_an_upload_that_takes_too_long_goes_on_in_the_next_try(draft: GraphWay) -> None:
    """Two thirds of the deadline are for what comes before the sending; running out of them is a certain no."""
    message, fence = make_message(attachments=files(2 * PIECE)), MemoryFence()
    draft.graph.deadline = 1.5
    draft.fake.faults["put"].extend(["ok", "hang"])
    error = await failure(draft.graph, message, fence=fence)
    draft.graph.deadline = 30.0
    await draft.graph.send(message, 2, fence)
    assert (error.outcome, error.reason, len(draft.fake.sent)) == (Outcome.NO, Reason.CONNECTION_LOST, 1)
    assert len(draft.fake.calls("session")) == 1


async def test_a_session_that_is_gone_is_begun_again(draft: GraphWay) -> None:
    """It ended, or it tells nobody how far it came: from the start."""
    message, fence = make_message(attachments=files(2 * PIECE)), MemoryFence()
    draft.fake.faults["put"].extend(["ok", "503"])
    await failure(draft.graph, message, fence=fence)
    draft.fake.boxes.sessions.clear()
    await draft.graph.send(message, 2, fence)
    ((kept,),) = [one.mail.files for one in draft.fake.sent]
    assert (len(draft.fake.calls("session")), len(kept.content)) == (2, 2 * PIECE)


async def test_what_is_attached_already_is_not_attached_again(draft: GraphWay) -> None:
    """The draft's list is asked first; two files of one name are two files."""
    same = tuple(make_attachment(name="a.txt", content=letter * 2_900_000) for letter in (b"a", b"b", b"c"))
    message, fence = make_message(attachments=same), MemoryFence()
    draft.fake.faults["attach"].extend(["accept-then-503"])
    await failure(draft.graph, message, fence=fence)
    await draft.graph.send(message, 2, fence)
    ((*kept,),) = [one.mail.files for one in draft.fake.sent]
    assert [one.content[:1] for one in kept] == [b"a", b"b", b"c"]
    assert operations(draft) == ["create", "attach", "attachments", "attach", "send"]


async def test_an_upload_address_without_tls_gets_nothing(draft: GraphWay) -> None:
    """Content goes nowhere unencrypted, whatever Graph says; only the fake itself has no TLS."""
    message = make_message(attachments=files(3_100_000))
    fence = MemoryFence()
    draft.fake.faults["put"].append("503")
    await failure(draft.graph, message, fence=fence)
    fence.facts["upload"] = json.dumps({"attachment": 0, "url": "http://192.0.2.1/upload"})
    error = await failure(draft.graph, message, 2, fence)
    assert str(error) == "provider_error: the provider handed out an address without TLS"


@pytest.mark.parametrize("answer", ["200", "accept-then-nonsense", "204"])
async def test_a_session_that_does_not_go_on_ends_the_try(draft: GraphWay, answer: str) -> None:
    """An answer that names no next range would keep us busy for ever."""
    draft.fake.faults["put"].append(answer)
    error = await failure(draft.graph, make_message(attachments=files(2 * PIECE)))
    assert (error.outcome, error.permanent, len(draft.fake.calls("put"))) == (Outcome.NO, False, 1)


async def test_a_session_that_wants_the_same_again_ends_the_try(
    draft: GraphWay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forwards only."""
    monkeypatch.setattr(draft.fake, "_put", lambda _: Reply(200, {"nextExpectedRanges": ["0-"]}))
    draft.graph.deadline = 1.0
    error = await failure(draft.graph, make_message(attachments=files(2 * PIECE)))
    assert (error.outcome, error.reason, len(draft.fake.calls("put"))) == (Outcome.NO, Reason.PROVIDER_ERROR, 1)


async def test_a_mail_that_is_larger_than_the_mailbox_allows_fails(draft: GraphWay) -> None:
    """35 MB unless its administrator allows more; only Graph knows."""
    draft.fake.ways.largest = 5_000_000
    error = await failure(draft.graph, make_message(attachments=files(6_000_000)))
    assert (error.permanent, error.code) == (True, "ErrorMessageSizeExceeded")
