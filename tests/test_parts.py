"""Lists longer than one mail may have become several mails, and what cannot be sent is said before it is accepted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import parts
from gateway.address import Address
from gateway.config import Sender
from gateway.errors import ConfigurationError, Rejected
from gateway.message import Target
from gateway.stores.azure_messages import MOST_MESSAGES
from tests.conftest import CONFIG, Start
from tests.factories import make_attachment, make_message
from tests.test_config import parse


def people(count: int, kind: str = "to") -> tuple[Address, ...]:
    """That many addresses."""
    return tuple(Address(email=f"{kind}{number}@example.com") for number in range(count))


def target(to: int, cc: int = 0, bcc: int = 0) -> Target:
    """Where one mail would go."""
    return Target(route=0, sender="noreply", to=people(to), cc=people(cc, "cc"), bcc=people(bcc, "bcc"))


def sender(**fields: Any) -> Sender:
    """A sender on ACS unless said otherwise."""
    return Sender.model_validate({"transport": "acs", "address": "a@example.com", **fields})


sizes = st.integers(min_value=0, max_value=300)


@given(st.integers(min_value=1, max_value=300), sizes, sizes, st.sampled_from([2, 7, 50]))
def test_every_recipient_is_in_exactly_one_part(to: int, cc: int, bcc: int, limit: int) -> None:
    """In the order they were named; each part fits, has a `to`, and shows nobody who was promised to be invisible."""
    whole = target(to, cc, bcc)
    if to + cc < parts.count(to + cc + bcc, limit):
        with pytest.raises(Rejected) as error:
            parts.split(whole, limit)
        assert [*error.value.fields] == ["bcc"]
        return
    found = parts.split(whole, limit)
    assert len(found) == max(1, parts.count(to + cc + bcc, limit))
    assert [one for part in found for one in part.to + part.cc] == [*whole.to, *whole.cc]
    assert [one for part in found for one in part.bcc] == list(whole.bcc)
    for part in found:
        assert 1 <= len(part.to)
        assert len(part.to) + len(part.cc) + len(part.bcc) <= limit


def test_a_mail_must_fit_the_fallback_too() -> None:
    """Graph takes 500 recipients, but where ACS may take over it is 50."""
    senders = {
        "a": sender(transport="graph", fallback="b"),
        "b": sender(),
        "c": sender(transport="graph"),
        "d": sender(transport="capture"),
    }
    found = [parts.most(parts.ways_out(senders, name)) for name in "abc"]
    assert found == [50, 50, 500]
    assert len(parts.split(target(1_000), parts.most(parts.ways_out(senders, "d")))) == 1


MEGABYTE = 1024 * 1024
TOO_LARGE: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "files for ACS": ({}, {"attachments": (make_attachment(content=bytes(8 * MEGABYTE)),)}, "attachments"),
    "text for ACS": ({}, {"text": "\N{GRINNING FACE}" * 900_000, "html": ""}, "text"),
    "files for sendMail": (
        {"transport": "graph", "mode": "direct"},
        {"attachments": (make_attachment(content=bytes(4 * MEGABYTE)),)},
        "attachments",
    ),
    "text for a draft": ({"transport": "graph"}, {"html": "x" * (4 * MEGABYTE)}, "text"),
}
FITS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "files for ACS": ({}, {"attachments": (make_attachment(content=bytes(7 * MEGABYTE)),)}),
    "text for ACS": ({}, {"text": "x" * (9 * MEGABYTE), "html": ""}),
    "files for a draft": ({"transport": "graph"}, {"attachments": (make_attachment(content=bytes(9 * MEGABYTE)),)}),
    "anything where it is kept": ({"transport": "capture"}, {"text": "x" * (20 * MEGABYTE)}),
}


@pytest.mark.parametrize("case", TOO_LARGE)
def test_a_mail_that_would_be_refused_is_refused_at_once(case: str) -> None:
    """With the field and the limit."""
    fields, content, field = TOO_LARGE[case]
    with pytest.raises(Rejected, match=r"at most (10|4) MB") as error:
        parts.check_size(make_message(**content), [sender(**fields)])
    assert (error.value.status, error.value.code, [*error.value.fields]) == (413, "mail_too_large", [field])


@pytest.mark.parametrize("case", FITS)
def test_a_mail_that_fits_is_taken(case: str) -> None:
    """Up to the limit, attachments in base64 included."""
    fields, content = FITS[case]
    parts.check_size(make_message(**content), [sender(**fields)])


ACS = CONFIG.replace("noreply: {transport: capture", "noreply: {transport: acs")


async def test_a_long_list_becomes_several_mails_with_ids_of_their_own(start: Start) -> None:
    """What is captured is split as what would be sent."""
    gateway = await start(ACS)
    names = [f"user{number}@example.com" for number in range(120)]
    reply = await gateway.send({"to": names, "bcc": ["boss@example.com"], "subject": "All", "text": "Hello"})
    assert reply.status == 202
    mails = await gateway.mails(3)
    assert sorted(len(mail["to"]) for mail in mails) == [40, 40, 40]
    assert sorted(one for mail in mails for one in mail["to"]) == sorted(names)
    assert sorted(mail["id"] for mail in mails) == [f"{reply.json['id']}-{number}" for number in (1, 2, 3)]


async def test_blind_copies_need_somebody_visible_in_each_mail(start: Start) -> None:
    """Refused with the remedy, instead of showing one of them."""
    gateway = await start(ACS)
    hidden = [f"user{number}@example.com" for number in range(50)]
    reply = await gateway.send({"to": ["a@example.com"], "bcc": hidden, "subject": "All", "text": "Hello"})
    assert reply.code == (422, "too_many_recipients")
    assert "name 2 or more in to" in reply.json["fields"]["bcc"]


def test_more_mails_than_can_be_written_at_once_are_refused() -> None:
    """Never a 503 for what will never fit."""
    parts.check_count(parts.MESSAGES)
    with pytest.raises(Rejected) as error:
        parts.check_count(parts.MESSAGES + 1)
    assert (error.value.status, error.value.code) == (422, "too_many_recipients")
    assert parts.MESSAGES <= MOST_MESSAGES


async def test_too_much_for_the_provider_is_refused_with_the_limit(start: Start) -> None:
    """The body is below 10 MiB, the mail above."""
    gateway = await start(ACS)
    body = {"to": ["a@example.com"], "subject": "Long", "text": "\N{GRINNING FACE}" * 1_000_000}
    reply = await gateway.send(json.dumps(body, ensure_ascii=False).encode())
    assert reply.code == (413, "mail_too_large")


@pytest.mark.parametrize(("routes", "expected"), [(1, []), (2, ["sources.x.routes"])])
def test_a_source_that_would_make_too_many_mails_is_a_mistake(routes: int, expected: list[str]) -> None:
    """Routes that go on add up; the store takes 32 mails of one notification."""
    names = ", ".join(f"u{number}@example.com" for number in range(801))
    text = "\n".join(
        [
            "senders: {a: {transport: acs, address: a@b.c}}",
            f"recipients: {{all: [{names}]}}",
            "sources:",
            "  x:",
            "    kind: form",
            "    sender: a",
            "    origins: ['*']",
            "    to: all",
            "    routes:",
            *["      - {match: {severity: critical}, continue: true}"] * (routes - 1),
            "      - {}",
        ]
    )
    found = []
    try:
        parse(text)
    except ConfigurationError as error:
        found = [problem.field for problem in error.problems]
    assert found == expected
