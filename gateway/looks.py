"""What a look's templates see: a Notification and a language come in, plain strings, lists and dicts go out.

Only plain values reach a template, never a model with methods. Everything is cut to a size that a mail can carry,
because a webhook may be 10 MB and ACS refuses what is larger than that.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from gateway.address import one_line
from gateway.notification import Item, Link, Notification, Pair, Severity, State, untitled
from gateway.words import when, words_for

SHOWN = 40
"""Items of a group that a mail shows; the rest is counted. Gmail clips a mail at 102 KB."""

ROWS = 200
"""Labels or fields that a table shows; a whole unmapped payload may have thousands."""

VALUE_LIMIT = 10_000
"""Characters of one field, label or item's text."""

TEXT_LIMIT = 100_000
"""Characters of a notification's own text, which may be a whole dump."""

SUBJECT_LIMIT = 200
"""Characters of a subject of ours; Outlook and Exchange cut at 255."""

WHITE, BLACK = "#ffffff", "#2b1d00"
COLOURS = {
    "critical": ("#b01e2e", WHITE),
    "error": ("#c2410c", WHITE),
    "warning": ("#f3b63f", BLACK),
    "info": ("#1d5fbf", WHITE),
    "resolved": ("#15743a", WHITE),
    "acknowledged": ("#5b4b9a", WHITE),
}
"""A state's or severity's colour, and the letters that are legible on it (WCAG AA, at least 4.5 to 1)."""

OPEN = frozenset({State.FIRING, State.ACKNOWLEDGED})
"""States that have begun and not ended."""

Pairs = list[tuple[str, str]]


def is_alert(notification: Notification) -> bool:
    """Whether it speaks of something that is wrong, was wrong or is being mended; a dump may say so by severity."""
    return bool(notification.items) or notification.state != State.INFO or notification.severity != Severity.INFO


def look_for(notification: Notification) -> str:
    """The look of a notification whose route names none."""
    if notification.kind == "form":
        return "form"
    return "alert" if is_alert(notification) else "default"


def standing(state: State, severity: Severity) -> str:
    """The one word that counts: how bad it is while it fires, else that it is over or in somebody's hands."""
    return state.value if state in {State.RESOLVED, State.ACKNOWLEDGED} else severity.value


def subject(notification: Notification, language: str) -> str:
    """`[CRITICAL] HighLatency on api-1 (+2)`, `[contact] a visitor's words`, or the bare title of what is neither.

    What a stranger wrote says so: the mail comes from the owner's own address.
    """
    title = cut_plainly(one_line(notification.title), SUBJECT_LIMIT - 30) or f"Notification from {notification.source}"
    if notification.kind == "form" and title != untitled(notification.source):
        return cut_plainly(f"[{notification.source}] {title}", SUBJECT_LIMIT)
    if not is_alert(notification):
        return title
    tag = words_for(language)[f"tag_{standing(notification.state, notification.severity)}"]
    others = max(len(notification.items) - 1, 0) + notification.more
    return f"[{tag}] {title}{f' (+{others})' if others else ''}"


def variables(notification: Notification, language: str) -> dict[str, Any]:
    """What every template may use: a look's, and the ones a source has for subject and reply_to."""
    envelope = notification.envelope
    return {
        "language": language,
        "source": notification.source,
        "kind": notification.kind,
        "title": notification.title,
        "text": notification.text,
        "subject": notification.subject,
        "state": notification.state.value,
        "severity": notification.severity.value,
        "severity_word": notification.severity_word,
        "labels": notification.labels,
        "fields": _by_name(notification.fields) if notification.fields else {},
        "data": envelope.data if envelope else {},
        "more": notification.more,
        "unmapped": notification.unmapped,
    }


def view(notification: Notification, language: str, answers_to: str = "") -> dict[str, Any]:
    """`variables`, and the same made ready to be shown: tables, times, links, and each item of a group."""
    words = words_for(language)
    context = variables(notification, language)
    native, text = notification.kind == "native", notification.text
    context |= {
        "words": words,
        "heading": "" if native and text else notification.title,
        "text": text if native else _cut(text, words, TEXT_LIMIT),
        "rows": _rows(notification.fields, words) or _data_rows(context["data"], words),
        "links": _links(notification.links),
        "files": [(file.name, _size(len(file.content))) for file in notification.attachments],
        "reply_hint": words["reply"].format(answers_to) if answers_to else "",
        "note": words["unmapped"].format(notification.kind) if notification.unmapped else "",
        "footer": "" if native else words["from_source"].format(notification.source),
        "columns": "\t" in text or text.count("   ") > 2,
        "preview": one_line(text[:200]),
    }
    return context | _group(context, notification, words)


def _group(context: dict[str, Any], notification: Notification, words: dict[str, str]) -> dict[str, Any]:
    """The band's words and, for more than one item, an entry for each; one alone is merged into the whole."""
    items = notification.items[:SHOWN]
    many = len(items) > 1
    word = standing(notification.state, notification.severity)
    shared = _shared_labels(notification, items)
    left_out = len(notification.items) - len(items) + notification.more
    group: dict[str, Any] = {
        "tag": words[f"tag_{word}"],
        "colour": COLOURS[word][0],
        "ink": COLOURS[word][1],
        "facts": _facts(notification, words),
        "alerts": [_alert(item, shared, words) for item in items] if many else [],
        "rest": words["more"].format(left_out) if left_out else "",
        "shared": _table(shared, words) if many else [],
    }
    if len(items) == 1:
        group |= _merged(context, notification, items[0], words)
    if not many:
        group["rows"] = group.get("rows", context["rows"]) + _table(shared, words)
    return group


def _facts(notification: Notification, words: dict[str, str]) -> str:
    """How many, since when, and what the tool calls it."""
    items = notification.items
    going_on = notification.state in OPEN
    meant = [item for item in items if (item.state in OPEN) == going_on]
    starts = notification.starts or min((item.starts for item in meant if item.starts), default=None)
    ends = notification.ends or max((item.ends for item in meant if item.ends), default=None)
    return _joined(
        _summary(items, words),
        when(starts, ends, words, open_=going_on),
        _own_word(notification, words) or (_own_word(items[0], words) if len(items) == 1 else ""),
    )


def _joined(*facts: str) -> str:
    return " · ".join(filter(None, facts))


def _merged(context: dict[str, Any], notification: Notification, item: Item, words: dict[str, str]) -> dict[str, Any]:
    """A single item needs no list: what it says stands under the headline."""
    said = {notification.text: "", item.title: "", item.text: ""}
    texts = [text for text in said if text not in notification.title]
    links = context["links"]
    return {
        "text": _cut("\n\n".join(texts), words, TEXT_LIMIT),
        "rows": context["rows"] + _rows(item.fields, words),
        "links": links + [link for link in _links(item.links) if link not in links],
    }


def _alert(item: Item, shared: Mapping[str, str], words: dict[str, str]) -> dict[str, Any]:
    word = standing(item.state, item.severity)
    labels = {name: value for name, value in _telling(item.labels, item).items() if shared.get(name) != value}
    times = when(item.starts, item.ends, words, open_=item.state in OPEN)
    return {
        "title": _cut(item.title, words),
        "text": "" if item.text == item.title else _cut(item.text, words),
        "state": item.state.value,
        "severity": item.severity.value,
        "colour": COLOURS[word][0],
        "facts": _joined(words[word], times, _own_word(item, words)),
        "rows": _rows(item.fields, words) + _table(labels, words),
        "links": _links(item.links),
    }


def _shared_labels(notification: Notification, items: tuple[Item, ...]) -> dict[str, str]:
    """The notification's own labels and those that every item has, which then need not stand in each."""
    labels = _telling(notification.labels, notification)
    if not items:
        return labels
    first, rest = items[0], items[1:]
    common = {
        name: value for name, value in first.labels.items() if all(item.labels.get(name) == value for item in rest)
    }
    return _telling(_telling(common, first), notification) | labels


def _telling(labels: Mapping[str, str], thing: Notification | Item) -> dict[str, str]:
    """The labels without what stands there anyway: the severity, and fields that are labels too."""
    fields = {(pair.name, pair.value) for pair in thing.fields}
    severity = {thing.severity.value, thing.severity_word.lower()}
    return {
        name: value
        for name, value in labels.items()
        if (name, value) not in fields and not (name.lower() == "severity" and value.lower() in severity)
    }


def _summary(items: tuple[Item, ...], words: dict[str, str]) -> str:
    """`3 firing, 1 resolved`; empty for a single thing."""
    if len(items) < 2:
        return ""
    states = [item.state for item in items]
    return ", ".join(f"{states.count(state)} {words[f'count_{state}']}" for state in State if state in states)


def _own_word(thing: Notification | Item, words: dict[str, str]) -> str:
    """`Severity: Disaster`, where the tool's own word says something else than ours."""
    own = thing.severity_word.strip()
    return f"{words['severity']}: {own}" if own and own.lower() != thing.severity.value else ""


def _by_name(pairs: Iterable[Pair]) -> dict[str, str]:
    """Fields by their name; the values of one that was sent several times stand together."""
    found: dict[str, str] = {}
    for pair in pairs:
        found[pair.name] = f"{found[pair.name]}, {pair.value}" if pair.name in found else pair.value
    return found


def _rows(pairs: tuple[Pair, ...], words: dict[str, str]) -> Pairs:
    rows = [(_cut(pair.name, words, 200), _cut(pair.value, words)) for pair in pairs[:ROWS]]
    return rows + _rest(len(pairs), words)


def _table(values: Mapping[str, str], words: dict[str, str]) -> Pairs:
    rows = [(_cut(name, words, 200), _cut(value, words)) for name, value in islice(values.items(), ROWS)]
    return rows + _rest(len(values), words)


def _data_rows(data: dict[str, Any], words: dict[str, str]) -> Pairs:
    """A caller's `data` for a look that has no place of its own for it."""
    shown = {name: value if isinstance(value, str) else _json(value) for name, value in islice(data.items(), ROWS)}
    return _table(shown, words) + _rest(len(data), words)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _rest(count: int, words: dict[str, str]) -> Pairs:
    return [("…", words["more"].format(count - ROWS))] if count > ROWS else []


def _links(links: tuple[Link, ...]) -> Pairs:
    """Only what leads to the web: no javascript:, no data:, nothing that a space or a quote could end early."""
    return [
        (one_line(link.label)[:100] or link.url, link.url)
        for link in links[:20]
        if link.url.lower().startswith(("http://", "https://")) and not any(c in link.url for c in " \t\r\n\"'<>")
    ]


def _size(count: int) -> str:
    return f"{count} B" if count < 1000 else f"{count / 1000:.0f} KB" if count < 999_500 else f"{count / 1e6:.1f} MB"


def _cut(text: str, words: dict[str, str], limit: int = VALUE_LIMIT) -> str:
    return text if len(text) <= limit else text[:limit] + words["cut"].format(len(text) - limit)


def cut_plainly(text: str, limit: int) -> str:
    """At most `limit` characters, an ellipsis being the last of what was longer."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"
