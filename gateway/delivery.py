"""The line's second half: a message's id comes in from a doorbell, one provider call is made, its outcome is settled.

Claiming is the intent: the ledger says "may have been submitted" before anything leaves, so that a crash at any point
is a maybe and never forgotten. One claim makes one call, either a submission or a reconciliation.
"""

from __future__ import annotations

import asyncio
import os
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from gateway import retry
from gateway.clock import wall_clock
from gateway.errors import ClaimLost, Outcome, Reason, TransportError
from gateway.ledger import Claim, Settlement, Store
from gateway.message import DEADLINES, NotFound, Receipt, Status, Transport
from gateway.telemetry import ERROR, WARNING, log

LEASES = {name: timedelta(seconds=2 * deadline) for name, deadline in DEADLINES.items()}
"""A claim lasts twice the transport's deadline."""


def worker_name() -> str:
    """This process's name in claims; a restarted one is another owner."""
    return f"{os.getpid()}-{uuid.uuid4().hex[:12]}"


@dataclass
class ClaimFence:
    """Writes a provider's facts under the claim; once the claim is lost, nothing more may be done."""

    store: Store
    claim: Claim

    @property
    def facts(self) -> dict[str, str]:
        """What was recorded so far."""
        return self.claim.facts

    async def record(self, **facts: str) -> None:
        """Compare-and-set; raises ClaimLost."""
        claim = await self.store.record(self.claim, facts)
        if claim is None:
            raise ClaimLost(self.claim.message.id)
        self.claim = claim


@dataclass(frozen=True)
class Delivery:
    """Delivers what it is told to look at; safe to call twice, at once, or for nothing."""

    store: Store
    transport: Callable[[str, str], Transport]
    clock: Callable[[], datetime] = wall_clock
    chance: Callable[[], float] = random.random
    owner: str = field(default_factory=worker_name)

    async def deliver(self, message: str) -> Status | None:
        """Answer one doorbell; the message's new status, or None when there was nothing to do for us."""
        claim = await self.store.claim(message, self.owner, self.clock(), LEASES)
        if claim is None:
            return None
        fence = ClaimFence(self.store, claim)
        try:
            settlement = await self._attempt(claim, fence)
        except ClaimLost:
            log("claim_lost", WARNING, message=message)
            return None
        if not await self.store.settle(fence.claim, settlement):
            log("claim_lost", WARNING, message=message)
            return None
        if settlement.due:
            await self.store.ring(message, claim.message.priority, settlement.due, self.clock())
        return settlement.status

    async def _attempt(self, claim: Claim, fence: ClaimFence) -> Settlement:
        message = claim.message
        try:
            found = await self._call(claim, fence)
        except TransportError as error:
            return self._after(error, claim)
        except ClaimLost:
            raise
        except Exception as error:
            log("transport_bug", ERROR, message=message.id, transport=message.transport, error=error)
            return self._after(TransportError(Outcome.MAYBE, Reason.BUG), claim)
        if isinstance(found, NotFound):
            return self._after(found, claim)
        settlement = Settlement(status=found.status, event=found.status, at=self.clock(), provider_id=found.provider_id)
        self._log(claim, settlement)
        return settlement

    async def _call(self, claim: Claim, fence: ClaimFence) -> Receipt | NotFound:
        """The one call of this claim, cut at the transport's deadline."""
        message = claim.message
        transport = self.transport(message.transport, message.sender)
        if self.clock() + timedelta(seconds=transport.deadline) > claim.until:
            # The process stood still so long that the claim could end before the answer: nothing leaves.
            raise TransportError(Outcome.MAYBE if claim.unresolved else Outcome.NO, Reason.CRASHED)
        try:
            async with asyncio.timeout(transport.deadline):
                if claim.unresolved:
                    return await transport.reconcile(message, fence)
                return await transport.send(message, claim.attempt, fence)
        except TimeoutError as error:
            raise TransportError(Outcome.MAYBE, Reason.CONNECTION_LOST, detail="deadline") from error

    def _after(self, outcome: TransportError | NotFound, claim: Claim) -> Settlement:
        at = self.clock()
        attempt = retry.Attempt(
            number=claim.attempt,
            now=at,
            ends=claim.until,
            since=claim.message.created,
            submitted=claim.submitted if claim.unresolved else at,
            reconciling=claim.unresolved,
            last_reason=claim.last_reason,
        )
        decision = retry.decide(outcome, attempt, self.chance())
        reason = outcome.reason if isinstance(outcome, TransportError) else Reason.NOT_FOUND
        settlement = _settlement(decision, at, reason)
        self._log(claim, settlement, getattr(outcome, "code", ""))
        return settlement

    def _log(self, claim: Claim, settlement: Settlement, code: str = "") -> None:
        message = claim.message
        log(
            settlement.event,
            WARNING if settlement.reason else 20,
            notification=message.notification,
            message=message.id,
            source=message.source,
            sender=message.sender,
            transport=message.transport,
            attempt=claim.attempt,
            reason=settlement.reason,
            code=code,
            due=settlement.due,
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
