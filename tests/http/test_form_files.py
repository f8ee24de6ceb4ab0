"""What a visitor may leave behind: how many files, how large, and of which types, whatever he calls them."""

from __future__ import annotations

import io
from typing import Any

import aiohttp
import pytest

from tests.conftest import CONFIG, Reply, Running, Start
from tests.test_filetypes import DOCX, EXE, JPEG, PDF, PNG, SVG, WORD

DOOR = "/v1/forms/contact"
TAKEN = "taken are image/*, application/pdf"

File = tuple[str, str, bytes, str]
"""A field, a file's name, its bytes, and the type its sender claims."""


def configured(files: str) -> str:
    return CONFIG.replace("    kind: form\n", f"    kind: form\n    files: {files}\n")


async def post(gateway: Running, *files: File, headers: dict[str, str] | None = None, **fields: str) -> Reply:
    form = aiohttp.FormData({"message": "x", **fields}, quote_fields=False)
    for field, name, content, kind in files:
        form.add_field(field, io.BytesIO(content), filename=name, content_type=kind or "application/octet-stream")
    return await gateway.call("POST", DOOR, data=form, headers=headers or {})


async def attached(gateway: Running) -> list[tuple[str, str]]:
    (mail,) = await gateway.mails()
    return [(file["name"], file["content_type"]) for file in mail["attachments"]]


async def test_pictures_and_pdf_are_taken_as_what_they_are(gateway: Running) -> None:
    """By default; the type that goes on is the judged one, whatever the page claims."""
    files = [
        ("cv", "cv.pdf", PDF, "text/html"),
        ("photo", "a.jpg", JPEG, "application/x-msdownload"),
        ("photo", "b.png", PNG, ""),
    ]

    assert 200 == (await post(gateway, *files)).status

    assert [("cv.pdf", "application/pdf"), ("a.jpg", "image/jpeg"), ("b.png", "image/png")] == await attached(gateway)


@pytest.mark.parametrize(
    ("name", "content", "kind", "what"),
    [
        ("a.exe", EXE, "image/png", "the file a.exe is application/x-msdownload"),
        ("a.pdf", DOCX, "application/pdf", f"the file a.pdf is not what its name says (it looks like {WORD})"),
        ("a.pdf", b"<html>", "application/pdf", "the file a.pdf is not what its name says (it looks like text/html)"),
        ("a.png", SVG, "image/png", "the file a.png is not what its name says (it looks like image/svg+xml)"),
        ("a.svg", SVG, "image/svg+xml", "the file a.svg is image/svg+xml"),
        ("a.svg", SVG, "image/png", "the file a.svg is image/svg+xml"),
        ("a.html", b"<html>", "image/png", "the file a.html is text/html"),
        ("a.docx", DOCX, WORD, f"the file a.docx is {WORD}"),
        ("a.txt", b"hello", "application/pdf", "the file a.txt is text/plain"),
        ("a.lnk", b"L\x00\x00\x00\x01\x14\x02\x00", "image/gif", "the file a.lnk is application/x-ms-shortcut"),
        ("a.vbs", b"MsgBox 1", "image/gif", "the file a.vbs is of no type that can be told"),
        ("<i>.xyz", bytes(9), "image/gif", "the file (i).xyz is of no type that can be told"),
    ],
)  # fmt: skip
async def test_any_other_type_is_refused_and_said_of_its_field(
    gateway: Running, name: str, content: bytes, kind: str, what: str
) -> None:
    """422, with what is taken; nothing of the post is kept."""
    reply = await post(gateway, ("cv", name, content, kind), ("photo", "a.jpg", JPEG, "image/jpeg"))

    assert (422, "file_refused") == reply.code
    assert {"cv": f"{what}; {TAKEN}"} == reply.json["fields"]
    assert f"cv: {what}; {TAKEN}." == reply.json["detail"]
    assert [] == (await gateway.call("GET", "/v1/captured")).json["items"]


async def test_every_refused_field_is_named(gateway: Running) -> None:
    """At once, and a field's files together."""
    reply = await post(
        gateway, ("a", "1.txt", b"x", ""), ("a", "2.txt", b"x", ""), ("b", "3.exe", EXE, ""), ("c", "4.pdf", PDF, "")
    )

    first, second = (f"the file {name} is text/plain; {TAKEN}" for name in ("1.txt", "2.txt"))
    assert {"a": f"{first}. {second}", "b": f"the file 3.exe is application/x-msdownload; {TAKEN}"} == reply.json[
        "fields"
    ]


async def test_a_person_is_shown_the_reason(gateway: Running) -> None:
    """A browser posts a plain form and gets a page."""
    reply = await post(gateway, ("cv", "a.exe", EXE, "image/png"), headers={"Accept": "text/html"})

    assert (422, True) == (reply.status, b"the file a.exe is application/x-msdownload; taken are image/*" in reply.body)


async def test_too_many_files_are_413_with_the_limit(gateway: Running) -> None:
    """Empty inputs count for nothing: a browser sends one for each field where no file was chosen."""
    chosen = [("photos", f"{n}.jpg", JPEG, "image/jpeg") for n in range(5)]
    empty = [("more", "", b"", "application/octet-stream")] * 30

    assert 200 == (await post(gateway, *chosen, *empty)).status
    reply = await post(gateway, *chosen, ("cv", "cv.pdf", PDF, "application/pdf"), *empty)

    assert (413, "too_large") == reply.code
    what = "at most 5 files are taken, these are 6"
    assert {"photos": what, "cv": what} == reply.json["fields"]


async def test_a_file_that_is_too_large_is_413_with_the_limit(start: Start) -> None:
    """Of each file alone, to the byte."""
    gateway = await start(configured("{bytes: 1KB}"))

    fits, larger = JPEG.ljust(1024, b"x"), JPEG.ljust(1025, b"x")
    assert 200 == (await post(gateway, *[("a", "a.jpg", fits, "image/jpeg")] * 5)).status
    reply = await post(gateway, ("a", "a.jpg", fits, "image/jpeg"), ("b", "b.jpg", larger, "image/jpeg"))

    assert (413, "too_large") == reply.code
    assert {"b": "the file b.jpg is larger than 1 KB (1024 bytes)"} == reply.json["fields"]


async def test_five_mebibytes_are_taken_by_default_and_no_byte_more(gateway: Running) -> None:
    """Five such files would be more than a body may have, which is another limit."""
    limit = 5 * 1024 * 1024

    assert 200 == (await post(gateway, ("a", "a.jpg", JPEG.ljust(limit, b"x"), ""))).status
    assert (413, "too_large") == (await post(gateway, ("a", "a.jpg", JPEG.ljust(limit + 1, b"x"), ""))).code


async def test_files_can_be_switched_off(start: Start) -> None:
    """Then the form takes words alone, also where an empty input comes with them."""
    gateway = await start(configured("{most: 0}"))

    reply = await post(gateway, ("cv", "cv.pdf", PDF, "application/pdf"))

    assert (413, {"cv": "no files are taken"}) == (reply.status, reply.json["fields"])
    assert 200 == (await post(gateway, ("cv", "", b"", "application/octet-stream"))).status
    assert [] == await attached(gateway)


@pytest.mark.parametrize(
    ("types", "file", "status"),
    [
        ("[image/svg+xml]", ("a.svg", SVG), 200),
        ("['image/*', image/svg+xml]", ("a.svg", SVG), 200),
        ("['*/*']", ("a.svg", SVG), 422),
        ("['*/*']", ("a.docx", DOCX), 422),
        ("['*/*']", ("a.vbs", b"MsgBox 1"), 422),
        ("['*/*']", ("a.csv", b"a;b"), 200),
        ("['text/*']", ("a.html", b"<html>"), 422),
        ("['text/*']", ("a.js", b"alert(1)"), 422),
        ("['text/*']", ("a.csv", b"a;b"), 200),
        ("['application/*']", ("a.docx", DOCX), 422),
        (f"[{WORD}]", ("a.docx", DOCX), 200),
        (f"[{WORD}]", ("a.zip", DOCX), 422),
        ("[application/zip]", ("a.docx", DOCX), 422),
        ("image/jpg", ("a.jpg", JPEG), 200),
        ("[application/octet-stream]", ("a.vbs", b"MsgBox 1"), 200),
        ("[application/octet-stream]", ("a.exe", EXE), 422),
        ("[application/octet-stream]", ("a.xyz", EXE), 422),
    ],
)
async def test_an_owner_says_which_types_are_taken(
    start: Start, types: str, file: tuple[str, bytes], status: int
) -> None:
    """A star stands for what is harmless; what runs or unpacks must be named."""
    gateway = await start(configured(f"{{types: {types}}}"))

    assert status == (await post(gateway, ("f", *file, "image/jpeg"))).status


async def test_a_file_keeps_its_name_and_loses_what_misleads(gateway: Running) -> None:
    """Paths, marks, and dots behind the ending."""
    files = [
        ("a", name, PDF, "") for name in ("Lebenslauf Müller.pdf", "C:\\cv\\a.pdf", "b\u202e\u200b.pdf. .", "c  d.PDF")
    ]

    assert 200 == (await post(gateway, *files)).status

    assert ["Lebenslauf Müller.pdf", "a.pdf", "b.pdf", "c d.PDF"] == [name for name, _ in await attached(gateway)]
    (mail,) = await gateway.mails()
    assert not {"\u202e", "\u200b"} & set(mail["text"] + mail["html"])


async def test_a_bot_with_a_wrong_file_learns_nothing(gateway: Running) -> None:
    """It gets what a person gets."""
    assert 200 == (await post(gateway, ("cv", "a.exe", EXE, ""), _gotcha="http://spam.test")).status


async def test_who_has_a_key_is_not_asked(gateway: Running) -> None:
    """An application's attachments are its own business."""
    reply = await gateway.send(
        {"to": "ops@example.com", "text": "x", "attachments": [{"name": "a.exe", "content": "TVqQAAMAAAA="}] * 7}
    )

    assert 202 == reply.status


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ("{most: 21}", "sources.contact.files.most: Input should be less than or equal to 20"),
        ("{bytes: 5 sheep}", "sources.contact.files.bytes: is not a size; write a number of bytes, 500KB, 5MB or 2GB"),
        ("{bytes: 0}", "sources.contact.files.bytes: Input should be greater than 0"),
        ("{types: []}", "sources.contact.files.types: "),
        ("{types: [image/nonsense]}", "sources.contact.files.types[0]: is no media type that a file can be told to be"),
        ("{types: ['*']}", "sources.contact.files.types[0]: is no media type that a file can be told to be"),
        ("{kinds: [image/png]}", "sources.contact.files.kinds: is unknown"),
    ],
)
async def test_what_would_do_nothing_is_a_mistake_of_the_file(start: Start, files: str, problem: str) -> None:
    """Each with its place and what to write instead."""
    with pytest.raises(Exception, match="sources") as caught:
        await start(configured(files))

    assert problem in str(caught.value)


async def test_files_of_other_kinds_are_a_mistake(start: Start) -> None:
    """Nothing would look at them."""
    wrong: Any = CONFIG.replace("    kind: native\n", "    kind: native\n    files: {most: 1}\n", 1)

    with pytest.raises(Exception, match=r"sources\.app\.files: only means something for a form"):
        await start(wrong)
