"""What follows a provider call that was no yes: its facts come in, one Decision goes out; pure, time and chance given.

    certainly not accepted   Again, sooner at first; GiveUp when it was refused for good or tried for a day
    nobody knows             Reconcile: ask the provider, and never submit before it has answered
    provider knows nothing   Again with the same operation id, while its memory can be trusted, else Park; GiveUp
                             when a day of submissions was taken by none
    cannot be asked          Reconcile later; Park after a day of not knowing

A day counts from `since`, when the first try was due. A refusal for quota alone never ends a message before a week:
10,000 messages behind ACS's 100 an hour wait four days without anything being wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.errors import Outcome, Reason, TransportError
from gateway.message import NotFound

STEPS = (2.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1440.0)
"""Seconds before the next try; with a quarter of jitter the last is half an hour."""

LONGEST_WAIT = 3600.0
"""Seconds a provider may make us wait: ACS's longest quota window is one hour, and an outage deserves a look sooner."""

PATIENCE = timedelta(hours=24)
"""How long a transient fault is tried again, and how long a provider's "unknown id" counts as "never accepted".

Azure's guidelines keep an operation's status for at least 24 hours; what ACS really does is not documented.
"""

QUOTA_PATIENCE = timedelta(days=7)
"""The same while the provider's quota is the reason."""

ENOUGH_TRIES = 20
"""Nothing is given up for its age before this many tries (seven hours): a message may have waited for its first."""

LOGIN_TRIES = 6
"""Tries against a 401, two of them in a row: ACS has refused correctly signed requests for "time drift" (A.6)."""

FALLBACK_TRIES = 5
"""Tries without a connection or a token before a fallback takes over: about a minute and a half."""

HOURS = 3600.0
"""Seconds of a Retry-After from which on a fallback takes over at once."""


@dataclass(frozen=True, slots=True)
class Again:
    """Submit once more, with the same operation id and the same bytes, at this time."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Ask the provider what became of it, at this time; submitting before that is forbidden."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Park:
    """It cannot be known whether it was sent: status unknown, a person decides."""

    reason: Reason = Reason.UNKNOWN_OUTCOME


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It was certainly not sent and will not be: status failed."""

    reason: Reason


Decision = Again | Reconcile | Park | GiveUp


@dataclass(frozen=True, slots=True)
class Attempt:
    """The facts of one try: its `number` from 1, the time `now`, and when its claim `ends`.

    `since`: when the first try was due. `submitted`: when a submission nobody has heard of since may have left
    (None: at `since`). `reconciling`: it only asked. `last_reason`: why the try before failed.
    """

    number: int
    now: datetime
    ends: datetime
    since: datetime
    submitted: datetime | None = None
    reconciling: bool = False
    last_reason: str = ""

    @property
    def forgotten(self) -> bool:
        """Whether the submission is so old that the provider may have forgotten it."""
        return self.now - (self.submitted or self.since) >= PATIENCE


def decide(outcome: TransportError | NotFound, attempt: Attempt, spread: float) -> Decision:
    """The one decision after a try that was no yes; `spread` is a random number from 0 up to 1."""
    if isinstance(outcome, NotFound):
        return _not_found(attempt, spread)
    if outcome.outcome is Outcome.NO and outcome.permanent:
        return GiveUp(outcome.reason)
    if outcome.permanent:
        return Park(outcome.reason)
    if attempt.reconciling:
        return Park() if attempt.forgotten else Reconcile(_later(attempt, _asked(outcome), spread))
    if outcome.outcome is Outcome.MAYBE:
        return Reconcile(_first_look(outcome, attempt, spread))
    return GiveUp(outcome.reason) if _enough(outcome, attempt) else Again(_later(attempt, _asked(outcome), spread))


def _not_found(attempt: Attempt, spread: float) -> Decision:
    """Submit once more; but a provider may fail every submission for a day, and know none of them."""
    if attempt.forgotten:
        return Park()
    if _tried_for(attempt, PATIENCE):
        return GiveUp(Reason.NOT_FOUND)
    # A submission and its question are two tries; the wait grows with the submissions.
    return Again(attempt.now + _seconds(backoff(attempt.number // 2, spread)))


def lasts(error: TransportError, attempt: Attempt) -> bool:
    """Whether this is a certain "no" that will last, so that a fallback should send the message."""
    if error.outcome is not Outcome.NO or attempt.reconciling:
        return False
    again = attempt.last_reason == error.reason
    match error.reason:
        case Reason.UNAUTHORIZED:
            return error.permanent or (again and attempt.number >= LOGIN_TRIES)
        case Reason.NO_CREDENTIAL | Reason.UNREACHABLE:
            return error.permanent or (again and attempt.number >= FALLBACK_TRIES)
        case Reason.THROTTLED:
            return (error.retry_after or 0.0) >= HOURS
    return False


def backoff(number: int, spread: float) -> float:
    """Seconds to wait after try `number`: never less after a later one, never more than half an hour."""
    return STEPS[min(max(number, 1), len(STEPS)) - 1] * (1 + spread / 4)


def _seconds(amount: float) -> timedelta:
    return timedelta(seconds=amount)


def _asked(error: TransportError) -> float:
    """The seconds the provider asked for, if they make sense."""
    asked = error.retry_after or 0.0
    return min(asked, LONGEST_WAIT) if asked > 0 else 0.0


def _later(attempt: Attempt, asked: float, spread: float) -> datetime:
    """After the longer of the provider's wish and our backoff."""
    return attempt.now + _seconds(max(asked, backoff(attempt.number, spread)))


def _first_look(error: TransportError, attempt: Attempt, spread: float) -> datetime:
    """Within seconds after a complete answer; else not before the claim has ended: the request may still land."""
    if error.answered:
        return attempt.now + _seconds(max(_asked(error), backoff(1, spread)))
    return max(attempt.now, attempt.ends) + _seconds(backoff(1, spread))


def _enough(error: TransportError, attempt: Attempt) -> bool:
    """Whether it has been tried for long enough to tell people that it failed."""
    if error.reason is Reason.UNAUTHORIZED:
        return attempt.number >= LOGIN_TRIES and attempt.last_reason == Reason.UNAUTHORIZED
    return _tried_for(attempt, QUOTA_PATIENCE if error.reason is Reason.THROTTLED else PATIENCE)


def _tried_for(attempt: Attempt, patience: timedelta) -> bool:
    return attempt.number >= ENOUGH_TRIES and attempt.now - attempt.since >= patience
