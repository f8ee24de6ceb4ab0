"""Who may ask at all: under which name, from a page of which web site, and what every answer says about itself."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from gateway import guard
from gateway.errors import Rejected
from tests.conftest import KEYS, Reply, Running, Start

ADMIN = {"x-api-key": KEYS["admin"]}
MAIL: dict[str, Any] = {"to": "ops@example.com", "subject": "Your code is 482 913", "text": "It is valid for a while."}
FOREIGN = "https://evil.example"

EVERYTHING = [
    ("GET", "/"),
    ("GET", "/captured/x-1"),
    ("GET", "/captured/x-1/html"),
    ("GET", "/captured/x-1/attachments/1"),
    ("GET", "/inbox.js"),
    ("GET", "/v1/captured"),
    ("HEAD", "/v1/captured"),
    ("GET", "/v1/captured?subject=code&wait=20"),
    ("GET", "/v1/captured/x-1/raw"),
    ("DELETE", "/v1/captured"),
    ("POST", "/v1/notifications"),
    ("POST", f"/v1/notifications?code={KEYS['app']}"),
    ("OPTIONS", "/v1/notifications"),
    ("GET", "/v1/notifications"),
    ("GET", "/v1/notifications/x"),
    ("POST", "/v1/notifications/x/replay"),
    ("POST", "/v1/webhooks/alertmanager"),
    ("PUT", "/v1/webhooks/alertmanager"),
    ("GET", "/v1/suppressions"),
    ("DELETE", "/v1/suppressions?address=a@example.com"),
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
    ("GET", "/nowhere"),
    ("POST", "//v1/forms/contact"),
]
"""Every route that is no form, and some that are none at all."""

SAFE = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


async def head(gateway: Running, request: str) -> bytes:
    """The status line of the answer to a request as it is written."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rpartition(":")[2]))
    writer.write(f"{request}\r\nConnection: close\r\n\r\n".encode("latin-1"))
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer.partition(b"\r\n")[0]


# ------------------------------------------------------------------------------------------------------- the name


@pytest.mark.parametrize(
    "host",
    [
        "attacker.test",
        "attacker.test:7071",
        "localhost.attacker.test",
        "127.0.0.1.attacker.test",
        "attackerlocalhost",
        "localhost@attacker.test",
        "attacker.test@localhost",
        "localhost, attacker.test",
        "attacker.test#localhost",
        "localhost:7071:7071",
        "localhost:99999",
        "localhost..",
        "0.0.0.0",
        "[::]",
        "10.1.2.3",
        "192.168.0.1:7071",
        "[::ffff:10.1.2.3]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:2]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[fe80::1]",
        "128.0.0.1",
        "127.1",
        "2130706433",
        "[127.0.0.1]",
        "::1",
        "[::1",
        "",
        " ",
        "loc\u00e4lhost",
    ],
)
async def test_a_foreign_name_is_refused_wherever_no_key_is_needed(gateway: Running, host: str) -> None:
    """A page under a name that now leads here would be a page of this gateway: a form's door is closed to it too."""
    for method, path in (("GET", "/v1/captured"), ("POST", "/v1/forms/contact"), ("GET", "/health/live")):
        line = await head(gateway, f"{method} {path} HTTP/1.1\r\nHost: {host}")

        assert b"HTTP/1.1 421" in line, (method, path)


@pytest.mark.parametrize("hosts", ["", "Host: localhost\r\nHost: attacker.test", "Host: localhost\r\nHost: localhost"])
async def test_no_name_and_two_names_are_refused(gateway: Running, hosts: str) -> None:
    """Whoever stands between could read the other one."""
    lines = f"GET /v1/captured HTTP/1.1\r\n{hosts}" if hosts else "GET /v1/captured HTTP/1.1"

    assert b"421" in await head(gateway, lines)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost:1",
        "localhost.",
        "localhost.:7071",
        "127.0.0.1.",
        "localhost:",
        "dev.localhost",
        "127.0.0.1",
        "127.8.9.10:80",
        "[::1]:7071",
        "[0:0:0:0:0:0:0:1]",
    ],
)
async def test_the_machines_own_names_are_taken_with_any_port(gateway: Running, host: str) -> None:
    """A forwarded port is another one than ours; capital letters and the root's dot change no name."""
    assert 200 == (await gateway.call("GET", "/v1/captured", headers={"Host": host})).status


async def test_the_refusal_of_a_name_says_what_to_do(gateway: Running) -> None:
    """A problem with a code, and the option that lets the name in."""
    reply = await gateway.call("GET", "/", headers={"Host": "gateway.test:7071"})

    assert (421, "foreign_host") == reply.code
    assert "dev --allow-host gateway.test`" in reply.json["detail"]


async def test_where_a_key_is_needed_any_name_will_do(start: Start) -> None:
    """Behind a proxy the name is the proxy's business, and no page knows the key."""
    for environment in ("staging", "production"):
        keyed = await start(GATEWAY_ENVIRONMENT=environment)

        assert 200 == (await keyed.call("GET", "/health/live", headers={"Host": "gw.example.com"})).status


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("127.9.9.9", True),
        ("::ffff:127.0.0.1", False),
        ("127.1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("10.1.2.3", False),
        ("no-such-name.invalid", False),
    ],
)
def test_a_listener_is_for_this_machine_only_where_nobody_else_can_connect(host: str, own: bool) -> None:
    """Every address there is counts, and a name counts as what it leads to."""
    assert own == guard.only_this_machine(host)
    assert own == guard.listener(host, (), "test", opened=False).keyless
    assert not guard.listener(host, (), "staging", opened=True).keyless


@pytest.mark.parametrize(
    "name",
    [
        "X-Forwarded-For",
        "x-forwarded-host",
        "X-Forwarded-Proto",
        "Forwarded",
        "Via",
        "X-Real-IP",
        "CF-Connecting-IP",
        "True-Client-IP",
        "X-Original-Host",
    ],
)
@pytest.mark.parametrize("path", ["/", "/v1/captured", "/v1/captured/x-1/raw", "/docs", "/openapi.json"])
async def test_a_request_that_a_proxy_passes_on_needs_the_key(gateway: Running, path: str, name: str) -> None:
    """A tunnel or a proxy on this machine, which calls us by our own name, lets others in."""
    asked = await gateway.call("GET", path, headers={name: "for=203.0.113.7"})
    shown = await gateway.call("GET", path, headers={name: "for=203.0.113.7", **ADMIN})

    assert (401, "unauthorized") == asked.code
    assert shown.status in {200, 404}


# ------------------------------------------------------------------------------------------------- the web site


BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64)", "Accept-Language": "de"}


@pytest.mark.parametrize(
    "path",
    [
        "/v1/captured",
        "/v1/captured?wait=20&subject=no",
        "/v1/captured/",
        f"/v1/notifications?code={KEYS['admin']}",
        f"/v1/webhooks/alertmanager?code={KEYS['alertmanager']}&alerts=x",
    ],
)
async def test_a_browser_that_does_not_say_which_page_asks_gets_no_data(gateway: Running, path: str) -> None:
    """It says so only to names that it trusts without TLS; a header that no other site may send says it too."""
    asked = await gateway.call("GET", path, headers=BROWSER)

    assert (403, "foreign_origin") == asked.code
    for more in ({"X-Requested-With": "inbox"}, {"Sec-Fetch-Site": "none"}, {"Origin": gateway.url}):
        assert 403 != (await gateway.call("GET", path.replace("20", "0"), headers={**BROWSER, **more})).status


async def test_a_browser_that_does_not_say_which_page_asks_gets_pages(start: Start, gateway: Running) -> None:
    """And PowerShell, which only calls itself Mozilla, gets data; where a key is needed it decides alone."""
    for path in ("/", "/captured/x-1", "/captured/x-1/html", "/v1/captured/x-1/raw", "/inbox.js", "/health/live"):
        assert 403 != (await gateway.call("GET", path, headers=BROWSER)).status, path
    shell = {"User-Agent": "Mozilla/5.0 (Windows NT; Windows NT 10.0; de-DE) WindowsPowerShell/5.1.19041.1"}
    assert 200 == (await gateway.call("GET", "/v1/captured", headers=shell)).status

    staging = await start(GATEWAY_ENVIRONMENT="staging")
    assert 200 == (await staging.call("GET", "/v1/captured", headers={**BROWSER, **ADMIN})).status


@pytest.mark.parametrize("environment", ["test", "staging", "production"])
async def test_a_foreign_origin_is_refused_on_every_route_but_forms(start: Start, environment: str) -> None:
    """With the right key too, whatever the method is."""
    gateway = await start(GATEWAY_ENVIRONMENT=environment)
    for method, path in EVERYTHING:
        reply = await gateway.call(method, path, headers={**ADMIN, "Origin": FOREIGN})

        assert 403 == reply.status, (method, path)
        assert method == "HEAD" or reply.json["code"] == "foreign_origin", (method, path)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "Cross-Site", "something new", ""])
@pytest.mark.parametrize("environment", ["test", "production"])
async def test_a_request_of_another_sites_page_is_refused_on_every_route_but_forms(
    start: Start, environment: str, site: str
) -> None:
    """Same-site is another port of this machine, or another name of the company."""
    gateway = await start(GATEWAY_ENVIRONMENT=environment)
    for method, path in EVERYTHING:
        for mode in ("no-cors", "navigate", "cors"):
            headers = {**ADMIN, "Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": "iframe"}

            assert 403 == (await gateway.call(method, path, headers=headers)).status, (method, path, mode)


async def test_a_link_on_another_site_leads_to_a_page_and_to_nothing_else(gateway: Running) -> None:
    """The list, a mail and the API's page; JSON, a file and a mail's own HTML are no pages, and a post is no link."""
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}

    seen = {
        path: (await gateway.call("GET", path, headers=link)).status for method, path in EVERYTHING if method == "GET"
    }
    posted = await gateway.call("POST", "/", headers=link)

    assert {"/": 200, "/captured/x-1": 404, "/docs": 200} == {path: s for path, s in seen.items() if s != 403}
    assert 403 == posted.status


@pytest.mark.parametrize(
    ("origin", "host", "own"),
    [
        ("http://localhost:7071", "localhost:7071", True),
        ("http://LOCALHOST:7071", "localhost:7071", True),
        ("http://localhost", "localhost:80", True),
        ("https://localhost", "localhost", True),
        ("https://localhost:8443", "localhost:8443", True),
        ("http://[::1]:7071", "[::1]:7071", True),
        ("http://localhost:7072", "localhost:7071", False),
        ("http://localhost", "localhost:7071", False),
        ("http://127.0.0.1:7071", "localhost:7071", False),
        ("http://localhost:7071.evil.example", "localhost:7071", False),
        ("http://localhost:7071@evil.example", "localhost:7071", False),
        ("http://user@localhost:7071", "localhost:7071", False),
        ("http://localhost:7071/", "localhost:7071", False),
        ("ftp://localhost:7071", "localhost:7071", False),
        ("chrome-extension://localhost:7071", "localhost:7071", False),
        ("localhost:7071", "localhost:7071", False),
        ("file://", "localhost:7071", False),
        ("", "localhost:7071", False),
        ("http://localhost:7071, http://evil.example", "localhost:7071", False),
        ("nullx", "localhost:7071", False),
    ],
)
async def test_the_own_origin_is_the_name_the_request_used(gateway: Running, origin: str, host: str, own: bool) -> None:
    """With the port of the page's scheme where none is written; TLS may have ended in front of us."""
    reply = await gateway.call("DELETE", "/v1/captured", headers={"Origin": origin, "Host": host})

    assert (200 if own else 403) == reply.status


def test_a_plain_page_is_foreign_to_a_gateway_behind_tls() -> None:
    """Whoever can write into the plain one could else act as the other."""
    scope = {"path": "/v1/captured", "method": "GET", "scheme": "https"}
    guard.check(guard.KEYED, {**scope, "headers": [(b"host", b"gw.test"), (b"origin", b"https://gw.test")]})
    with pytest.raises(Rejected, match="Origin"):
        guard.check(guard.KEYED, {**scope, "headers": [(b"host", b"gw.test"), (b"origin", b"http://gw.test")]})


async def test_a_hidden_origin_reads_no_mail_without_a_key(gateway: Running, start: Start) -> None:
    """A sandboxed frame has it; elsewhere it is as good as none."""
    hidden = {"Origin": "null"}
    for method, path in (("GET", "/"), ("GET", "/v1/captured"), ("DELETE", "/v1/captured"), ("GET", "/captured/x-1")):
        assert 403 == (await gateway.call(method, path, headers=hidden)).status, path
    assert 202 == (await gateway.send(MAIL, headers=hidden)).status
    assert (
        200 == (await gateway.call("GET", "/v1/captured", headers={**hidden, "Sec-Fetch-Site": "same-origin"})).status
    )


@pytest.mark.parametrize("site", ["same-origin", "none"])
async def test_the_gateways_own_pages_and_typed_addresses_are_served(gateway: Running, site: str) -> None:
    """What the browser vouches for."""
    for path in ("/", "/v1/captured", "/health/ready"):
        assert 200 == (await gateway.call("GET", path, headers={"Sec-Fetch-Site": site})).status


async def test_a_form_takes_posts_of_its_pages_whatever_the_browser_says_of_them(gateway: Running) -> None:
    """Its `origins` decide, as before."""
    told = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
    own, foreign = [
        await gateway.call("POST", "/v1/forms/contact", json={"message": "hi"}, headers={**told, "Origin": origin})
        for origin in ("https://www.example.com", FOREIGN)
    ]

    assert (200, 403) == (own.status, foreign.status)
    assert "https://www.example.com" == own.headers["Access-Control-Allow-Origin"]
    assert "Cross-Origin-Resource-Policy" not in own.headers


async def test_programs_say_nothing_of_this_and_are_served(gateway: Running) -> None:
    """curl, a test suite, a monitoring tool."""
    assert 202 == (await gateway.send(MAIL)).status
    assert 1 == len(await gateway.mails())


# --------------------------------------------------------------------------------------------------- the answers


async def test_no_answer_but_a_forms_may_be_embedded_kept_or_reinterpreted(gateway: Running) -> None:
    """Mail as JSON, a refusal, a status, a page: whatever it is."""
    id = (await gateway.send(MAIL)).json["id"]
    await gateway.mails()
    replies: dict[str, Reply] = {
        f"{method} {path}": await gateway.call(method, path, headers=ADMIN)
        for method, path in [
            *EVERYTHING,
            ("GET", f"/v1/notifications/{id}"),
            ("GET", f"/captured/{id}-1"),
            ("GET", f"/v1/captured/{id}-1/raw"),
        ]
        if "wait" not in path
    }

    found = {path: {name: reply.headers.get(name) for name in SAFE} for path, reply in replies.items()}

    assert dict.fromkeys(found, SAFE) == found
    assert {200, 400, 403, 404, 405} <= {reply.status for reply in replies.values()}


async def test_the_raw_mail_is_saved_and_never_shown(gateway: Running) -> None:
    """A browser that shows message/rfc822 would show it under our origin."""
    id = (await gateway.send({**MAIL, "html": "<script>1</script>"})).json["id"]
    await gateway.mails()

    reply = await gateway.call("GET", f"/v1/captured/{id}-1/raw")

    assert ("message/rfc822", 200) == (reply.headers["Content-Type"], reply.status)
    assert reply.headers["Content-Disposition"].startswith("attachment; ")
    assert "default-src 'none'; sandbox" == reply.headers["Content-Security-Policy"]


async def test_the_time_of_a_refusal_tells_nothing(gateway: Running) -> None:
    """Whether the mail is there or not, the page is refused before anybody looks."""
    await gateway.send(MAIL)
    await gateway.mails()
    asked = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "empty"}

    took = []
    for subject in ("code", "nothing of this name"):
        begun = time.monotonic()
        reply = await gateway.call("GET", f"/v1/captured?wait=30&subject={subject}", headers=asked)
        took.append(time.monotonic() - begun)
        assert 403 == reply.status

    assert max(took) < 10
