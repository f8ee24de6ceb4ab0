"""Delivery reports: the text of one Event Grid delivery comes in, a Report for each recipient it speaks of goes out.

Azure Communication Services reports on each recipient through Event Grid, in either of its two schemas, at least once
and in no order (https://learn.microsoft.com/azure/event-grid/communication-services-email-events):

    status          what the ledger says
    Delivered       delivered: the recipient's mail server took it
    Bounced         bounced: there is no such address, or no such domain
    Suppressed      suppressed: it bounced before, and the service did not try
    Quarantined     failed, quarantined
    FilteredSpam    failed, filtered_spam
    Failed          failed, not_delivered; a word nobody knows yet counts the same
    Expanded        nothing: a distribution list was taken apart, which ends nothing
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.ledger import Report
from gateway.message import Status
from gateway.sources.jsontext import load

DELIVERY = "Microsoft.Communication.EmailDeliveryReportReceived"
"""The one type of event with a recipient's state; opens and clicks say nothing about delivery."""

_WORDS = {
    "delivered": (Status.DELIVERED, ""),
    "bounced": (Status.BOUNCED, "hard_bounce"),
    "suppressed": (Status.SUPPRESSED, "suppressed_by_provider"),
    "quarantined": (Status.FAILED, "quarantined"),
    "filteredspam": (Status.FAILED, "filtered_spam"),
}
_NOT_DELIVERED = (Status.FAILED, "not_delivered")
_ENDS_NOTHING = "expanded"


class Unreadable(ValueError):
    """The text is no Event Grid delivery."""


YOUNGEST, OLDEST = timedelta(days=1), timedelta(days=365)
"""How far a report's time may be from now. Event Grid gives an event up after a day, and clocks are not days apart."""


def dated(report: Report, now: datetime) -> Report:
    """With a time that can be: what claims another one was made now, as far as anybody knows."""
    try:
        at = report.at.astimezone(UTC)
    except OverflowError:  # the first and the last day of the calendar have no UTC behind an offset
        at = now
    return report.model_copy(update={"at": at if now - OLDEST <= at <= now + YOUNGEST else now})


def parse(text: str) -> list[Report]:
    """One event or an array of them, in either schema; events that are no delivery report are left out. Unreadable."""
    try:
        value = load(text)
    except ValueError:
        raise Unreadable from None
    events = value if isinstance(value, list) else [value]
    if not events or not all(isinstance(event, dict) and ("eventType" in event or "type" in event) for event in events):
        raise Unreadable
    return [report for event in events for report in _report(event)]


def _report(event: Mapping[str, Any]) -> Iterator[Report]:
    if (event.get("eventType") or event.get("type")) != DELIVERY:
        return
    data = event.get("data")
    if not isinstance(data, dict):
        raise Unreadable
    operation, recipient, word = (data.get(name) for name in ("messageId", "recipient", "status"))
    if not (isinstance(operation, str) and isinstance(recipient, str) and isinstance(word, str)):
        raise Unreadable
    if word.lower() != _ENDS_NOTHING:
        status, reason = _WORDS.get(word.lower(), _NOT_DELIVERED)
        yield Report(operation=operation, recipient=recipient, status=status, at=_time(event, data), reason=reason)


def _time(event: Mapping[str, Any], data: Mapping[str, Any]) -> datetime:
    """When it was tried, in either spelling, else when the event was made; .NET writes seven digits of a second."""
    names = ("deliveryAttemptTimeStamp", "deliveryAttemptTimestamp")
    written = next((data[name] for name in names if data.get(name)), event.get("eventTime") or event.get("time"))
    try:
        at = datetime.fromisoformat(str(written))
    except ValueError:
        raise Unreadable from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
