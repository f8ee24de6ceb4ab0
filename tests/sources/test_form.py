"""The form source: what browsers send, and what visitors and bots try."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.address import has_control
from gateway.errors import Rejected
from gateway.notification import Notification
from gateway.sources.form import CAPTCHAS, MOST_FIELDS, MOST_FILES, parse, read_form

URLENCODED = {"content-type": "application/x-www-form-urlencoded"}
MULTIPART = {"content-type": "multipart/form-data; boundary=xyz"}
SITE = "https://www.example.com"

Fields = list[tuple[str, str]]


def encoded(fields: Fields) -> bytes:
    return urlencode(fields).encode()


def multipart(*parts: tuple[str, bytes], end: bytes = b"--xyz--\r\n") -> bytes:
    head = "Content-Disposition: form-data; {}\r\n\r\n"
    return b"".join(b"--xyz\r\n" + head.format(name).encode() + content + b"\r\n" for name, content in parts) + end


def read(*fields: tuple[str, str]) -> Notification:
    (notification,) = parse(encoded(list(fields)), URLENCODED, "contact")
    return notification


def shown(notification: Notification) -> Fields:
    return [(pair.name, pair.value) for pair in notification.fields]


def refusal(body: bytes, headers: dict[str, str]) -> Rejected:
    with pytest.raises(Rejected) as caught:
        parse(body, headers, "contact")
    return caught.value


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"name=Zo%C3%AB&message=a%0D%0Ab&n=1", URLENCODED),
        (b"name=Zo%C3%AB&message=a%0D%0Ab&n=1", {}),
        (multipart(('name="name"', "Zoë".encode()), ('name="message"', b"a\r\nb"), ("name=n", b"1")), MULTIPART),
        (json.dumps({"name": "Zoë", "message": "a\nb", "n": 1}).encode(), {"content-type": "application/json"}),
        (json.dumps({"name": "Zoë", "message": "a\rb", "n": "1"}).encode(), {"content-type": "text/plain"}),
        ("name=Zoë\r\nmessage=a\r\nb\r\nn=1\r\n".encode(), {"content-type": "text/plain"}),
        ("name=Zoë\r\nmessage=a\r\nb\r\nn=1\r\n".encode("cp1252"), {"content-type": "Text/Plain; charset=x"}),
    ],
)
def test_every_way_to_send_a_form_gives_the_same_fields(body: bytes, headers: dict[str, str]) -> None:
    """HTML's three encodings and fetch's JSON, under the type that happens to be there."""
    (found,) = parse(body, headers, "contact")

    assert [("name", "Zoë"), ("message", "a\nb"), ("n", "1")] == shown(found)
    assert ("form", "contact", "New message from contact") == (found.kind, found.source, found.title)


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"])
def test_only_a_line_break_ends_a_line_of_a_plain_text_form(separator: str) -> None:
    """What a visitor writes into one field makes no second one."""
    body = f"message=a{separator}n=1\r\nname=Zoë\r\n".encode()
    (found,) = parse(body, {"content-type": "text/plain"}, "contact")

    assert ["message", "name"] == [name for name, _ in shown(found)]


def test_a_repeated_name_is_one_field_where_it_stood_first() -> None:
    """Checkboxes; texts of several lines stay apart."""
    found = read(("a", "1"), ("b", "x"), ("a", "2"), ("c", "l1\nl2"), ("c", "l3"))

    assert [("a", "1, 2"), ("b", "x"), ("c", "l1\nl2\nl3")] == shown(found)


def test_reserved_names_instruct_and_are_not_shown() -> None:
    """Nor are captcha tokens, the button and other services' underscore names."""
    hidden = [
        "_subject",
        "_replyto",
        "_next",
        "_gotcha",
        "_charset_",
        "_cc",
        "_bcc",
        "_to",
        "_format",
        "submit",
        "Submit",
    ]
    found = read(("message", "hi"), *((name, "") for name in hidden), *((name, "token") for name in sorted(CAPTCHAS)))

    assert [("message", "hi")] == shown(found)


def test_a_visitor_cannot_add_recipients() -> None:
    """Whatever a form calls it, who gets the mail is configuration."""
    names = ["_cc", "_bcc", "_to", "to", "cc", "bcc", "recipient", "_replyto"]
    found = read(("message", "hi"), *((name, "victim@example.org") for name in names))

    assert found.envelope is None
    assert ["victim@example.org"] == [address.email for address in found.reply_to]


@pytest.mark.parametrize(
    ("subject", "title"),
    [
        ("Hello", "Hello"),
        ("x\r\nBcc: victim@example.org", "x Bcc: victim@example.org"),
        ("a\x00b\u2028c\x1b", "a\ufffdb c\ufffd"),
        ("  ", "New message from contact"),
        ("x" * 5000, "x" * 200),
        ("[CRITICAL] Payroll \u202egnp.exe", "(CRITICAL) Payroll gnp.exe"),
        ("\u3010CRITICAL\u3011 \uff3bKRITISCH\uff3d", "(CRITICAL) (KRITISCH)"),
        ("=?utf-8?B?W0NSSVRJQ0FMXQ==?= Pay", "= ?utf-8?B?W0NSSVRJQ0FMXQ== ?= Pay"),
        ("=\u200b?utf-8?Q?=E2=80=AEexe?=", "= ?utf-8?Q?=E2=80=AEexe?="),
        ("\u200b\u2060\ufeff", "New message from contact"),
    ],
)
def test_a_subject_is_one_line(subject: str, title: str) -> None:
    """It is in a header soon."""
    assert title == read(("message", "hi"), ("_subject", subject)).title


@pytest.mark.parametrize(
    "typo", ["zoe", "zoe@", "zoe at example.com", "a@b.c, d@e.f", "x\r\n@y.z", "@" * 900, "v%evil.test@a.b"]
)
def test_an_address_with_a_typo_is_shown_instead_of_used(typo: str) -> None:
    """It must not cost the message, nor be lost with the reserved names."""
    found = read(("message", "hi"), ("_replyto", typo))

    assert () == found.reply_to
    assert "reply to" == found.fields[-1].name


def test_a_good_reply_to_is_used() -> None:
    """Without the name beside it, which may be anybody's."""
    found = read(("message", "hi"), ("_replyto", ' "Contoso Payroll (internal)" <zoe@example.com> '))

    assert [("", "zoe@example.com")] == [(address.name, address.email) for address in found.reply_to]
    assert [("message", "hi")] == shown(found)


@pytest.mark.parametrize(
    "body",
    [
        b"message=x&_gotcha=http://spam.example",
        b"_gotcha=&_gotcha=filled",
        b"_gotcha=x",
        b'{"message": "x", "_gotcha": true}',
        multipart(('name="_gotcha"', b"x"), ('name="message"', b"x")),
    ],
)
def test_a_bot_in_the_honeypot_becomes_nothing(body: bytes) -> None:
    """Without an error, since it must not notice."""
    headers = MULTIPART if body.startswith(b"--") else URLENCODED

    assert (True, []) == (read_form(body, headers).caught, parse(body, headers, "contact"))


@pytest.mark.parametrize("value", ["", " ", "\r\n"])
def test_an_empty_honeypot_catches_nobody(value: str) -> None:
    """Browsers send the empty field."""
    assert not read_form(encoded([("message", "x"), ("_gotcha", value)]), URLENCODED).caught


class TestFiles:
    """multipart/form-data with files."""

    @pytest.mark.parametrize(
        ("disposition", "name"),
        [
            ('name="f"; filename="a.txt"', "a.txt"),
            ("name=f; filename=a.txt", "a.txt"),
            ('filename="a.txt"; name="f"', "a.txt"),
            ('name="f"; filename="Größe 日本.txt"', "Größe 日本.txt"),
            ('name="f"; filename="setup.exe:.pdf"', "setup.exe_.pdf"),
            ('name="f"; filename="=?utf-8?B?YS5leGU=?="', "=_utf-8?B?YS5leGU=_="),
            ('name="f"; filename="a%22b%0D%0Ac.txt"', 'a"b c.txt'),
            ('name="f"; filename="100%25.txt"', "100%25.txt"),
            ('name="f"; filename="a\\"b\\\\c.txt"', "c.txt"),
            ('name="f"; filename="a;b=c.txt"', "a;b=c.txt"),
            ('name="f"; filename="C:\\dir\\a.txt"', "a.txt"),
            ('name="f"; filename="../../etc/passwd"', "passwd"),
            ('name="f"; filename="x"; filename*=UTF-8\'\'Gr%C3%B6%C3%9Fe.txt', "Größe.txt"),
            ("name=\"f\"; filename*=utf-8'en'a%20b.txt", "a b.txt"),
            ('name="f"; filename*=broken; filename="a.txt"', "a.txt"),
            ('NAME="f"; FILENAME="a.txt"', "a.txt"),
            ('name="f"; filename="' + "x" * 400 + '.txt"', "x" * 251 + ".txt"),
            ('name="f"; filename="dir/"', "dir"),
        ],
    )
    def test_a_files_name_is_read_as_its_sender_meant_it(self, disposition: str, name: str) -> None:
        """Browsers, curl, .NET and PowerShell each write it in their own way; a path is never kept."""
        body = multipart((disposition, b"content"), ('name="message"', b"x"))
        (found,) = parse(body, MULTIPART, "contact")

        assert [name] == [file.name for file in found.attachments]
        assert not any(has_control(file.name) for file in found.attachments)

    def test_fields_and_files_keep_their_order(self) -> None:
        """The field of a file shows the file's name; where none was chosen there is no field."""
        parts = [
            ('name="a"', b"1"),
            ('name="f"; filename="x.bin"', b"\x00\r\n--xy\xff"),
            ('name="b"', b"2"),
            ('name="none"; filename=""', b""),
            ('name="f"; filename="empty.txt"', b""),
        ]
        (found,) = parse(multipart(*parts), MULTIPART, "contact")

        assert [("a", "1"), ("f", "x.bin, empty.txt (empty file)"), ("b", "2")] == shown(found)
        assert [("x.bin", b"\x00\r\n--xy\xff")] == [(file.name, file.content) for file in found.attachments]

    @pytest.mark.parametrize(
        ("said", "kept"),
        [
            ("image/png", "image/png"),
            ("text/plain; charset=utf-8", "text/plain; charset=utf-8"),
            ("nonsense", "application/octet-stream"),
            ("text/html\x00", "application/octet-stream"),
            ("x" * 300 + "/y", "application/octet-stream"),
        ],
    )
    def test_a_files_type_is_kept_when_it_is_one(self, said: str, kept: str) -> None:
        """It becomes a header of the mail."""
        body = multipart((f'name="f"; filename="x"\r\nContent-Type: {said}', b"x"))
        (found,) = parse(body, MULTIPART, "contact")

        assert [kept] == [file.content_type for file in found.attachments]

    def test_a_file_alone_is_a_form(self) -> None:
        """Nothing else need be filled in."""
        assert 1 == len(parse(multipart(('name="f"; filename="x"', b"x")), MULTIPART, "contact"))

    def test_a_missing_boundary_is_read_from_the_body(self) -> None:
        """Scripts that set the Content-Type by hand forget it."""
        (found,) = parse(multipart(('name="a"', b"1")), {"content-type": "multipart/form-data"}, "contact")

        assert [("a", "1")] == shown(found)

    @pytest.mark.parametrize(
        "body",
        [
            b"--xyz",
            b"--xyz\r\n",
            b"--other\r\n\r\n--other--",
            b"no boundary at all",
            multipart(('name="a"', b"1"), end=b""),
            multipart(('name="a"', b"1"), end=b"--xyz-"),
            b"--xyz\r\nno colon\r\n\r\nx\r\n--xyz--",
            b"--xyz\nContent-Disposition: form-data; name=a\n\nx\n--xyz--\n",
            b"--xyz\r\nA: " + b"x" * 10_000 + b"\r\n\r\n--xyz--",
            multipart(*[('name="a"', b"")] * 1001),
        ],
    )
    def test_what_is_broken_is_400(self, body: bytes) -> None:
        """Part of a form is no form; the reason does not repeat it."""
        found = refusal(body, MULTIPART)

        assert (400, "malformed") == (found.status, found.code)
        assert "xyz" not in found.detail

    def test_too_many_files_are_413(self) -> None:
        """The limit is in the answer."""
        found = refusal(multipart(*[('name="f"; filename="x"', b"x")] * (MOST_FILES + 1)), MULTIPART)

        assert (413, "too_large") == (found.status, found.code)
        assert str(MOST_FILES) in found.detail


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (b"", {}, (400, "empty_body")),
        (b"\r\n", URLENCODED, (400, "empty_body")),
        (b"&&&", URLENCODED, (415, "unsupported_media_type")),
        (b"a=&b=+", URLENCODED, (422, "invalid")),
        (b"_subject=x&submit=Send", URLENCODED, (422, "invalid")),
        (b"{}", {}, (422, "invalid")),
        (b"[1]", {}, (422, "invalid")),
        (b'"text"', {}, (422, "invalid")),
        (b"null", {"content-type": "application/json"}, (422, "invalid")),
        (b'{"a":', {"content-type": "application/json"}, (400, "malformed")),
        (b"[" * 100_000, {"content-type": "application/json"}, (400, "malformed")),
        (b"just text", {"content-type": "text/plain"}, (415, "unsupported_media_type")),
        (b"\x00\xff", {"content-type": "application/octet-stream"}, (415, "unsupported_media_type")),
        (encoded([(f"f{n}", "1") for n in range(MOST_FIELDS + 1)]), URLENCODED, (422, "invalid")),
        (b"a=1&" * 60_000, URLENCODED, (422, "invalid")),
        (b"a=1&" * 100_000, URLENCODED, (413, "too_large")),
        (json.dumps({"a": list(range(5000))}).encode(), {}, (422, "invalid")),
    ],
)
def test_a_bad_form_is_refused_with_its_reason(body: bytes, headers: dict[str, str], code: tuple[int, str]) -> None:
    """The visitor, or whoever made the page, can act on it."""
    found = refusal(body, headers)

    assert code == (found.status, found.code)
    assert len(found.detail) >= len("The form is empty.")


def test_nested_json_gets_paths() -> None:
    """What a page's script keeps in objects."""
    value = {"a": {"b": [1, {"c": True}]}, "list": ["x", None, 2.5], "none": None, "nan": "NaN"}
    (found,) = parse(json.dumps(value).encode(), {}, "contact")

    expected = [("a.b[0]", "1"), ("a.b[1].c", "true"), ("list", "x, , 2.5"), ("none", ""), ("nan", "NaN")]
    assert expected == shown(found)


NAMES = st.text(max_size=12) | st.sampled_from(["_subject", "_replyto", "_gotcha", "_next", "message", "submit"])
ENCODINGS: dict[str, Any] = {
    "urlencoded": (encoded, URLENCODED),
    "json": (lambda fields: json.dumps(dict(fields)).encode(), {"content-type": "application/json"}),
}


@pytest.mark.parametrize("encoding", list(ENCODINGS))
@settings(deadline=None)
@given(fields=st.lists(st.tuples(NAMES, st.text(max_size=20)), max_size=8))
def test_whatever_is_filled_in_is_safe_to_show(encoding: str, fields: Fields) -> None:
    """No name, title or address breaks a line; no reserved name is shown."""
    encode, headers = ENCODINGS[encoding]
    try:
        found = parse(encode(fields), headers, "contact")
    except Rejected:
        return
    for notification in found:
        bound = [notification.title, *map(str, notification.reply_to), *(pair.name for pair in notification.fields)]
        assert not any(map(has_control, bound))
        assert not any(pair.name.startswith("_") for pair in notification.fields)
        assert notification.model_dump_json()


@settings(deadline=None)
@given(st.binary(), st.sampled_from(["", "application/json", "text/plain", "multipart/form-data; boundary=xyz"]))
def test_whatever_bytes_are_posted_are_a_form_or_refused(body: bytes, content_type: str) -> None:
    """Never a 500."""
    try:
        found = parse(body, {"content-type": content_type}, "contact")
    except Rejected as refused:
        found = []
        status = refused.status
    else:
        status = 200

    assert status in {200, 400, 413, 415, 422}
    assert len(found) <= 1


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(max_size=8), st.binary(max_size=20)), min_size=1, max_size=5), st.binary(max_size=10))
def test_broken_multipart_is_a_form_or_refused(parts: list[tuple[str, bytes]], noise: bytes) -> None:
    """Noise in names, contents and between the boundaries."""
    codes: set[str] = set()
    body = multipart(*((f'name="{name}"; filename="{name}"', content) for name, content in parts))
    for hostile in (body, body[:-9], body.replace(b"\r\n\r\n", b"\r\n" + noise + b"\r\n", 1), noise + body):
        try:
            assert 1 >= len(parse(hostile, MULTIPART, "contact"))
        except Rejected as refused:
            codes.add(refused.code)

    assert codes <= {"malformed", "invalid", "empty_body", "unsupported_media_type"}
