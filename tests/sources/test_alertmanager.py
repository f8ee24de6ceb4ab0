"""The Alertmanager source: titles, states, severities, times and links of groups, and what is no group."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import sources
from gateway.address import has_control
from gateway.notification import Notification, Severity, State
from gateway.sources.alertmanager import MOST_ITEMS, parse
from tests.sources.cases import PAYLOADS


def alert(labels: dict[str, Any] | None = None, status: str | None = "firing", **more: Any) -> dict[str, Any]:
    given_labels = {"alertname": "HighLatency", "instance": "api-1", "severity": "critical"}
    return {"labels": given_labels if labels is None else labels, "status": status, **more}


def read(*alerts: dict[str, Any], **group: Any) -> Notification:
    (found,) = parse(json.dumps({"alerts": alerts, **group}).encode(), {}, "prod")
    return found


def captured(case: str) -> bytes:
    return (PAYLOADS / "alertmanager" / f"{case}.json").read_bytes()


@pytest.mark.parametrize(
    ("labels", "title"),
    [
        ({"alertname": "HighLatency", "instance": "api-1"}, "HighLatency on api-1"),
        ({"alertname": "Crash", "pod": "p", "namespace": "n", "cluster": "c"}, "Crash on p"),
        ({"alertname": "Quota", "namespace": "n", "cluster": "c"}, "Quota on c"),
        ({"alertname": "Backup", "job": "nightly"}, "Backup on nightly"),
        ({"alertname": "Watchdog"}, "Watchdog"),
        ({"alertname": "A\r\nB", "instance": "x\u2028y"}, "A B on x y"),
        ({"alertname": "x" * 500}, "x" * 200),
        ({"team": "web"}, "Alert"),
    ],
)
def test_a_title_says_what_and_where(labels: dict[str, str], title: str) -> None:
    """The label that tells most about the place, on one line."""
    assert title == read(alert(labels)).title


def test_a_nameless_alert_is_called_by_what_it_says() -> None:
    """Senders without labels have a summary at least."""
    assert "Disk is full" == read({"annotations": {"summary": "Disk is full", "description": "91 %"}}).title


@pytest.mark.parametrize(
    ("all_labels", "title"),
    [
        (
            [{"alertname": "A", "instance": "1", "cluster": "c"}, {"alertname": "A", "instance": "2", "cluster": "c"}],
            "A on c",
        ),
        ([{"alertname": "A", "instance": "1", "job": "j"}, {"alertname": "A", "instance": "2", "job": "j"}], "A on 1"),
        ([{"alertname": "A", "pod": "p"}, {"alertname": "B", "pod": "p"}], "A, B on p"),
        ([{"alertname": "A"}, {"alertname": "B"}, {"alertname": "C"}, {"alertname": "A"}], "A, B and 1 more"),
        ([{"summary": "x"}, {"summary": "y"}], "Alert"),
    ],
)
def test_a_groups_title_is_what_its_alerts_share(all_labels: list[dict[str, str]], title: str) -> None:
    """How many there are is said beside it; a job is no place when it has many machines."""
    assert title == read(*map(alert, all_labels)).title


@pytest.mark.parametrize(
    ("statuses", "group", "state"),
    [
        (["firing", "firing"], "firing", State.FIRING),
        (["resolved", "firing"], "firing", State.FIRING),
        (["resolved", "resolved"], "resolved", State.RESOLVED),
        (["resolved", "resolved"], "firing", State.RESOLVED),
        ([None, None], "resolved", State.RESOLVED),
        ([None, "firing"], "resolved", State.FIRING),
        ([None], None, State.FIRING),
        (["Resolved"], "FIRING", State.RESOLVED),
        (["suppressed"], 5, State.FIRING),
    ],
)
def test_a_group_fires_while_one_of_its_alerts_does(statuses: list[Any], group: Any, state: State) -> None:
    """An alert without a status has its group's; what is unknown fires, since nobody may miss it."""
    assert state is read(*(alert(status=status) for status in statuses), status=group).state


def test_the_severity_is_the_worst_that_still_fires() -> None:
    """With the tool's own word; the title is of what fires, too."""
    found = read(
        alert({"alertname": "Over", "severity": "critical"}, "resolved"),
        alert({"alertname": "Bad", "severity": "P2"}),
        alert({"alertname": "Slow", "severity": "minor"}),
    )

    assert (Severity.ERROR, "P2", "Bad, Slow") == (found.severity, found.severity_word, found.title)
    assert [Severity.CRITICAL, Severity.ERROR, Severity.WARNING] == [item.severity for item in found.items]


@pytest.mark.parametrize("labels", [{"alertname": "A"}, {"alertname": "A", "severity": "purple"}])
def test_an_unknown_severity_is_a_warning(labels: dict[str, str]) -> None:
    """Many rules have none."""
    assert Severity.WARNING is read(alert(labels)).severity


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-11-23T14:45:11.019305012Z", datetime(2026, 11, 23, 14, 45, 11, 19305, tzinfo=UTC)),
        ("2026-11-23T06:33:21.873077559-05:00", datetime(2026, 11, 23, 11, 33, 21, 873077, tzinfo=UTC)),
        ("2026-11-23T14:45:11+05:30", datetime(2026, 11, 23, 9, 15, 11, tzinfo=UTC)),
        ("2026-11-23T14:45:11", datetime(2026, 11, 23, 14, 45, 11, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("9999-12-31T23:59:59-14:00", None),
        ("", None),
        ("yesterday", None),
        (1_790_000_000, None),
        (None, None),
    ],
)
def test_go_times_are_read(written: Any, meant: datetime | None) -> None:
    """Nanoseconds, offsets, and the year 1 for never."""
    found = read(alert(status="resolved", startsAt=written, endsAt=written))

    assert (meant, meant) == (found.items[0].starts, found.items[0].ends)
    assert (meant, meant) == (found.starts, found.ends)


def test_a_firing_alert_has_no_end() -> None:
    """Prometheus sends the time at which it would be forgotten."""
    found = read(alert(startsAt="2026-11-23T14:00:00Z", endsAt="2026-11-23T14:04:00Z"))

    assert (None, None) == (found.ends, found.items[0].ends)


def test_texts_fields_and_links_of_an_alert() -> None:
    """Summary and description are its text, web addresses its links, everything else stays readable."""
    notes = {
        "value": "91 %",
        "description": "The disk\r\nfills.",
        "summary": "Disk almost full",
        "runbook_url": "https://runbooks.example.com/disk",
        "dashboard_url": "http://grafana.example.com/d/1",
        "wiki_page": "https://wiki.example.com/disk",
        "empty": " ",
    }
    (item,) = read(alert(annotations=notes, generatorURL="http://prometheus.example.com/graph?a=b")).items

    assert "Disk almost full\n\nThe disk\nfills." == item.text
    assert [("value", "91 %")] == [(pair.name, pair.value) for pair in item.fields]
    assert ["Runbook", "Dashboard", "wiki page", "Source"] == [link.label for link in item.links]


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "ftp://example.com",
        "//example.com",
        "http://",
        "http://[broken",
        "https://example.com/a b",
        'https://example.com/"onclick="x',
        "https://example.com/<script>",
        "https://example.com/\r\nx",
        "https://example.com/" + "x" * 5000,
        "",
        5,
        None,
    ],
)
def test_only_web_addresses_become_links(url: Any) -> None:
    """What is none stays a text, or is left out."""
    found = read(alert(annotations={"runbook_url": url}, generatorURL=url), externalURL=url)

    assert ((), ()) == (found.links, found.items[0].links)


def test_a_silence_is_one_click_away_while_it_fires() -> None:
    """Alertmanager's own page for exactly this group; nobody silences what is over."""
    external = {"externalURL": "https://am.example.com/x/", "commonLabels": {"alertname": 'a"b\\c'}}
    firing, resolved = read(alert(), **external), read(alert(status="resolved"), **external)

    assert ["https://am.example.com/x/"] == [link.url for link in resolved.links]
    expected = "https://am.example.com/x/#/silences/new?filter=%7Balertname%3D%22a%5C%22b%5C%5Cc%22%7D"
    assert ["https://am.example.com/x/", expected] == [link.url for link in firing.links]


def test_labels_are_the_groups() -> None:
    """Common and group labels; senders that leave them out get what all alerts share."""
    said = read(alert(), commonLabels={"a": "1", "b": "1"}, groupLabels={"b": "2", "n": 5, "t": True})
    left_out = read(alert({"alertname": "A", "x": "1"}), alert({"alertname": "A", "x": "2"}))

    assert {"a": "1", "b": "2", "n": "5", "t": "true"} == said.labels
    assert {"alertname": "A"} == left_out.labels


def test_firing_and_resolved_share_a_thread() -> None:
    """And another group does not; without a key the group's labels bind them."""
    key = {"groupKey": '{}:{alertname="A"}'}
    assert read(alert(), **key).thread == read(alert({"alertname": "other"}, "resolved"), **key).thread
    assert read(alert(), **key).thread != read(alert(), groupKey='{}:{alertname="B"}').thread
    assert read(alert()).thread == read(alert(status="resolved"), groupKey="").thread
    assert read(alert(), groupKey=8271635540912234551).thread != read(alert()).thread


def test_there_is_no_redelivery_key() -> None:
    """A reminder after repeat_interval has the very same body as a retry; it must be a mail."""
    assert parse(captured("firing_single"), {}, "prod")[0].key is None


@pytest.mark.parametrize(("truncated", "more"), [(0, 0), (17, 17), ("3", 3), (None, 0), (-1, 0), (1.5, 0), ([], 0)])
def test_alerts_that_alertmanager_left_out_are_counted(truncated: Any, more: int) -> None:
    """max_alerts cuts the list."""
    assert more == read(alert(), truncatedAlerts=truncated).more


def test_a_flood_is_cut_and_counted() -> None:
    """Ten thousand alerts are no mail that anybody reads."""
    found = read(*[alert()] * (MOST_ITEMS + 7), truncatedAlerts=3)

    assert (MOST_ITEMS, 10) == (len(found.items), found.more)


@pytest.mark.parametrize(
    "value",
    [
        None,
        5,
        "text",
        [],
        [alert()],
        {},
        {"alerts": None},
        {"alerts": []},
        {"alerts": {}},
        {"alerts": "x"},
        {"alerts": [5]},
        {"alerts": [alert(), None]},
        {"alerts": [{}]},
        {"alerts": [{"labels": {}, "annotations": None}]},
        {"alerts": [{"labels": 5}]},
        {"alerts": [{"labels": ["a"]}]},
        {"alerts": [{"labels": {"a": {"b": 1}}}]},
        {"alerts": [{"labels": {"a": "b"}, "annotations": {"a": [1]}}]},
        {"alerts": [alert()], "commonLabels": [1]},
    ],
)
def test_what_is_no_group_of_alerts_becomes_a_dump(value: Any) -> None:
    """A changed format is shown as it came; no alert is refused for its shape."""
    body = json.dumps(value).encode()

    with pytest.raises(ValueError, match=r"alert|annotations"):
        parse(body, {}, "prod")
    assert [True] == [found.unmapped for found in sources.read("alertmanager", body, {}, "prod")]


def test_three_hundred_alerts_are_read_fast() -> None:
    """A cluster that falls over sends them at once, and Alertmanager waits for the answer."""
    group = json.loads(captured("firing_multi"))
    group["alerts"] = [
        {**one, "labels": {**one["labels"], "instance": f"node{number}"}}
        for number, one in enumerate(group["alerts"] * 150)
    ]
    body = json.dumps(group).encode()
    begin = time.process_time()

    (found,) = parse(body, {}, "prod")

    assert (300, "InstanceDown on node0") == (len(found.items), found.title)
    assert 0.25 > time.process_time() - begin


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10)
MAPS = st.dictionaries(st.text(max_size=5) | st.sampled_from(["alertname", "instance", "severity"]), VALUES, max_size=4)
ALERTS = st.fixed_dictionaries(
    {},
    optional={
        "labels": MAPS | VALUES,
        "annotations": MAPS | VALUES,
        "status": st.sampled_from(["firing", "resolved", "x"]) | VALUES,
        "startsAt": st.datetimes().map(datetime.isoformat) | VALUES,
        "endsAt": VALUES,
        "generatorURL": st.sampled_from(["http://a.example", "javascript:x"]) | VALUES,
    },
)
GROUPS = st.fixed_dictionaries(
    {"alerts": st.lists(ALERTS, max_size=4) | VALUES},
    optional={
        "status": VALUES,
        "groupKey": VALUES | MAPS,
        "groupLabels": MAPS | VALUES,
        "commonLabels": MAPS | VALUES,
        "externalURL": st.sampled_from(["http://a.example", "javascript:x"]) | VALUES,
        "truncatedAlerts": VALUES,
    },
)


@settings(deadline=None)
@given(GROUPS)
def test_whatever_a_group_holds_becomes_one_notification(group: dict[str, Any]) -> None:
    """Loose types everywhere, and nothing a header is made of breaks a line."""
    (found,) = sources.read("alertmanager", json.dumps(group).encode(), {}, "prod")

    assert not has_control(found.title)
    assert not any(has_control(item.title) for item in found.items)
    links = [*found.links, *(link for item in found.items for link in item.links)]
    assert all(link.url.startswith("http://a.example") for link in links)
    assert found.model_dump_json()
