"""What a provider's reports say of a message: neither their order nor their repetition may change it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import permutations
from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.address import Address
from gateway.ledger import MessageState, Report
from gateway.message import Status, new_operation
from gateway.recipients import Heard, combined, dumped, listened, loaded, news
from gateway.shown import entry_json
from gateway.stores.azure_rows import partition
from tests.factories import NOW, make_entry

OPERATION = "0f8fad5b-d9cb-469f-a165-70867728950e"
WORDS = (Status.DELIVERED, Status.BOUNCED, Status.SUPPRESSED, Status.FAILED)


def report(email: str, status: Status, reason: str = "", seconds: int = 0, operation: str = OPERATION) -> Report:
    """A provider's word."""
    at = NOW + timedelta(seconds=seconds)
    return Report(operation=operation, recipient=email, status=status, reason=reason, at=at)


def told(reports: Sequence[Report], status: Status = Status.SENT) -> tuple[Heard, Status, str, list[str]]:
    """What is known after all of them: of the recipients, of a message to a@x and b@x, and its history's words."""
    heard: Heard = {}
    reason = "refused" if status is Status.FAILED else ""
    words = []
    for each in reports:
        state = MessageState(id="n-1", to=(Address(email="A@x.test"),), sender="s", status=status, reason=reason)
        found = news(each, heard, OPERATION, state, ["b@x.test"])
        if found:
            heard, status, reason = found.heard, found.status, found.reason
            words += [found.word] if found.word else []
    return heard, status, reason, words


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ([], (Status.SENT, "")),
        ([("a@x.test", Status.DELIVERED, "")], (Status.SENT, "")),
        ([("a@x.test", Status.DELIVERED, ""), ("b@x.test", Status.DELIVERED, "")], (Status.DELIVERED, "")),
        ([("a@x.test", Status.BOUNCED, "hard")], (Status.BOUNCED, "hard")),
        ([("a@x.test", Status.DELIVERED, ""), ("b@x.test", Status.SUPPRESSED, "list")], (Status.SUPPRESSED, "list")),
        ([("a@x.test", Status.SUPPRESSED, "list"), ("b@x.test", Status.BOUNCED, "hard")], (Status.BOUNCED, "hard")),
        ([("a@x.test", Status.BOUNCED, "hard"), ("b@x.test", Status.FAILED, "spam")], (Status.FAILED, "spam")),
        ([("a@x.test", Status.DELIVERED, ""), ("a@x.test", Status.BOUNCED, "late")], (Status.BOUNCED, "late")),
        ([("list@x.test", Status.BOUNCED, "member")], (Status.BOUNCED, "member")),
    ],
)
def test_a_message_is_as_its_worst_recipient(
    reports: list[tuple[str, Status, str]], expected: tuple[Status, str]
) -> None:
    """Who was not reported on counts as sent, and the worst word on each counts."""
    assert told([report(*each) for each in reports])[1:3] == expected


def test_no_order_of_the_reports_changes_the_end() -> None:
    """Delivered, then bounced, with two reasons for one failure, and a stranger."""
    reports = [
        report("a@x.test", Status.DELIVERED, seconds=5),
        report("a@x.test", Status.FAILED, "quarantined", 9),
        report("a@x.test", Status.FAILED, "filtered_spam", 9),
        report("b@x.test", Status.FAILED, "later", 12),
        report("B@x.test ", Status.BOUNCED, "hard"),
        report("c@x.test", Status.DELIVERED),
    ]

    ends = [told(order)[:3] for order in permutations(reports)]

    assert {(status, reason) for _, status, reason in ends} == {(Status.FAILED, "filtered_spam")}
    assert all(heard == ends[0][0] for heard, _, _ in ends)


REPORTS = st.lists(
    st.builds(
        report,
        st.sampled_from(["a@x.test", "b@x.test", "c@x.test"]),
        st.sampled_from(WORDS),
        st.sampled_from(["", "p", "q"]),
        st.integers(0, 2),
        st.sampled_from([OPERATION, OPERATION.upper(), "another"]),
    ),
    max_size=6,
)


@given(REPORTS, st.randoms(use_true_random=False), st.sampled_from([Status.SENT, Status.UNKNOWN, Status.FAILED]))
def test_order_and_repetition_change_nothing(reports: list[Report], random: Random, status: Status) -> None:
    """Whatever is reported, and wherever the message stands."""
    again = [*reports, *reports]
    random.shuffle(again)

    assert told(again, status)[:3] == told(reports, status)[:3]


@given(REPORTS)
def test_what_is_known_survives_being_written_down(reports: list[Report]) -> None:
    """As bytes and back."""
    heard = told(reports)[0]

    assert loaded(dumped(heard)) == heard


def test_a_word_is_told_once() -> None:
    """The history has a line for each new word, and none for one that is no news."""
    reports = [
        report("a@x.test", Status.DELIVERED),
        report("a@x.test", Status.DELIVERED),
        report("a@x.test", Status.BOUNCED, "hard", 5),
        report("a@x.test", Status.BOUNCED, "hard", 4),
        report("a@x.test", Status.DELIVERED, "", 9),
        report("b@x.test", Status.DELIVERED),
    ]

    heard, *_, words = told(reports)

    assert words == ["delivered", "bounced", "delivered"]
    assert [(state.email, state.status, state.at - NOW) for state in heard[OPERATION]] == [
        ("a@x.test", Status.BOUNCED, timedelta(seconds=4)),
        ("b@x.test", Status.DELIVERED, timedelta()),
    ]


def test_a_report_that_is_no_news_changes_nothing() -> None:
    """So that nothing is written for it."""
    heard = listened({}, report("a@x.test", Status.BOUNCED))
    assert heard is not None

    assert listened(heard, report("A@X.test", Status.DELIVERED)) is None


def test_nobody_reported_on_is_sent() -> None:
    """The provider took it, no more is known."""
    assert combined(["a@x.test"], ()) == (Status.SENT, "")
    assert combined([], ()) == (Status.SENT, "")


# ----------------------------------------------------------------------------------------- what hangs on it elsewhere


@pytest.mark.parametrize("end", "0123456789abcdefABCDEF")
def test_an_operation_id_ends_as_its_notification_does(end: str) -> None:
    """A report brings nothing else, and must find the partition; the rest of it is random, for who knows the id too."""
    notification = f"7c9e6679-7425-40de-944b-e07fc1f90ae{end}"

    first, second = (new_operation(notification) for _ in range(2))

    assert {str(UUID(first)), str(UUID(second))} == {first, second}
    assert first[:-1] != second[:-1]
    assert first[-1] == second[-1] == end.lower() == partition(notification)


def test_an_operation_id_is_whole_whatever_the_notification_is_called() -> None:
    """Only ids of our own making end in a digit."""
    assert [len(new_operation(id)) for id in ("crm", "-", "x", "")] == [36] * 4


def test_a_notification_shows_the_recipients_that_were_reported_on() -> None:
    """And looks as ever where none was."""
    heard = told([report("b@x.test", Status.BOUNCED, "hard", 1)])[0]
    state = MessageState(id="n-1", to=(), sender="s", status=Status.BOUNCED, recipients=heard[OPERATION])
    silent = MessageState(id="n-2", to=(), sender="s", status=Status.SENT)

    first, second = entry_json(make_entry(messages=(state, silent)))["messages"]

    assert first["recipients"] == [
        {"email": "b@x.test", "status": "bounced", "reason": "hard", "at": "2026-03-02T09:30:01.000Z"}
    ]
    assert "recipients" not in second
