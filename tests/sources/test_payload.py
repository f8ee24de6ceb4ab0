"""What a body really is, whatever its Content-Type says, and the dump of what nobody understands."""

from __future__ import annotations

import json
import math
import time
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import sources
from gateway.notification import Severity
from gateway.sources.jsontext import leaves, load, scalar, written
from gateway.sources.payload import MOST_PAIRS, Shape, decode, sniff
from gateway.sources.unmapped import LONGEST_TEXT, LONGEST_VALUE, MOST_FIELDS, dump

FORM = {"content-type": "application/x-www-form-urlencoded"}
JSON = {"content-type": "application/json"}
DEEP = b"[" * 100_000

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=5) | st.dictionaries(st.text(), children, max_size=5),
)
TYPES = st.sampled_from(
    [
        "",
        "application/json",
        "application/x-www-form-urlencoded",
        "text/plain; charset=shift_jis",
        "text/plain; charset=idna",
        "multipart/form-data; boundary=x",
        "multipart/form-data",
        "application/cloudevents+json; charset=utf-16",
    ]
)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"plain", "plain"),
        ("Größe €".encode(), "Größe €"),
        ("Größe €".encode("cp1252"), "Größe €"),
        (b"\xef\xbb\xbfx", "x"),
        (b"\xef\xbb\xbf\xff", "\ufffd"),
        ("ä".encode("utf-16"), "ä"),
        (b"\xfe\xff" + "ä".encode("utf-16-be"), "ä"),
        (b"\xfe\xff\x00", "\ufffd"),
        ("ä".encode("utf-32"), "ä"),
        (b"\x00\x00\xfe\xff" + "ä".encode("utf-32-be"), "ä"),
        (b"\xff\xfe\x00\xd8", "\ufffd"),
        (b"\x81\x8d", "\ufffd\ufffd"),
        ("Gerät läuft, 10 €".encode() + b"\xe2\x82", "Gerät läuft, 10 €\ufffd"),
        (b"", ""),
    ],
)
def test_text_is_decoded_by_bom_then_utf8_then_windows1252(body: bytes, text: str) -> None:
    """A BOM is not part of the text, and one broken character does not spoil the others."""
    assert text == decode(body)


@pytest.mark.parametrize("charset", ["idna", "punycode", "zip", "utf-7", "unicode_escape", "rot13", "x" * 1000, "\n"])
def test_a_callers_charset_cannot_choose_a_dangerous_codec(charset: str) -> None:
    """Python has codecs that decompress and codecs that are slow."""
    assert "J\xf6rg" == decode(b"J\xf6rg", charset)


def test_a_named_charset_helps_where_utf8_does_not() -> None:
    """The header is a hint: it is asked only about bytes that are not UTF-8."""
    assert ("Ж", "Ж", "ö") == (decode(b"\xc6", "windows-1251"), decode("Ж".encode(), "windows-1251"), decode(b"\xf6"))


@settings(deadline=None)
@given(st.binary())
def test_decoding_never_fails_and_never_makes_surrogates(body: bytes) -> None:
    """Whatever comes, UTF-8 can carry it on."""
    assert decode(body).encode().decode() == decode(body)


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/xml"])
def test_json_is_json_under_any_type(content_type: str) -> None:
    """SNS, fetch, curl -d and PowerShell all say something else."""
    found = sniff(b'{"a": "b=c&d"}', {"content-type": content_type})

    assert (Shape.JSON, {"a": "b=c&d"}) == (found.shape, found.value)


@pytest.mark.parametrize("field", ["payload", "data"])
def test_json_in_a_form_field_is_the_payload(field: str) -> None:
    """Slack's format and Uptime Kuma's."""
    found = sniff(urlencode({"token": "x", field: '{"a": [1]}'}).encode(), FORM)

    assert (Shape.JSON, {"a": [1]}) == (found.shape, found.value)


@pytest.mark.parametrize(
    ("body", "headers", "shape"),
    [
        (b"", JSON, Shape.EMPTY),
        (b" \r\n\t", JSON, Shape.EMPTY),
        (b"\xef\xbb\xbf", JSON, Shape.EMPTY),
        (b'{"a":', JSON, Shape.TEXT),
        (b"{{title}}", JSON, Shape.TEXT),
        (b"plain", JSON, Shape.TEXT),
        (b"5", JSON, Shape.JSON),
        (b"5", {}, Shape.TEXT),
        (b'"x"', {}, Shape.JSON),
        (DEEP, JSON, Shape.TEXT),
        (b'{"a":' * 100_000, {}, Shape.TEXT),
        (b"a=1&b=2", FORM, Shape.FORM),
        (b"a=1&b=2", {}, Shape.FORM),
        (b"a=1&b=2", {"content-type": "text/plain"}, Shape.TEXT),
        (b"a=1 and b=2", {}, Shape.TEXT),
        (b"a=1 and b=2", FORM, Shape.FORM),
        (b"Backup failed: rc=2", FORM, Shape.TEXT),
        (b"no equals sign", FORM, Shape.TEXT),
        (b"--x\r\n", {"content-type": "multipart/form-data; boundary=x"}, Shape.TEXT),
        (b"x", {"content-type": 'multipart/form-data; boundary="' + "x" * 300 + '"'}, Shape.TEXT),
        (b"x", {"content-type": "multipart/form-data; boundary=\u20ac"}, Shape.TEXT),
    ],
)
def test_a_body_is_what_it_looks_like(body: bytes, headers: dict[str, str], shape: Shape) -> None:
    """Broken JSON is text, since its sender will not send it again."""
    assert shape is sniff(body, headers).shape


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'"\ud800"', "\ufffd"),
        (r'"\udc00\ud800x"', "\ufffd\ufffdx"),
        (r'"\ud83d\ude00"', "😀"),
        (r'"\\ud800"', "\\ud800"),
        (r'"\\\ud800"', "\\\ufffd"),
        (r'{"\ud800": "\ud800\u0041"}', {"\ufffd": "\ufffdA"}),
        ('"a\nb\tc\x00"', "a\nb\tc\x00"),
        ('[\n"a"\r\n]', ["a"]),
    ],
)
def test_half_an_emoji_and_raw_line_breaks_are_mended(text: str, value: Any) -> None:
    """Tools that cut by length and tools that fill templates write them."""
    assert value == load(text)


@pytest.mark.parametrize("text", ["", "{", "[1,]", "{'a': 1}", '{"a" 1}', "NaN,", "[" * 100_000, "1" * 5000, '"\\x"'])
def test_what_is_no_json_says_where_and_not_what(text: str) -> None:
    """The reason may be shown; the content may not."""
    with pytest.raises(ValueError, match=r" at line \d+ column \d+$"):
        load(text)


def test_numbers_that_are_none_become_words() -> None:
    """NaN never reaches an answer as a number."""
    values = load("[NaN, Infinity, -Infinity, 1e999, 1.5, true, null, 10000000000000000000000]")

    words = ["NaN", "Infinity", "-Infinity", "Infinity", "1.5", "true", "", "10000000000000000000000"]
    assert words == [scalar(value) for value in values]


def test_leaves_have_paths() -> None:
    """A nested value is found again by its name."""
    value = {"a": {"b": [{"c": 1}, 2]}, "": 3, "empty": {}, "none": None}

    expected = [("a.b[0].c", "1"), ("a.b[1]", "2"), ("", "3"), ("empty", ""), ("none", "")]
    assert expected == [(written(path), text) for path, text in leaves(value)]


def test_more_fields_than_any_form_has_are_counted() -> None:
    """Millions of & must cost neither memory nor the message."""
    found = sniff(b"a=1&" * 100_000, FORM)

    assert (MOST_PAIRS, 100_001) == (len(found.pairs), len(found.pairs) + found.left_out)


@pytest.mark.parametrize(
    "body", [b"&" * 5_000_000, b"=" * 5_000_000, b"[" * 5_000_000, b'"\\' * 2_500_000, b"--x\r\n" * 1_000_000]
)
@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""])
def test_a_hostile_body_costs_no_more_than_its_size(body: bytes, content_type: str) -> None:
    """Five megabytes of the worst take well under the time of a request."""
    begin = time.process_time()

    dump(body, {"content-type": content_type}, "example", "alertmanager")

    assert 2 > time.process_time() - begin


class TestDump:
    """Promise 3: no alert is refused for its shape."""

    @settings(deadline=None)
    @given(st.binary() | st.builds(lambda value: json.dumps(value).encode(), ANY_JSON), TYPES)
    def test_any_bytes_become_a_notification(self, body: bytes, content_type: str) -> None:
        """And every one of them can be stored and shown."""
        found = dump(body, {"content-type": content_type}, "example", "alertmanager")

        assert found.unmapped
        assert found.title
        assert found.title.isprintable() or "\u00a0" <= max(found.title)
        assert "\n" not in found.title
        assert b"NaN" not in found.model_dump_json(exclude={"title", "text", "fields"}).encode()

    @settings(deadline=None)
    @given(ANY_JSON)
    def test_every_value_of_any_json_is_shown(self, value: Any) -> None:
        """What is not empty and not cut stands in the mail, in order."""
        found = dump(json.dumps(value).encode(), JSON, "example", "alertmanager")
        if isinstance(value, str):
            return

        given_values = [text for _, text in leaves(json.loads(json.dumps(value))) if text.strip()]
        if len(given_values) <= MOST_FIELDS:
            assert len(given_values) == len(found.fields)
        assert len(found.fields) <= MOST_FIELDS + 1

    def test_what_does_not_fit_is_counted_and_attached(self) -> None:
        """Nobody should have to guess what a mail left out."""
        value = {"long": "x" * 5000, "list": list(range(1, 301)), "number": math.inf}
        found = dump(json.dumps(value).encode(), JSON, "example", "alertmanager")

        assert "… (3000 more characters)" == found.fields[0].value[LONGEST_VALUE:]
        assert (MOST_FIELDS + 1, "102 more values") == (len(found.fields), found.fields[-1].value)
        (copy,) = found.attachments
        assert ("payload.json", "application/json") == (copy.name, copy.content_type)
        assert {**value, "number": "Infinity"} == json.loads(copy.content)

    def test_a_long_text_is_cut_and_attached(self) -> None:
        """A mail of megabytes would be refused by its server."""
        text = "ä" * (LONGEST_TEXT + 7)
        found = dump(text.encode(), {}, "example", "alertmanager")

        assert "… (7 more characters)" == found.text[LONGEST_TEXT:]
        assert text.encode() == found.attachments[0].content

    @pytest.mark.parametrize(
        ("value", "title"),
        [
            ({"message": "long", "Title": "short"}, "short"),
            ({"alert_name": "CPU"}, "CPU"),
            ({"data": {"alert": {"name": "deep"}}}, "deep"),
            ({"message": "near", "alert": {"title": "far"}}, "near"),
            ({"hostname": "web-1", "id": 4}, "web-1"),
            ({"id": 4}, "Notification from example"),
            ({"title": " ", "message": "x\ny"}, "x"),
            ({"title": "x" * 500}, "x" * 149 + "…"),
        ],
    )
    def test_a_title_is_found_by_habit(self, value: Any, title: str) -> None:
        """The words that tools use, closest to the root first."""
        assert title == dump(json.dumps(value).encode(), JSON, "example", "alertmanager").title

    @pytest.mark.parametrize(
        ("value", "severity"),
        [
            ({"severity": "Disaster"}, Severity.CRITICAL),
            ({"alert": {"level": "info"}}, Severity.INFO),
            ({"severity": "purple"}, Severity.WARNING),
            ({}, Severity.WARNING),
        ],
    )
    def test_a_severity_is_found_by_habit(self, value: Any, severity: Severity) -> None:
        """What nobody could read may be bad: it is a warning at least, unless it says less."""
        assert severity is dump(json.dumps(value).encode(), JSON, "example", "alertmanager").severity


@settings(deadline=None)
@given(st.binary(), TYPES)
def test_a_webhook_is_never_refused(body: bytes, content_type: str) -> None:
    """`read` turns every failure of a tool's parser into a dump."""
    assert 1 == len(sources.read("alertmanager", body, {"content-type": content_type}, "example"))
