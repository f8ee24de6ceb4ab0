"""Bodies that want to cost more than they weigh, for what only one door reads: our own JSON, alerts, reports."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from tests.hostile_shapes import Hostile, Make, numbered, run_of


def _native(**fields: Any) -> bytes:
    return json.dumps({"to": "ops@example.com", "subject": "Hello", **fields}).encode()


def _list(field: str, item: Callable[[int], Any]) -> Make:
    """A member that is a list of `item(number)`."""

    def make(size: int) -> bytes:
        each = len(json.dumps(item(0))) + 2
        return _native(**{field: [item(number) for number in range(size // each)]})

    return make


def _word(field: str, piece: str, before: str = "", after: str = "") -> Make:
    return lambda size: _native(**{field: before + piece * (size // len(piece)) + after})


def _people(name: str, count: int = 500) -> Make:
    """Four lists of addresses with long names."""

    def make(size: int) -> bytes:
        share = max(1, min(900, size // count // 4))
        people = [f"{name * (share // len(name))} <u{number}@example.com>" for number in range(min(count, size // 400))]
        return json.dumps({"to": people, "cc": people, "bcc": people, "reply_to": people, "text": "x"}).encode()

    return make


def _broken_people(name: str) -> Make:
    def make(size: int) -> bytes:
        people = [name] * max(1, min(500, size // 4 // (len(name) + 4)))
        return json.dumps({"to": people, "cc": people, "bcc": people, "reply_to": people, "text": "x"}).encode()

    return make


def _spaced(size: int) -> bytes:
    content = "QU JD " * (size // 6)
    return _native(attachments=[{"name": "a.txt", "content": content}])


def _attachments(item: Callable[[int], dict[str, Any]], count: int = 100) -> Make:
    return lambda size: _native(attachments=[item(size // count)] * count)


NATIVE_BODIES = [
    Hostile("native: recipients of quotes", _word("to", '\\"', 'a,"')),
    Hostile("native: recipients of commas", _word("to", ",")),
    Hostile("native: recipients of letters and commas", _word("to", "a,")),
    Hostile("native: recipients of brackets", _word("to", "<", "a,")),
    Hostile("native: recipients of open brackets", _word("to", "<a", "a,")),
    *(Hostile(f"native: {name} of quotes", _word(name, '\\"', 'a,"')) for name in ("cc", "bcc", "reply_to")),
    Hostile(
        "native: all recipients of quotes",
        lambda size: json.dumps(
            {name: 'a,"' + '\\"' * min(size // 8, 24_990) for name in ("to", "cc", "bcc", "reply_to")} | {"text": "x"}
        ).encode(),
    ),
    Hostile("native: names of blanks", _broken_people("a" + " " * 990 + "b")),
    Hostile("native: names of quotes", _broken_people('"' + '\\"' * 490)),
    Hostile("native: names of dots", _broken_people("a." * 490)),
    Hostile("native: long names", _people("x")),
    Hostile("native: long foreign names", _people("é")),
    Hostile("native: too many recipients", _list("to", lambda _: "a@example.com")),
    Hostile("native: too many recipients that are none", _list("to", lambda _: "a")),
    Hostile("native: recipients that are numbers", _list("to", lambda _: 0)),
    Hostile(
        "native: recipients of many members", _list("to", lambda _: {"email": "a", **{f"k{i}": 0 for i in range(400)}})
    ),
    Hostile("native: one name", lambda size: _native(to=[{"email": "ops@example.com", "name": "é" * (size // 6)}])),
    Hostile("native: one domain", lambda size: _native(to=[{"email": "ops@" + "é" * (size // 6)}])),
    Hostile("native: one domain of dots", lambda size: _native(to=[{"email": "ops@" + "é." * (size // 8)}])),
    Hostile(
        "native: unknown fields", lambda size: _native(text="x", **{f"k{number}": 0 for number in range(size // 10)})
    ),
    Hostile(
        "native: unknown fields like known ones",
        lambda size: _native(text="x", **{f"subjects{n}": 0 for n in range(size // 18)}),
    ),
    Hostile("native: headers", lambda size: _native(text="x", headers={f"X-{n}": "a" for n in range(size // 14)})),
    Hostile(
        "native: headers that are none", lambda size: _native(text="x", headers={f"{n}": 0 for n in range(size // 12)})
    ),
    Hostile("native: long headers", lambda _: _native(text="x", headers={f"X-{n}": "é" * 900 for n in range(20)})),
    Hostile("native: tags", _list("tags", lambda _: "a")),
    Hostile("native: tags of commas", _word("tags", "a,")),
    Hostile("native: attachments that are none", _list("attachments", lambda _: 0)),
    Hostile("native: attachments of nothing", _list("attachments", lambda _: {})),
    Hostile("native: an attachment of pieces", _spaced),
    Hostile("native: attachments of many members", _attachments(lambda size: {f"k{i}": 0 for i in range(size // 10)})),
    Hostile(
        "native: attachments with long types",
        _attachments(lambda s: {"name": "a", "content": "", "content_type": "a/b" + "; a=b" * (s // 5)}),
    ),
    Hostile(
        "native: attachments with long types that are none",
        _attachments(lambda s: {"name": "a", "content": "", "content_type": "a/b" + " " * s + "x"}),
    ),
    Hostile(
        "native: data of many members", lambda size: _native(text="x", data={f"k{n}": [] for n in range(size // 12)})
    ),
    Hostile(
        "native: data of many objects",
        lambda size: _native(data={"a": [{"b": "x"}] * (size // 12)}, template="default"),
    ),
    Hostile(
        "native: data not finite",
        lambda size: _native(text="x").replace(b'"to"', b'"data":{"a":[' + b"NaN," * (size // 4) + b'0]},"to"'),
    ),
    Hostile(
        "native: what PowerShell cut off",
        lambda size: _native(text="x", data={"a": ["System.Object[]"] * (size // 19)}),
    ),
    Hostile("native: a long date", _word("send_at", "1")),
    Hostile("native: a long priority", _word("priority", " ")),
    Hostile("native: a long subject", _word("subject", "\u200b")),
    Hostile("native: a text of blanks", _word("text", " ", "a", "b")),
    Hostile("native: a text of lines", _word("text", "\n", "a", "b")),
    Hostile("native: a text of tabs", _word("text", "\t", "a", "b")),
    Hostile("native: a text of web addresses", _word("text", "http://a.b/ ")),
    Hostile("native: a text of words", _word("text", "a ")),
    Hostile("native: a text of entities", _word("text", "<&\"'")),
    *(
        Hostile(f"native: html of {name}", _word("html", piece))
        for name, piece in {
            "open links": "<a ",
            "links": "<a>",
            "ends of links": "x</a>",
            "elements that call": "<link>",
            "open elements that call": "<link ",
            "elements that call, quoted": '<link "',
            "elements that describe": "<meta charset=a>",
            "ends of elements": "</div>x",
            "rows": "<tr><td>",
            "nested blocks": "<div>",
            "links with addresses": '<a href="https://example.com/">x</a>',
            "open addresses": "<a href='",
            "open comments": "<!--",
            "comments": "<!---->",
            "open declarations": "<!",
            "brackets": "<",
            "ampersands": "&",
            "entities": "&a",
            "numbers": "&#9",
            "digits": "9",
            "scripts": "<script>",
            "closed scripts": "<script></script>",
            "lists": "<ul>",
            "list items": "<ol><li>",
            "quotes": "<a \"'",
            "pictures": "cid:a ",
            "cells": "<td>x",
            "breaks": "<br>",
            "preformatted": "<pre> ",
        }.items()
    ),
    Hostile("native: html of one entity", _word("html", "9", "<a href='https://example.com/'>&#", ";</a>")),
    Hostile(
        "native: html of one picture again and again",
        lambda size: _native(
            html="cid:a " * (size // 12),
            attachments=[
                {
                    "name": "a.png",
                    "content_type": "image/png",
                    "content_id": "a",
                    "content": base64.b64encode(b"x" * (size // 3)).decode(),
                }
            ],
        ),
    ),
]
"""What only our own JSON can say."""


def _alerts(labels: str, count: int | None = None) -> Make:
    def make(size: int) -> bytes:
        one = '{"labels":{"alertname":"A",' + labels + "}},"
        return (
            '{"status":"firing","alerts":[' + one * (count or max(1, size // len(one))) + '{"labels":{"a":"b"}}]}'
        ).encode()

    return make


def _told(piece: str, count: int = 200) -> Make:
    """Alerts that each say much."""

    def make(size: int) -> bytes:
        text = piece * max(1, size // count // len(piece))
        one = '{"labels":{"alertname":"A"},"annotations":{"summary":"' + text + '"}},'
        return ('{"alerts":[' + one * count + '{"labels":{"a":"b"}}]}').encode()

    return make


def _labelled(count: int) -> Make:
    """Alerts with as many labels as one may have, the same or not."""

    def make(size: int) -> bytes:
        labels = ",".join(f'"l{number}":"{number}"' for number in range(max(1, min(490, size // count // 12))))
        return ('{"alerts":[' + ",".join(['{"labels":{' + labels + "}}"] * count) + "]}").encode()

    return make


ALERT_BODIES = [
    Hostile("alerts: many", _alerts('"severity":"critical"')),
    Hostile("alerts: many labels", numbered('"l%d":"",', '{"alerts":[{"labels":{', '"alertname":"A"}}]}')),
    Hostile(
        "alerts: many common labels",
        numbered(
            '"l%d":"",',
            '{"externalURL":"https://a.example","alerts":[{"labels":{"a":"b"}}],"groupLabels":{',
            '"alertname":"A"}}',
        ),
    ),
    Hostile(
        "alerts: many annotations",
        numbered('"l%d":"x",', '{"alerts":[{"labels":{"a":"b"},"annotations":{', '"summary":"A"}}]}'),
    ),
    Hostile(
        "alerts: many addresses",
        numbered(
            '"l%d":"https://example.com/x",', '{"alerts":[{"labels":{"a":"b"},"annotations":{', '"summary":"A"}}]}'
        ),
    ),
    Hostile("alerts: texts of brackets", _told("<")),
    Hostile("alerts: texts of tabs", _told("\\t")),
    Hostile("alerts: texts of blanks", _told("a  ")),
    Hostile("alerts: texts of addresses", _told("https://a.example/ ")),
    Hostile("alerts: many labels of many", _labelled(40)),
    Hostile("alerts: many labels of very many", _labelled(1000)),
    Hostile("alerts: a long label", run_of("x ", '{"alerts":[{"labels":{"alertname":"', '"}}]}')),
    Hostile(
        "alerts: a long text",
        run_of(
            "\r\n", '{"alerts":[{"labels":{"alertname":"A"},"annotations":{"summary":"'.replace("\r", "\\r"), '"}}]}'
        ),
    ),
    Hostile(
        "alerts: a long address", run_of("x", '{"alerts":[{"labels":{"alertname":"A"},"generatorURL":"https://', '"}]}')
    ),
    Hostile("alerts: a long time", run_of("9", '{"alerts":[{"labels":{"alertname":"A"},"startsAt":"', '"}]}')),
    Hostile("alerts: a long count", run_of("9", '{"truncatedAlerts":"', '","alerts":[{"labels":{"alertname":"A"}}]}')),
    Hostile("alerts: a long severity", run_of("x", '{"alerts":[{"labels":{"alertname":"A","severity":"', '"}}]}')),
]
"""What only Alertmanager's door reads."""

REPORT_BODIES = [
    Hostile("reports: many events of another type", run_of('{"type":"x"},', "[", '{"type":"x"}]')),
    Hostile(
        "reports: a long time",
        run_of(
            "9",
            '{"type":"Microsoft.Communication.EmailDeliveryReportReceived","time":"',
            '","data":{"messageId":"a","recipient":"b","status":"c"}}',
        ),
    ),
    Hostile("reports: base64 in pieces", run_of("QU JD ")),
]
