"""What the live checks say of Azure Communication Services, for each thing it might do."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from gateway.live import acs as checks
from tests.live.trials import ACS, Clock, arrived, findings, nobody, prepare, verdicts
from tests.servers.acs import FakeAcs, Quota, Repeated
from tests.servers.serve import serve

MAILS = ("acs.repeat", "acs.other-body", "acs.parallel")


@pytest.mark.parametrize("repeated", get_args(Repeated))
async def test_only_a_service_that_sends_again_fails(tmp_path: Path, repeated: Repeated) -> None:
    """Whatever it answers to a repeated id: the mails that came decide."""
    fake = FakeAcs()
    fake.repeated = repeated
    async with serve(fake, lifespan="off") as url:
        found = await verdicts(prepare(tmp_path, url, ACS, only=MAILS, count=arrived(fake)))

    assert dict.fromkeys(MAILS, "fail" if repeated == "send-again" else "pass") == found


@pytest.mark.parametrize(
    ("repeated", "seen"),
    [
        ("replay202", "first 202, after 1 s 202, after Succeeded 202; one mail came"),
        ("409", "after 1 s 409 OperationIdConflict, after Succeeded 409 OperationIdConflict; one mail came"),
        ("send-again", "first 202, after 1 s 202, after Succeeded 202; 3 mails came"),
    ],
)
async def test_every_answer_is_shown(tmp_path: Path, repeated: Repeated, seen: str) -> None:
    """With the service's own word."""
    fake = FakeAcs()
    fake.repeated = repeated
    async with serve(fake, lifespan="off") as url:
        found = await findings(prepare(tmp_path, url, ACS, only=("acs.repeat",), count=arrived(fake)))

    assert found["acs.repeat"].what.endswith(seen)


async def test_without_a_count_a_202_proves_nothing(tmp_path: Path) -> None:
    """The remedy has the subject to look for; a refused body needs no count."""
    fake = FakeAcs()
    async with serve(fake, lifespan="off") as url:
        found = await findings(prepare(tmp_path, url, ACS, only=MAILS, count=nobody))

    subject = fake.sent[0].payload["content"]["subject"]
    assert ["unknown", "pass", "unknown"] == [finding.verdict for finding in found.values()]
    assert f"count the mails with the subject `{subject}`: one is right" == found["acs.repeat"].remedy


async def test_twenty_go_at_once_under_one_id(tmp_path: Path) -> None:
    """And the answers are summed up."""
    fake = FakeAcs()
    fake.repeated = "409"
    async with serve(fake, lifespan="off") as url:
        found = await findings(prepare(tmp_path, url, ACS, only=("acs.parallel",), count=arrived(fake)))

    assert "20 at once: 1 of 202, 19 of 409 OperationIdConflict; one mail came" == found["acs.parallel"].what
    assert (20, 1) == (len(fake.posts), len({post.headers["operation-id"] for post in fake.posts}))


async def test_only_with_long_the_later_answers_are_waited_for(tmp_path: Path) -> None:
    """Ten minutes and 25 hours; the status is asked for afterwards."""
    fake, short, long = FakeAcs(), Clock(), Clock()
    only = ("acs.repeat", "acs.status")
    async with serve(fake, lifespan="off") as url:
        first = await findings(prepare(tmp_path, url, ACS, only=only, pause=short.pause, count=arrived(fake)))
        second = await findings(
            prepare(tmp_path, url, ACS, only=only, pause=long.pause, count=arrived(fake), long=True)
        )

    assert (False, True) == (max(short.pauses) >= 600, {600.0, 90000.0} <= set(long.pauses))
    assert ["unknown", "pass"] == [found["acs.status-lives"].verdict for found in (first, second)]
    assert second["acs.repeat"].what.endswith("after 10 min 202, after 25 h 202; one mail came")


@pytest.mark.parametrize(
    ("faults", "expected"),
    [([], ("pass", "unknown")), (["200", "500"], ("fail", "fail")), (["ok", "404"], ("pass", "fail"))],
)
async def test_an_unknown_id_must_be_unknown_and_a_known_one_known(
    tmp_path: Path, faults: list[str], expected: tuple[str, str]
) -> None:
    """The gateway takes a 404 for "never accepted", so anything else is a finding."""
    fake = FakeAcs()
    async with serve(fake, lifespan="off") as url:
        plan = prepare(tmp_path, url, ACS, only=("acs.other-body", "acs.status"), count=arrived(fake))
        fake.get_faults.extend(faults)
        found = await findings(plan)

    assert expected == (found["acs.unknown-id"].verdict, found["acs.status-lives"].verdict)


async def test_a_duplicate_message_id_is_refused_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the header of the second net; without it the fake takes both, as the service would."""
    fake = FakeAcs()
    only = ("acs.message-id",)
    async with serve(fake, lifespan="off") as url:
        good = await verdicts(prepare(tmp_path, url, ACS, only=only, count=arrived(fake)))
        monkeypatch.setattr(checks, "VALIDATE", "x-nobody-knows")
        blind = await findings(prepare(tmp_path, url, ACS, only=only, count=arrived(fake)))
        fake.faults.append("400")
        not_taken = await verdicts(prepare(tmp_path, url, ACS, only=only, count=arrived(fake)))

    assert ("pass", "fail") == (good["acs.message-id"], not_taken["acs.message-id"])
    assert ("fail", True) == (blind["acs.message-id"].verdict, blind["acs.message-id"].what.endswith("2 mails came"))


async def test_an_operation_that_failed_is_repeated_only_if_one_was_made_to_fail(tmp_path: Path) -> None:
    """An address that takes no mail is the owner's to name."""
    fake = FakeAcs()
    only = ("acs.after-failed",)
    async with serve(fake, lifespan="off") as url:
        unnamed = await verdicts(prepare(tmp_path, url, ACS, only=only))
        assert [] == fake.posts
        delivered = await findings(prepare(tmp_path, url, ACS, only=only, failing="x@example.invalid"))
        fake.faults.append("failed")
        dropped = await findings(prepare(tmp_path, url, ACS, only=only, failing="x@example.invalid"))

    assert {"acs.after-failed": "could not tell"} == unnamed
    assert "the operation ended Succeeded" == delivered["acs.after-failed"].what
    assert dropped["acs.after-failed"].what.startswith("repeated after Failed: 202")


@pytest.mark.parametrize(
    ("limit", "expected", "seen"),
    [(60, "pass", "question 61: 429 TooManyRequests, Retry-After "), (1000, "unknown", "100 questions and no 429")],
)
async def test_a_429_shows_its_form(tmp_path: Path, limit: int, expected: str, seen: str) -> None:
    """By questions alone: no mail is sent for it."""
    fake = FakeAcs()
    fake.get_quotas = [Quota(limit, 60)]
    async with serve(fake, lifespan="off") as url:
        found = (await findings(prepare(tmp_path, url, ACS, only=("acs.throttling",))))["acs.throttling"]

    assert (expected, True, []) == (found.verdict, found.what.startswith(seen), fake.posts)


async def test_a_429_without_a_time_fails(tmp_path: Path) -> None:
    """The gateway then has to guess."""
    fake = FakeAcs()
    fake.get_faults.append("429")
    async with serve(fake, lifespan="off") as url:
        found = (await findings(prepare(tmp_path, url, ACS, only=("acs.throttling",))))["acs.throttling"]

    assert ("fail", "question 1: 429 Example, Retry-After missing") == (found.verdict, found.what)


async def test_a_service_that_takes_nothing_proves_nothing(tmp_path: Path) -> None:
    """Refused at the first submission, or no answer at all."""
    fake = FakeAcs(key="b3RoZXI=")
    async with serve(fake, lifespan="off") as url:
        refused = await findings(prepare(tmp_path, url, ACS, only=MAILS, count=arrived(fake)))
        fake.faults.append("drop")
    silent = await findings(prepare(tmp_path, url, ACS, only=MAILS, count=arrived(fake)))

    assert {"unknown"} == {finding.verdict for finding in (*refused.values(), *silent.values())}
    assert "not even the first was accepted: 401 Denied" == refused["acs.repeat"].what
    assert "no answer (ClientConnectorError)" == silent["acs.repeat"].what
