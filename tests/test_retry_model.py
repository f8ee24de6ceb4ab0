"""The retry decision and the ledger's transitions as one model: a provider that does anything, a worker that may crash.

The model plays store, worker and provider; `retry.decide` is the real one. The provider's own list is the only truth.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway import retry
from gateway.errors import Outcome, Reason, TransportError
from gateway.message import OPEN, NotFound, Status
from tests.factories import NOW

LEASE = timedelta(seconds=60)
NO = [Reason.THROTTLED, Reason.UNREACHABLE, Reason.UNAUTHORIZED, Reason.NO_CREDENTIAL]
MAYBE = [Reason.CONNECTION_LOST, Reason.PROVIDER_ERROR, Reason.BUG]


class OneMessage(RuleBasedStateMachine):
    """One message from `queued` to its end; the operation id is known to the provider for good once it was taken."""

    @initialize(fallback=st.booleans())
    def begin(self, *, fallback: bool) -> None:
        """Accepted by us, unknown to any provider."""
        self.now, self.due = NOW, NOW
        self.status, self.reason = Status.QUEUED, ""
        self.attempt = self.tried = 0
        self.unresolved, self.submitted = False, NOW
        self.fallback, self.via = fallback, 0
        self.accepted: list[int] = []
        self.submissions: list[tuple[int, bool]] = []

    def _claim(self) -> None:
        self.now = max(self.now, self.due)
        self.attempt += 1
        if not self.unresolved:
            self.submitted = self.now

    def _settle(self, outcome: TransportError | NotFound, spread: float) -> None:
        attempt = retry.Attempt(
            number=self.attempt - self.tried,
            now=self.now,
            ends=self.now + LEASE,
            since=NOW,
            submitted=self.submitted if self.unresolved else self.now,
            reconciling=self.unresolved,
            last_reason=self.reason,
        )
        lasts = isinstance(outcome, TransportError) and retry.lasts(outcome, attempt)
        self.reason = outcome.reason if isinstance(outcome, TransportError) else Reason.NOT_FOUND
        if lasts and self.fallback and not self.via and not self.unresolved:
            self.via, self.tried, self.due, self.status = 1, self.attempt, self.now, Status.DEFERRED
            return
        decision = retry.decide(outcome, attempt, spread)
        self.unresolved = isinstance(decision, retry.Reconcile | retry.Park)
        match decision:
            case retry.Again() | retry.Reconcile():
                assert decision.at > self.now
                self.status, self.due = Status.DEFERRED, decision.at
            case retry.Park():
                self.status = Status.UNKNOWN
            case retry.GiveUp():
                self.status = Status.FAILED

    @property
    def _known(self) -> bool:
        return self.via in self.accepted

    def _submit(self, *, taken: bool) -> None:
        self.submissions.append((self.via, self._known))
        if taken:
            self.accepted.append(self.via)

    @precondition(lambda self: self.status in OPEN and not self.unresolved)
    @rule()
    def it_is_accepted(self) -> None:
        """A clean yes."""
        self._claim()
        self._submit(taken=True)
        self.status = Status.SENT

    @precondition(lambda self: self.status in OPEN and not self.unresolved)
    @rule(
        reason=st.sampled_from(NO),
        wish=st.none() | st.floats(0, 1e6),
        permanent=st.booleans(),
        spread=st.floats(0, 0.99),
    )
    def it_is_refused(self, reason: Reason, wish: float | None, *, permanent: bool, spread: float) -> None:
        """A certain no; what was never taken before is not taken now."""
        self._claim()
        self._submit(taken=False)
        self._settle(TransportError(Outcome.NO, reason, retry_after=wish, permanent=permanent), spread)

    @precondition(lambda self: self.status in OPEN and not self.unresolved)
    @rule(reason=st.sampled_from(MAYBE), taken=st.booleans(), answered=st.booleans(), spread=st.floats(0, 0.99))
    def nobody_knows(self, reason: Reason, *, taken: bool, answered: bool, spread: float) -> None:
        """The answer is lost, whether or not the provider took it."""
        self._claim()
        self._submit(taken=taken)
        self._settle(TransportError(Outcome.MAYBE, reason, answered=answered), spread)

    @precondition(lambda self: self.status in OPEN and not self.unresolved)
    @rule(taken=st.booleans())
    def the_worker_crashes(self, *, taken: bool) -> None:
        """The claim ends, and the next one knows only that it may have been submitted."""
        self._claim()
        self._submit(taken=taken)
        self.unresolved, self.reason, self.status, self.due = True, Reason.CRASHED, Status.SENDING, self.now + LEASE

    @precondition(lambda self: self.status in OPEN and self.unresolved)
    @rule(spread=st.floats(0, 0.99))
    def the_provider_is_asked(self, spread: float) -> None:
        """It knows what it took."""
        self._claim()
        if self._known:
            self.status, self.unresolved = Status.SENT, False
        else:
            self._settle(NotFound(), spread)

    @precondition(lambda self: self.status in OPEN and self.unresolved)
    @rule(reason=st.sampled_from([*NO, *MAYBE]), outcome=st.sampled_from(Outcome), spread=st.floats(0, 0.99))
    def the_question_fails(self, reason: Reason, outcome: Outcome, spread: float) -> None:
        """Asking can fail in every way, which says nothing about the submission."""
        self._claim()
        self._settle(TransportError(outcome, reason), spread)

    @rule(time=st.timedeltas(timedelta(seconds=1), timedelta(days=2)))
    def nobody_looks(self, time: timedelta) -> None:
        """Workers and doorbells may stand still."""
        self.now += time

    @invariant()
    def at_most_one_provider_took_it_once(self) -> None:
        """Nothing is submitted that was taken already, neither again nor through another sender."""
        assert len(self.accepted) <= 1
        assert not [1 for _, known in self.submissions if known]

    @invariant()
    def the_ledger_says_what_is_true(self) -> None:
        """Sent means taken, failed means not taken; unknown may be either."""
        if self.status is Status.SENT:
            assert self.accepted == [self.via]
        if self.status is Status.FAILED:
            assert self.accepted == []

    @invariant()
    def an_end_is_an_end(self) -> None:
        """What has ended is in no doubt, unless it says so; what is open has a time."""
        if self.status in OPEN:
            assert isinstance(self.due, datetime)
        else:
            assert self.unresolved is (self.status is Status.UNKNOWN)


TestOneMessage = OneMessage.TestCase
TestOneMessage.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
