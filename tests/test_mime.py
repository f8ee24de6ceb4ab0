"""MIME: what a message says is what a reader finds, for every message there can be."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import getaddresses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.address import Address, one_line
from gateway.message import Attachment, Message, Priority
from gateway.mime import build, custom_headers
from tests.factories import make_attachment, make_message

PIXEL = b"\x89PNG\r\n\x1a\n example"


def read(raw: bytes) -> EmailMessage:
    """As a mail reader does it."""
    mail = message_from_bytes(raw, policy=policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


def shape(part: EmailMessage) -> Any:
    """The tree of content types."""
    children = [shape(child) for child in part.iter_parts() if isinstance(child, EmailMessage)]
    return (part.get_content_type(), children) if children else part.get_content_type()


def test_the_whole_of_a_simple_mail() -> None:
    """Every header, the same bytes each time, no blind copy."""
    message = make_message(
        operation_id="0f8fad5b-d9cb-469f-a165-70867728950e",
        to=(Address(email="info@example.com", name="Info"), Address(email="ops@example.com")),
        cc=(Address(email="cc@example.com"),),
        bcc=(Address(email="secret@example.com"),),
        reply_to=(Address(email="jo@example.org", name='Jo "J" O'),),
        html="",
        text="Line one\nLine = two",
        priority=Priority.HIGH,
        headers={"X-Ticket": "7", "Bcc": "more@example.com"},
        created=datetime(2026, 3, 2, 10, 30, tzinfo=timezone(timedelta(hours=1))),
    )
    expected = [
        b"From: Example <noreply@example.com>",
        b"To: Info <info@example.com>,",
        b" ops@example.com",
        b"Cc: cc@example.com",
        b'Reply-To: "Jo \\"J\\" O" <jo@example.org>',
        b"Subject: Disk almost full",
        b"Date: Mon, 02 Mar 2026 09:30:00 +0000",
        b"Message-ID: <0f8fad5b-d9cb-469f-a165-70867728950e@example.com>",
        b"X-Priority: 1",
        b"Importance: high",
        b"X-Ticket: 7",
        b"MIME-Version: 1.0",
        b"Content-Type: text/plain; charset=utf-8",
        b"Content-Transfer-Encoding: quoted-printable",
        b"",
        b"Line one",
        b"Line =3D two",
    ]
    assert build(message).split(b"\r\n") == expected
    assert build(message) == build(message)


TEXT, HTML = "text/plain", "text/html"
SHAPES: dict[str, tuple[dict[str, Any], Any]] = {
    "text alone": ({"html": ""}, TEXT),
    "html alone": ({"text": ""}, HTML),
    "nothing at all": ({"text": "", "html": ""}, TEXT),
    "both": ({}, ("multipart/alternative", [TEXT, HTML])),
    "a file": (
        {"attachments": (make_attachment(),)},
        ("multipart/mixed", [("multipart/alternative", [TEXT, HTML]), "application/pdf"]),
    ),
    "an inline image": (
        {"attachments": (make_attachment(content_type="image/png", content_id="logo"),)},
        ("multipart/alternative", [TEXT, ("multipart/related", [HTML, "image/png"])]),
    ),
    "an inline image and a file": (
        {"attachments": (make_attachment(), make_attachment(content_type="image/png", content_id="logo"))},
        (
            "multipart/mixed",
            [("multipart/alternative", [TEXT, ("multipart/related", [HTML, "image/png"])]), "application/pdf"],
        ),
    ),
    "an inline image without html": (
        {"html": "", "attachments": (make_attachment(content_type="image/png", content_id="logo"),)},
        ("multipart/mixed", [TEXT, "image/png"]),
    ),
}


@pytest.mark.parametrize("case", SHAPES)
def test_parts_stand_where_readers_look_for_them(case: str) -> None:
    """Alternative around text and html, related around html and its images, mixed around everything with files."""
    fields, expected = SHAPES[case]
    assert shape(read(build(make_message(**fields)))) == expected


def test_an_inline_image_keeps_its_id_and_a_file_its_name() -> None:
    """Content-ID and Content-Disposition, also where the name is long and not ASCII."""
    name = "Prüfbericht " + "日本語" * 40 + ' "1".pdf'
    files = (make_attachment(name=name, content=PIXEL), make_attachment(content_type="image/png", content_id="logo@x"))
    mail = read(build(make_message(attachments=files)))
    image, file = [part for part in mail.walk() if part.get_content_disposition()]
    assert (image["Content-ID"], image.get_content_disposition()) == ("<logo@x>", "inline")
    assert (file.get_filename(), file.get_content_disposition(), file.get_content()) == (name, "attachment", PIXEL)


TYPES = {
    "text/csv; charset=utf-8": 'text/csv; charset="utf-8"',
    'text/csv; charset="utf-8"; header=present': 'text/csv; charset="utf-8"',
    "Image/PNG": "image/png",
    "message/rfc822": "application/octet-stream",
    "multipart/mixed; boundary=x": "application/octet-stream",
    "": "application/octet-stream",
    "nonsense": "application/octet-stream",
    "text/html\r\nX-Evil: 1": "application/octet-stream",
    "text/html; charset=utf-8\r\nX-Evil: 1": 'text/html; charset="utf-8"',
}


@pytest.mark.parametrize("given", TYPES)
def test_a_content_type_that_is_none_becomes_bytes(given: str) -> None:
    """Parts within parts are bytes too, because RFC 2046 forbids to encode them."""
    mail = read(build(make_message(attachments=(make_attachment(content_type=given),))))
    file = next(mail.iter_attachments())
    assert (file["Content-Type"], mail["X-Evil"], file["X-Evil"]) == (TYPES[given], None, None)


SUBJECTS = [
    "Größe",
    "💥" * 200,
    "a" * 2000,
    "word " * 400,
    "=?utf-8?q?not=20encoded?=",
    "half =?utf-8?q?encoded",
    "=?",
    "x\r\nBcc: evil@example.org",
    "x\u2028Bcc: evil@example.org",
    "tab\tand \x00 nul",
    ": colon first",
    "",
    " ",
]


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_subject_arrives_as_it_was_written(subject: str) -> None:
    """Also one that looks encoded, one too long for a line, and one that tries to be two headers."""
    mail = read(build(make_message(subject=subject)))
    assert (mail["Subject"], mail["Bcc"]) == (one_line(subject), None)


NAMES = ["Ops", "Ops, Team <ops@example.org>", 'a "b" \\c', "=?utf-8?q?a=2C_evil=40example.org?=", "Größe", "字" * 100]


@pytest.mark.parametrize("name", NAMES)
def test_a_display_name_never_becomes_an_address(name: str) -> None:
    """Two mailboxes stay two, each with its own name."""
    to = (Address(email="a@example.com", name=name), Address(email="b@example.com"))
    raw = build(make_message(to=to))
    # Two readers: the newer one of the standard library leaves a blank between the encoded words of a long name.
    assert [one.addr_spec for one in read(raw)["To"].addresses] == ["a@example.com", "b@example.com"]
    found = getaddresses([message_from_bytes(raw)["To"]])
    assert [(str(make_header(decode_header(one))), spec) for one, spec in found] == [
        (name, "a@example.com"),
        ("", "b@example.com"),
    ]


def test_only_own_headers_of_a_caller_are_taken() -> None:
    """X-… and nothing that decides who gets the mail; a name twice in other case counts once; priority is ours."""
    headers = {"X-A": "1\r\n2", "x-a": "3", "To": "x@example.org", "X Y": "1", "X-ü": "1", "x-priority": "5"}
    message = make_message(headers=headers, priority=Priority.HIGH)
    assert custom_headers(message) == {"X-A": "1 2", "x-priority": "5"}
    mail = read(build(message))
    assert (mail.get_all("X-A"), mail.get_all("X-Priority"), mail.get_all("To")) == (
        ["1 2"],
        ["1"],
        ["info@example.com"],
    )


def test_a_long_text_is_base64_and_a_short_one_readable() -> None:
    """Whoever opens the raw mail can read it; a megabyte is encoded fast."""
    short = build(make_message(text="91 % fülled", html=""))
    long = build(make_message(text="91 %\n" * 100_000, html=""))
    assert b"91 % f=C3=BClled" in short
    assert read(long).get_content().splitlines() == ["91 %"] * 100_000


@pytest.mark.parametrize("length", [1, 70_000])
def test_a_text_that_knows_the_boundaries_ends_no_part(length: int) -> None:
    """They are the same each time, so a text may hold them; encoded it does not."""
    first = make_message(attachments=(make_attachment(),))
    known = "\n".join(f"--{one.decode()}--" for one in re.findall(rb'boundary="([^"]+)"', build(first)))
    hostile = first.model_copy(update={"text": f"a\n{known}\n" * length, "html": known})
    mail = read(build(hostile))
    assert shape(mail) == shape(read(build(first)))
    assert known.count("=_") == 2


names = st.text(max_size=60)
people = names.map(one_line)
emails = st.from_regex(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}@([a-z0-9]{1,20}\.){1,2}[a-z]{2,6}", fullmatch=True)
addresses = st.lists(st.builds(Address, email=emails, name=people), max_size=3).map(tuple)
bodies = st.text(max_size=400) | st.text(alphabet="a=_-. \r\n\t", max_size=200)
files = st.builds(
    Attachment,
    name=names,
    content_type=st.sampled_from(["image/png", "text/plain", "message/rfc822", "multipart/mixed"])
    | st.text(max_size=40),
    content=st.binary(max_size=300),
    content_id=st.none() | names,
)
messages = st.builds(
    Message,
    id=st.just("n-1"),
    notification=st.just("n"),
    operation_id=st.uuids().map(str) | st.text(max_size=20),
    source=st.just("s"),
    sender=st.just("s"),
    transport=st.just("capture"),
    from_=st.builds(Address, email=emails, name=people),
    to=addresses,
    cc=addresses,
    bcc=addresses,
    reply_to=addresses,
    subject=st.text(max_size=300) | st.from_regex(r"(=\?[a-z0-9-]{1,8}\?[qb]\?\S{0,9}\?= ?){1,3}", fullmatch=True),
    text=bodies,
    html=bodies,
    attachments=st.lists(files, max_size=3).map(tuple),
    headers=st.dictionaries(st.from_regex(r"X-[A-Za-z0-9-]{1,20}", fullmatch=True) | st.text(max_size=10), names),
    priority=st.sampled_from(Priority),
    created=st.integers(min_value=0, max_value=2**33).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
)

OURS = {"from", "to", "cc", "reply-to", "subject", "date", "message-id", "x-priority", "importance", "mime-version"}


def content(part: Any) -> bytes:
    """A part's bytes, whatever its type says."""
    return bytes(part.get_payload(decode=True))


def lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


@settings(max_examples=120, deadline=None)
@given(messages)
def test_any_message_at_all_survives_the_way_through_a_reader(message: Message) -> None:
    """No error, no further header, the same subject, the same texts, the same files."""
    raw = build(message)
    mail = read(raw)
    allowed = OURS | {name.lower() for name in custom_headers(message)}
    assert {name.lower() for name in mail if not name.lower().startswith("content-")} <= allowed
    assert len(mail.keys()) == len({name.lower() for name in mail})
    assert mail["Subject"] == one_line(message.subject)
    for name, value in custom_headers(message).items():
        if name.lower() != "x-priority" or message.priority is Priority.NORMAL:
            assert mail[name] == value
    parts = [part for part in mail.walk() if not part.is_multipart()]
    texts = [part for part in parts if part.get_content_disposition() is None]
    assert [lines(content(part).decode()) for part in texts] == [
        lines(body) for body in (message.text, message.html) if body
    ] or [[""]]
    found = sorted(content(part) for part in parts if part.get_content_disposition() is not None)
    assert found == sorted(attachment.content for attachment in message.attachments)
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", raw)
