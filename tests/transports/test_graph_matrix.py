"""Graph, the claim and the decision together: every fault times every switch in both modes, and the fake's log is true.

In virtual time, one worker. A draft goes out once in every cell. A direct submission goes out at most once, and where
its answer was lost it ends as `unknown`: never `failed`, never twice.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from gateway.message import Status
from tests.factories import make_attachment, make_message
from tests.servers.graph_mailbox import Behaviour, Second
from tests.transports.graph_way import GraphWay, graph_way
from tests.transports.line import Line, line

LOST = (
    "drop-before-accept",
    "accept-then-drop",
    "hang",
    "accept-then-hang",
    "garbage",
    "accept-then-garbage",
    "accept-then-cut",
    "late:30",
    "late:100",
    "500",
    "503",
    *(f"accept-then-{status}" for status in (500, 502, 503, 504)),
)
"""Nobody can tell from the answer whether it counted."""

REFUSED = ("401", "429", "429:30", "409")
"""It certainly did not count, and will some other time."""

TAKEN = ("ok", "accept-then-202:7", "accept-then-nonsense")
"""It counted, whatever else stands in the answer."""

SLOW = ((0.0, 0.0), (150.0, 200.0))
"""Seconds that a draft stays after `send`, and until the copy shows: at once, or minutes later."""


def switches() -> Iterator[Behaviour]:
    """Every combination of what nobody has published."""
    for second in get_args(Second):
        for id_changes, (stays, hides) in itertools.product((True, False), SLOW):
            yield Behaviour(second=second, id_changes=id_changes, send_delay=stays, visible_delay=hides)


async def cell(way: GraphWay, line: Line, faults: dict[str, str], behaviour: Behaviour) -> tuple[Status, int]:
    """How one message ends that meets these faults, one for each operation, and how often it went out."""
    way.fake.boxes.ways = behaviour
    way.fake.faults.clear()
    for operation, fault in faults.items():
        way.fake.faults[operation].append(fault)
    message = make_message(subject=f"{faults} {way.clock()}", created=way.clock(), transport="graph")
    await line.accept(message)
    way.graph.deadline = 0.15 if "hang" in str(faults) else 30.0
    worker = line.worker(way.graph)
    await worker.deliver(message.id)
    if "send-mail" in faults:
        # The next one must not be cut on a busy machine: it would count as a fault of its own.
        way.graph.deadline = 30.0
    status = await line.end(message, worker)
    way.clock.pass_by(1000)
    return status, sum(1 for one in way.fake.sent if one.mail.subject == message.subject)


async def row(folder: Path, faults: dict[str, str], **options: Any) -> dict[str, tuple[Status, int]]:
    """The same faults under every switch, on one fake and in one ledger."""
    async with graph_way(**options) as way, line(folder, way.clock) as workers:
        return {
            str(behaviour): await cell(way, workers, faults, behaviour)
            for behaviour in switches()
            if options.get("mode") == "draft" or behaviour.second == "404"
        }


@pytest.mark.parametrize("fault", [*LOST, *REFUSED, *TAKEN])
@pytest.mark.parametrize("operation", ["create", "send"])
async def test_by_draft_every_mail_goes_out_once_and_is_known_as_sent(
    tmp_path: Path, operation: str, fault: str
) -> None:
    """Whatever happens to the draft or to its sending."""
    ended = await row(tmp_path, {operation: fault}, mode="draft")
    assert dict.fromkeys(ended, (Status.SENT, 1)) == ended


@pytest.mark.parametrize("fault", ["503", "accept-then-503", "accept-then-drop", "late:100", "429"])
async def test_a_draft_that_was_lost_and_found_goes_out_once_too(tmp_path: Path, fault: str) -> None:
    """One fault when it is made, another when it is sent, a third when it is looked for."""
    faults = {"create": "accept-then-drop", "send": fault, "search": "429:5"}
    ended = await row(tmp_path, faults, mode="draft")
    assert dict.fromkeys(ended, (Status.SENT, 1)) == ended


@pytest.mark.parametrize("fault", LOST)
async def test_a_direct_submission_whose_answer_is_lost_ends_unknown_and_is_never_repeated(
    tmp_path: Path, fault: str
) -> None:
    """It went out, or it did not; a person decides."""
    ended = await row(tmp_path, {"send-mail": fault}, mode="direct")
    went = 1 if fault.startswith(("accept", "late")) else 0
    assert dict.fromkeys(ended, (Status.UNKNOWN, went)) == ended


@pytest.mark.parametrize("fault", [*REFUSED, *TAKEN])
async def test_a_direct_submission_that_was_refused_for_now_goes_out_once(tmp_path: Path, fault: str) -> None:
    """Also when the yes comes with a wish to wait, which other clients take for a no."""
    ended = await row(tmp_path, {"send-mail": fault}, mode="direct")
    assert dict.fromkeys(ended, (Status.SENT, 1)) == ended


@pytest.mark.parametrize("fault", LOST)
async def test_who_prefers_twice_to_never_gets_that(tmp_path: Path, fault: str) -> None:
    """`on_unknown: resend`: once where the first did not count, else twice."""
    ended = await row(tmp_path, {"send-mail": fault}, mode="direct", on_unknown="resend")
    went = 2 if fault.startswith(("accept", "late")) else 1
    assert dict.fromkeys(ended, (Status.SENT, went)) == ended


@pytest.mark.parametrize("fault", ["503", "accept-then-503"])
async def test_resending_ends_too(tmp_path: Path, fault: str) -> None:
    """A provider that never gives a clear answer: eleven tries, then a person decides."""
    async with graph_way(mode="direct", on_unknown="resend") as way, line(tmp_path, way.clock) as workers:
        way.fake.faults["send-mail"].extend([fault] * 50)
        message = make_message(created=way.clock(), transport="graph")
        await workers.accept(message)
        status = await workers.end(message, workers.worker(way.graph), rings=1000)
    assert (status, len(way.fake.calls("send-mail"))) == (Status.UNKNOWN, 11)


@pytest.mark.parametrize("fault", ["400", "403", "404", "413"])
@pytest.mark.parametrize(("mode", "operation"), [("draft", "create"), ("draft", "send"), ("direct", "send-mail")])
async def test_what_graph_refuses_for_good_fails_visibly(tmp_path: Path, mode: str, operation: str, fault: str) -> None:
    """And leaves no draft behind; only a draft that seems to be gone is looked for first."""
    ended = await row(tmp_path, {operation: fault}, mode=mode)
    expected = (Status.SENT, 1) if (operation, fault) == ("send", "404") else (Status.FAILED, 0)
    assert dict.fromkeys(ended, expected) == ended


@pytest.mark.parametrize("fault", ["drop-before-accept", "accept-then-drop", "429:30"])
@pytest.mark.parametrize("operation", ["attach", "session", "put", "attachments", "progress"])
async def test_attachments_survive_every_fault_too(tmp_path: Path, operation: str, fault: str) -> None:
    """A small one, a large one in pieces, and one that had no room in the draft: each is there once, whole."""
    files = [bytes([number]) * size for number, size in enumerate((10, 4_500_000, 2_000_000, 1_500_000))]
    async with graph_way(mode="draft") as way, line(tmp_path, way.clock) as workers:
        way.fake.faults[operation].append(fault)
        # A first upload that breaks brings the question how far it came, and the list of what is there.
        way.fake.faults["put"].append("accept-then-503")
        attachments = tuple(make_attachment(name=f"{n}.bin", content=one) for n, one in enumerate(files))
        message = make_message(created=way.clock(), transport="graph", attachments=attachments)
        await workers.accept(message)
        status = await workers.end(message, workers.worker(way.graph))
        (sent,) = way.fake.sent
    arrived = {one.name: one.content for one in sent.mail.files}
    assert (status, arrived) == (Status.SENT, {f"{n}.bin": one for n, one in enumerate(files)})


async def test_a_copy_that_can_be_told_by_nothing_ends_unknown(tmp_path: Path) -> None:
    """Exchange might keep neither tag nor Message-ID on the sent copy: the window that is said of in the documents."""
    async with graph_way(mode="draft") as way, line(tmp_path, way.clock) as workers:
        blind = Behaviour(keeps_tag=False, keeps_message_id=False)
        ended = await cell(way, workers, {"send": "accept-then-503"}, blind)
    assert ended == (Status.UNKNOWN, 1)


@pytest.mark.parametrize("kept", ["keeps_tag", "keeps_message_id"])
async def test_one_mark_on_the_sent_copy_is_enough(tmp_path: Path, kept: str) -> None:
    """The tag or the Message-ID, whichever Exchange keeps."""
    behaviour = Behaviour(keeps_tag=kept == "keeps_tag", keeps_message_id=kept == "keeps_message_id")
    async with graph_way(mode="draft") as way, line(tmp_path, way.clock) as workers:
        ended = await cell(way, workers, {"send": "accept-then-503"}, behaviour)
    assert ended == (Status.SENT, 1)


async def test_strict_drafts_are_told_to_go_once(tmp_path: Path) -> None:
    """`on_unknown: park` in draft mode: a draft that is still there after a doubt waits for a person."""
    async with graph_way(mode="draft", on_unknown="park") as way, line(tmp_path, way.clock) as workers:
        ended = await cell(way, workers, {"send": "503"}, Behaviour())
    assert (ended, len(way.fake.calls("send"))) == ((Status.UNKNOWN, 0), 1)
