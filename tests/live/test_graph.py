"""What the live checks say of Microsoft Graph, for each thing it might do."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from tests.live.trials import GRAPH, TO, Clock, arrived, findings, prepare, verdicts
from tests.servers.graph import FakeGraph
from tests.servers.graph_mailbox import Second
from tests.servers.serve import serve

TWICE = ("graph.draft", "graph.parallel")


@pytest.mark.parametrize("second", get_args(Second))
@pytest.mark.parametrize("delay", [0.0, 20.0])
async def test_only_a_graph_that_sends_a_draft_again_fails(tmp_path: Path, second: Second, delay: float) -> None:
    """One after the other and at the same moment, while the draft is there and when it has gone."""
    clock = Clock()
    fake = FakeGraph(clock=clock)
    fake.ways.second = second
    fake.ways.send_delay = delay
    async with serve(fake, lifespan="off") as url:
        plan = prepare(tmp_path, url, GRAPH, only=TWICE, count=arrived(fake), pause=clock.pause)
        found = await verdicts(plan)

    expected = "fail" if second == "202-sends-again" and delay else "pass"
    assert (expected, expected) == (found["graph.send-twice"], found["graph.send-parallel"])


async def test_the_answers_and_the_copies_are_shown(tmp_path: Path) -> None:
    """As they came."""
    clock = Clock()
    fake = FakeGraph(clock=clock)
    fake.ways.send_delay = 20.0
    fake.ways.second = "202-sends-again"
    async with serve(fake, lifespan="off") as url:
        plan = prepare(tmp_path, url, GRAPH, only=("graph.draft",), count=arrived(fake), pause=clock.pause)
        found = await findings(plan)

    assert (
        "first 202, at once 202, later 404 ErrorItemNotFound; 1 sent copies; 2 mails came"
        == found["graph.send-twice"].what
    )
    assert {TO} == {to for one in fake.sent for to, _ in one.mail.to}


@pytest.mark.parametrize(("changes", "expected"), [(False, "pass"), (True, "fail")])
async def test_the_immutable_id_survives_or_does_not(tmp_path: Path, changes: bool, expected: str) -> None:
    """Two of Microsoft's pages contradict each other."""
    fake = FakeGraph()
    fake.ways.id_changes = changes
    async with serve(fake, lifespan="off") as url:
        found = await verdicts(prepare(tmp_path, url, GRAPH, only=("graph.draft",), count=arrived(fake)))

    assert expected == found["graph.immutable-id"]


@pytest.mark.parametrize(
    ("keeps_tag", "keeps_message_id", "expected", "seen"),
    [
        (True, True, "pass", "the sent copy is found by the tag and has our Message-ID"),
        (True, False, "fail", "the sent copy is found by the tag, but has another Message-ID"),
        (False, True, "fail", "no sent copy is found by the tag"),
    ],
)
async def test_the_sent_copy_keeps_its_marks_or_does_not(
    tmp_path: Path, keeps_tag: bool, keeps_message_id: bool, expected: str, seen: str
) -> None:
    """The tag is what the gateway looks for first."""
    fake = FakeGraph()
    fake.ways.keeps_tag = keeps_tag
    fake.ways.keeps_message_id = keeps_message_id
    async with serve(fake, lifespan="off") as url:
        found = await findings(prepare(tmp_path, url, GRAPH, only=("graph.draft",), count=arrived(fake)))

    assert (expected, seen) == (found["graph.sent-copy"].verdict, found["graph.sent-copy"].what)


async def test_a_mail_that_is_not_kept_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless Graph keeps it all the same."""
    fake = FakeGraph()
    only = ("graph.not-saved",)
    async with serve(fake, lifespan="off") as url:
        good = await verdicts(prepare(tmp_path, url, GRAPH, only=only))
        direct = fake.boxes.direct
        monkeypatch.setattr(fake.boxes, "direct", lambda mailbox, mail, **_: direct(mailbox, mail, saved=True))
        kept = await verdicts(prepare(tmp_path, url, GRAPH, only=only))

    assert ("pass", "fail") == (good["graph.not-saved"], kept["graph.not-saved"])


async def test_a_graph_that_grants_nothing_proves_nothing(tmp_path: Path) -> None:
    """The first call of each check is refused."""
    fake = FakeGraph()
    fake.permissions = frozenset()
    async with serve(fake, lifespan="off") as url:
        found = await findings(prepare(tmp_path, url, GRAPH))

    assert {"unknown"} == {finding.verdict for finding in found.values()}
    assert {"not even the first was accepted: 403 ErrorAccessDenied"} == {finding.what for finding in found.values()}
