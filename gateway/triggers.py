"""What the Functions host calls beside HTTP: a queue message or a timer comes in, one piece of work is done.

An exception makes the host try again after `visibilityTimeout`, five times, and then move the message to the queue's
poison queue. So what the ledger knows may raise. What comes from a poison queue may not, since the host would leave it
there unseen: whatever cannot be dealt with yet goes back into that queue, to be looked at later.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from gateway import packages, telemetry, wiring
from gateway.clock import wall_clock
from gateway.errors import NoRoom, Rejected, StoreUnavailable
from gateway.ledger import Report
from gateway.message import OPEN, Priority, Status
from gateway.queues import Account, Intake, readable
from gateway.telemetry import ERROR, INFO, WARNING, log
from gateway.threads import aside
from gateway.wiring import Gateway

POISON = "-poison"
QUEUES = ("notifications", "outbox", "outbox-high", "delivery-reports")
"""Every queue with a trigger; each has a poison queue with one too."""

PAUSE = timedelta(minutes=1)
"""Before a doorbell that crashed five times is rung again."""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

NO_ROOM_PAUSE = timedelta(seconds=15)
"""Before a large mail that found no room in memory is rung again."""

LATER = timedelta(minutes=10)
"""Before a poison message is looked at again: storage may be back by then, and the configuration mended."""


async def on_queue(queue: str, body: bytes, message: str, trace: str) -> None:
    """Deal with one message of a queue; `message` is the queue's id for it, `trace` the host's trace parent."""
    telemetry.trace(trace)
    try:
        desk = Desk(await wiring.gateway())
        if queue.endswith(POISON):
            await desk.take_poisoned(queue.removesuffix(POISON), body)
        else:
            await desk.take(queue, body, message)
    except Exception as error:
        if not queue.endswith(POISON):
            raise _not_done("queue_message_failed", error, queue) from None
        _not_done("poison_waits", error, queue)
        await _put_back(queue, body)


async def on_timer(trace: str, *, late: bool) -> None:
    """Ring what is due, purge, and say what waits; `late`: the host missed a run."""
    telemetry.trace(trace)
    if late:
        log("timer_late", WARNING)
    try:
        gateway = await wiring.gateway()
        await gateway.upkeep.round(Desk(gateway).poison)
    except Exception as error:
        raise _not_done("timer_failed", error) from None


class NotDone(Exception):
    """The host must try again. It writes an exception's text into its own log, so this one quotes nothing."""


def _not_done(event: str, error: Exception, queue: str = "") -> NotDone:
    """Say why in the log."""
    packages.explained(error)
    log(event, ERROR, queue=queue, error=error)
    return NotDone(f"{type(error).__name__}; the log line {event} says more")


async def _put_back(queue: str, body: bytes) -> None:
    """Through a store of its own: what is broken may be the configuration that the gateway is built from."""
    store = await wiring.storage()
    try:
        await store.put_back(queue, readable(body), LATER)
    finally:
        await store.close()


@dataclass(frozen=True)
class Desk:
    """Where queue messages are dealt with."""

    gateway: Gateway

    async def take(self, queue: str, body: bytes, message: str) -> None:
        """A message for the first time, or again after a crash."""
        work: dict[str, Callable[[bytes, str], Awaitable[None]]] = {
            "notifications": self.intake.take,
            "outbox": partial(self._ring, Priority.NORMAL),
            "outbox-high": partial(self._ring, Priority.HIGH),
            "delivery-reports": self._report,
        }
        await work[queue](body, message)

    async def take_poisoned(self, queue: str, body: bytes) -> None:
        """A message that the host gave up; a copy of it, without its id."""
        log("poisoned", WARNING, queue=queue)
        if queue == "notifications":
            await self.intake.take_again(body)
        elif queue == "delivery-reports":
            await self._report_again(body)
        else:
            await self._ring_again(readable(body), Priority.HIGH if queue == "outbox-high" else Priority.NORMAL)

    async def poison(self) -> dict[str, int]:
        """How many messages wait in each poison queue."""
        account = self._account
        names = [f"{queue}{POISON}" for queue in QUEUES] if account else []
        return {name: await account.queue_length(name) for name in names} if account else {}

    @property
    def intake(self) -> Intake:
        """What takes notifications."""
        gateway = self.gateway
        return Intake(gateway.config, gateway.store, lambda: gateway.line, self._account, gateway.budget)

    @property
    def _account(self) -> Account | None:
        return self.gateway.store if isinstance(self.gateway.store, Account) else None

    async def _ring(self, priority: Priority, body: bytes, _: str) -> None:
        message = readable(body)
        try:
            await self.gateway.delivery.deliver(message)
        except NoRoom:
            log("no_room", WARNING, notification=message.rpartition("-")[0], message=message)
            now = wall_clock()
            await self.gateway.store.ring(message, priority, now + NO_ROOM_PAUSE, now)

    async def _ring_again(self, message: str, priority: Priority) -> None:
        """The ledger knows whether there is anything left to do."""
        entry = await self.gateway.store.get(message.rpartition("-")[0])
        states = entry.messages if entry else ()
        if any(state.id == message and state.status in OPEN for state in states):
            now = wall_clock()
            await self.gateway.store.ring(message, priority, now + PAUSE, now)

    async def _report(self, body: bytes, message: str) -> None:
        from gateway import reports

        text, sound = readable(body), True
        try:
            found = await aside(len(text), reports.parse, text)
        except reports.Unreadable:
            found, sound = [], False
        for report in found:
            try:
                await self._heard(report)
            except (ValueError, ArithmeticError):  # for what it says, which no other try would change
                sound = False
        if not sound:
            refusal = Rejected(400, "unreadable_report", "This is no delivery report of Event Grid.")
            await self.intake.bury(text, refusal, message)

    async def _report_again(self, body: bytes) -> None:
        """Reports that went to poison: once more, and whatever they meet but a store that is away ends them."""
        try:
            await self._report(body, "poison")
        except StoreUnavailable:
            raise
        except Exception as error:
            log("queue_message_failed", ERROR, queue="delivery-reports", error=error)
            await self.intake.bury(readable(body), Rejected(500, "bug", "Taking it met an error of ours."), "poison")

    async def _heard(self, told: Report) -> None:
        from gateway.reports import dated

        now = wall_clock()
        report = dated(told, now)
        known = await self.gateway.store.report(report)
        # One resource may send for several systems, and then reports on the mails of all.
        event = report.status if known else "report_foreign"
        if known:
            await self.gateway.suppressions.learn(report, now)
        level = INFO if event in {Status.DELIVERED, "report_foreign"} else WARNING
        notification = known and known.rpartition("-")[0]
        # Whoever may write into the queue could put anything there; ours are UUIDs.
        operation = report.operation if _UUID.fullmatch(report.operation) else ""
        log(event, level, notification=notification, message=known, reason=report.reason, operation=operation)
