"""ACS's answers: what each means on the first and on a later try, what it asks for and what of it is kept."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.errors import Outcome, Reason, TransportError
from gateway.message import NotFound, Receipt, Status
from gateway.transports.answers import code, retry_after
from tests.factories import NOW, make_message
from tests.servers.acs import Repeated
from tests.transports.conftest import AcsWay, failure
from tests.transports.ways import MemoryFence

NO, MAYBE = Outcome.NO, Outcome.MAYBE


# ------------------------------------------------------------------------------------------------ what an answer means

FIRST: dict[str, tuple[Outcome, Reason, bool]] = {
    "200": (MAYBE, Reason.PROVIDER_ERROR, False),
    "204": (MAYBE, Reason.PROVIDER_ERROR, False),
    "307": (MAYBE, Reason.PROVIDER_ERROR, False),
    "400": (NO, Reason.REFUSED, True),
    "401": (NO, Reason.UNAUTHORIZED, False),
    "403": (NO, Reason.REFUSED, True),
    "404": (NO, Reason.REFUSED, True),
    "408": (MAYBE, Reason.PROVIDER_ERROR, False),
    "409": (MAYBE, Reason.PROVIDER_ERROR, False),
    "412": (MAYBE, Reason.PROVIDER_ERROR, False),
    "413": (NO, Reason.REFUSED, True),
    "422": (NO, Reason.REFUSED, True),
    "429": (NO, Reason.THROTTLED, False),
    "500": (MAYBE, Reason.PROVIDER_ERROR, False),
    "501": (MAYBE, Reason.PROVIDER_ERROR, False),
    "502": (MAYBE, Reason.PROVIDER_ERROR, False),
    "503": (MAYBE, Reason.PROVIDER_ERROR, False),
    "504": (MAYBE, Reason.PROVIDER_ERROR, False),
    "accept-then-nonsense": (MAYBE, Reason.PROVIDER_ERROR, False),
    "failed": (NO, Reason.DROPPED, True),
}


@pytest.mark.parametrize("fault", FIRST)
async def test_a_complete_answer_to_a_first_try_means(acs: AcsWay, fault: str) -> None:
    """One POST, and the meaning of its status; nothing of the request is on its way any more."""
    acs.fake.faults.append(fault)
    error = await failure(acs.acs)
    assert (error.outcome, error.reason, error.permanent) == FIRST[fault]
    assert (error.answered, len(acs.fake.posts)) == (True, 1)


LOST = "drop-before-accept accept-then-drop garbage accept-then-garbage accept-then-cut late:0.01 hang".split()


@pytest.mark.parametrize("fault", LOST)
async def test_a_lost_connection_means_maybe(acs: AcsWay, fault: str) -> None:
    """Whether it was taken cannot be seen from here, and it may still land."""
    async with acs.broken(fault):
        error = await failure(acs.acs)
    assert (error.outcome, error.reason, error.answered) == (MAYBE, Reason.CONNECTION_LOST, False)
    assert len(acs.fake.posts) == 1


@pytest.mark.parametrize("status", [400, 403, 404, 405, 409, 410, 412, 413, 415, 422])
async def test_a_refusal_on_a_later_try_counts_only_when_acs_does_not_know_the_operation(
    acs: AcsWay, status: int
) -> None:
    """Known: accepted by an earlier try. Unknown: a refusal for good, or a conflict that is not over."""
    known, unknown = make_message(), make_message()
    await acs.acs.send(known, 1, MemoryFence())
    acs.fake.faults.extend([str(status), str(status)])
    receipt = await acs.acs.send(known, 2, MemoryFence())
    error = await failure(acs.acs, unknown, 2)
    assert receipt == Receipt(status=Status.SENT, provider_id=known.operation_id)
    conflict = status in (409, 412)
    assert (error.outcome, error.permanent) == ((MAYBE, False) if conflict else (NO, True))
    assert (error.answered, len(acs.fake.sent), len(acs.fake.gets)) == (True, 1, 2)


@pytest.mark.parametrize(("status", "reason"), [(401, Reason.UNAUTHORIZED), (429, Reason.THROTTLED)])
async def test_on_a_later_try_a_limit_or_a_login_is_still_a_plain_no(acs: AcsWay, status: int, reason: Reason) -> None:
    """Neither looked at the message, so there is nothing to ask."""
    acs.fake.faults.append(str(status))
    error = await failure(acs.acs, attempt=3)
    assert (error.outcome, error.reason, error.permanent, len(acs.fake.gets)) == (NO, reason, False, 0)


async def test_a_refusal_whose_question_fails_stays_maybe(acs: AcsWay) -> None:
    """400 to a repeated id and 429 to the question: ask again when the quota allows it."""
    acs.fake.faults.append("400")
    acs.fake.get_faults.append("429:12")
    error = await failure(acs.acs, attempt=2)
    assert (error.outcome, error.reason, error.retry_after, error.answered) == (MAYBE, Reason.THROTTLED, 12.0, True)


@pytest.mark.parametrize("repeated", ["replay202", "400", "409", "501"])
async def test_whatever_acs_answers_to_a_repeated_id_the_mail_goes_out_once(acs: AcsWay, repeated: Repeated) -> None:
    """Accepted, the answer lost, and submitted again all the same."""
    acs.fake.repeated = repeated
    acs.fake.faults.append("accept-then-503")
    message = make_message()
    await failure(acs.acs, message)
    if repeated == "501":
        assert (await failure(acs.acs, message, 2)).outcome is MAYBE
        found = await acs.acs.reconcile(message, MemoryFence())
    else:
        found = await acs.acs.send(message, 2, MemoryFence())
    assert (found, len(acs.fake.sent)) == (Receipt(status=Status.SENT, provider_id=message.operation_id), 1)


async def test_an_operation_that_failed_later_is_dropped(acs: AcsWay) -> None:
    """In the question, and in the question that follows a refusal."""
    message = make_message()
    acs.fake.faults.extend(["failed", "400"])
    await failure(acs.acs, message)
    with pytest.raises(TransportError) as asked:
        await acs.acs.reconcile(message, MemoryFence())
    again = await failure(acs.acs, message, 2)
    for error in (asked.value, again):
        assert (error.outcome, error.reason, error.permanent, error.code) == (NO, Reason.DROPPED, True, "EmailDropped")


@pytest.mark.parametrize("status", ["NotStarted", "Running", "Succeeded", "SomethingNew"])
async def test_every_other_status_is_a_yes(acs: AcsWay, status: str) -> None:
    """The enumeration may grow; only Failed and Canceled say that nothing goes out."""
    acs.fake.statuses = (status,)
    message = make_message()
    receipt = await acs.acs.send(message, 1, MemoryFence())
    assert receipt == await acs.acs.reconcile(message, MemoryFence())


async def test_a_late_request_is_not_known_at_first(acs: AcsWay) -> None:
    """The reason why a lost connection is not asked about before its claim has ended."""
    message = make_message()
    acs.fake.faults.append("late:0.05")
    await failure(acs.acs, message)
    early = await acs.acs.reconcile(message, MemoryFence())
    await acs.fake.until(lambda fake: len(fake.sent) == 1)
    assert (early, isinstance(await acs.acs.reconcile(message, MemoryFence()), Receipt)) == (NotFound(), True)


# ------------------------------------------------------------------------------------------------- waiting and wording


async def test_the_wish_to_wait_is_passed_on(acs: AcsWay) -> None:
    """In seconds and as a date, from a refusal, from a fault, and from a question."""
    acs.acs._clock = lambda: datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
    acs.fake.faults.extend(["429:30", "429:Mon, 02 Mar 2026 09:31:30 GMT", "accept-then-503:7"])
    message = make_message()
    waits = [(await failure(acs.acs, message)).retry_after for _ in range(3)]
    acs.fake.get_faults.append("429:60")
    with pytest.raises(TransportError) as caught:
        await acs.acs.reconcile(message, MemoryFence())
    assert [*waits, caught.value.retry_after] == [30.0, 90.0, 7.0, 60.0]


WAITS = {
    "30": 30.0,
    " 1.5 ": 1.5,
    "0": 0.0,
    "-1": None,
    "nan": None,
    "inf": None,
    "soon": None,
    "": None,
    "Mon, 02 Mar 2026 09:31:00 GMT": 60.0,
    "Mon, 02 Mar 2026 09:29:00 GMT": None,
    "Mon, 02 Mar 2026 09:31:00 -0000": None,
    "Mon, 99 Mar 2026 09:31:00 GMT": None,
    "Mon, 02 Mar 2026 09:31:00 -99999999999999999999": None,
    "2 Mar 2026 9:31:99999999999999999999 GMT": None,
}


@pytest.mark.parametrize("text", WAITS)
def test_retry_after_is_read_in_both_forms_and_any_case(text: str) -> None:
    """RFC 9110: seconds or a date; nonsense is no wish."""
    for name in ("Retry-After", "retry-after", "RETRY-AFTER"):
        assert retry_after({"Date": "x", name: text}, NOW) == WAITS[text]


CODES: list[tuple[Any, str]] = [
    ({"error": {"code": "TooManyRequests", "message": "ops@example.com"}}, "TooManyRequests"),
    ({"error": {"code": "bad address ops@example.com"}}, ""),
    ({"error": {"code": 7}}, ""),
    ({"error": "x"}, ""),
    (["x"], ""),
    (None, ""),
]


@pytest.mark.parametrize(("body", "expected"), CODES)
def test_only_a_plain_word_of_the_provider_is_kept(body: Any, expected: str) -> None:
    """Its sentences may quote addresses."""
    assert code(body) == expected


async def test_the_providers_code_is_in_the_error(acs: AcsWay) -> None:
    """So that an operator can look it up."""
    acs.fake.faults.append("403")
    error = await failure(acs.acs)
    assert str(error) == "refused (Example): the provider refused the message (403)"
