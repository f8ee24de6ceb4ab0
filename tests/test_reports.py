"""Delivery reports: what Event Grid writes, in both schemas and every spelling, and what becomes of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.ledger import Report
from gateway.message import Status
from gateway.reports import Unreadable, parse

OPERATION = "2b1f6c1e-7f7e-4b52-9a37-6b1f7a0c2d11"
RECIPIENT = "zoe@example.com"


def data(**changes: Any) -> dict[str, Any]:
    """What Azure Communication Services says of one recipient."""
    values = {
        "sender": "noreply@example.com",
        "recipient": RECIPIENT,
        "messageId": OPERATION,
        "internetMessageId": "<x@example.com>",
        "status": "Delivered",
        "deliveryAttemptTimeStamp": "2026-03-02T09:46:12.2480265+00:00",
        "deliveryStatusDetails": {"statusMessage": "250 zoe@example.com is fine"},
    }
    return {name: value for name, value in (values | changes).items() if value is not None}


def event(**changes: Any) -> dict[str, Any]:
    """The same in Event Grid's own schema."""
    return {
        "id": "5f04f77c-2a6a-43bd-9b74-576a64c01f9e",
        "topic": "/subscriptions/0/resourceGroups/g/providers/Microsoft.Communication/communicationServices/c",
        "subject": f"sender/noreply@example.com/message/{OPERATION}",
        "eventType": "Microsoft.Communication.EmailDeliveryReportReceived",
        "eventTime": "2026-03-02T10:00:00Z",
        "dataVersion": "1.0",
        "data": data(**changes),
    }


def cloud_event(**changes: Any) -> dict[str, Any]:
    """The same as a CloudEvent."""
    return {
        "specversion": "1.0",
        "id": "5f04f77c-2a6a-43bd-9b74-576a64c01f9e",
        "source": "/subscriptions/0",
        "type": "Microsoft.Communication.EmailDeliveryReportReceived",
        "time": "2026-03-02T10:00:00Z",
        "data": data(**changes),
    }


DELIVERED = Report(
    operation=OPERATION,
    recipient=RECIPIENT,
    status=Status.DELIVERED,
    at=datetime(2026, 3, 2, 9, 46, 12, 248026, UTC),
)


@pytest.mark.parametrize(
    "value",
    [
        event(),
        [event()],
        cloud_event(),
        event(status="delivered"),
        event(deliveryAttemptTimeStamp=None, deliveryAttemptTimestamp="2026-03-02T09:46:12.2480265+00:00"),
        event(deliveryStatusDetails="250 OK"),
        event(deliveryStatusDetails=None, internetMessageId=None),
    ],
    ids=["schema", "array", "cloud event", "lower case", "other spelling", "details as text", "bare"],
)
def test_every_form_of_the_same_report_reads_the_same(value: object) -> None:
    """Microsoft's documents and examples differ in spelling and case; one recipient's word is one report."""
    assert [DELIVERED] == parse(json.dumps(value))


@pytest.mark.parametrize(
    ("word", "status", "reason"),
    [
        ("Bounced", Status.BOUNCED, "hard_bounce"),
        ("Suppressed", Status.SUPPRESSED, "suppressed_by_provider"),
        ("Quarantined", Status.FAILED, "quarantined"),
        ("FilteredSpam", Status.FAILED, "filtered_spam"),
        ("Failed", Status.FAILED, "not_delivered"),
        ("InventedTomorrow", Status.FAILED, "not_delivered"),
    ],
)
def test_every_word_but_delivered_is_bad_news(word: str, status: Status, reason: str) -> None:
    """A word that nobody knows yet is no delivery either, as Microsoft's own readme says."""
    found = [(report.status, report.reason) for report in parse(json.dumps([event(status=word)]))]

    assert [(status, reason)] == found


def test_a_list_that_was_taken_apart_and_a_click_say_nothing() -> None:
    """Expanded ends nothing, and an engagement report has no recipient."""
    click = {**event(), "eventType": "Microsoft.Communication.EmailEngagementTrackingReportReceived"}

    assert [] == parse(json.dumps([event(status="Expanded"), click]))


def test_a_batch_is_read_as_a_whole() -> None:
    """One event for each recipient."""
    batch = [event(recipient=f"{name}@example.com") for name in "abc"]

    assert ["a@example.com", "b@example.com", "c@example.com"] == [each.recipient for each in parse(json.dumps(batch))]


def test_without_a_time_of_its_own_the_event_s_counts() -> None:
    """Both spellings missing is better than a lost report."""
    (report,) = parse(json.dumps(event(deliveryAttemptTimeStamp=None)))

    assert datetime(2026, 3, 2, 10, tzinfo=UTC) == report.at


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        "[]",
        "[1]",
        "{}",
        json.dumps([event(messageId=7)]),
        json.dumps([event(recipient=None)]),
        json.dumps([{**event(), "data": "x"}]),
        json.dumps([event(deliveryAttemptTimeStamp="yesterday")]),
    ],
)
def test_what_is_no_report_is_unreadable(text: str) -> None:
    """The caller makes a dead letter of it."""
    with pytest.raises(Unreadable):
        parse(text)
