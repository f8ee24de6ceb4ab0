"""Prometheus Alertmanager's webhook: a group of alerts comes in, one Notification with an Item for each goes out.

Version 4, version 3 (groupKey is a number there) and senders that leave out what they do not have (a status, a
fingerprint, common labels) are understood. What has no list of alerts raises ValueError and is mailed as a dump.

There is no re-delivery key on purpose. Alertmanager repeats a group after `repeat_interval`, and once more after a lost
answer, with byte for byte the same body and no id of its own: a reminder that somebody waits for cannot be told from a
retry. So each one is a mail.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

from gateway.address import one_line
from gateway.notification import Item, Link, Notification, Pair, State, severity_of, worst
from gateway.sources.jsontext import scalar
from gateway.sources.payload import Unmapped, plain, sniff

MOST_ITEMS = 1000
"""Alerts that are read; a mail with more would help nobody, so the rest is counted."""

MOST_WHOLE = 100
"""Alerts of which everything is kept; of the others a mail shows nothing, and only labels are matched."""

MOST_LABELS = 500
"""Labels or annotations of one alert; what has more was not sent by Alertmanager."""

LONGEST_TITLE = 200

# What says best where it happens. A job is a name for many machines, so it only stands in for all others.
_PLACES = "instance pod node host hostname device service cluster namespace job".split()
_TEXTS = ("summary", "title", "message", "description")
_LINK_LABELS = {"runbook_url": "Runbook", "runbook": "Runbook", "dashboard_url": "Dashboard", "dashboard": "Dashboard"}


def parse(body: bytes, headers: Mapping[str, str], source: str) -> list[Notification]:
    """One Notification for the group; ValueError when this is no group of alerts."""
    payload = sniff(body, headers)
    group = payload.value
    try:
        alerts = _alerts(group)
    except ValueError as error:
        raise Unmapped(payload, str(error)) from None
    state = _state(group.get("status"), State.FIRING)
    items = tuple(_item(alert, state, whole=number < MOST_WHOLE) for number, alert in enumerate(alerts[:MOST_ITEMS]))
    firing = tuple(item for item in items if item.state is State.FIRING)
    told = firing or items
    gravest = worst([item.severity for item in told])
    common = _strings(group.get("commonLabels")) or _common(items)
    labels = {**common, **_strings(group.get("groupLabels"))}
    notification = Notification(
        source=source,
        kind="alertmanager",
        title=_title(told, labels),
        state=State.FIRING if firing else State.RESOLVED,
        severity=gravest,
        severity_word=next((item.severity_word for item in told if item.severity is gravest), ""),
        thread=_thread(group.get("groupKey"), labels),
        starts=min((item.starts for item in told if item.starts), default=None),
        ends=None if firing else max((item.ends for item in items if item.ends), default=None),
        labels=labels,
        links=tuple(_group_links(group.get("externalURL"), labels, firing=bool(firing))),
        items=items,
        more=_count(group.get("truncatedAlerts")) + len(alerts) - len(items),
    )
    return [notification]


def _alerts(group: Any) -> list[dict[str, Any]]:
    alerts = group.get("alerts") if isinstance(group, dict) else None
    if not isinstance(alerts, list) or not alerts:
        raise ValueError("there is no list of alerts")
    for alert in alerts:
        if not isinstance(alert, dict) or not (alert.get("labels") or alert.get("annotations")):
            raise ValueError("an alert has neither labels nor annotations")
    return alerts


def _item(alert: Mapping[str, Any], group_state: State, *, whole: bool) -> Item:
    labels = _strings(alert.get("labels"))
    annotations = _strings(alert.get("annotations"))
    kept = annotations if whole else [name for name in _TEXTS if name in annotations]
    notes = {name: plain(annotations[name]).strip() for name in kept}
    state = _state(alert.get("status"), group_state)
    texts = dict.fromkeys(text for name in _TEXTS if (text := notes.get(name)))
    urls = {name: text for name, text in notes.items() if _is_url(text)}
    rest = {name: text for name, text in notes.items() if text and name not in _TEXTS and name not in urls}
    return Item(
        title=_headline([labels], labels) or one_line(next(iter(texts), "Alert"))[:LONGEST_TITLE],
        text="\n\n".join(texts),
        state=state,
        severity=severity_of(labels.get("severity", "")),
        severity_word=one_line(labels.get("severity", "")),
        starts=_time(alert.get("startsAt")),
        # A firing alert's end is when it would be forgotten, not when it was over.
        ends=_time(alert.get("endsAt")) if state is State.RESOLVED else None,
        labels=labels,
        fields=tuple(Pair(name=name, value=text) for name, text in rest.items()),
        links=tuple(_links(urls, alert.get("generatorURL"))),
    )


def _title(items: Sequence[Item], labels: Mapping[str, str]) -> str:
    """What is wrong, and where, of a whole group; how many there are is said beside it."""
    if len(items) == 1:
        return items[0].title
    all_labels = [item.labels for item in items]
    names = dict.fromkeys(name for one in all_labels if (name := one.get("alertname")))
    if len(names) > 1:
        first, second, *others = names
        more = f" and {len(others)} more" if others else ""
        where = _place(labels)
        return one_line(f"{first}, {second}{more}{f' on {where}' if where else ''}")[:LONGEST_TITLE]
    return _headline(all_labels, labels) or items[0].title


def _headline(all_labels: Sequence[Mapping[str, str]], common: Mapping[str, str]) -> str:
    """`HighLatency on api-1`: by what all of them share, else by the first of them."""
    first = all_labels[0]
    name = first.get("alertname") or common.get("alertname", "")
    if not name:
        return ""
    shared = {key: value for key, value in common.items() if key != "job"} if len(all_labels) > 1 else common
    where = _place(shared) or _place(first)
    return one_line(f"{name} on {where}" if where else name)[:LONGEST_TITLE]


def _place(labels: Mapping[str, str]) -> str:
    return next((labels[name] for name in _PLACES if labels.get(name)), "")


def _links(urls: Mapping[str, str], generator: Any) -> Iterator[Link]:
    for name, url in urls.items():
        label = _LINK_LABELS.get(name.lower()) or one_line(name.replace("_", " "))
        yield Link(label=label[:60] or "Link", url=url)
    if isinstance(generator, str) and _is_url(generator):
        yield Link(label="Source", url=generator)


def _group_links(external: Any, labels: Mapping[str, str], *, firing: bool) -> Iterator[Link]:
    """Alertmanager's own page and, while it fires, its form for a silence of exactly this group."""
    if not isinstance(external, str) or not _is_url(external):
        return
    yield Link(label="Alertmanager", url=external)
    if firing and labels:
        matchers = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in labels.items())
        if len(matchers) <= 1000:
            page = f"{external.rstrip('/')}/#/silences/new?filter={quote('{' + matchers + '}')}"
            yield Link(label="Silence", url=page)


def _is_url(text: str) -> bool:
    """Only what is a web address from beginning to end may become a link."""
    if not text.startswith(("http://", "https://")) or len(text) > 4000:
        return False
    if not text.isprintable() or any(character in text for character in ' "<>\\'):
        return False
    try:
        return bool(urlsplit(text).hostname)
    except ValueError:
        return False


def _thread(group_key: Any, labels: Mapping[str, str]) -> str:
    """The same for all that is ever said about this group: its key, else its labels."""
    known = isinstance(group_key, str | int) and not isinstance(group_key, bool) and group_key != ""
    seed = str(group_key) if known else json.dumps(sorted(labels.items()), ensure_ascii=False)
    return hashlib.sha256(seed.encode("utf-8", "replace")).hexdigest()[:32]


def _state(word: Any, default: State) -> State:
    words = {"firing": State.FIRING, "resolved": State.RESOLVED}
    return words.get(word.strip().lower(), default) if isinstance(word, str) else default


def _strings(value: Any) -> dict[str, str]:
    """Labels or annotations; numbers in them are loose typing, anything but an object is another format."""
    if value is None:
        return {}
    if isinstance(value, dict) and len(value) > MOST_LABELS:
        raise ValueError(f"an alert has more than {MOST_LABELS} labels or annotations")
    if not isinstance(value, dict) or any(isinstance(item, dict | list) for item in value.values()):
        raise ValueError("labels and annotations are objects of texts")
    return {name: item if isinstance(item, str) else scalar(item) for name, item in value.items()}


def _common(items: Sequence[Item]) -> dict[str, str]:
    """What all alerts share, for senders that leave it to the reader."""
    first, *rest = items
    return {name: value for name, value in first.labels.items() if all(one.labels.get(name) == value for one in rest)}


def _time(value: Any) -> datetime | None:
    """Go writes nanoseconds, offsets and, for "never", the first second of year 1."""
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
        if at.year <= 1:
            return None
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _count(value: Any) -> int:
    """A count, however it is written; nonsense is none."""
    text = scalar(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
