"""What an outsider sends costs no more than its size: processor time at two sizes, on every door."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway import sources
from gateway.notification import Notification
from gateway.queues import Intake
from gateway.sources.jsontext import MOST_VALUES, TooComplex, check
from gateway.sources.payload import sniff
from gateway.threads import LARGE, aside
from tests.conftest import KEYS, Running
from tests.hostile import Doors, doors
from tests.hostile_bodies import DOORS
from tests.hostile_shapes import MIB, MULTIPART, TEXT, URLENCODED, Hostile

TALL = 224 * 1024
"""Fits into the text of a form."""

LONGEST_HEAD = 32 * 1024
"""The embedded host reads no longer one, the Functions host neither."""

SECONDS = 1.0
"""Of processor time for a megabyte: ten times what it should be, for machines that are slow or busy."""

FLOOR = 0.1
"""What a small body may cost, whatever is in it."""

GROWTH = 9
"""Times the time for four times the body: four would be in proportion, sixteen the square."""


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Doors]:
    """A gateway whose doors are measured; each has been used once, since the first use compiles and imports."""
    async with doors(tmp_path) as found:
        for door in DOORS:
            await found.cost(door, DOORS[door][0], 1000)
        yield found


async def _best(bench: Doors, door: str, hostile: Hostile, size: int, enough: float) -> float:
    """The least of three tries, since a busy machine adds to any of them; one that is enough ends it."""
    spent = []
    for _ in range(3):
        spent.append((await bench.cost(door, hostile, size))[0])
        if spent[-1] <= enough:
            break
    return min(spent)


@pytest.mark.parametrize("door", DOORS)
async def test_a_hostile_body_costs_in_proportion_to_its_size(bench: Doors, door: str) -> None:
    """Its share of a second for each megabyte, and for four times the body not sixteen times the time."""
    slow = []
    most = LONGEST_HEAD if door == "head" else TALL
    for hostile in DOORS[door]:
        budget = FLOOR + SECONDS * most / MIB
        tall = await _best(bench, door, hostile, most, budget / 4)
        if tall > budget / 4:
            small = await _best(bench, door, hostile, most // 4, 0)
            if tall > budget or tall > GROWTH * small:
                slow.append(f"{hostile.name}: {small * 1000:.0f} ms, {tall * 1000:.0f} ms")
    assert [] == slow


# ------------------------------------------------------------------------------------------------ a form's text


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"message=" + b"x" * 256 * 1024, URLENCODED),
        (b"message=" + b"x" * 256 * 1024, TEXT),
        (b'{"message": "' + b"x" * 256 * 1024 + b'"}', {"content-type": "application/json"}),
        (b"x" * 256 * 1024 + b"x", {}),
        (
            b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n%b\r\n'
            b'--b\r\nContent-Disposition: form-data; name="b"\r\n\r\n%b\r\n--b--\r\n' % ((b"x" * 131072,) * 2),
            MULTIPART,
        ),
    ],
)
async def test_a_form_with_more_text_than_256_kib_is_refused_with_the_limit(
    bench: Doors, body: bytes, headers: dict[str, str]
) -> None:
    """In whichever way it is written; a multipart form's fields count together, names included."""
    status, answer = await bench.request("POST", "/v1/forms/contact", body, headers)

    found = json.loads(answer)
    assert (413, "too_large", True) == (status, found["code"], "256 KiB (262144 bytes)" in found["detail"])


async def test_a_file_beside_a_forms_text_does_not_count_as_text(bench: Doors) -> None:
    """A megabyte of a picture with a letter of 200,000 characters is taken."""
    body = (
        b'--b\r\nContent-Disposition: form-data; name="message"\r\n\r\n%b\r\n'
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n%b\r\n'
        b"--b--\r\n" % (b"x" * 200_000, b"\x89PNG\r\n\x1a\n" + b"\x00" * MIB)
    )
    status, _ = await bench.request("POST", "/v1/forms/contact", body, MULTIPART)

    assert 200 == status


async def test_a_form_is_parsed_once(bench: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its fields and where the browser goes come from one reading."""
    read: list[int] = []

    def counted(body: bytes, *given: Any) -> Any:
        read.append(len(body))
        return sniff(body, *given)

    monkeypatch.setattr("gateway.sources.form.sniff", counted)
    await bench.request("POST", "/v1/forms/contact", b"message=Hello", {**URLENCODED, "accept": "text/html"})

    assert [13] == read


@pytest.mark.parametrize("body", [b"Backup failed", b'{"title": "Backup failed"}', b"title=Backup+failed"])
async def test_a_webhook_that_is_not_understood_is_parsed_once(
    bench: Doors, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    """Its dump is made from what the source's own module has read."""
    read: list[int] = []

    def counted(body: bytes, *given: Any) -> Any:
        read.append(len(body))
        return sniff(body, *given)

    for module in ("alertmanager", "unmapped"):
        monkeypatch.setattr(f"gateway.sources.{module}.sniff", counted)
    status, _ = await bench.request("POST", "/v1/webhooks/alertmanager", body, {"x-api-key": KEYS["alertmanager"]})

    assert (200, [len(body)]) == (status, read)


# ------------------------------------------------------------------------------------------------ too many values


def _values(count: int) -> bytes:
    """A native request whose JSON has that many values."""
    return b'{"to": "ops@example.com", "text": "x", "data": {"a": [%b0]}}' % (b"0, " * (count - 6))


@pytest.mark.parametrize(
    "text",
    [
        b"[%b0]" % (b"0," * (MOST_VALUES - 2)),
        b"[%b[ ]]" % (b"{ \n}," * (MOST_VALUES - 2)),
        b'[%b"\\\\"]' % (b'"a\\"[,{:",' * (MOST_VALUES - 2)),
        b'[%b{"":0}]' % (b'{"k,[{":0},' * (MOST_VALUES // 2 - 2) + b"0,"),
        b'[{"a":%b[%b0]%b}]' % (b'{"a":' * 100, b"0 ," * (MOST_VALUES - 104), b"}" * 100),
    ],
)
def test_values_are_counted_exactly_without_parsing(text: bytes) -> None:
    """What stands in strings does not count, what is empty counts once, and one value more is too many."""
    check(text)
    with pytest.raises(TooComplex):
        check(text[:-1] + b",0]")


def test_a_long_text_of_separators_is_one_value() -> None:
    """Nothing in a string is a value."""
    check(b'["' + b",[{" * 1_000_000 + b'"]')


async def test_json_of_too_many_values_is_refused_with_the_limit(bench: Doors) -> None:
    """413 on the native door, one value below the limit is taken."""
    key = {"content-type": "application/json", "x-api-key": KEYS["app"]}
    taken, _ = await bench.request("POST", "/v1/notifications", _values(MOST_VALUES), key)
    status, answer = await bench.request("POST", "/v1/notifications", _values(MOST_VALUES + 1), key)

    found = json.loads(answer)
    assert (202, 413, "too_complex", True) == (taken, status, found["code"], f"{MOST_VALUES}" in found["detail"])


async def test_a_field_of_a_form_is_held_to_the_same(bench: Doors) -> None:
    """JSON in `payload` or `data` is counted as well; a webhook's form is mailed as it came."""
    body = b"data=" + _values(MOST_VALUES + 1)
    native = await bench.request("POST", "/v1/notifications", body, {**URLENCODED, "x-api-key": KEYS["app"]})
    webhook = await bench.request(
        "POST", "/v1/webhooks/alertmanager", body, {**URLENCODED, "x-api-key": KEYS["alertmanager"]}
    )

    assert (413, "too_complex", 200) == (native[0], json.loads(native[1])["code"], webhook[0])


async def test_a_webhook_of_too_many_values_is_mailed_as_text(gateway: Running) -> None:
    """No alert is refused for its shape."""
    body = b'{"alerts": [' + b"{}, " * MOST_VALUES + b"{}]}"
    headers = {"x-api-key": KEYS["alertmanager"], "content-type": "application/json"}
    reply = await gateway.call("POST", "/v1/webhooks/alertmanager", data=body, headers=headers)

    (mail,) = await gateway.mails()
    assert (200, True, True) == (
        reply.status,
        (await gateway.status(reply.json["id"]))["unmapped"],
        mail["text"].count("{}, {}, {}") > 0,
    )


async def test_a_queue_message_of_too_many_values_is_a_dead_letter(bench: Doors) -> None:
    """With the reason, and without a notification of its source."""
    gateway = bench.gateway
    intake = Intake(gateway.config, gateway.store, lambda: gateway.line, None)
    await intake.take(_values(MOST_VALUES + 1).replace(b"{", b'{"source": "app", ', 1), "m1")

    entry = (await gateway.store.list(status="", source="queue", since=None, cursor="", limit=1)).entries[0]
    assert ("failed", "too_complex") == (entry.status, entry.reason)


# ------------------------------------------------------------------------------------------------ faults


@pytest.mark.parametrize(
    "fields",
    [
        {f"k{number}": 0 for number in range(100_000)},
        {"to": ["a"] * 500, "cc": ["b"] * 500, "bcc": ["c"] * 500},
        {"to": [{"email": "a", **{f"k{number}": 0 for number in range(100)}}] * 500},
        {"attachments": [{}] * 50_000},
        {"attachments": [{f"k{number}": 0 for number in range(100)}] * 100},
        {"to": ["ops@elsewhere.test"] * 500, "text": "x"},
        {"text": "x", "data": {f"k{number}": "System.Object[]" for number in range(5000)}},
    ],
)
async def test_a_refusal_names_at_most_fifty_faults(bench: Doors, fields: dict[str, Any]) -> None:
    """However many there are, and of whatever kind."""
    body = json.dumps({"to": "ops@example.com", **fields}).encode()
    status, answer = await bench.request("POST", "/v1/notifications", body, {"x-api-key": KEYS["app"]})

    assert (422, True) == (status, 1 <= len(json.loads(answer)["fields"]) <= 50)


@pytest.mark.parametrize(
    ("field", "value", "most"),
    [
        ("to", ["a@example.com"] * 501, 500),
        ("to", "a@example.com," * 501, 500),
        ("cc", [0] * 50_000, 500),
        ("headers", {f"{number}": 0 for number in range(50_000)}, 20),
        ("tags", [0] * 50_000, 20),
        ("tags", "a," * 50_000, 20),
        ("attachments", [{"name": "a", "content": ""}] * 101, 100),
    ],
)
async def test_a_list_that_is_too_long_is_one_fault(bench: Doors, field: str, value: Any, most: int) -> None:
    """It is counted before its entries are looked at."""
    body = json.dumps({"to": "ops@example.com", "text": "x", field: value}).encode()
    _, answer = await bench.request("POST", "/v1/notifications", body, {"x-api-key": KEYS["app"]})

    assert {field: f"has too many entries; at most {most}"} == json.loads(answer)["fields"]


# ------------------------------------------------------------------------------------------------ beside the loop


async def test_large_work_is_done_while_the_loop_goes_on() -> None:
    """A thread that waits for the loop is answered; done by the loop itself it would wait for ever."""
    loops = threading.Event()

    async def go_on() -> None:
        loops.set()

    answered, _ = await asyncio.gather(aside(LARGE + 1, loops.wait, 30), go_on())

    assert answered


async def test_small_work_is_done_at_once() -> None:
    """Without a thread."""
    assert threading.current_thread() is await aside(LARGE, threading.current_thread)


async def test_others_are_served_while_a_large_body_is_read(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader waits here for an answer that only the loop can give."""
    loop, begun, served = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    read = sources.read

    def slow(*given: Any) -> list[Notification]:
        loop.call_soon_threadsafe(begun.set)
        assert served.wait(30)
        return read(*given)

    monkeypatch.setattr(sources, "read", slow)
    large = asyncio.create_task(gateway.send({"to": "ops@example.com", "text": "x" * 2 * LARGE}))
    await begun.wait()
    live = await gateway.call("GET", "/health/live")
    served.set()

    assert (200, 202) == (live.status, (await large).status)
