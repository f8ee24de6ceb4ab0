"""The native source: every field, everything that is refused, and that nothing a caller writes can break it."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.address import Address, has_control
from gateway.errors import Rejected
from gateway.message import Attachment, Priority
from gateway.notification import Envelope, Notification
from gateway.sources.native import NativeRequest, parse
from gateway.sources.request import MOST_HEADERS, MOST_RECIPIENTS, MOST_TAGS

BASE: dict[str, Any] = {"to": "ops@example.com", "subject": "Backup failed", "text": "Exit code 2."}
JSON = {"content-type": "application/json"}
SECRET = "canary-7f3a"


def read(content_type: str = "application/json", /, **fields: Any) -> Notification:
    (notification,) = parse(json.dumps({**BASE, **fields}).encode(), {"content-type": content_type}, "app")
    return notification


def refusal(body: bytes | dict[str, Any], headers: dict[str, str] | None = None) -> Rejected:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(Rejected) as caught:
        parse(raw, JSON if headers is None else headers, "app")
    return caught.value


def envelope(**fields: Any) -> Envelope:
    found = read(**fields).envelope
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("given_to", "addresses"),
    [
        ("a@example.com", ["a@example.com"]),
        ("a@example.com, B <b@example.com>; c@example.com", ["a@example.com", "B <b@example.com>", "c@example.com"]),
        (["a@example.com", '"B, C" <b@example.com>'], ["a@example.com", "B, C <b@example.com>"]),
        ({"email": "a@example.com"}, ["a@example.com"]),
        ([{"email": "a@example.com", "name": "Ann"}, "b@example.com"], ["Ann <a@example.com>", "b@example.com"]),
        ("info@müller.example", ["info@xn--mller-kva.example"]),
        ("", []),
        ([], []),
        (None, []),
    ],
)
@pytest.mark.parametrize("field", ["to", "cc", "bcc"])
def test_recipients_are_written_in_every_usual_way(field: str, given_to: Any, addresses: list[str]) -> None:
    """A string, a list in a string, a list, objects."""
    found = getattr(envelope(**{field: given_to}), field)

    assert addresses == [str(address) for address in found]


def test_a_title_is_found_without_a_subject() -> None:
    """The subject, else the first line of the text, else the template's name."""
    titles = [
        read(subject=subject, text=text, template=template).title
        for subject, text, template in (
            ("Subject", "Text", "report"),
            ("", "\n First \nsecond", "report"),
            ("", "", "report"),
        )
    ]
    only_html = read(subject="", text="", html="<p>x</p>").title

    assert ["Subject", "First", "report", "Notification"] == [*titles, only_html]


def test_attachments_are_bytes_with_a_type() -> None:
    """White space inside base64 is allowed; the type comes from the name's ending when it is not said."""
    files = [
        {"name": "a.PDF", "content": base64.encodebytes(b"x" * 100).decode()},
        {"name": "b", "content": "", "content_type": "text/plain; charset=utf-8"},
        {"name": "c.png", "content": "AAE=", "content_id": "logo"},
    ]

    assert (
        Attachment(name="a.PDF", content_type="application/pdf", content=b"x" * 100),
        Attachment(name="b", content_type="text/plain; charset=utf-8", content=b""),
        Attachment(name="c.png", content_type="image/png", content=b"\x00\x01", content_id="logo"),
    ) == read(attachments=files).attachments


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-12-24T18:00:00Z", datetime(2026, 12, 24, 18, tzinfo=UTC)),
        ("2026-12-24T18:00:00.5+01:00", datetime(2026, 12, 24, 17, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-12-24 18:00:00-05:00", datetime(2026, 12, 24, 23, tzinfo=UTC)),
    ],
)
def test_send_at_is_a_time_with_an_offset(written: str, meant: datetime) -> None:
    """And is kept in UTC."""
    found = envelope(send_at=written).send_at

    assert (meant, UTC) == (found, found.tzinfo if found else None)


def test_the_envelope_has_everything_the_caller_said() -> None:
    """Nothing is dropped silently."""
    found = envelope(
        html="<p>x</p>",
        template="report",
        data={"rows": [1, {"a": None}]},
        headers={"X-Ticket": "4711"},
        tags=["a", "b"],
        priority="high",
        dry_run=True,
        cc="c@example.com",
        bcc="b@example.com",
    )

    assert found == Envelope(
        to=(Address(email="ops@example.com"),),
        cc=(Address(email="c@example.com"),),
        bcc=(Address(email="b@example.com"),),
        html="<p>x</p>",
        template="report",
        data={"rows": [1, {"a": None}]},
        headers={"X-Ticket": "4711"},
        tags=("a", "b"),
        priority=Priority.HIGH,
        dry_run=True,
    )


def test_what_is_for_the_queue_changes_nothing() -> None:
    """Over HTTP a key and a header say it."""
    assert read() == read(source="other", idempotency_key="k")


def test_the_same_body_means_the_same_under_every_type() -> None:
    """Scripts with curl -d and PowerShell send JSON as a form."""
    types = ["application/json", "text/plain", "application/x-www-form-urlencoded", "", "application/xml"]

    assert [read()] * len(types) == [read(content_type) for content_type in types]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_the_same_text_means_the_same_in_every_encoding(encoding: str) -> None:
    """Windows PowerShell 5.1 writes windows-1252, its redirection UTF-16."""
    body = json.dumps({**BASE, "subject": "Größe: 10 €"}, ensure_ascii=False).encode(encoding)

    assert ["Größe: 10 €"] == [notification.subject for notification in parse(body, JSON, "app")]


def test_lists_of_a_form_may_repeat_a_name() -> None:
    """As curl -d to=… -d to=… sends it; an empty field is as good as none."""
    body = b"to=a@example.com&to=b@example.com&subject=Hi&tags=x,y&priority=HIGH&cc=&send_at="
    (found,) = parse(body, {"content-type": "application/x-www-form-urlencoded"}, "app")

    assert found.envelope is not None
    assert (["a@example.com", "b@example.com"], ("x", "y"), "high") == (
        [address.email for address in found.envelope.to],
        found.envelope.tags,
        found.envelope.priority,
    )


@pytest.mark.parametrize("breaker", ["\r\nBcc: b@example.com", "\n", "\r", "\x00", "\x1b", "\u2028", "\u2029", "\x85"])
@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"subject": "x{}y"}, "subject"),
        ({"to": "A{}B <a@example.com>"}, "to[0]"),
        ({"to": "a@example.com{}x"}, "to[0]"),
        ({"cc": [{"email": "a@example.com", "name": "A{}B"}]}, "cc[0].name"),
        ({"bcc": [{"email": "a@example.com{}x"}]}, "bcc[0].email"),
        ({"reply_to": "A{}B <a@example.com>"}, "reply_to[0]"),
        ({"headers": {"X-A": "x{}y"}}, "headers.X-A"),
        ({"tags": ["x{}y"]}, "tags[0]"),
        ({"attachments": [{"name": "x{}y", "content": ""}]}, "attachments[0].name"),
        ({"attachments": [{"name": "x", "content": "", "content_id": "x{}y"}]}, "attachments[0].content_id"),
        (
            {"attachments": [{"name": "x", "content": "", "content_type": "text/plain{}"}]},
            "attachments[0].content_type",
        ),
        ({"template": "x{}y"}, "template"),
        ({"idempotency_key": "x{}y"}, "idempotency_key"),
    ],
)
def test_no_line_break_gets_into_anything_a_header_is_made_of(fields: dict[str, Any], path: str, breaker: str) -> None:
    """Each is refused under its name; a mail can not gain a header or a recipient."""
    body = json.loads(json.dumps(fields).replace("{}", json.dumps(breaker)[1:-1]))

    found = refusal({**BASE, **body})

    assert (422, "invalid", [path]) == (found.status, found.code, list(found.fields))


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"to": 5}, "to"),
        ({"to": [None]}, "to[0]"),
        ({"to": [["a@example.com"]]}, "to[0]"),
        ({"to": "ops"}, "to[0]"),
        ({"to": "a@example.com b@example.com"}, "to[0]"),
        ({"to": "a" * 2000 + "@example.com"}, "to[0]"),
        ({"to": "x," * 30_000}, "to"),
        ({"to": [{"name": "Ann"}]}, "to[0].email"),
        ({"to": [{"email": "a@example.com", "x": 1}]}, "to[0].x"),
        ({"to": ["a@example.com"] * (MOST_RECIPIENTS + 1)}, "to"),
        ({"subject": 5}, "subject"),
        ({"subject": "x" * 901}, "subject"),
        ({"text": ["x"]}, "text"),
        ({"html": {"a": 1}}, "html"),
        ({"template": "../../etc/passwd"}, "template"),
        ({"template": "a.b"}, "template"),
        ({"data": [1]}, "data"),
        ({"data": "x"}, "data"),
        ({"attachments": {"name": "a", "content": ""}}, "attachments"),
        ({"attachments": [{"name": "", "content": ""}]}, "attachments[0].name"),
        ({"attachments": [{"name": "a", "content": "not base64"}]}, "attachments[0].content"),
        ({"attachments": [{"name": "a", "content": "data:text/plain;base64,YQ=="}]}, "attachments[0].content"),
        ({"attachments": [{"name": "a", "content": "YQ"}]}, "attachments[0].content"),
        ({"attachments": [{"name": "a", "content": "YQ==YQ=="}]}, "attachments[0].content"),
        ({"attachments": [{"name": "a", "content": "é"}]}, "attachments[0].content"),
        ({"attachments": [{"name": "a", "content": 5}]}, "attachments[0].content"),
        ({"attachments": [{"name": "a", "content": "", "content_type": "pdf"}]}, "attachments[0].content_type"),
        ({"attachments": [{"name": "a", "content": "", "content_id": "<x>"}]}, "attachments[0].content_id"),
        ({"attachments": ["a"]}, "attachments[0]"),
        ({"priority": "urgent"}, "priority"),
        ({"headers": {"Bcc": "x"}}, "headers.Bcc"),
        ({"headers": {"X-": "x"}}, "headers.X-"),
        ({"headers": {"X-A:B": "x"}}, "headers.X-A:B"),
        ({"headers": {"X-ÄÖ": "x"}}, "headers.X-ÄÖ"),
        ({"headers": {"X-MS-ACSEmail-Validate-Message-Id": "x"}}, "headers.X-MS-ACSEmail-Validate-Message-Id"),
        ({"headers": {"X-A": 5}}, "headers.X-A"),
        ({"headers": {f"X-{number}": "" for number in range(MOST_HEADERS + 1)}}, "headers"),
        ({"headers": [{"name": "X-A", "value": "x"}]}, "headers"),
        ({"tags": [5]}, "tags[0]"),
        ({"tags": ["x"] * (MOST_TAGS + 1)}, "tags"),
        ({"send_at": "tomorrow"}, "send_at"),
        ({"send_at": "2026-12-24"}, "send_at"),
        ({"send_at": "2026-12-24T18:00:00"}, "send_at"),
        ({"send_at": 1_790_000_000}, "send_at"),
        ({"send_at": "9999-12-31T23:59:59-14:00"}, "send_at"),
        ({"dry_run": "perhaps"}, "dry_run"),
        ({"from": "ceo@example.com"}, "from"),
        ({"unknown": 1}, "unknown"),
        ({"x" * 500: 1}, "x" * 64),
        ({"a\r\nb": 1}, "a b"),
        ({"": 1}, "(no name)"),
    ],
)
def test_a_wrong_field_is_refused_under_its_name(fields: dict[str, Any], path: str) -> None:
    """Each with a sentence that says what to write instead."""
    found = refusal({**BASE, **fields})

    assert (422, "invalid", [path]) == (found.status, found.code, list(found.fields))
    assert found.detail == f"{path} {found.fields[path]}."
    assert len(found.fields[path]) >= len("is unknown")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("replyTo", "reply_to"),
        ("Subject", "subject"),
        ("body", "text"),
        ("sendAt", "send_at"),
        ("attachment", "attachments"),
    ],
)
def test_a_likely_name_is_suggested(written: str, meant: str) -> None:
    """What another service calls it."""
    assert f"did you mean {meant}? known fields are to, cc" in refusal({**BASE, written: "x"}).fields[written]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"bcc": "a@example.com", "text": "x"}, "to"),
        ({"cc": "a@example.com", "to": [], "text": "x"}, "to"),
        ({"to": "a@example.com"}, "text"),
        ({"to": "a@example.com", "text": "", "data": {"a": 1}}, "text"),
        ({}, "text"),
    ],
)
def test_a_message_needs_somebody_and_something(fields: dict[str, Any], path: str) -> None:
    """No recipient at all is allowed here, since the route may have one."""
    assert [path] == list(refusal(fields).fields)


@pytest.mark.parametrize("text", ["System.Collections.Hashtable", "System.Object[]"])
def test_what_convertto_json_cut_off_is_explained(text: str) -> None:
    """Sent as it is, it would be a mail full of type names."""
    found = refusal({**BASE, "text": text, "data": {"rows": [{"a": text}]}, "to": text})

    assert {"text", "data.rows[0].a", "to", "to[0]"} == found.fields.keys()
    assert "-Depth" in found.detail or "-Depth" in found.fields["text"]
    assert "Exit code" in read(text=f"Exit code: {text}").text


def test_every_failing_field_is_named_at_once() -> None:
    """One answer is enough to mend a request; fifty fields are enough for one answer."""
    found = refusal({"bcc": "nobody", "priority": "x", "bogus": 1, "tags": [1]})

    assert {"to", "text", "bcc[0]", "priority", "bogus", "tags[0]"} == found.fields.keys()
    assert "(and 5 more, see fields)" in found.detail
    assert 50 == len(refusal({**BASE, "tags": "", **{f"x{number}": 1 for number in range(500)}}).fields)


@pytest.mark.parametrize(
    ("body", "content_type", "code"),
    [
        (b"", "", (400, "empty_body")),
        (b" \n", "application/json", (400, "empty_body")),
        (b"{", "application/json", (400, "malformed")),
        (f'{{"to": "{SECRET}'.encode(), "application/json", (400, "malformed")),
        (f'{{"to": "a@example.com"}} {SECRET}'.encode(), "application/json", (400, "malformed")),
        (f"{{'to': '{SECRET}'}}".encode(), "application/json", (400, "malformed")),
        (f"'{{to:{SECRET}}}'".encode(), "application/x-www-form-urlencoded", (400, "malformed")),
        (SECRET.encode(), "application/json", (400, "malformed")),
        (b"[" * 100_000, "application/json", (400, "malformed")),
        (b'{"data":' * 100_000, "", (400, "malformed")),
        (f'["{SECRET}"]'.encode(), "application/json", (400, "malformed")),
        (f'"{SECRET}"'.encode(), "application/json", (400, "malformed")),
        (b"null", "application/json", (400, "malformed")),
        (b"\xff\xfe\x00", "application/json", (400, "malformed")),
        (SECRET.encode(), "text/plain", (415, "unsupported_media_type")),
        (bytes(range(256)), "application/octet-stream", (415, "unsupported_media_type")),
        (f"name={SECRET}".encode(), "application/x-www-form-urlencoded", (415, "unsupported_media_type")),
        (b"to=a@example.com&data=x", "application/x-www-form-urlencoded", (415, "unsupported_media_type")),
        (b"a=1&" * 5000, "application/x-www-form-urlencoded", (415, "unsupported_media_type")),
    ],
)
def test_what_is_no_object_is_refused_without_repeating_it(
    body: bytes, content_type: str, code: tuple[int, str]
) -> None:
    """The answer may be logged by the caller's side; it says where, not what."""
    found = refusal(body, {"content-type": content_type})

    assert code == (found.status, found.code)
    assert SECRET not in found.detail + str(found.fields)
    assert len(found.detail) > 20


def test_no_refusal_repeats_a_value() -> None:
    """Promise 6 begins with the sentences: a value is the caller's secret."""
    fields = {
        name: SECRET
        for name in NativeRequest.model_fields
        if name not in {"subject", "text", "html", "source", "template", "idempotency_key", "tags"}
    }

    found = refusal({**fields, "subject": [SECRET], "tags": [[SECRET]], "other": SECRET})

    assert len(found.fields) > 10
    assert SECRET not in found.detail + str(found.fields)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b'[1, {"b": NaN}]'])
def test_a_number_that_is_none_is_refused_in_data(number: bytes) -> None:
    """It would turn up as NaN in what others read as JSON."""
    assert ["data"] == list(refusal(b'{"to":"a@example.com","text":"x","data":{"a":' + number + b"}}").fields)


@pytest.mark.parametrize("field", ["subject", "text", "html"])
def test_half_an_emoji_is_replaced(field: str) -> None:
    """JavaScript cuts strings between the halves; a message is not lost for that."""
    (found,) = parse(b'{"to":"a@example.com","%s":"x\\ud83d"}' % field.encode(), JSON, "app")

    assert "x\ufffd" in {found.subject, found.text, found.envelope.html if found.envelope else ""}


def test_the_schema_shows_what_is_allowed() -> None:
    """The API's document is made from it, and its example works."""
    schema = NativeRequest.model_json_schema()

    assert all("description" in field for field in schema["properties"].values())
    assert not schema["additionalProperties"]
    assert parse(json.dumps(schema["examples"][0]).encode(), JSON, "app")


ADDRESSES = st.sampled_from(["a@example.com", "A <a@example.com>", "nobody", "a@b\r\nBcc: c@d", "a,b@c.de", "<>", '"'])
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "to": ADDRESSES | st.lists(ADDRESSES, max_size=3) | st.text(max_size=20),
        "cc": ADDRESSES | st.lists(ADDRESSES, max_size=3),
        "bcc": ADDRESSES,
        "subject": st.text(max_size=30),
        "text": st.text(max_size=30),
        "html": st.text(max_size=30),
        "template": st.text(max_size=10),
        "reply_to": ADDRESSES,
        "headers": st.dictionaries(
            st.text(max_size=8) | st.sampled_from(["X-A", "Bcc"]), st.text(max_size=8), max_size=3
        ),
        "tags": st.lists(st.text(max_size=8), max_size=3),
        "attachments": st.lists(
            st.fixed_dictionaries({"name": st.text(max_size=8), "content": st.sampled_from(["", "YQ==", "*"])}),
            max_size=2,
        ),
        "data": st.dictionaries(st.text(max_size=5), st.none() | st.floats() | st.text(max_size=5), max_size=3),
        "send_at": st.datetimes().map(datetime.isoformat) | st.text(max_size=20),
    },
)


def _check(body: bytes, content_type: str) -> None:
    try:
        (found,) = parse(body, {"content-type": content_type}, "app")
    except Rejected:
        return
    sent = found.envelope
    assert sent is not None
    bound = [found.subject, found.title, *sent.tags, *(file.name for file in found.attachments)]
    bound += [text for pair in sent.headers.items() for text in pair]
    bound += [str(address) for address in (*sent.to, *sent.cc, *sent.bcc, *found.reply_to)]
    assert not any(map(has_control, bound))
    assert all(name.lower().startswith("x-") for name in sent.headers)
    assert found.model_dump_json()


@settings(deadline=None)
@given(FIELDS)
def test_whatever_fields_are_sent_are_taken_safely_or_refused(fields: dict[str, Any]) -> None:
    """Nothing header-bound holds a control character, and no field raises anything else."""
    _check(json.dumps(fields).encode(), "application/json")


@settings(deadline=None)
@given(st.binary(), st.sampled_from(["", "application/json", "application/x-www-form-urlencoded", "text/plain"]))
def test_whatever_bytes_are_sent_are_taken_safely_or_refused(body: bytes, content_type: str) -> None:
    """Never a 500."""
    _check(body, content_type)
