"""A day of the gateway: the real parts are driven through what can happen, the lines they really log come out."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from gateway.capacity import Capacity
from gateway.config import Bounds
from gateway.delivery import Delivery
from gateway.errors import Outcome, Reason, TransportError
from gateway.ledger import Settlement
from gateway.message import DEADLINES, Fence, Message, NotFound, Receipt, Status
from gateway.telemetry import LOGGER
from gateway.triggers import Desk
from gateway.wiring import Gateway
from tests.conftest import KEYS, Running
from tests.factories import make_entry, make_message
from tests.test_reports import RECIPIENT, event

POISON = {"notifications-poison": 1, "outbox-poison": 2}
"""What lies in the poison queues that day."""

REFUSALS = {
    Reason.THROTTLED: TransportError(Outcome.NO, Reason.THROTTLED, code="TooManyRequests"),
    Reason.UNAUTHORIZED: TransportError(Outcome.NO, Reason.UNAUTHORIZED),
    Reason.NO_CREDENTIAL: TransportError(Outcome.NO, Reason.NO_CREDENTIAL),
    Reason.REFUSED: TransportError(Outcome.NO, Reason.REFUSED, permanent=True, code="DomainNotLinked"),
    Reason.UNREACHABLE: TransportError(Outcome.NO, Reason.UNREACHABLE),
    Reason.CONNECTION_LOST: TransportError(Outcome.MAYBE, Reason.CONNECTION_LOST),
}


@dataclass
class Failing:
    """A way out that always fails in one way."""

    error: Exception
    deadline: float = DEADLINES["acs"]

    async def send(self, message: Message, attempt: int, fence: Fence) -> Receipt:
        """It does not work."""
        raise self.error

    async def reconcile(self, message: Message, fence: Fence) -> Receipt | NotFound:
        """Neither does asking."""
        raise self.error

    async def close(self) -> None:
        """Nothing to do."""


@dataclass
class Story:
    """What was logged, as the table `traces` of Application Insights has it."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    def lines(self, event: str) -> list[Mapping[str, Any]]:
        """The facts of each line of an event."""
        found = [json.loads(row["message"]) for row in self.rows]
        return [line for line in found if line["event"] == event]


@contextmanager
def recorded() -> Iterator[Story]:
    """Everything that is logged meanwhile, in the words that the Functions host gets."""
    story = Story()

    class Recorder(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            at = datetime.fromtimestamp(record.created, UTC)
            story.rows.append({"timestamp": at, "message": record.getMessage(), "severityLevel": record.levelno // 10})

    handler = Recorder()
    level = LOGGER.level
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    try:
        yield story
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(level)


async def fail(gateway: Gateway, error: Exception, *, again_after: timedelta | None = None) -> None:
    """A message whose way out fails, and perhaps still fails later."""
    start = datetime.now(UTC)
    message = make_message(transport="acs", created=start)
    await gateway.store.add(make_entry(message, source="contact"), (message,), start)
    for at in (start, start + again_after) if again_after else (start,):
        delivery = Delivery(gateway.store, lambda *_: Failing(error), clock=partial(_at, at))
        await delivery.deliver(message.id)


async def a_day(running: Running) -> Story:
    """Mail that leaves, callers kept out, refusals, doubt, a dead letter, reports, a timer's run, a bound reached."""
    gateway = running.gateway
    with recorded() as story:
        sent = await running.send({"to": "ops@example.com", "subject": "Backup failed", "text": "It is 02:14."})
        await running.status(sent.json["id"])
        await running.call(
            "POST", "/v1/webhooks/alertmanager", data=b"no JSON", headers={"x-api-key": KEYS["alertmanager"]}
        )
        for _ in range(7):
            await running.send({"to": "ops@example.com"}, key="wrong")
        await running.call("POST", "/v1/forms/contact", data={"a": "b"}, headers={"Origin": "https://elsewhere.test"})
        gateway.events.close()
        for error in REFUSALS.values():
            await fail(gateway, error)
        await fail(gateway, ValueError("a mistake of ours"))
        await fail(gateway, REFUSALS[Reason.CONNECTION_LOST], again_after=timedelta(days=2))
        desk = Desk(gateway)
        await desk.take("notifications", b"no JSON either", "m1")
        for word in ("Bounced", "Suppressed", "Quarantined", "Delivered"):
            await report(gateway, word)
        await gateway.upkeep.round(poison)
        capacity = Capacity(gateway.store, Bounds(open=1))
        await capacity.count()
        await capacity.watch()
    return story


async def report(gateway: Gateway, word: str) -> None:
    """A message that was sent, and what the provider later says of it."""
    message = make_message(transport="acs", created=datetime.now(UTC), to=[{"email": RECIPIENT}])
    await gateway.store.add(make_entry(message), (message,), message.created)
    claim = await gateway.store.claim(message.id, "w", message.created, {"acs": timedelta(minutes=1)})
    assert claim is not None
    await gateway.store.settle(claim, Settlement(status=Status.SENT, event=Status.SENT, at=message.created))
    text = json.dumps([event(messageId=message.operation_id, status=word)])
    await Desk(gateway).take("delivery-reports", text.encode(), "m2")


async def poison() -> dict[str, int]:
    """As the account would count them."""
    return POISON


def _at(time: datetime) -> datetime:
    """A clock that stands."""
    return time
