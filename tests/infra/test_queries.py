"""infra/queries: the lines that a gateway really logs come in, each query answers what its first line says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import Reason
from gateway.telemetry import ALLOWED
from tests.conftest import Running
from tests.events import events
from tests.infra import kql
from tests.infra.bicep import INFRA
from tests.infra.story import POISON, REFUSALS, Story, a_day

ALERTS = (INFRA / "alerts.bicep").read_text("utf-8")
QUERIES = sorted((INFRA / "queries").glob("*.kql"))


def ask(name: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a query answers."""
    return kql.run((INFRA / f"queries/{name}.kql").read_text("utf-8"), rows)


@pytest.fixture
async def story(gateway: Running) -> Story:
    """A day in which everything happened once."""
    return await a_day(gateway)


# ----------------------------------------------------------------------------------------------- what they answer


async def test_each_query_finds_lines_of_a_real_day(story: Story) -> None:
    """None of them waits for a word that nobody writes."""
    silent = [query.stem for query in QUERIES if not ask(query.stem, story.rows)]

    assert [] == silent


async def test_what_ended_without_mail_is_counted_and_what_was_reported_later_is_not(story: Story) -> None:
    """A refusal for good, a doubt that nobody resolved, a queue message that cannot be read, and poison."""
    found = [(row["event"], row["reason"]) for row in ask("dead-letters", story.rows)]

    assert [
        ("backlog", ""),
        ("dead_letter", "malformed"),
        ("failed", "refused"),
        ("unknown", "unknown_outcome"),
    ] == sorted(found)
    assert ["quarantined"] == [line["reason"] for line in story.lines("failed") if "attempt" not in line]


async def test_refusals_are_the_providers_and_not_the_networks(story: Story) -> None:
    """A connection that was not made is nobody's refusal."""
    found = {row["reason"] for row in ask("provider-refusals", story.rows)}

    assert set(REFUSALS) - {Reason.UNREACHABLE, Reason.CONNECTION_LOST} == found


async def test_keys_that_were_refused_are_counted_each(story: Story) -> None:
    """Two lines stand for all of them, so that an alert can add them up."""
    found = [(row["source"], row["code"], row["attempts"]) for row in ask("unauthorized", story.rows)]

    assert [("", "unauthorized", 1), ("", "unauthorized", 6)] == found


async def test_who_was_kept_out_is_shown_by_source_and_reason(story: Story) -> None:
    """Wrong keys and foreign pages, the most first."""
    assert [
        {"event": "unauthorized", "source": "", "code": "unauthorized", "times": 7},
        {"event": "refused", "source": "contact", "code": "foreign_origin", "times": 1},
    ] == ask("kept-out", story.rows)


async def test_recipients_that_are_not_reached_are_counted(story: Story) -> None:
    """Those that bounced now, and those that had before."""
    found = [(row["event"], row["reason"]) for row in ask("suppressions", story.rows)]

    assert [("bounced", "hard_bounce"), ("suppressed", "suppressed_by_provider")] == found


async def test_faults_are_our_own(story: Story) -> None:
    """A mistake in our code is one, and its line names the place but not the text."""
    (row,) = ask("faults", story.rows)

    assert ("transport_bug", "") == (row["event"], row["problem"])
    assert re.fullmatch(r"ValueError at [\w.: >]+", row["error"])


async def test_the_timers_lines_say_how_long_the_oldest_waits(story: Story) -> None:
    """In seconds, as a number that an alert can compare."""
    (row,) = ask("oldest-due", story.rows)

    assert [{"runs": 1}] == ask("timer-stopped", story.rows)
    assert (0, 0) == (row["seconds"], row["waiting"])


async def test_a_bound_that_is_reached_is_told_with_its_source(story: Story) -> None:
    """And with how far it is."""
    found = [(row["event"], row["code"], row["source"], row["problem"]) for row in ask("bounds", story.rows)]

    assert [("bound_reached", "source_full", "contact", "6 of 1 open messages")] == found


async def test_poison_is_shown_for_each_queue(story: Story) -> None:
    """By the queues' names in function_app.py."""
    (row,) = ask("poison", story.rows)

    assert {name.removesuffix("-poison"): count for name, count in POISON.items()} == {
        name.replace("_", "-"): count for name, count in row.items() if name != "timestamp" and count is not None
    }


async def test_each_source_and_sender_is_counted(story: Story) -> None:
    """What it sent, and what became of it."""
    sources = {row.pop("source"): row for row in ask("by-source", story.rows)}
    (acs,) = [row for row in ask("by-sender", story.rows) if row["transport"] == "acs"]

    assert {"accepted": 1, "sent": 1, "deferred": 0, "failed": 0, "unknown": 0, "unmapped": 0} == sources["app"]
    assert {"accepted": 1, "sent": 1, "deferred": 0, "failed": 0, "unknown": 0, "unmapped": 1} == sources[
        "alertmanager"
    ]
    assert {
        "sender": "noreply",
        "transport": "acs",
        "sent": 0,
        "deferred": 7,
        "throttled": 1,
        "failed": 1,
        "unknown": 1,
    } == acs


async def test_latency_is_from_accepting_to_the_first_mail(story: Story) -> None:
    """Only where both happened."""
    rows = ask("latency", story.rows)

    assert rows
    assert all(0 <= row["median"] <= row["p95"] <= row["worst"] < 60 for row in rows)


async def test_all_words_are_shown_over_time(story: Story) -> None:
    """Every end that a message can come to."""
    counted = {row["event"]: row["lines"] for row in ask("over-time", story.rows)}

    assert {"accepted": 2, "captured": 2, "unknown": 1, "bounced": 1, "suppressed": 1, "delivered": 1} == {
        event: count for event, count in counted.items() if event not in {"deferred", "in_doubt", "failed"}
    }


async def test_sources_in_trouble_come_first(story: Story) -> None:
    """With the kind of trouble."""
    found = {(row["source"], row["event"], row["reason"]) for row in ask("failing-sources", story.rows)}

    assert {
        ("contact", "failed", "refused"),
        ("contact", "unknown", "unknown_outcome"),
        ("queue", "dead_letter", "malformed"),
        ("alertmanager", "payload_unmapped", ""),
    } <= found


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.stem)
def test_a_day_without_lines_raises_only_the_alarms_for_silence(query: Path) -> None:
    """Both count, and so answer 0 instead of nothing, which no alert could compare."""
    answer = {"silence": [{"accepted": 0}], "timer-stopped": [{"runs": 0}]}

    assert answer.get(query.stem, []) == kql.run(query.read_text("utf-8"), [])


def test_other_programs_lines_are_passed_over() -> None:
    """The host's and the libraries' lie in the same table."""
    foreign = [{"timestamp": None, "message": text} for text in ("Executed 'Functions.outbox'", "{}", "")]

    assert {} == {
        query.stem: rows
        for query in QUERIES
        if (rows := ask(query.stem, foreign)) and query.stem not in {"silence", "timer-stopped"}
    }


async def test_an_alert_compares_a_column_that_is_there(story: Story) -> None:
    """And one with a number in it."""
    rules = re.findall(r"name: '([\w-]+)'(?:(?!name: ').)*?column: '(\w+)'", ALERTS, re.DOTALL)

    assert {"oldest-due", "timer-stopped", "unauthorized", "silence"} == {name for name, _ in rules}
    assert {int} == {type(row[column]) for name, column in rules for row in ask(name, story.rows)}


# ------------------------------------------------------------------------------------------- what they ask for


REASONS = {str(reason) for reason in Reason}


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.stem)
def test_a_query_asks_for_what_is_logged(query: Path) -> None:
    """Events that the code writes, reasons that there are, facts that a line may carry."""
    text = re.sub(r"//.*", "", query.read_text("utf-8"))
    asked = {
        word
        for group in re.findall(r"event\)? (?:in \(|== )([^)|\n]*)", text)
        for word in re.findall(r"'(\w+)'", group)
    }
    reasons = {
        word for group in re.findall(r"reason (?:in \(|== )([^)|\n]*)", text) for word in re.findall(r"'(\w+)'", group)
    }

    assert asked
    assert set() == asked - events()
    assert set() == reasons - REASONS
    assert set() == set(re.findall(r"line\.(\w+)", text)) - ALLOWED - {"event"}


# ------------------------------------------------------------------------------------------------- the language


@pytest.mark.parametrize(
    "query",
    [
        "requests | where true",
        "traces | where seconds",
        "traces | join other",
        "traces | summarize x = stdev(message)",
        "traces | extend x = strlen(message)",
        "traces | where message == 'a",
        "traces | project 'a'",
    ],
)
def test_what_the_tests_do_not_understand_is_an_error(query: str) -> None:
    """Rather than an answer that nobody would get in Azure."""
    with pytest.raises(kql.Unknown):
        kql.run(query, [{"message": "a"}])
