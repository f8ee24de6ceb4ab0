"""The line's second half: a message's id comes in from a doorbell, one provider call is made, its outcome is settled.

Claiming is the intent: the ledger says "may have been submitted" before anything leaves, so that a crash at any point
is a maybe and never forgotten. One claim makes one call, either a submission or a reconciliation.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from gateway import retry
from gateway.address import folded
from gateway.budget import DELIVERY_SECONDS, MAIL_GROWTH, Budget, Hold, default
from gateway.clock import wall_clock
from gateway.errors import ClaimLost, NoRoom, Outcome, Reason, StoreUnavailable, TransportError
from gateway.ledger import Report, Room, Settlement, Store
from gateway.message import DEADLINES, NotFound, Receipt, Status, Transport
from gateway.pacing import Pacer, Permit
from gateway.suppressions import Suppressions
from gateway.telemetry import ERROR, WARNING, log
from gateway.ways import LEFT_OUT, TRIED, VIA, Leaving, Way

LEASES = {name: timedelta(seconds=2 * deadline) for name, deadline in DEADLINES.items()}
"""A claim lasts twice the transport's deadline."""

LONGEST_PAUSE = 86_400.0
"""Seconds an account with a fallback stays paused at most."""

Aside = Callable[[], AbstractAsyncContextManager[None]]
"""What is left while one waits."""

STORAGE_PAUSE = timedelta(seconds=5)
"""How long a message waits when the storage failed before anything was sent."""


def worker_name() -> str:
    """This process's name in claims; a restarted one is another owner."""
    return f"{os.getpid()}-{uuid.uuid4().hex[:12]}"


@dataclass(frozen=True)
class Delivery:
    """Delivers what it is told to look at; safe to call twice, at once, or for nothing."""

    store: Store
    transport: Callable[[str, str], Transport]
    clock: Callable[[], datetime] = wall_clock
    chance: Callable[[], float] = random.random
    owner: str = field(default_factory=worker_name)
    ways: Mapping[str, Way] = field(default_factory=dict)
    pacer: Pacer | None = None
    suppressions: Suppressions | None = None
    budget: Budget = field(default_factory=lambda: Budget(default()))

    async def deliver(self, message: str, aside: Aside = nullcontext) -> Status | None:
        """Answer one doorbell; the message's new status, or None when there was nothing to do for us.

        NoRoom when a large mail's turn did not come in time. `aside` is entered while it waits for that.
        """
        hold = self.budget.hold()
        try:
            return await self._deliver(message, partial(self._room, hold, aside))
        finally:
            hold.release()

    async def _room(self, hold: Hold, aside: Aside, size: int) -> datetime:
        """The time at which there is room for a mail of this size."""
        if not hold.try_take(size, MAIL_GROWTH):
            async with aside():
                if not await hold.take(size, MAIL_GROWTH, DELIVERY_SECONDS):
                    raise NoRoom(f"a mail of {size} bytes")
        return self.clock()

    async def _deliver(self, message: str, room: Room) -> Status | None:
        claim = await self.store.claim(message, self.owner, self.clock(), LEASES, room)
        if claim is None:
            return None
        leaving = Leaving.of(self.store, claim, self.ways)
        try:
            settlement = self._proven(leaving) or await self._held(leaving) or await self._attempt(leaving)
        except ClaimLost:
            _say("claim_lost", WARNING, leaving)
            return None
        if not await self.store.settle(leaving.claim, settlement):
            _say("claim_lost", WARNING, leaving)
            return None
        if settlement.due:
            await self.store.ring(message, claim.message.priority, settlement.due, self.clock())
        return settlement.status

    # ------------------------------------------------------------------------------------- before the one call

    def _proven(self, leaving: Leaving) -> Settlement | None:
        """A delivery report was faster than the answer that was lost: nobody need be asked."""
        claim = leaving.claim
        if not (claim.unresolved and claim.proven):
            return None
        operation = claim.message.operation_id
        word = Settlement(status=Status.SENT, event="sent", at=self.clock(), provider_id=operation)
        self._log(leaving, word)
        return word

    async def _held(self, leaving: Leaving) -> Settlement | None:
        """Why it does not go now; nothing has left, which must be said even when the storage failed in between."""
        try:
            return await self._suppressed(leaving) or await self._paced(leaving)
        except StoreUnavailable as error:
            _say("not_paced", WARNING, leaving, error)
            return self._waits(leaving, Permit(self.clock() + STORAGE_PAUSE))

    async def _suppressed(self, leaving: Leaving) -> Settlement | None:
        """Before the first submission: leave out who is suppressed; a Settlement when nobody is left."""
        claim, message, at = leaving.claim, leaving.message, self.clock()
        if self.suppressions is None or claim.attempt > 1 or claim.unresolved or LEFT_OUT in claim.facts:
            return None
        found = await self.suppressions.check((address.email for address in message.recipients), at)
        gone = leaving.left_out(found) if found else set()
        for email in sorted(gone):
            reason = found[email].reason
            report = Report(
                operation=message.operation_id, recipient=email, status=Status.SUPPRESSED, at=at, reason=reason
            )
            await self.store.report(report)
        if not gone:
            return None
        _say("left_out", WARNING, leaving, count=len(gone))
        if len(gone) < len({folded(address.email) for address in message.recipients}):
            await leaving.leave_out(gone)
            return None
        word = Settlement(status=Status.SUPPRESSED, event="suppressed", at=at, reason=Reason.SUPPRESSED, untried=True)
        self._log(leaving, word)
        return word

    async def _paced(self, leaving: Leaving) -> Settlement | None:
        """A Settlement when its turn has not come; where the account is paused for hours, its fallback takes over."""
        account, claim, at = leaving.account, leaving.claim, self.clock()
        if self.pacer is None or account is None:
            return None
        source = claim.message.source
        permit = await self.pacer.ask(account, leaving.turn, claim.attempt, claim.facts, at, source)
        if permit.due is None:
            return None
        if leaving.fallback and permit.paused and permit.paused - at >= timedelta(seconds=retry.HOURS):
            return self._failed_over(leaving, Reason.THROTTLED, untried=True)
        return self._waits(leaving, permit)

    def _waits(self, leaving: Leaving, permit: Permit) -> Settlement:
        claim = leaving.claim
        word = Settlement(
            status=Status.DEFERRED,
            event="in_doubt" if claim.unresolved else "deferred",
            at=self.clock(),
            reason=Reason.PACED,
            due=permit.due,
            unresolved=claim.unresolved,
            facts=dict(permit.facts),
            untried=True,
        )
        self._log(leaving, word)
        return word

    # -------------------------------------------------------------------------------------------- the one call

    async def _attempt(self, leaving: Leaving) -> Settlement:
        try:
            found = await self._call(leaving)
        except TransportError as error:
            return await self._after(error, leaving)
        except ClaimLost:
            raise
        except Exception as error:
            _say("transport_bug", ERROR, leaving, error)
            return await self._after(TransportError(Outcome.MAYBE, Reason.BUG), leaving)
        if isinstance(found, NotFound):
            return await self._after(found, leaving)
        settlement = Settlement(status=found.status, event=found.status, at=self.clock(), provider_id=found.provider_id)
        self._log(leaving, settlement)
        return settlement

    async def _call(self, leaving: Leaving) -> Receipt | NotFound:
        """The one call of this claim, cut at the transport's deadline."""
        message, claim = leaving.message, leaving.claim
        if leaving.lost:
            detail = "the fallback it was handed to is not in gateway.yaml any more, so nobody can ask"
            raise TransportError(Outcome.MAYBE, Reason.UNKNOWN_OUTCOME, permanent=True, detail=detail)
        transport = self.transport(message.transport, message.sender)
        if self.clock() + timedelta(seconds=transport.deadline) > claim.until:
            # The process stood still so long that the claim could end before the answer: nothing leaves.
            raise TransportError(Outcome.MAYBE if claim.unresolved else Outcome.NO, Reason.CRASHED)
        try:
            async with asyncio.timeout(transport.deadline):
                if claim.unresolved:
                    return await transport.reconcile(message, leaving.fence)
                return await transport.send(message, leaving.attempt, leaving.fence)
        except TimeoutError as error:
            raise TransportError(Outcome.MAYBE, Reason.CONNECTION_LOST, detail="deadline") from error

    # ------------------------------------------------------------------------------------------ what follows it

    async def _after(self, outcome: TransportError | NotFound, leaving: Leaving) -> Settlement:
        at, claim = self.clock(), leaving.claim
        attempt = retry.Attempt(
            number=leaving.attempt,
            now=at,
            ends=claim.until,
            since=leaving.since,
            submitted=claim.submitted if claim.unresolved else at,
            reconciling=claim.unresolved,
            last_reason=claim.last_reason,
        )
        slot = await self._refused(outcome, leaving)
        if leaving.fallback and isinstance(outcome, TransportError) and retry.lasts(outcome, attempt):
            return self._failed_over(leaving, outcome.reason)
        decision = retry.decide(outcome, attempt, self.chance())
        reason = outcome.reason if isinstance(outcome, TransportError) else Reason.NOT_FOUND
        settlement = _settlement(decision, at, reason)
        if slot.due and isinstance(decision, retry.Again):
            settlement = settlement.model_copy(update={"due": slot.due, "facts": dict(slot.facts)})
        self._log(leaving, settlement, getattr(outcome, "code", ""))
        return settlement

    async def _refused(self, outcome: TransportError | NotFound, leaving: Leaving) -> Permit:
        """After a provider's 429 nobody asks it before the time it wants; this message's slot then."""
        told = isinstance(outcome, TransportError) and outcome.answered and outcome.reason is Reason.THROTTLED
        account = leaving.account
        if self.pacer is None or account is None or not isinstance(outcome, TransportError) or not told:
            return Permit()
        # With a fallback nobody has to wait, so that a wish of many hours is believed.
        longest = LONGEST_PAUSE if leaving.way and leaving.way.fallback else retry.LONGEST_WAIT
        wish = min(outcome.retry_after or 0.0, longest)
        source, attempt = leaving.message.source, leaving.claim.attempt
        return await self.pacer.pause(account, leaving.turn, attempt, wish, self.clock(), source)

    def _failed_over(self, leaving: Leaving, reason: Reason, *, untried: bool = False) -> Settlement:
        """The fallback sends it, at once; the history says why and who."""
        at, claim = self.clock(), leaving.claim
        tried = claim.attempt - 1 if untried else claim.attempt
        word = Settlement(
            status=Status.DEFERRED,
            event="failed_over",
            at=at,
            reason=f"{reason}:{leaving.fallback}",
            due=at,
            facts={VIA: leaving.fallback, TRIED: str(tried)},
            untried=untried,
        )
        self._log(leaving, word)
        return word

    def _log(self, leaving: Leaving, settlement: Settlement, code: str = "") -> None:
        claimed = leaving.claim.until - LEASES[leaving.claim.message.transport]
        level = logging.INFO if settlement.reason in {"", Reason.PACED} else WARNING
        _say(
            settlement.event,
            level,
            leaving,
            reason=settlement.reason,
            code=code,
            due=settlement.due,
            operation=leaving.message.operation_id,
            seconds=max(0.0, round((self.clock() - claimed).total_seconds(), 3)),
        )


def _say(event: str, level: int, leaving: Leaving, error: BaseException | None = None, /, **more: object) -> None:
    """A line with what every line of a delivery says."""
    message = leaving.message
    log(
        event,
        level,
        error,
        notification=message.notification,
        message=message.id,
        source=message.source,
        sender=message.sender,
        transport=message.transport,
        attempt=leaving.claim.attempt,
        **more,
    )


def _settlement(decision: retry.Decision, at: datetime, reason: str) -> Settlement:
    """A decision as the ledger writes it."""
    if isinstance(decision, retry.Again):
        return Settlement(status=Status.DEFERRED, event="deferred", at=at, reason=reason, due=decision.at)
    if isinstance(decision, retry.Reconcile):
        return Settlement(
            status=Status.DEFERRED, event="in_doubt", at=at, reason=reason, due=decision.at, unresolved=True
        )
    if isinstance(decision, retry.Park):
        return Settlement(status=Status.UNKNOWN, event="unknown", at=at, reason=decision.reason, unresolved=True)
    return Settlement(status=Status.FAILED, event="failed", at=at, reason=decision.reason)
