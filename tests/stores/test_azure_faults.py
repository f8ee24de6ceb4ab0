"""Every fault at every call of every verb: what a verb says is true, nothing is lost and nothing is there twice.

A verb runs through a proxy that spoils one of its calls, or all of them; then another store, which never met a fault,
is asked what is true. SOAK=1 takes every fault, otherwise one of each sort.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from gateway.errors import StoreUnavailable
from gateway.ledger import Amendment, Entry, Report
from gateway.message import Message, Priority, Status
from gateway.settings import Settings
from gateway.stores import azure_rest
from gateway.stores import azure_rows as rows
from gateway.stores.azure import AzureStore
from tests.azurite import Azurite
from tests.factories import NOW, make_attachment, make_entry, make_message, new_id, operation_like
from tests.faultproxy import Fault, FaultProxy, proxied
from tests.stores.steps import LEASES, MINUTE, claimed, listed, settlement, state

LARGE = make_attachment(content=bytes(range(256)) * 1200)
WAITS = {Fault.STALL, Fault.LATE}
"""Faults that a caller only notices by its own time limit."""

REPORT = Report(operation="", recipient="info@example.com", status=Status.BOUNCED, at=NOW)
CANCEL = Amendment(allowed=frozenset({Status.QUEUED}), status=Status.CANCELLED, event="cancelled", at=NOW)

SOAK = os.environ.get("SOAK") == "1"
ONCE = list(Fault) if SOAK else [Fault.DROP, Fault.CUT, Fault.LATE]
LASTING = [fault for fault in Fault if fault not in WAITS | {Fault.SLOW}] if SOAK else [Fault.BUSY, Fault.BROKEN]


@dataclass
class Case:
    """Two stores on one account, a message in some state, and what the verb said."""

    store: AzureStore
    spoiled: AzureStore
    message: Message
    said: Any = None
    unavailable: bool = False

    @property
    def sure(self) -> bool:
        """Whether the verb said that it was done."""
        return not self.unavailable


Step = Callable[[Case], Awaitable[Any]]


async def _nothing(case: Case) -> None:
    """No preparation."""


async def _added(case: Case) -> None:
    assert await case.store.add(make_entry(case.message), [case.message], NOW) is None


async def _claimed(case: Case) -> None:
    await _added(case)
    case.said = await claimed(case.store, case.message)


async def _kept(case: Case) -> None:
    await case.store.keep(case.message, NOW)


# ------------------------------------------------------------------------------------------------------- the verbs


async def _add(case: Case) -> Entry | None:
    return await case.spoiled.add(make_entry(case.message), [case.message], NOW)


async def _after_add(case: Case) -> None:
    """Said "written": it is there, once. Said nothing: it is there or not, and a second try makes it so."""
    if case.sure:
        assert case.said is None
        assert await case.store.get(case.message.notification) is not None
    before = await case.store.get(case.message.notification)
    again = await case.store.add(make_entry(case.message), [case.message], NOW)
    assert again == before
    assert [due.id for due in await case.store.due(NOW, 10)] == [case.message.id]
    assert (await claimed(case.store, case.message)).message == case.message


async def _claim(case: Case) -> Any:
    return await case.spoiled.claim(case.message.id, "me", NOW, LEASES)


async def _after_claim(case: Case) -> None:
    """A claim that was given holds; one that nobody knows of ends by itself, in doubt."""
    if case.sure:
        assert case.said is not None
        assert await case.store.settle(case.said, settlement()) is True
        assert (await state(case.store, case.message)).attempts == 1
        return
    shown = await state(case.store, case.message)
    claim = await claimed(case.store, case.message, at=NOW + MINUTE)
    assert claim.attempt == shown.attempts + 1
    assert claim.unresolved == (shown.status == Status.SENDING)


async def _record(case: Case) -> Any:
    return await case.spoiled.record(case.said, {"draft": "1"})


async def _after_record(case: Case) -> None:
    """A fact that was recorded is there for the next attempt, and the claim goes on."""
    if case.sure:
        assert case.said is not None
        assert case.said.facts == {"draft": "1"}
        assert await case.store.settle(case.said, settlement(Status.DEFERRED, due=NOW)) is True
        assert (await claimed(case.store, case.message)).facts == {"draft": "1"}


async def _settle(case: Case) -> Any:
    return await case.spoiled.settle(case.said, settlement(provider_id="p"))


async def _after_settle(case: Case) -> None:
    """Said so: it is final, once. Said nothing: it is final, or somebody must ask the provider."""
    shown = await state(case.store, case.message)
    if case.sure:
        assert case.said is True
        assert shown.status == Status.SENT
    if shown.status == Status.SENT:
        entry = await case.store.get(case.message.notification)
        assert entry is not None
        assert [event.event for event in entry.history] == ["accepted", "sent"]
        assert await case.store.due(NOW + MINUTE, 10) == []
    else:
        assert (await claimed(case.store, case.message, at=NOW + MINUTE)).unresolved is True


async def _defer(case: Case) -> Any:
    return await case.spoiled.settle(case.said, settlement(Status.DEFERRED, due=NOW + timedelta(seconds=5)))


async def _after_defer(case: Case) -> None:
    """It comes back exactly once, at its time or at the claim's end."""
    assert case.said is not False
    assert [due.id for due in await case.store.due(NOW + MINUTE, 10)] == [case.message.id]
    claim = await claimed(case.store, case.message, at=NOW + MINUTE)
    assert claim.unresolved is (not case.sure and claim.last_reason == "" and claim.submitted is not None)


async def _ring(case: Case) -> None:
    await case.spoiled.ring(case.message.id, Priority.NORMAL, NOW, NOW)


async def _after_ring(case: Case) -> None:
    """A doorbell that was rung is heard; more than once does no harm."""
    if case.sure:
        assert (await case.store.doorbell()).id == case.message.id


async def _keep(case: Case) -> None:
    await case.spoiled.keep(case.message, NOW)


async def _after_keep(case: Case) -> None:
    """A mail that was kept is there once, in every order."""
    found = [item.message for item in await case.store.captured(after="", since=None, limit=10)]
    assert found == [case.message] if case.sure else found in ([], [case.message])
    assert [item.message for item in await case.store.latest(before="", limit=10)] == found
    assert await case.store.kept(case.message.id) is bool(found)


async def _forget(case: Case) -> int:
    return await case.spoiled.forget_captured()


async def _after_forget(case: Case) -> None:
    """Gone altogether, or still there altogether."""
    found = await case.store.captured(after="", since=None, limit=10)
    assert len(found) == await case.store.kept(case.message.id)
    assert not (case.sure and found)


async def _put(case: Case) -> bool:
    return await case.spoiled.put("name", b"mine")


async def _after_put(case: Case) -> None:
    """Who was told that it wrote has written."""
    content = await case.store.fetch("name")
    assert content == b"mine" if case.sure else content in {None, b"mine"}
    assert case.said is not False


async def _write(case: Case) -> bool:
    return await case.spoiled.write("key", b"1", None)


async def _after_write(case: Case) -> None:
    """As before, and the value can be changed."""
    found = await case.store.read("key")
    assert case.said is not False
    if case.sure:
        assert found is not None
        assert found[0] == b"1"
    if found:
        assert await case.store.write("key", b"2", found[1]) is True


async def _written(case: Case) -> None:
    await case.store.write("key", b"0", None)
    case.said = await case.store.read("key")


async def _change(case: Case) -> bool:
    return await case.spoiled.write("key", b"1", case.said[1])


async def _remove(case: Case) -> bool:
    return await case.spoiled.remove("key", case.said[1])


async def _after_remove(case: Case) -> None:
    """Gone and told so; or not sure, and gone or not."""
    found = await case.store.read("key")
    assert case.said is not False
    assert found is None or not case.sure
    assert await case.store.write("key", b"2", found and found[1]) is True


async def _sent(case: Case) -> None:
    await _added(case)
    claim = await claimed(case.store, case.message)
    assert await case.store.settle(claim, settlement(at=NOW))


async def _report(case: Case) -> str | None:
    return await case.spoiled.report(REPORT.model_copy(update={"operation": case.message.operation_id}))


async def _after_report(case: Case) -> None:
    """Heard, once; a second report of the same changes nothing more."""
    if case.sure:
        assert case.said == case.message.id
        assert (await state(case.store, case.message)).status == Status.BOUNCED
    for _ in range(2):
        again = REPORT.model_copy(update={"operation": case.message.operation_id})
        assert await case.store.report(again) == case.message.id
    entry = await case.store.get(case.message.notification)
    assert entry is not None
    assert ([event.event for event in entry.history], entry.status) == (
        ["accepted", "sent", "bounced"],
        Status.BOUNCED,
    )
    assert await listed(case.store, "bounced") == [case.message.notification]


async def _cancel(case: Case) -> Status | None:
    return await case.spoiled.amend(case.message.id, CANCEL)


async def _after_cancel(case: Case) -> None:
    """Stopped, once, and due no more; or still due."""
    shown = await state(case.store, case.message)
    assert shown.status == Status.CANCELLED or not case.sure
    assert case.said == Status.QUEUED or not case.sure
    assert await case.store.amend(case.message.id, CANCEL) == shown.status
    entry = await case.store.get(case.message.notification)
    assert entry is not None
    assert [event.event for event in entry.history] == ["accepted", "cancelled"]
    assert await case.store.due(NOW, 10) == []
    assert await case.store.purge(bodies=NOW + MINUTE, ledger=NOW, captured=NOW) == 1


async def _replay(case: Case) -> Status | None:
    return await case.spoiled.amend(case.message.id, _again(case.message))


async def _after_replay(case: Case) -> None:
    """Due once, under its new key, by which a report finds it; and afterwards it can be deleted."""
    shown = await state(case.store, case.message)
    assert shown.status == Status.QUEUED or not case.sure
    assert case.said == Status.SENT or not case.sure
    key = operation_like(case.message)
    assert await case.store.amend(case.message.id, _again(case.message)) == shown.status
    assert [due.id for due in await case.store.due(NOW, 10)] == [case.message.id]
    claim = await claimed(case.store, case.message)
    assert claim.message == case.message.model_copy(update={"operation_id": key})
    assert await case.store.settle(claim, settlement()) is True
    assert await case.store.report(REPORT.model_copy(update={"operation": key})) == case.message.id
    case.message = claim.message
    await _after_purge(case)


def _again(message: Message) -> Amendment:
    key = operation_like(message)
    allowed = frozenset({Status.SENT})
    return Amendment(allowed=allowed, status=Status.QUEUED, event="replayed", at=NOW, operation_id=key)


async def _replayed(case: Case) -> None:
    """Final, with an old key and a new one."""
    await _sent(case)
    assert await case.store.amend(case.message.id, _again(case.message)) == Status.SENT
    claim = await claimed(case.store, case.message)
    assert await case.store.settle(claim, settlement(at=NOW))


async def _look(case: Case) -> Any:
    """Everything that only reads."""
    store, message = case.spoiled, case.message
    assert [entry.id for entry in await store.beginning(message.notification[:8], 10)] == [message.notification]
    assert await store.scan("nobody", "", 10) == []
    page = await store.list(status="queued", source="", since=None, cursor="", limit=10)
    return (
        [entry.id for entry in page.entries],
        [due.id for due in await store.due(NOW, 10)],
        (await state(store, message)).status,
        await store.kept(message.id),
        await store.fetch("nobody"),
        (await store.read("nobody"), (await store.usage()).open),
    )


async def _after_look(case: Case) -> None:
    """Told the truth or nothing."""
    if case.sure:
        ids = [case.message.notification], [case.message.id]
        assert case.said == (*ids, Status.QUEUED, False, None, (None, {"contact": 1}))


async def _purge(case: Case) -> int:
    later = NOW + MINUTE
    return await case.spoiled.purge(bodies=later, ledger=later, captured=later)


async def _after_purge(case: Case) -> None:
    """What can be purged is purged, at the latest by the next one; a new one may take the id."""
    await _purge(case)
    assert await case.store.get(case.message.notification) is None
    assert await case.store.add(make_entry(case.message), [case.message], NOW) is None
    assert (await claimed(case.store, case.message)).message == case.message


VERBS: dict[str, tuple[Step, Step, Step]] = {
    "add": (_nothing, _add, _after_add),
    "claim": (_added, _claim, _after_claim),
    "record": (_claimed, _record, _after_record),
    "settle": (_claimed, _settle, _after_settle),
    "defer": (_claimed, _defer, _after_defer),
    "ring": (_nothing, _ring, _after_ring),
    "keep": (_nothing, _keep, _after_keep),
    "forget": (_kept, _forget, _after_forget),
    "put": (_nothing, _put, _after_put),
    "write": (_nothing, _write, _after_write),
    "change": (_written, _change, _after_write),
    "remove": (_written, _remove, _after_remove),
    "report": (_sent, _report, _after_report),
    "cancel": (_added, _cancel, _after_cancel),
    "replay": (_sent, _replay, _after_replay),
    "look": (_added, _look, _after_look),
    "purge": (_replayed, _purge, _after_purge),
}
"""Each verb: what comes before it, itself, and what must be true afterwards."""


@pytest.fixture
async def proxy(azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FaultProxy]:
    """The emulator behind a proxy, and a client that is in a hurry and looks into one partition of the sixteen."""
    monkeypatch.setattr(azure_rest, "PAUSE_SECONDS", 0.004)
    monkeypatch.setattr(rows, "PARTITIONS", "0")
    async with proxied(azurite) as proxy:
        yield proxy


@asynccontextmanager
async def _case(proxy: FaultProxy, message: Message) -> AsyncIterator[Case]:
    spoiled, well = (Settings(storage=storage) for storage in proxy.account())
    case = Case(await AzureStore.open(well), await AzureStore.open(spoiled), message)
    try:
        yield case
    finally:
        await case.store.close()
        await case.spoiled.close()


@contextmanager
def _in_a_hurry(fault: Fault | None) -> Iterator[None]:
    """Faults that only a time limit ends are not waited for so long."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        if fault in WAITS:
            monkeypatch.setattr(azure_rest, "TRY_SECONDS", 0.3)
        yield


async def _run(proxy: FaultProxy, verb: str, fault: Fault | None, number: int | None, message: Message) -> int:
    """One verb with one fault; how many calls it made."""
    before, act, after = VERBS[verb]
    async with _case(proxy, message) as case:
        await before(case)
        proxy.spoil(fault, number)
        try:
            with _in_a_hurry(fault):
                case.said = await act(case)
        except StoreUnavailable:
            case.unavailable = True
        calls = proxy.seen
        proxy.spoil(None)
        await proxy.quiet()
        await after(case)
        assert not (case.unavailable and number), f"one {fault} at call {number} was too much"
    return calls


def _message(verb: str, *, large: bool = False) -> Message:
    transport = "acs" if verb in REPORTED else "capture"
    attachments = (LARGE,) if large else ()
    return make_message(notification=f"{new_id()[:-1]}0", transport=transport, attachments=attachments)


REPORTED = ("add", "report", "replay", "purge")
"""Verbs that do more for a message that may be reported on."""

LARGE_TOO = ("add", "claim", "replay", "keep", "forget", "purge")
"""Verbs that do more for a message too large for a row."""

CASES = [(verb, False) for verb in VERBS] + [(verb, True) for verb in LARGE_TOO]


@pytest.mark.parametrize("fault", ONCE, ids=lambda fault: fault.name)
@pytest.mark.parametrize(("verb", "large"), CASES)
async def test_one_fault_at_any_call_changes_nothing(proxy: FaultProxy, verb: str, large: bool, fault: Fault) -> None:
    """The verb succeeds as if nothing had been."""
    calls = await _run(proxy, verb, None, None, _message(verb, large=large))
    for number in range(1, calls + 1):
        await _run(proxy, verb, fault, number, _message(verb, large=large))


@pytest.mark.parametrize("fault", LASTING, ids=lambda fault: fault.name)
@pytest.mark.parametrize("verb", VERBS)
async def test_a_lasting_fault_is_said_and_leaves_no_lie(proxy: FaultProxy, verb: str, fault: Fault) -> None:
    """The verb says StoreUnavailable, whatever was applied, and afterwards everything goes on."""
    await _run(proxy, verb, fault, None, _message(verb))
