"""How often a door is opened: by default a form, five times a minute for one client, and before its body is read."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.conftest import CONFIG, KEYS, Reply, Running, Start
from tests.gateway_process import start as start_process

FORM = "/v1/forms/open"
SITE = {"Origin": "https://www.example.com"}
BROWSER = {**SITE, "Accept": "text/html,*/*;q=0.8"}
FIELDS = {"message": "Hello"}
ALERT = {"status": "firing", "alerts": [{"status": "firing", "labels": {"alertname": "DiskFull"}}]}
MAIL = {"to": "ops@example.com", "subject": "Hello"}

A_FORM = """kind: form
    origins: ["https://www.example.com"]
    sender: noreply
    to: [info@example.com]"""
LIMITED = (
    CONFIG.replace(
        "admin:\n",
        """\
  open:
    FORM
  second:
    FORM
  narrow:
    FORM
    limit: {address: off, source: {minute: 3}}
  unlimited:
    FORM
    limit: off
  keyed:
    FORM
    keys: [HASH-other]
  keyed-narrow:
    FORM
    keys: [HASH-other]
    limit: {address: {minute: 2}}
  keyed-few:
    FORM
    keys: [HASH-other]
    limit: {source: {minute: 2}}
  tool:
    kind: alertmanager
    keys: [HASH-alertmanager]
    limit: {source: {minute: 2}}
    sender: noreply
    to: [alerts@example.com]
  caller:
    kind: native
    keys: [HASH-app2]
    limit: {address: {minute: 2}}
    sender: noreply
    allow: ["*"]
trusted_proxies: [127.0.0.1]
admin:
""",
    )
    .replace("HASH-app, HASH-app2", "HASH-app")
    .replace("FORM\n", f"{A_FORM}\n")
)
DIRECT = LIMITED.replace("trusted_proxies: [127.0.0.1]\n", "")
OTHER = {"x-api-key": KEYS["other"]}


@pytest.fixture
async def limited(start: Start) -> Running:
    """A gateway behind a proxy, with limits of every kind."""
    return await start(LIMITED)


async def post(gateway: Running, path: str = FORM, **options: Any) -> Reply:
    return await gateway.call("POST", path, **{"data": FIELDS, **options})


async def statuses(gateway: Running, count: int, path: str = FORM, **options: Any) -> list[int]:
    return [(await post(gateway, path, **options)).status for _ in range(count)]


async def test_a_script_is_told_when_it_may_try_again(limited: Running) -> None:
    """429 as a problem that a page's script may read."""
    assert [200] * 5 == await statuses(limited, 5, headers=SITE)

    reply = await post(limited, headers=SITE)

    assert (429, "rate_limited") == reply.code
    assert 0 < int(reply.headers["Retry-After"]) <= 60
    assert "https://www.example.com" == reply.headers["Access-Control-Allow-Origin"]
    assert "Retry-After" in reply.headers["Access-Control-Expose-Headers"]
    assert f"in {reply.headers['Retry-After']} seconds" in reply.json["detail"]


async def test_a_person_is_shown_a_page(limited: Running) -> None:
    """With the same status and the same time."""
    await statuses(limited, 5, headers=BROWSER)

    reply = await post(limited, headers=BROWSER)

    assert (429, "text/html; charset=utf-8") == (reply.status, reply.headers["Content-Type"])
    assert f"in {reply.headers['Retry-After']} seconds".encode() in reply.body


async def test_nothing_of_the_body_is_read_before(limited: Running) -> None:
    """The answer is there while the caller has sent nothing but its head."""
    await statuses(limited, 5)
    host, port = limited.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))

    writer.write(f"POST {FORM} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n".encode())

    assert b"HTTP/1.1 429" == (await asyncio.wait_for(reader.read(12), 10))
    writer.close()


async def test_each_source_has_its_own_limits(limited: Running) -> None:
    """Written ones replace the usual ones, field by field."""
    for path in (FORM, "/v1/forms/second"):
        assert [200] * 5 + [429] * 2 == await statuses(limited, 7, path)
    assert [200] * 3 + [429] * 2 == await statuses(limited, 5, "/v1/forms/narrow")
    assert [200] * 12 == await statuses(limited, 12, "/v1/forms/unlimited")


async def test_a_bot_in_the_trap_and_a_bad_form_count_too(limited: Running) -> None:
    """The limit comes before anybody knows what the body is."""
    trap = await statuses(limited, 3, data={**FIELDS, "_gotcha": "x"})
    bad = await statuses(limited, 2, data={"_gotcha": ""})

    assert ([200] * 3, [422] * 2, [429]) == (trap, bad, await statuses(limited, 1))


async def test_foreign_pages_and_wrong_keys_use_up_their_own_limit_only(limited: Running) -> None:
    """After five of them the caller waits; everybody else does not notice."""
    stranger, visitor = {"X-Forwarded-For": "198.51.100.1"}, {"X-Forwarded-For": "198.51.100.2", **SITE}

    wrong = await statuses(limited, 6, "/v1/forms/keyed", headers={**stranger, "x-api-key": "wrong"})
    foreign = await statuses(limited, 6, headers={**stranger, "Origin": "https://evil.test"})
    for number in range(40):
        await post(limited, "/v1/forms/keyed", headers={"X-Forwarded-For": f"203.0.113.{number}", "x-api-key": "wrong"})

    assert ([401] * 5 + [429], [403] * 5 + [429]) == (wrong, foreign)
    assert [200, 200] == [(await post(limited, path, headers=visitor)).status for path in (FORM, "/v1/forms/keyed")]


async def test_a_valid_key_is_held_to_what_is_written_only(limited: Running) -> None:
    """The usual limits are for strangers."""
    assert [200] * 9 == await statuses(limited, 9, "/v1/forms/keyed", headers=OTHER)
    assert [200] * 5 + [429] == await statuses(limited, 6, "/v1/forms/keyed", headers=SITE)
    assert [200] * 2 + [429] == await statuses(limited, 3, "/v1/forms/keyed-narrow", headers=OTHER)


async def test_strangers_use_up_nothing_of_who_has_a_key(limited: Running) -> None:
    """A form with both and a written limit: whoever says he is its web site reaches the limit of pages only."""
    pages = [{"X-Forwarded-For": f"203.0.113.{number}", **SITE} for number in range(9)]

    strange = [(await post(limited, "/v1/forms/keyed-few", headers=page)).status for page in pages]
    assert [200] * 2 + [429] * 7 == strange
    assert [200] * 2 + [429] == await statuses(limited, 3, "/v1/forms/keyed-few", headers=OTHER)


async def test_a_tool_is_told_503_which_it_tries_again_after(limited: Running) -> None:
    """Alertmanager and Azure never send again after a 429; a wrong key uses nothing up."""
    key = {"x-api-key": KEYS["alertmanager"]}
    await statuses(limited, 9, "/v1/webhooks/tool", json=ALERT, data=None)

    replies = [await post(limited, "/v1/webhooks/tool", json=ALERT, data=None, headers=key) for _ in range(3)]

    assert [200, 200, 503] == [reply.status for reply in replies]
    assert ("rate_limited", True) == (replies[2].json["code"], int(replies[2].headers["Retry-After"]) > 0)
    assert [200] * 40 == await statuses(limited, 40, "/v1/webhooks/alertmanager", json=ALERT, data=None, headers=key)


async def test_a_native_caller_is_told_429(limited: Running) -> None:
    """Where its source has a limit; others have none."""
    assert [202, 202, 429] == [(await limited.send(MAIL, key=KEYS["app2"])).status for _ in range(3)]
    assert [202] * 40 == [(await limited.send(MAIL)).status for _ in range(40)]


async def test_clients_behind_a_proxy_are_told_apart_and_cannot_choose_their_address(limited: Running) -> None:
    """Each has its own five; what a client writes into the header itself changes nothing."""
    first = [(await post(limited, headers={"X-Forwarded-For": f"10.0.0.{n}, 198.51.100.1"})).status for n in range(7)]
    second = await statuses(limited, 7, headers={"X-Forwarded-For": "198.51.100.2:567"})

    assert ([200] * 5 + [429] * 2, [200] * 5 + [429] * 2) == (first, second)


async def test_without_a_trusted_proxy_nobody_speaks_for_others(start: Start) -> None:
    """Another address in the header is no other client, whatever the server before the application thinks of it."""
    direct = await start(DIRECT)

    replies = [(await post(direct, headers={"X-Forwarded-For": f"198.51.100.{n}"})).status for n in range(7)]

    assert [200] * 5 + [429] * 2 == replies


async def test_two_gateways_on_one_store_count_together(start: Start) -> None:
    """No more passes than the limit, and what the second lets pass before it tells: one of a client, three of all."""
    gateways = [await start(LIMITED) for _ in range(2)]

    async def flood(path: str, address: str) -> int:
        headers = {"X-Forwarded-For": address}
        replies = await asyncio.gather(*(post(each, path, headers=headers) for each in gateways for _ in range(9)))
        return sum(reply.status == 200 for reply in replies)

    assert 5 <= await flood(FORM, "198.51.100.1") <= 6
    assert 30 <= sum([await flood("/v1/forms/second", f"198.51.100.{number}") for number in range(12)]) <= 33


async def test_an_address_is_in_no_line_no_row_and_no_answer(
    limited: Running, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Only its hash of the day is."""
    caplog.set_level(logging.INFO)
    headers = {"X-Forwarded-For": "198.51.100.77"}

    replies = [await post(limited, headers=headers) for _ in range(9)]

    kept = b"".join((tmp_path / f"gateway.db{end}").read_bytes() for end in ("", "-wal"))
    assert b"throttle|open" in kept
    assert b"198.51.100.77" not in kept + b"".join(reply.body for reply in replies)
    assert "198.51.100" not in "".join(
        record.getMessage() for record in caplog.records if not record.name.startswith(("asyncio", "aiohttp"))
    )


async def test_two_processes_on_one_store_believe_nobody_and_count_together(tmp_path: Path) -> None:
    """As they are after a clone: five posts a minute from this machine, and one more for the second process."""
    processes = [await asyncio.to_thread(start_process, store=tmp_path / "gateway.db") for _ in range(2)]
    try:
        async with aiohttp.ClientSession() as http:

            async def one(number: int) -> int:
                url = f"{processes[number % 2].url}/v1/forms/contact"
                headers = {"X-Forwarded-For": f"198.51.100.{number}", "Forwarded": f"for=198.51.100.{number}"}
                async with http.post(url, data=FIELDS, headers=headers) as answer:
                    return answer.status

            answers = await asyncio.gather(*map(one, range(40)))
    finally:
        for process in processes:
            await asyncio.to_thread(process.stop)

    assert {200, 429} == set(answers)
    assert 5 <= answers.count(200) <= 6
