"""The claim, the transport and the decision together: whatever ACS does, a mail goes out once and is known as sent.

Every fault of the menu times every answer a repeated Operation-Id may get, in virtual time; the fake's log is true.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest

from gateway.delivery import Delivery
from gateway.message import OPEN, Message, Status
from gateway.stores.sqlite import SqliteStore
from tests.factories import NOW, make_entry, make_message
from tests.servers.acs import Repeated
from tests.transports.conftest import FAULTS, AcsWay
from tests.transports.ways import Clock

FOR_GOOD = {"400", "403", "404", "405", "410", "413", "415", "422", "425", "431", "451", "failed"}
"""Answers to a first try that nothing can mend: the mail fails, visibly, and did not go out."""

SWITCHES = [switch for switch in get_args(Repeated) if switch != "send-again"]
"""All but the one that no client can do anything about (the provider executes one id twice)."""


async def delivered(way: AcsWay, folder: Path, message: Message) -> Status:
    """Let doorbells ring every two minutes until the message is final."""
    clock = Clock()
    store = await SqliteStore.open(folder / "gateway.db", clock=clock)
    await store.add(make_entry(message), [message], NOW)
    delivery = Delivery(store, lambda _transport, _sender: way.acs, clock=clock, chance=lambda: 0.5)
    status: Status | None = Status.QUEUED
    for _ in range(40):
        status = await delivery.deliver(message.id) or status
        if status not in OPEN:
            break
        clock.at += timedelta(minutes=2)
    await store.close()
    assert status
    return status


@pytest.mark.parametrize("repeated", SWITCHES)
@pytest.mark.parametrize("fault", FAULTS["acs"])
async def test_one_fault_makes_neither_a_loss_nor_a_duplicate(
    acs: AcsWay, tmp_path: Path, fault: str, repeated: Repeated
) -> None:
    """Sent once, or failed for good and not sent."""
    acs.fake.repeated = repeated
    acs.fake.faults.append(fault)
    acs.acs.deadline = 0.15 if "hang" in fault else 30.0
    status = await delivered(acs, tmp_path, make_message(transport="acs"))
    expected = (Status.FAILED, 0) if fault in FOR_GOOD else (Status.SENT, 1)
    assert (status, len(acs.fake.sent)) == expected


@pytest.mark.parametrize("asking", ["drop", "429:30", "503", "401", "accept-then-cut"])
@pytest.mark.parametrize("fault", ["accept-then-drop", "accept-then-503", "drop-before-accept", "503"])
async def test_a_question_that_fails_too_changes_nothing_but_time(
    acs: AcsWay, tmp_path: Path, fault: str, asking: str
) -> None:
    """Three questions in a row go wrong; nobody submits meanwhile."""
    acs.fake.faults.append(fault)
    acs.fake.get_faults.extend([asking] * 3)
    status = await delivered(acs, tmp_path, make_message(transport="acs"))
    posts = 1 if fault.startswith("accept") else 2
    assert (status, len(acs.fake.sent), len(acs.fake.posts)) == (Status.SENT, 1, posts)


async def test_faults_in_a_row_still_end_in_one_mail(acs: AcsWay, tmp_path: Path) -> None:
    """Each kind of failure after the other, until one gets through."""
    acs.fake.faults.extend(["429:5", "503", "drop-before-accept", "401", "garbage", "500", "accept-then-504"])
    status = await delivered(acs, tmp_path, make_message(transport="acs"))
    assert (status, len(acs.fake.sent)) == (Status.SENT, 1)
