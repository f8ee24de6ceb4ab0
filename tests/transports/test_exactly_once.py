"""The claim, the transport and the decision together: whatever ACS does, a mail goes out once and is known as sent.

Every fault of the menu times every answer a repeated Operation-Id may get, in virtual time; the fake's log is true.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import get_args

import pytest

from gateway.message import Fence, Message, NotFound, Receipt, Status
from gateway.transports.acs import Acs
from tests.factories import make_message
from tests.servers.acs import KEY, FakeAcs, Repeated
from tests.transports.conftest import FAULTS, AcsWay
from tests.transports.line import line
from tests.transports.ways import Clock

FOR_GOOD = {"400", "403", "404", "405", "410", "413", "415", "422", "425", "431", "451", "failed"}
"""Answers to a first try that nothing can mend: the mail fails, visibly, and did not go out."""


class Landed(Acs):
    """ACS's client in virtual time: what is late lands before anybody asks, since a claim lasts longer than that."""

    fake: FakeAcs

    async def reconcile(self, message: Message, fence: Fence) -> Receipt | NotFound:
        """Ask, after everything has landed."""
        await asyncio.gather(*self.fake.late)
        return await super().reconcile(message, fence)


async def delivered(way: AcsWay, folder: Path, message: Message) -> Status:
    """Let doorbells ring until the message is final."""
    acs = Landed(way.url, key=KEY)
    acs.fake, acs.deadline = way.fake, way.acs.deadline
    async with line(folder, Clock()) as workers:
        await workers.accept(message)
        status = await workers.end(message, workers.worker(acs))
    await acs.close()
    return status


@pytest.mark.parametrize("repeated", get_args(Repeated))
@pytest.mark.parametrize("fault", [*FAULTS["acs"], "late:0.01"])
async def test_one_fault_makes_neither_a_loss_nor_a_duplicate(
    acs: AcsWay, tmp_path: Path, fault: str, repeated: Repeated
) -> None:
    """Sent once, or failed for good and not sent; also by an ACS that would execute one id twice, as one worker asks
    before it submits again.
    """
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
