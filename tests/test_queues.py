"""The queue `notifications`: what is accepted from it, and what becomes a dead letter, through line and store."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.errors import StoreUnavailable
from gateway.ledger import Entry
from gateway.message import Status
from gateway.queues import LARGEST_BLOB, Intake, identity, readable
from tests.conftest import KEYS, Running

MAIL = {"source": "app", "to": "ops@example.com", "subject": "Backup failed", "text": "It is 02:14."}


@dataclass
class Blobs:
    """The account beside the ledger, with blobs in a dictionary; nothing else is asked of it here."""

    blobs: Mapping[str, bytes] = field(default_factory=dict)

    async def blob_size(self, container: str, name: str) -> int | None:
        """Of one of them."""
        found = self.blobs.get(f"{container}/{name}")
        return None if found is None else len(found)

    async def blob(self, container: str, name: str, most: int) -> bytes | None:
        """One of them."""
        found = self.blobs.get(f"{container}/{name}")
        return None if found is None else found[:most]

    async def put_back(self, queue: str, text: str, delay: timedelta) -> None:
        """Not asked."""
        raise AssertionError(queue)

    async def queue_length(self, queue: str) -> int:
        """Not asked."""
        raise AssertionError(queue)


@pytest.fixture
def intake(gateway: Running) -> Intake:
    """What takes the queue's messages."""
    parts = gateway.gateway
    return Intake(parts.config, parts.store, lambda: parts.line, Blobs())


def body(value: object = MAIL, **changes: Any) -> bytes:
    """A queue message's bytes."""
    return json.dumps({**value, **changes} if isinstance(value, dict) else value).encode()


async def entries(intake: Intake) -> list[Entry]:
    """The whole ledger, newest first."""
    return list((await intake.store.list(status="", source="", since=None, cursor="", limit=100)).entries)


async def letters(intake: Intake) -> list[tuple[Status, str, str]]:
    """Status, reason and history of what has no message of its own."""
    return [
        (entry.status, entry.reason, entry.history[-1].reason)
        for entry in await entries(intake)
        if entry.source == "queue"
    ]


@pytest.mark.parametrize(
    "sent",
    [
        body(),
        base64.b64encode(body()),
        b"\xef\xbb\xbf" + body(),
        b"\n  " + body() + b"\n",
        base64.b64encode(b"\xef\xbb\xbf" + body()),
    ],
    ids=["plain", "base64", "byte order mark", "white space", "both"],
)
async def test_a_notification_is_taken_as_it_was_put_there(gateway: Running, intake: Intake, sent: bytes) -> None:
    """Azure's Python SDK writes plain text, most other clients base64."""
    await intake.take(sent, "m1")

    (mail,) = await gateway.mails()
    assert ("Backup failed", ["ops@example.com"]) == (mail["subject"], mail["to"])


async def test_a_message_that_is_delivered_twice_is_one_notification(gateway: Running, intake: Intake) -> None:
    """The queue promises at least once; its message id says that it is the same."""
    for message in ("m1", "m1", "m2"):
        await intake.take(body(), message)

    assert 2 == len(await gateway.mails(2))
    assert 2 == len(await entries(intake))


async def test_a_key_of_its_own_counts_more_than_the_queue_s(gateway: Running, intake: Intake) -> None:
    """A sender that puts the same message twice says so by its key; HTTP and queue share the keys of a source."""
    for message in ("m1", "m2"):
        await intake.take(body(idempotency_key="k1"), message)
    other = await gateway.send(
        {name: value for name, value in MAIL.items() if name != "source"}, headers={"Idempotency-Key": "k1"}
    )

    assert 1 == len([entry for entry in await entries(intake) if entry.source == "app"])
    assert (422, "idempotency_key_reused") == other.code


async def test_a_key_used_for_something_else_is_a_dead_letter(intake: Intake) -> None:
    """Nobody waits for the 422 that a caller over HTTP would get."""
    await intake.take(body(idempotency_key="k1"), "m1")
    await intake.take(body(idempotency_key="k1", text="another"), "m2")

    ((status, reason, _),) = await letters(intake)
    assert (Status.FAILED, "idempotency_key_reused") == (status, reason)


async def test_a_large_notification_lies_in_a_blob(gateway: Running, intake: Intake) -> None:
    """64 KiB is a queue message's limit."""
    content = body(text="x" * 200_000, source="other")
    from_blob = replace(intake, account=Blobs({"notifications/2026/a.json": content}))

    await from_blob.take(b'{"blob": "notifications/2026/a.json"}', "m1")

    (mail,) = await gateway.mails()
    assert 200_000 == mail["text"].count("x")


@dataclass
class Growing(Blobs):
    """A blob of this size, which has more bytes by the time it is read; `read` tells how many were asked for."""

    size: int = 0
    read: list[int] = field(default_factory=list)

    async def blob_size(self, container: str, name: str) -> int | None:
        """What it says."""
        return self.size

    async def blob(self, container: str, name: str, most: int) -> bytes | None:
        """As much as was asked for."""
        self.read.append(most)
        return b" " * most


@pytest.mark.parametrize(("size", "read"), [(LARGEST_BLOB + 1, []), (10**15, []), (5, [LARGEST_BLOB + 1])])
async def test_a_blob_is_read_no_further_than_it_may_be_large(intake: Intake, size: int, read: list[int]) -> None:
    """Its size is asked first, and a limit goes with the read."""
    account = Growing(size=size)

    await replace(intake, account=account).take(b'{"blob": "notifications/large"}', "m1")

    ((_, reason, _),) = await letters(intake)
    assert ("too_large", read) == (reason, account.read)


@pytest.mark.parametrize(
    ("sent", "reason", "explained"),
    [
        (b"", "malformed", "The message is not JSON"),
        (b"not JSON", "malformed", "The message is not JSON"),
        (bytes(range(256)) * 256, "malformed", "The message is not JSON"),
        (b"[1]", "malformed", "one JSON object"),
        (body(source="nowhere"), "unknown_source", "gateway.yaml has app, other"),
        (body(source="contact"), "unknown_source", "gateway.yaml has app, other"),
        (body({"to": "ops@example.com", "text": "x"}), "invalid", "source is missing"),
        (body(to="boss@elsewhere.example"), "recipient_not_allowed", "sources.app.allow"),
        (body(to="nobody"), "invalid", "to"),
        (body(priority="now"), "invalid", "priority"),
        (b'{"blob": "notifications/b"}', "blob_missing", "no such blob"),
        *(
            (json.dumps({"blob": path}).encode(), "invalid", "of the container notifications")
            for path in (
                *(
                    "payloads/x",
                    "azure-webjobs-secrets/host.json",
                    "Notifications/x",
                    "notifications",
                    "notifications/",
                    7,
                ),
                *("payloads?restype=container&comp=list&x=/y", "notifications?restype=container&comp=list&x=/y", ["a"]),
                *("notifications/../payloads/x", "notifications/./x", "notifications//x", "notifications/a\\..\\x"),
                *("notifications/a\nb", "/notifications/x", "$root/x", "notifications/" + "x" * 1025),
            )
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_what_cannot_be_taken_is_a_dead_letter_with_its_reason(
    gateway: Running, intake: Intake, sent: bytes, reason: str, explained: str
) -> None:
    """It is visible to the operator, its text is kept, and the queue goes on."""
    for _ in range(2):
        await intake.take(sent, "m1")
    await intake.take(body(), "m2")

    ((status, found, history),) = await letters(intake)
    assert (Status.FAILED, reason) == (status, found)
    assert explained in history
    (letter,) = [entry for entry in await entries(intake) if entry.source == "queue"]
    assert readable(sent).encode() == await intake.store.fetch(f"queue/{letter.id}")
    assert 1 == len(await gateway.mails())


async def test_an_operator_sees_the_dead_letters_and_a_source_s_key_does_not(gateway: Running, intake: Intake) -> None:
    """They may quote what somebody else wrote."""
    await intake.take(b"noise", "m1")
    (letter,) = await entries(intake)

    shown = (await gateway.call("GET", "/v1/notifications?source=queue", headers={"x-api-key": KEYS["admin"]})).json
    other = await gateway.call("GET", f"/v1/notifications/{letter.id}", headers={"x-api-key": KEYS["app"]})

    assert [("failed", "malformed")] == [(item["status"], item["reason"]) for item in shown["items"]]
    assert 404 == other.status


async def test_a_dry_run_is_checked_and_sent_to_nobody(gateway: Running, intake: Intake) -> None:
    """There is nobody to show it to."""
    await intake.take(body(dry_run=True), "m1")
    await intake.take(body(dry_run=True, to="boss@elsewhere.example"), "m2")

    assert ["recipient_not_allowed"] == [reason for _, reason, _ in await letters(intake)]


# ---------------------------------------------------------------------------------------------------------- poison


async def test_a_healthy_message_from_the_poison_queue_is_taken(gateway: Running, intake: Intake) -> None:
    """Five deployments in a row are enough to get there."""
    await intake.take_again(body())

    (mail,) = await gateway.mails()
    assert "Backup failed" == mail["subject"]


async def test_what_was_accepted_before_it_went_to_poison_is_not_sent_again(gateway: Running, intake: Intake) -> None:
    """The copy has no message id; it is recognised by its text, and leaves a trace."""
    await intake.take(body(), "m1")
    for _ in range(2):
        await intake.take_again(body())

    ((status, reason, history),) = await letters(intake)
    assert (Status.SKIPPED, "duplicate") == (status, reason)
    (first,) = [entry for entry in await entries(intake) if entry.source == "app"]
    assert first.id in history
    assert 1 == len(await gateway.mails())


async def test_the_poison_copy_itself_may_come_twice(gateway: Running, intake: Intake) -> None:
    """The host copies and then deletes; a crash between the two makes another copy."""
    for _ in range(2):
        await intake.take_again(body())

    assert 1 == len([entry for entry in await entries(intake) if entry.source == "app"])


async def test_the_same_text_a_day_later_is_another_notification(intake: Intake) -> None:
    """A check that fails every night in the same words."""
    await intake.take(body(), "m1")
    tomorrow = replace(intake, clock=lambda: datetime.now(UTC) + timedelta(hours=25))

    await tomorrow.take_again(body())

    assert 2 == len([entry for entry in await entries(intake) if entry.source == "app"])


async def test_a_message_that_crashes_every_process_becomes_a_dead_letter(intake: Intake) -> None:
    """A mark is written before each try; after three of them without an end it is given up."""

    class Killed(BaseException):
        """As if the process had ended here."""

    def crash() -> Any:
        raise Killed

    deadly = replace(intake, line=crash)
    for _ in range(3):
        with pytest.raises(Killed):
            await deadly.take_again(body())
    await deadly.take_again(body())

    assert [(Status.FAILED, "crashed")] == [(status, reason) for status, reason, _ in await letters(intake)]


async def test_an_error_of_ours_becomes_a_dead_letter_and_is_not_raised(intake: Intake) -> None:
    """The host would leave a poison message that fails where nobody looks."""

    def broken() -> Any:
        raise RuntimeError

    await replace(intake, line=broken).take_again(body())

    assert [(Status.FAILED, "bug")] == [(status, reason) for status, reason, _ in await letters(intake)]


async def test_storage_that_fails_does_not_count_as_a_crash(gateway: Running, intake: Intake) -> None:
    """The message goes back, and is taken when storage answers again."""

    def unavailable() -> Any:
        raise StoreUnavailable

    for _ in range(5):
        with pytest.raises(StoreUnavailable):
            await replace(intake, line=unavailable).take_again(body())
    await intake.take_again(body())

    assert 1 == len(await gateway.mails())


def test_an_id_begins_as_its_text_s_hash_does() -> None:
    """So a copy without its message id is found by a range of keys."""
    first, second = identity("c0ffee00" + "0" * 56, "m1"), identity("c0ffee00" + "0" * 56, "m2")

    assert "c0ffee00" == first[:8] == second[:8]
    assert first != second
    assert 36 == len(first)
