"""The retry decision: every kind of answer by table, and what must hold for any of them by property."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Outcome, Reason, TransportError
from gateway.message import NotFound
from gateway.retry import (
    ENOUGH_TRIES,
    LONGEST_WAIT,
    STEPS,
    Again,
    Attempt,
    Decision,
    GiveUp,
    Park,
    Reconcile,
    backoff,
    decide,
    lasts,
)

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
ENDS = NOW + timedelta(seconds=40)
NO, MAYBE = Outcome.NO, Outcome.MAYBE


def seconds(amount: float) -> timedelta:
    return timedelta(seconds=amount)


def attempt(number: int = 1, age: timedelta = timedelta(0), **facts: Any) -> Attempt:
    values: dict[str, Any] = {"now": NOW, "ends": ENDS, "since": NOW - age}
    return Attempt(number, **(values | facts))


SENDING: dict[str, tuple[TransportError, Attempt, Decision]] = {
    "400 refused for good": (
        TransportError(NO, Reason.REFUSED, permanent=True, code="BadRequest"),
        attempt(),
        GiveUp(Reason.REFUSED),
    ),
    "401 the first time": (TransportError(NO, Reason.UNAUTHORIZED), attempt(), Again(NOW + seconds(2))),
    "401 the fifth time": (
        TransportError(NO, Reason.UNAUTHORIZED),
        attempt(5, last_reason="unauthorized"),
        Again(NOW + seconds(300)),
    ),
    "401 the sixth time": (
        TransportError(NO, Reason.UNAUTHORIZED),
        attempt(6, last_reason="unauthorized"),
        GiveUp(Reason.UNAUTHORIZED),
    ),
    "401 once after many 429": (
        TransportError(NO, Reason.UNAUTHORIZED),
        attempt(30, last_reason="throttled"),
        Again(NOW + seconds(1440)),
    ),
    "408 after a complete answer": (
        TransportError(MAYBE, Reason.PROVIDER_ERROR, answered=True),
        attempt(),
        Reconcile(NOW + seconds(2)),
    ),
    "429 without a wish": (TransportError(NO, Reason.THROTTLED), attempt(), Again(NOW + seconds(2))),
    "429 with a wish": (
        TransportError(NO, Reason.THROTTLED, retry_after=37),
        attempt(),
        Again(NOW + seconds(37)),
    ),
    "429 with a wish shorter than ours": (
        TransportError(NO, Reason.THROTTLED, retry_after=1),
        attempt(4),
        Again(NOW + seconds(60)),
    ),
    "429 with a senseless wish": (
        TransportError(NO, Reason.THROTTLED, retry_after=-5),
        attempt(),
        Again(NOW + seconds(2)),
    ),
    "429 with a wish for next year": (
        TransportError(NO, Reason.THROTTLED, retry_after=3e7),
        attempt(),
        Again(NOW + seconds(3600)),
    ),
    "429 behind a queue of four days": (
        TransportError(NO, Reason.THROTTLED),
        attempt(200, timedelta(days=4)),
        Again(NOW + seconds(1440)),
    ),
    "429 for a week": (
        TransportError(NO, Reason.THROTTLED),
        attempt(200, timedelta(days=7)),
        GiveUp(Reason.THROTTLED),
    ),
    "503 after a complete answer": (
        TransportError(MAYBE, Reason.PROVIDER_ERROR, answered=True),
        attempt(9),
        Reconcile(NOW + seconds(2)),
    ),
    "503 with a wish": (
        TransportError(MAYBE, Reason.PROVIDER_ERROR, answered=True, retry_after=20),
        attempt(),
        Reconcile(NOW + seconds(20)),
    ),
    "the connection ended": (
        TransportError(MAYBE, Reason.CONNECTION_LOST),
        attempt(),
        Reconcile(ENDS + seconds(2)),
    ),
    "the connection ended after the claim did": (
        TransportError(MAYBE, Reason.CONNECTION_LOST),
        attempt(ends=NOW - seconds(5)),
        Reconcile(NOW + seconds(2)),
    ),
    "the worker crashed": (
        TransportError(MAYBE, Reason.CRASHED),
        attempt(ends=NOW - seconds(1)),
        Reconcile(NOW + seconds(2)),
    ),
    "an error of ours": (TransportError(MAYBE, Reason.BUG), attempt(), Reconcile(ENDS + seconds(2))),
    "a transport that submits at most once": (
        TransportError(MAYBE, Reason.UNKNOWN_OUTCOME, permanent=True),
        attempt(),
        Park(),
    ),
    "nobody listens": (TransportError(NO, Reason.UNREACHABLE), attempt(3), Again(NOW + seconds(15))),
    "nobody has listened for a day": (
        TransportError(NO, Reason.UNREACHABLE),
        attempt(58, timedelta(hours=24)),
        GiveUp(Reason.UNREACHABLE),
    ),
    "nobody listens to a message written three days ahead": (
        TransportError(NO, Reason.UNREACHABLE),
        attempt(ENOUGH_TRIES - 1, timedelta(days=3)),
        Again(NOW + seconds(1440)),
    ),
    "no token": (TransportError(NO, Reason.NO_CREDENTIAL), attempt(2), Again(NOW + seconds(5))),
    "accepted, then dropped": (
        TransportError(NO, Reason.DROPPED, permanent=True),
        attempt(),
        GiveUp(Reason.DROPPED),
    ),
}

ASKING: dict[str, tuple[TransportError | NotFound, Attempt, Decision]] = {
    "404: submit again": (NotFound(), attempt(2), Again(NOW + seconds(2))),
    "404 after the third submission": (NotFound(), attempt(6), Again(NOW + seconds(15))),
    "404 just before a day": (NotFound(), attempt(2, timedelta(hours=23, minutes=59)), Again(NOW + seconds(2))),
    "404 after a day": (NotFound(), attempt(2, timedelta(hours=24)), Park()),
    "404 for a fresh submission of an old message": (
        NotFound(),
        attempt(2, timedelta(days=4), submitted=NOW - timedelta(minutes=1)),
        Again(NOW + seconds(2)),
    ),
    "404 after a day of submissions": (
        NotFound(),
        attempt(60, timedelta(hours=24), submitted=NOW - timedelta(minutes=1)),
        GiveUp(Reason.NOT_FOUND),
    ),
    "404 for an old submission": (
        NotFound(),
        attempt(2, timedelta(days=4), submitted=NOW - timedelta(days=1)),
        Park(),
    ),
    "429 to the question": (
        TransportError(MAYBE, Reason.THROTTLED, retry_after=60),
        attempt(2),
        Reconcile(NOW + seconds(60)),
    ),
    "401 to the question": (TransportError(MAYBE, Reason.UNAUTHORIZED), attempt(30), Reconcile(NOW + seconds(1440))),
    "503 to the question": (
        TransportError(MAYBE, Reason.PROVIDER_ERROR, answered=True),
        attempt(3),
        Reconcile(NOW + seconds(15)),
    ),
    "nobody listens to the question": (
        TransportError(NO, Reason.UNREACHABLE),
        attempt(3),
        Reconcile(NOW + seconds(15)),
    ),
    "a day without an answer": (
        TransportError(MAYBE, Reason.PROVIDER_ERROR),
        attempt(60, timedelta(hours=24)),
        Park(),
    ),
    "it was dropped": (
        TransportError(NO, Reason.DROPPED, permanent=True),
        attempt(2),
        GiveUp(Reason.DROPPED),
    ),
    "a transport that cannot ask": (
        TransportError(MAYBE, Reason.UNKNOWN_OUTCOME, permanent=True),
        attempt(2),
        Park(),
    ),
}


@pytest.mark.parametrize("case", SENDING)
def test_a_failed_submission_is_followed_by(case: str) -> None:
    """Each kind of answer to a submission has one consequence."""
    error, tried, expected = SENDING[case]
    assert decide(error, tried, 0.0) == expected


@pytest.mark.parametrize("case", ASKING)
def test_a_question_without_a_yes_is_followed_by(case: str) -> None:
    """Each kind of answer to a reconcile has one consequence."""
    outcome, tried, expected = ASKING[case]
    assert decide(outcome, replace(tried, reconciling=True), 0.0) == expected


def test_the_first_tries_come_within_seconds_and_the_last_within_half_an_hour() -> None:
    """2, 5, 15, 60 seconds, five minutes, then at most thirty minutes with jitter."""
    assert [backoff(number, 0.0) for number in range(1, 9)] == [*STEPS, STEPS[-1]]
    assert backoff(1000, 1.0) == 1800.0


LASTS: dict[str, tuple[TransportError, Attempt, bool]] = {
    "401 the sixth time": (TransportError(NO, Reason.UNAUTHORIZED), attempt(6, last_reason="unauthorized"), True),
    "401 the fifth time": (TransportError(NO, Reason.UNAUTHORIZED), attempt(5, last_reason="unauthorized"), False),
    "401 after something else": (TransportError(NO, Reason.UNAUTHORIZED), attempt(9, last_reason="throttled"), False),
    "401 for good": (TransportError(NO, Reason.UNAUTHORIZED, permanent=True), attempt(), True),
    "no token five times": (TransportError(NO, Reason.NO_CREDENTIAL), attempt(5, last_reason="no_credential"), True),
    "nobody listens, five times": (TransportError(NO, Reason.UNREACHABLE), attempt(5, last_reason="unreachable"), True),
    "nobody listens, four times": (
        TransportError(NO, Reason.UNREACHABLE),
        attempt(4, last_reason="unreachable"),
        False,
    ),
    "429 for an hour": (TransportError(NO, Reason.THROTTLED, retry_after=3600.0), attempt(), True),
    "429 for less": (TransportError(NO, Reason.THROTTLED, retry_after=3599.0), attempt(), False),
    "429 without a wish": (TransportError(NO, Reason.THROTTLED), attempt(50, last_reason="throttled"), False),
    "refused for its content": (TransportError(NO, Reason.REFUSED, permanent=True), attempt(), False),
    "nobody knows": (TransportError(MAYBE, Reason.UNREACHABLE), attempt(9, last_reason="unreachable"), False),
    "a question": (
        TransportError(NO, Reason.UNAUTHORIZED, permanent=True),
        attempt(9, last_reason="unauthorized", reconciling=True),
        False,
    ),
}


@pytest.mark.parametrize("case", LASTS)
def test_a_fallback_takes_over_after(case: str) -> None:
    """Only a certain no that will last."""
    error, tried, expected = LASTS[case]
    assert lasts(error, tried) is expected


errors = st.builds(
    TransportError,
    st.sampled_from(Outcome),
    st.sampled_from(Reason),
    permanent=st.booleans(),
    retry_after=st.none() | st.floats(),
    answered=st.booleans(),
)
ages = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=30))
attempts = st.builds(
    lambda number, age, sent, reconciling, ends: Attempt(
        number,
        NOW,
        NOW + ends,
        NOW - age,
        submitted=None if sent is None else NOW - min(age, sent),
        reconciling=reconciling,
    ),
    st.integers(min_value=1, max_value=10_000),
    ages,
    st.none() | ages,
    st.booleans(),
    st.timedeltas(min_value=timedelta(minutes=-10), max_value=timedelta(minutes=1)),
)
spreads = st.floats(min_value=0, max_value=1, exclude_max=True)


@given(errors, attempts, spreads)
def test_a_maybe_never_leads_to_a_new_submission(error: TransportError, tried: Attempt, spread: float) -> None:
    """Only an answer may: Again follows a certain no, and in a reconcile nothing but NotFound."""
    decision = decide(error, tried, spread)
    if error.outcome is MAYBE or tried.reconciling:
        assert not isinstance(decision, Again)


@pytest.mark.parametrize(
    "answer",
    [
        TransportError(NO, Reason.UNREACHABLE),
        TransportError(NO, Reason.THROTTLED, retry_after=60),
        TransportError(NO, Reason.UNAUTHORIZED),
        TransportError(MAYBE, Reason.PROVIDER_ERROR, answered=True),
        TransportError(MAYBE, Reason.CONNECTION_LOST),
    ],
    ids=lambda error: error.reason.value,
)
@pytest.mark.parametrize("asked", [NotFound(), TransportError(MAYBE, Reason.PROVIDER_ERROR)], ids=["unknown", "silent"])
def test_whatever_lasts_for_ever_ends(answer: TransportError, asked: TransportError | NotFound) -> None:
    """A provider that never gets well: every message has a final state within eight days, and few tries an hour."""
    now, number, doubt, last = NOW, 0, False, ""
    submitted: datetime | None = None
    while now < NOW + timedelta(days=8):
        number += 1
        submitted = submitted if doubt else now
        tried = Attempt(number, now, now + seconds(60), NOW, submitted, doubt, last)
        decision = decide(asked if doubt else answer, tried, 0.0)
        if isinstance(decision, GiveUp | Park):
            break
        last = answer.reason
        doubt, now = isinstance(decision, Reconcile), decision.at
    assert now - NOW <= timedelta(days=7, hours=1)
    assert number <= 500


@given(errors, attempts, spreads)
def test_failed_is_only_said_when_it_is_certain(error: TransportError, tried: Attempt, spread: float) -> None:
    """GiveUp means that nothing was sent, so it never follows a maybe; Park never follows a plain no."""
    decision = decide(error, tried, spread)
    if isinstance(decision, GiveUp):
        assert error.outcome is NO
    if isinstance(decision, Park) and not tried.reconciling:
        assert error.outcome is MAYBE


@given(errors | st.just(NotFound()), attempts, spreads)
def test_a_time_is_never_past_and_never_far(outcome: TransportError | NotFound, tried: Attempt, spread: float) -> None:
    """Every next look is later than now, and at most an hour after now or the claim's end."""
    decision = decide(outcome, tried, spread)
    if isinstance(decision, Again | Reconcile):
        assert NOW < decision.at <= max(NOW, tried.ends) + seconds(LONGEST_WAIT)


@given(errors, attempts, spreads)
def test_a_request_that_may_still_land_is_not_asked_about_before_its_claim_ends(
    error: TransportError, tried: Attempt, spread: float
) -> None:
    """Without a complete answer the provider could say "unknown" and take the request a moment later."""
    decision = decide(error, tried, spread)
    if isinstance(decision, Reconcile) and not tried.reconciling and not error.answered:
        assert decision.at > tried.ends


@given(st.integers(min_value=-5, max_value=10_000), st.integers(min_value=0, max_value=100), spreads)
def test_waiting_grows_and_is_capped(number: int, more: int, spread: float) -> None:
    """A later try never waits less, none waits longer than half an hour."""
    assert backoff(number, spread) <= backoff(number + more, spread) <= 1800.0
