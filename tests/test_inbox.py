"""The inbox over HTTP: who may look, what may run, what may be saved, and which commands it shows."""

from __future__ import annotations

import asyncio
import html
import json
import re
import shlex
import time
from pathlib import Path

import aiohttp
import pytest

from gateway.config import Config, Sender, Source
from gateway.inbox.examples import examples
from gateway.inbox.mail import Link, disposition, document, headers, links, silent, size
from tests.conftest import CONFIG, KEYS, Running, Start
from tests.factories import make_attachment, make_message
from tests.gateway_process import running_gateway

PAGES = ["/", "/captured/{id}", "/captured/{id}/html", "/captured/{id}/attachments/1"]


async def one_mail(gateway: Running) -> str:
    """A captured mail with HTML and a file; its id."""
    file = {"name": "a.html", "content_type": "text/html", "content": "PGI+"}
    reply = await gateway.send({"to": "ops@example.com", "subject": "Hi", "html": "<p>Hi</p>", "attachments": [file]})
    return f"{reply.json['id']}-1"


# --------------------------------------------------------------------------------------------------------- who may look


@pytest.mark.parametrize("page", PAGES)
async def test_outside_local_and_test_an_operator_must_show_the_key(start: Start, page: str) -> None:
    """The challenge makes a browser ask; another source's key is not enough."""
    gateway = await start(GATEWAY_ENVIRONMENT="staging")
    path = page.format(id=await one_mail(gateway))
    await gateway.call("GET", "/v1/captured?wait=10", headers={"x-api-key": KEYS["admin"]})
    refused = await gateway.call("GET", path)
    assert refused.code == (401, "unauthorized")
    assert refused.headers["WWW-Authenticate"].startswith("Basic ")
    assert (await gateway.call("GET", path, headers={"x-api-key": KEYS["app"]})).status == 403
    password = {"Authorization": aiohttp.encode_basic_auth("anybody", KEYS["admin"])}
    assert (await gateway.call("GET", path, headers=password)).status == 200


async def test_production_has_no_inbox(start: Start) -> None:
    """There is nothing at any of its paths, not even for an operator."""
    gateway = await start(GATEWAY_ENVIRONMENT="production")
    for page in (*PAGES, "/inbox.js", "/inbox.css"):
        reply = await gateway.call("GET", page.format(id="x-1"), headers={"x-api-key": KEYS["admin"]})
        assert reply.status == 404, page


# --------------------------------------------------------------------------------------------------------- what may run


async def test_every_answer_says_what_may_run(gateway: Running) -> None:
    """Pages run our own script alone; a mail's HTML and its files nothing at all."""
    id = await one_mail(gateway)
    await gateway.mails()
    policies = {}
    for page in PAGES:
        reply = await gateway.call("GET", page.format(id=id))
        assert reply.status == 200, page
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        policy = [part.split() for part in reply.headers["Content-Security-Policy"].split(";")]
        policies[page] = {name: values for name, *values in policy}
    assert {page: policy["default-src"] for page, policy in policies.items()} == {page: ["'none'"] for page in PAGES}
    assert [policies[page].get("script-src") for page in PAGES] == [["'self'"], ["'self'"], None, None]
    assert [policies[page].get("sandbox") for page in PAGES] == [None, None, [], []]
    assert policies[PAGES[2]]["img-src"] == ["data:"]


async def test_a_file_is_saved_whatever_it_claims_to_be(gateway: Running) -> None:
    """HTML of a mail never becomes a page of ours."""
    id = await one_mail(gateway)
    await gateway.mails()
    reply = await gateway.call("GET", f"/captured/{id}/attachments/1")
    assert (reply.headers["Content-Type"], reply.body) == ("application/octet-stream", b"<b>")
    assert reply.headers["Content-Disposition"].startswith("attachment; ")


@pytest.mark.parametrize("place", ["0", "9" * 5000, "2", "-1", "x", "²", "99999999999999999999"])
async def test_a_file_that_is_not_there_is_not_found(gateway: Running, place: str) -> None:
    """Whatever stands in the number's place."""
    id = await one_mail(gateway)
    await gateway.mails()
    assert (await gateway.call("GET", f"/captured/{id}/attachments/{place}")).status == 404


async def test_a_mail_that_is_gone_has_a_page_that_says_so(gateway: Running) -> None:
    """A stale link leads on to the list."""
    for path in ("/captured/nobody-1", "/captured/nobody-1/html", "/captured/x/attachments/1"):
        assert (await gateway.call("GET", path)).status == 404
    assert b"This mail is not here" in (await gateway.call("GET", "/captured/nobody-1")).body


@pytest.mark.parametrize(
    ("name", "plain", "encoded"),
    [
        ("report.pdf", "report.pdf", "report.pdf"),
        ("../../etc/passwd", "_.._etc_passwd", "_.._etc_passwd"),
        ("Küche.pdf", "K_che.pdf", "K%C3%BCche.pdf"),
        ('a";x="\r\nSet-Cookie: b', "a__x___Set-Cookie_ b", "a%22%3Bx%3D%22_Set-Cookie_%20b"),
        ("...", "attachment-3", "attachment-3"),
        ("\ud800.txt", "_.txt", "%3F.txt"),
    ],
)
def test_a_file_name_is_fit_for_a_header_and_for_a_folder(name: str, plain: str, encoded: str) -> None:
    """No way out of the folder, no second header."""
    assert disposition(name, 3) == f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"


# -------------------------------------------------------------------------------------------------------- what is shown


def test_only_addresses_on_the_web_are_links() -> None:
    """Scripts and files are left out, every address is there once, its text on one line."""
    content = """<a href="https://a.example/">One\n <b>link</b></a><a href="javascript:alert(1)">x</a>
    <a href=" HTTP://b.example/?a&amp;b">Two<a href="data:text/html,x">y</a><a href="https://a.example/">Again</a><a>z"""
    assert links(content) == [Link("One link", "https://a.example/"), Link("Two", "HTTP://b.example/?a&b")]


def test_a_picture_that_is_named_again_and_again_is_put_in_within_reason() -> None:
    """A megabyte beyond three times the pictures; behind that the names stay."""
    picture = make_attachment(content=b"1" * 300_000, content_type="image/png", content_id="a")
    shown = document(make_message(html="<img src='cid:a'>" * 1000, attachments=[picture]))

    assert (5, 995) == (shown.count("data:image/png"), shown.count("cid:a"))


def test_a_long_header_is_cut_before_it_is_decoded() -> None:
    """At the end of a word, with the number of what is left out."""
    word = "=?utf-8?q?=C3=BC?="
    (field,) = headers(f"Subject: {' '.join([word] * 2000)}\r\n\r\nbody".encode())

    assert ("Subject", "ü" * 526 + " … (28006 more characters)") == field


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("<a <a <a href=https://a.example>x</a>", [Link("x", "https://a.example")]),
        ("<a href='https://a.example'>&#" + "9" * 5000 + ";</a>", [Link("\ufffd", "https://a.example")]),
        ("</a>" * 9 + "<a href=https://a.example>x", [Link("x", "https://a.example")]),
        ("<!-- <a href=https://a.example>x</a> -->", []),
        ("".join(f"<a href=https://a.example/{n}>{n}</a>" for n in range(60)), 50),
        ("<a href=https://a.example>" + "x" * 2000, [Link("x" * 500, "https://a.example")]),
    ],
)
def test_links_are_found_in_hostile_html(content: str, expected: list[Link] | int) -> None:
    """Each once, and not more than a page can show."""
    found = links(content)

    assert expected == (len(found) if isinstance(expected, int) else found)


def test_an_inline_picture_becomes_data_and_nothing_else_does() -> None:
    """A type that is no picture, or that would end the attribute, stays a dead link."""
    message = make_message(
        html='<img src="cid:a"><img src=\'CID:%62\'><img src="cid:c"><img src="cid:d">',
        attachments=[
            make_attachment(content=b"1", content_type="image/png", content_id="a"),
            make_attachment(content=b"2", content_type="image/gif", content_id="<b>"),
            make_attachment(content=b"3", content_type="text/html", content_id="c"),
            make_attachment(content=b"4", content_type='image/png"onload="x', content_id="d"),
        ],
    )
    assert document(message) == (
        "<img src=\"data:image/png;base64,MQ==\"><img src='data:image/gif;base64,Mg=='>"
        '<img src="cid:c"><img src="cid:d">'
    )


@pytest.mark.parametrize(
    "tag",
    [
        '<link rel="preconnect" href="https://tell.example">',
        "<LINK\nrel=dns-prefetch href=//tell.example />",
        "<link/rel=preconnect/href=//tell.example>",
        "<link rel='preconnect' href='https://tell.example/?a>b'>",
        '<base href="https://tell.example/">',
        '<meta http-equiv="refresh" content="0; url=https://tell.example">',
        '<meta name="viewport" content="x" http-equiv="refresh">',
        "<meta a\"b='c\"d>' http-equiv=refresh content='0; url=//tell.example'>",
        '<iframe srcdoc="&lt;link rel=preconnect href=//tell.example&gt;"></iframe>',
        "<frameset><frame src='https://tell.example'></frameset>",
        "<object data=//tell.example><embed src=//tell.example>",
    ],
)
@pytest.mark.parametrize(
    "around", ["{}", "<!-- --!>{}", "<!-->{}", "<a b'>{}'>", "<style></style x>{}", "<li<link>nk>{}"]
)
def test_no_tag_of_a_mail_that_could_call_elsewhere_is_left(tag: str, around: str) -> None:
    """Wherever it stands: a browser may find one where we would read a comment, a value or a style."""
    shown = document(make_message(html=f"<p>Before</p>{around.format(tag)}<p>After</p>"))

    assert re.search(r"<(?:link|base|meta|i?frame|frameset|object|embed)[\s/>]", shown, re.IGNORECASE) is None
    assert "<p>Before</p>" in shown
    assert "<p>After</p>" in shown


def test_a_mail_keeps_what_only_says_how_it_looks() -> None:
    """Its letters, its width on a small screen, its colours at night; and text that speaks of tags."""
    content = (
        '<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        '<META name="color-scheme" content="light dark"/><title>T</title></head><p>&lt;link&gt; <linked> links</p>'
    )

    assert content == document(make_message(html=content))


@pytest.mark.parametrize("piece", ["<link ", '<link "', "<meta <", "<link>", "<meta charset=", "<base/", "<iframe '"])
def test_cleaning_takes_time_in_proportion(piece: str) -> None:
    """A caller's HTML may be megabytes of the beginning of a tag."""
    begun = time.process_time()
    silent(piece * (1_000_000 // len(piece)))

    assert time.process_time() - begun < 3


def test_headers_are_unfolded_and_decoded() -> None:
    """As a mail program shows them."""
    raw = b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe_aus?=\r\n =?utf-8?q?_K=C3=B6ln?=\r\nX-A: b\r\n  c\r\n\r\nbody"
    assert headers(raw) == [("Subject", "Grüße aus Köln"), ("X-A", "b c")]


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KB"), (9**8, "41.1 MB")]
)
def test_a_size_is_said_for_people(count: int, words: str) -> None:
    """In the unit that fits."""
    assert size(count) == words


async def test_older_mail_is_on_the_next_page(gateway: Running) -> None:
    """Fifty to a page, newest first, each mail on exactly one."""
    for number in range(53):
        await gateway.gateway.store.keep(make_message(subject=f"no {number}"), gateway.gateway.line.clock())
    first = (await gateway.call("GET", "/")).body.decode()
    older = re.search(r'href="(/\?before=[^"]+)"', first)
    assert older is not None
    second = (await gateway.call("GET", older[1])).body.decode()
    assert "Older mail" in first
    assert "before=" not in second
    found = [int(number) for page in (first, second) for number in re.findall(r">no (\d+)<", page)]
    assert found == list(range(52, -1, -1))


async def test_a_cursor_of_somebody_else_is_refused(gateway: Running) -> None:
    """With the reason, not with an error of ours."""
    assert (await gateway.call("GET", "/?before=nonsense")).status == 422


async def test_a_sender_that_is_live_is_named_in_a_warning(start: Start) -> None:
    """Its mail really goes out and is not in the list."""
    live = CONFIG.replace("senders:\n", "senders:\n  real: {transport: acs, address: a@example.com, live: true}\n", 1)
    gateway = await start(live, ACS_CONNECTION_STRING="endpoint=http://127.0.0.1:1/;accesskey=ZXhhbXBsZQ==")
    page = (await gateway.call("GET", "/")).body.decode()
    assert re.search(r'class="warning".*\breal\b.*sends', page)


# --------------------------------------------------------------------------------------------------------- the commands


def command(kind: str, **fields: object) -> list[str]:
    """The command for one source `s` of this kind, as a shell reads it."""
    sender = Sender.model_validate({"transport": "capture", "address": "a@example.com"})
    source = Source.model_validate({"kind": kind, "sender": "a", "to": ["a@example.com"], **fields})
    [example] = examples(Config(senders={"a": sender}, sources={"s": source}), "https://gateway.example/")
    return words_of(example.command)


def words_of(text: str) -> list[str]:
    """A command's words; a backslash at the end of a line goes on in the next one."""
    return shlex.split(text.replace("\\\n", ""))


@pytest.mark.parametrize(
    ("allow", "recipient"),
    [
        (["*"], "you@example.com"),
        (["*@contoso.com"], "ops@contoso.com"),
        (["dev@contoso.com", "*"], "dev@contoso.com"),
        (["alerts-*@*.contoso.com"], "alerts-ops@a.contoso.com"),
    ],
)
def test_the_native_command_names_a_recipient_that_is_allowed(allow: list[str], recipient: str) -> None:
    """Otherwise the first thing a newcomer sees is a refusal."""
    words = command("native", keys=["sha256:" + "0" * 64], allow=allow)
    assert words[:4] == ["curl", "https://gateway.example/v1/notifications", "-H", "Authorization: Bearer KEY"]
    assert json.loads(words[-1])["to"] == recipient


def test_a_source_of_any_other_kind_gets_a_small_payload() -> None:
    """On its own door."""
    assert command("something")[:2] == ["curl", "https://gateway.example/v1/webhooks/s"]


async def test_a_hostile_host_header_stays_one_quoted_word(start: Start) -> None:
    """The command is pasted into a shell, and its address comes from the request: where a key is needed, from any."""
    gateway = await start(GATEWAY_ENVIRONMENT="staging")
    reply = await gateway.call("GET", "/", headers={"Host": "a';rm -rf ~;'\"<b>", "x-api-key": KEYS["admin"]})
    page = reply.body.decode()
    assert "<b>" not in page
    shown = [html.unescape(code) for code in re.findall(r"<pre[^>]*><code>(.*?)</code></pre>", page, re.DOTALL)]
    assert len(shown) == 5
    assert [words_of(text)[2].startswith("-") for text in shown] == [True] * 5


# ------------------------------------------------------------------------------------------------------------- the stop


async def test_a_stop_answers_whoever_waits_for_mail(tmp_path: Path) -> None:
    """An open inbox holds a request; Ctrl-C must not wait for it."""
    with running_gateway(store=tmp_path / "gateway.db") as gateway:
        async with aiohttp.ClientSession() as http, asyncio.timeout(10):
            waiting = asyncio.create_task(http.get(f"{gateway.url}/v1/captured?wait=100"))
            async with http.get(f"{gateway.url}/health/live") as alive:
                assert alive.status == 200
            assert await asyncio.to_thread(gateway.stop) == 0
            async with await waiting as answer:
                assert await answer.json() == {"items": [], "next": None}
