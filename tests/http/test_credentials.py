"""Who is let in at a door: keys beside origins, what a wrong key costs, and what a stranger can learn by trying."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import unquote

import pytest

from gateway import __version__
from tests.conftest import CONFIG, KEYS, Reply, Running, Start

SITE = "https://www.example.com"
FOREIGN = "https://evil.test"
FIELDS = {"message": "Hello"}
ALERT = {"status": "firing", "alerts": [{"status": "firing", "labels": {"alertname": "DiskFull"}}]}

FORMS = """\
  locked:
    kind: form
    keys: [HASH-other]
    origins: ["https://www.example.com"]
    sender: noreply
    to: [info@example.com]
  closed:
    kind: form
    keys: [HASH-other]
    sender: noreply
    to: [info@example.com]
  pages-only:
    kind: form
    origins: ["https://www.example.com"]
    require_origin: true
    sender: noreply
    to: [info@example.com]
  pages-or-key:
    kind: form
    origins: ["https://www.example.com"]
    keys: [HASH-other]
    require_origin: true
    sender: noreply
    to: [info@example.com]
admin:
"""
WITH_FORMS = CONFIG.replace("admin:\n", FORMS)


def basic(key: str) -> str:
    return f"Basic {base64.b64encode(f'user:{key}'.encode()).decode()}"


RIGHT = KEYS["other"]
SENT: dict[str, dict[str, str]] = {
    "Authorization": {"Authorization": "Bearer wrong"},
    "Basic": {"Authorization": basic("wrong")},
    "x-api-key": {"x-api-key": "wrong"},
    "x-functions-key": {"x-functions-key": "wrong"},
    "code": {"?": "?code=wrong"},
}


async def post(gateway: Running, form: str, origin: str | None = None, **sent: str) -> Reply:
    headers = {name: value for name, value in sent.items() if name != "?"} | ({"Origin": origin} if origin else {})
    return await gateway.call("POST", f"/v1/forms/{form}{sent.get('?', '')}", data=FIELDS, headers=headers)


@pytest.fixture
async def forms(start: Start) -> Running:
    """A gateway with forms that have keys, origins, or both."""
    return await start(WITH_FORMS)


async def test_a_form_with_keys_and_origins_needs_one_of_the_two(forms: Running) -> None:
    """Neither a program without a key nor a hidden page gets in; a listed page and a key holder do."""
    replies = {
        "nothing": await post(forms, "locked"),
        "null": await post(forms, "locked", "null"),
        "foreign": await post(forms, "locked", FOREIGN),
        "page": await post(forms, "locked", SITE),
        "key": await post(forms, "locked", **{"x-api-key": RIGHT}),
        "key from a foreign page": await post(forms, "locked", FOREIGN, **{"x-api-key": RIGHT}),
    }

    assert {
        "nothing": (401, "unauthorized"),
        "null": (401, "unauthorized"),
        "foreign": (403, "foreign_origin"),
        "page": (200, ""),
        "key": (200, ""),
        "key from a foreign page": (200, ""),
    } == {name: reply.code for name, reply in replies.items()}


@pytest.mark.parametrize("where", SENT)
@pytest.mark.parametrize("origin", [None, "null", SITE])
async def test_only_wrong_keys_are_refused_whatever_the_origin(forms: Running, where: str, origin: str | None) -> None:
    """Wherever in the request the key stands."""
    assert (401, "unauthorized") == (await post(forms, "locked", origin, **SENT[where])).code


@pytest.mark.parametrize("where", SENT)
async def test_one_right_key_beside_a_wrong_one_is_enough(forms: Running, where: str) -> None:
    """A proxy may add a credential of its own."""
    right = {name: value.replace("wrong", RIGHT) for name, value in SENT[where].items() if where != "Basic"}
    right = right or {"Authorization": basic(RIGHT)}
    other = {"x-api-key": "wrong"} if where != "x-api-key" else {"?": "?code=wrong"}

    assert [200, 200] == [(await post(forms, form, **right, **other)).status for form in ("locked", "closed")]


async def test_a_form_with_keys_alone_is_closed_to_every_page(forms: Running) -> None:
    """No origins, no way without a key."""
    assert [(401, "unauthorized")] * 3 == [
        (await post(forms, "closed", origin)).code for origin in (None, "null", SITE)
    ]


async def test_a_form_may_require_an_origin(forms: Running) -> None:
    """Without one, or with `null`, only a valid key helps, where the form has keys."""
    assert {
        ("pages-only", None): (403, "origin_required"),
        ("pages-only", "null"): (403, "origin_required"),
        ("pages-only", FOREIGN): (403, "foreign_origin"),
        ("pages-only", SITE): (200, ""),
        ("pages-or-key", None): (401, "unauthorized"),
        ("pages-or-key", SITE): (200, ""),
    } == {
        (form, origin): (await post(forms, form, origin)).code
        for form, origin in [
            *(("pages-only", origin) for origin in (None, "null", FOREIGN, SITE)),
            *(("pages-or-key", origin) for origin in (None, SITE)),
        ]
    }
    assert 200 == (await post(forms, "pages-or-key", **{"x-api-key": RIGHT})).status


async def test_the_origin_null_is_no_origin(gateway: Running) -> None:
    """A sandboxed frame, a file and a redirect say `null`: taken where a post without Origin is, and told nothing."""
    reply = await post(gateway, "contact", "null")

    assert (200, False) == (reply.status, "Access-Control-Allow-Origin" in reply.headers)


# ------------------------------------------------------------------------------------------- what can be guessed


def told(reply: Reply, name: str) -> tuple[Any, ...]:
    """All that an answer says, with the name that was asked for taken out."""
    challenge = reply.headers.get("WWW-Authenticate")
    return (
        reply.status,
        challenge,
        tuple(sorted(reply.headers.keys() - {"Content-Length"})),
        reply.body.replace(name.encode(), b"NAME"),
    )


@pytest.mark.parametrize(
    ("tail", "headers"),
    [
        ("", {}),
        ("", {"x-api-key": "wrong"}),
        ("", {"Authorization": basic("wrong")}),
        ("?code=wrong", {}),
        ("/wrong", {}),
        ("/wrong", {"x-api-key": "wrong"}),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "GET"])
async def test_a_stranger_cannot_tell_which_sources_there_are(
    gateway: Running, method: str, tail: str, headers: dict[str, str]
) -> None:
    """A webhook, one with its key in the path, a form, a native source and none at all give the same answer."""
    names = ("nobody", "alertmanager", "by-path", "contact", "app")

    answers = {
        told(await gateway.call(method, f"/v1/webhooks/{name}{tail}", json=ALERT, headers=headers), name)
        for name in names
    }

    assert [401] == [answer[0] for answer in answers]


@pytest.mark.parametrize("name", ["<script>", "a" * 4000, "%0d%0ax", "Alertmanager", "a%20b"])
async def test_what_can_be_no_name_is_not_repeated(gateway: Running, name: str) -> None:
    """Neither markup nor kilobytes."""
    reply = await gateway.call("POST", f"/v1/webhooks/{name}", json=ALERT)

    assert (401, "unauthorized") == reply.code
    assert unquote(name) not in reply.json["detail"]


async def test_a_problem_has_no_literal_tag_in_it(gateway: Running) -> None:
    """Whatever of a caller's words it repeats; as JSON it says the same."""
    reply = await gateway.send({"to": "<script>alert(1)</script>", "subject": "x", "<b>": 1})

    assert 422 == reply.status
    assert not {ord("<"), ord(">")} & set(reply.body)
    assert any("<" in text for text in (*reply.json["fields"], *reply.json["fields"].values()))


async def test_a_key_holder_is_told_the_right_door(gateway: Running) -> None:
    """Whoever has a valid key of anything may know the names."""
    key = {"x-api-key": KEYS["alertmanager"]}

    assert [(404, "unknown_source"), (404, "wrong_door"), (404, "wrong_door"), (403, "forbidden")] == [
        (await gateway.call("POST", path, json=ALERT, headers=headers)).code
        for path, headers in [
            ("/v1/webhooks/nobody", key),
            ("/v1/webhooks/contact", key),
            ("/v1/forms/alertmanager", key),
            ("/v1/webhooks/alertmanager", {"x-api-key": KEYS["other"]}),
        ]
    ]


@pytest.mark.parametrize("path", ["/v1/forms/NAME", "/v1/forms/NAME/thanks"])
@pytest.mark.parametrize("method", ["POST", "OPTIONS", "GET"])
async def test_what_is_no_form_is_as_unknown_as_a_source_that_is_not_there(
    gateway: Running, method: str, path: str
) -> None:
    """A form's 404 names no kind and no door."""
    answers = {
        told(await gateway.call(method, path.replace("NAME", name)), name) for name in ("nobody", "alertmanager", "app")
    }

    (answer,) = answers
    assert [] == [word for word in (b"alertmanager", b"native", b"/v1/") if word in answer[3]]


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
async def test_health_tells_strangers_neither_version_nor_environment(gateway: Running, path: str) -> None:
    """An operator's key shows both."""
    stranger = await gateway.call("GET", path)
    operator = await gateway.call("GET", path, headers={"x-api-key": KEYS["admin"]})

    assert "ok" == stranger.json["status"]
    assert not {"version", "environment"} & stranger.json.keys()
    assert (__version__, "test") == (operator.json["version"], operator.json["environment"])
