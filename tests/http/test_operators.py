"""What operators decide, over a real port: send again, stop, and every way in which that cannot be done."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Any

import pytest

from gateway.clock import wall_clock
from gateway.delivery import LEASES
from gateway.ledger import Amendment, MessageState, Settlement
from gateway.message import OPEN, Message, Status
from tests.conftest import KEYS, Reply, Running
from tests.factories import make_entry, make_messages

ADMIN = {"x-api-key": KEYS["admin"]}
LATER = timedelta(days=365)
BODY: dict[str, Any] = {"to": "ops@example.com", "subject": "Backup failed", "text": "Exit code 2."}


async def standing(gateway: Running, *statuses: Status, reason: str = "") -> list[Message]:
    """A notification whose messages stand at these; what is open there waits for a year."""
    messages = make_messages(len(statuses), created=wall_clock())
    states = tuple(
        MessageState(id=message.id, to=message.to, sender=message.sender, status=status, reason=reason)
        for message, status in zip(messages, statuses, strict=True)
    )
    entry = make_entry(*messages, messages=states)
    assert await gateway.gateway.store.add(entry, messages, wall_clock() + LATER) is None
    return list(messages)


async def tried(gateway: Running, message: Message, event: str, reason: str, *, unresolved: bool) -> None:
    """A try of a waiting message that ended with this event."""
    store = gateway.gateway.store
    at = wall_clock() + LATER
    claim = await store.claim(message.id, "test", at, LEASES)
    assert claim is not None
    word = Settlement(status=Status.DEFERRED, event=event, at=at, reason=reason, due=at, unresolved=unresolved)
    assert await store.settle(claim, word)


async def decide(gateway: Running, what: str, id: str, key: str | None = KEYS["admin"], **query: str) -> Reply:
    """One of the two decisions."""
    headers = {"x-api-key": key} if key else {}
    return await gateway.call("POST", f"/v1/notifications/{id}/{what}", headers=headers, params=query)


async def settled(gateway: Running, id: str) -> Any:
    """The notification, as soon as none of its messages is open; its own status may say `failed` before that."""
    for _ in range(500):
        shown = await gateway.status(id, wait=False)
        if not OPEN & set(statuses(shown)):
            return shown
        await asyncio.sleep(0.02)
    raise AssertionError(shown)


def statuses(shown: Any) -> list[str]:
    return [message["status"] for message in shown["messages"]]


def events(shown: Any) -> list[str]:
    return [line["event"] for line in shown["history"]]


class TestReplay:
    """POST /v1/notifications/{id}/replay."""

    @pytest.mark.parametrize(
        "status", [Status.FAILED, Status.BOUNCED, Status.SUPPRESSED, Status.UNKNOWN, Status.CANCELLED]
    )
    async def test_what_has_not_arrived_goes_again(self, gateway: Running, status: Status) -> None:
        """202 with the notification, which keeps its id; the mail is there, once."""
        (message,) = await standing(gateway, status, reason="refused")

        reply = await decide(gateway, "replay", message.notification)

        assert (202, message.notification) == (reply.status, reply.json["id"])
        shown = await gateway.status(message.notification)
        assert (["captured"], ["accepted", "replayed", "captured"]) == (statuses(shown), events(shown))
        assert [message.id] == [mail["id"] for mail in await gateway.mails()]

    async def test_what_has_arrived_stays(self, gateway: Running) -> None:
        """Only the failed one of three goes again."""
        messages = await standing(gateway, Status.SENT, Status.FAILED, Status.DELIVERED)

        await decide(gateway, "replay", messages[0].notification)

        assert ["sent", "captured", "delivered"] == statuses(await gateway.status(messages[0].notification))
        assert [messages[1].id] == [mail["id"] for mail in await gateway.mails()]

    async def test_one_message_may_be_named(self, gateway: Running) -> None:
        """The other stays failed; a message of another notification is 422."""
        first, second = await standing(gateway, Status.FAILED, Status.FAILED)

        reply = await decide(gateway, "replay", first.notification, message=second.id)
        foreign = await decide(gateway, "replay", first.notification, message="none-1")

        assert 202 == reply.status
        assert ["failed", "captured"] == statuses(await settled(gateway, first.notification))
        assert (422, ["message"]) == (foreign.status, list(foreign.json["fields"]))

    async def test_a_second_replay_finds_nothing(self, gateway: Running) -> None:
        """409 that says where it stands, and no second mail."""
        (message,) = await standing(gateway, Status.FAILED)
        await decide(gateway, "replay", message.notification)
        await gateway.status(message.notification)

        reply = await decide(gateway, "replay", message.notification)

        assert ((409, "nothing_to_replay"), True) == (reply.code, "stands at captured" in reply.json["detail"])
        assert 1 == len(await gateway.mails())

    async def test_only_where_nobody_knows_the_provider_key_stays(self, gateway: Running) -> None:
        """A provider that remembers it does not send twice; elsewhere it would answer with the old end."""
        failed, unknown = await standing(gateway, Status.FAILED, Status.UNKNOWN)
        store = gateway.gateway.store

        await decide(gateway, "replay", failed.notification)
        await gateway.mails(2)

        kept = [await store.captured_one(message.id) for message in (failed, unknown)]
        keys = [item.message.operation_id for item in kept if item]
        assert (False, True) == (keys[0] == failed.operation_id, keys[1] == unknown.operation_id)
        assert failed.notification[-1] == keys[0][-1]

    async def test_a_dead_letter_has_nothing_to_send(self, gateway: Running) -> None:
        """409 that says what to do instead."""
        entry = make_entry(source="queue", kind="queue", own=Status.FAILED, reason="malformed")
        await gateway.gateway.store.add(entry, (), wall_clock())

        reply = await decide(gateway, "replay", entry.id)

        assert ((409, "dead_letter"), True) == (reply.code, "Put a corrected one" in reply.json["detail"])

    async def test_a_notification_without_messages_has_nothing_to_send(self, gateway: Running) -> None:
        """A skipped duplicate."""
        entry = make_entry(own=Status.SKIPPED, reason="duplicate")
        await gateway.gateway.store.add(entry, (), wall_clock())

        reply = await decide(gateway, "replay", entry.id)

        assert ((409, "nothing_to_replay"), True) == (reply.code, "stands at skipped" in reply.json["detail"])

    async def test_what_retention_has_deleted_cannot_go_again(self, gateway: Running) -> None:
        """409, and the message stays where it was."""
        (message,) = await standing(gateway, Status.FAILED)
        at = wall_clock() + timedelta(seconds=1)
        await gateway.gateway.store.purge(bodies=at, ledger=at - LATER, captured=at - LATER)

        reply = await decide(gateway, "replay", message.notification)

        assert (409, "content_gone") == reply.code
        assert ["failed"] == statuses(await gateway.status(message.notification))


class TestCancel:
    """POST /v1/notifications/{id}/cancel."""

    async def test_what_waits_is_stopped(self, gateway: Running) -> None:
        """200, for good: nothing is sent when its time comes, and a second cancel changes nothing."""
        send_at = (wall_clock() + LATER).isoformat()
        id = (await gateway.send({**BODY, "send_at": send_at})).json["id"]

        replies = [await decide(gateway, "cancel", id) for _ in range(2)]

        assert [(200, "cancelled")] * 2 == [(reply.status, reply.json["status"]) for reply in replies]
        assert ["accepted", "cancelled"] == events(replies[1].json)
        assert [] == (await gateway.call("GET", "/v1/captured")).json["items"]

    async def test_what_is_cancelled_can_be_sent_after_all(self, gateway: Running) -> None:
        """At once, whatever its time was."""
        send_at = (wall_clock() + LATER).isoformat()
        id = (await gateway.send({**BODY, "send_at": send_at})).json["id"]
        await decide(gateway, "cancel", id)

        await decide(gateway, "replay", id)

        assert ["Backup failed"] == [mail["subject"] for mail in await gateway.mails()]

    @pytest.mark.parametrize("status", [Status.QUEUED, Status.DEFERRED, Status.HELD])
    async def test_every_way_of_waiting_ends(self, gateway: Running, status: Status) -> None:
        """What was sent stays sent beside it."""
        messages = await standing(gateway, status, Status.SENT)

        reply = await decide(gateway, "cancel", messages[0].notification)

        assert (200, ["cancelled", "sent"]) == (reply.status, statuses(reply.json))

    @pytest.mark.parametrize("status", [Status.SENT, Status.CAPTURED, Status.FAILED, Status.UNKNOWN])
    async def test_what_has_ended_cannot_be_stopped(self, gateway: Running, status: Status) -> None:
        """409 that says where it stands."""
        (message,) = await standing(gateway, status)

        reply = await decide(gateway, "cancel", message.notification)

        assert ((409, "too_late"), True) == (reply.code, f"stands at {status}" in reply.json["detail"])

    async def test_what_is_being_sent_cannot_be_stopped(self, gateway: Running) -> None:
        """A worker has claimed it."""
        (message,) = await standing(gateway, Status.QUEUED)
        assert await gateway.gateway.store.claim(message.id, "test", wall_clock() + LATER, LEASES)

        reply = await decide(gateway, "cancel", message.notification)

        assert ((409, "too_late"), True) == (reply.code, "stands at sending" in reply.json["detail"])

    async def test_what_may_have_been_sent_is_not_called_stopped(self, gateway: Running) -> None:
        """409 while nobody knows, also while the question has to wait; once the provider knows nothing, 200."""
        (message,) = await standing(gateway, Status.QUEUED)
        await tried(gateway, message, "in_doubt", "connection_lost", unresolved=True)

        in_doubt = await decide(gateway, "cancel", message.notification)
        await tried(gateway, message, "deferred", "throttled", unresolved=True)
        waiting = await decide(gateway, "cancel", message.notification)
        await tried(gateway, message, "deferred", "not_found", unresolved=False)
        known = await decide(gateway, "cancel", message.notification)

        assert [(409, "in_doubt")] * 2 == [in_doubt.code, waiting.code]
        assert (200, "cancelled") == (known.status, known.json["status"])

    async def test_a_replay_of_the_unknown_that_is_stopped_is_unknown_again(self, gateway: Running) -> None:
        """Its first submission may have arrived, whatever was stopped since."""
        (message,) = await standing(gateway, Status.QUEUED)
        await tried(gateway, message, "in_doubt", "connection_lost", unresolved=True)
        store = gateway.gateway.store
        at = wall_clock() + LATER
        claim = await store.claim(message.id, "test", at, LEASES)
        assert claim is not None
        await store.settle(claim, Settlement(status=Status.UNKNOWN, event="unknown", at=at, unresolved=True))
        again = Amendment(allowed=frozenset({Status.UNKNOWN}), status=Status.QUEUED, event="replayed", at=at, due=at)
        assert await store.amend(message.id, again) is Status.UNKNOWN

        reply = await decide(gateway, "cancel", message.notification)

        assert (200, "unknown", "unknown_outcome") == (reply.status, reply.json["status"], reply.json["reason"])


async def test_decisions_are_for_operators(gateway: Running) -> None:
    """No key is 401, a source's key 403, an id that nobody knows 404."""
    (message,) = await standing(gateway, Status.FAILED)

    for what in ("replay", "cancel"):
        replies = [await decide(gateway, what, message.notification, key=key) for key in (None, KEYS["app"])]
        replies.append(await decide(gateway, what, "none"))
        assert [401, 403, 404] == [reply.status for reply in replies]


async def test_decisions_are_in_the_log(gateway: Running, caplog: pytest.LogCaptureFixture) -> None:
    """With the notification, the message and where it stood."""
    caplog.set_level(logging.INFO)
    logging.getLogger("gateway").propagate = True
    failed, queued = await standing(gateway, Status.FAILED, Status.QUEUED)

    await decide(gateway, "cancel", failed.notification)
    await decide(gateway, "replay", failed.notification, message=failed.id)

    lines = "\n".join(caplog.messages)
    for event, message, status in (("cancelled", queued, "queued"), ("replayed", failed, "failed")):
        expected = f'"event": "{event}", "notification": "{message.notification}", "message": "{message.id}"'
        (line,) = [line for line in lines.splitlines() if expected in line]
        assert f'"status": "{status}"' in line
