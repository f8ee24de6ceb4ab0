"""The suppression list: what is added is found until it ends, whoever asks, and asking stays cheap."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway import suppressions
from gateway.config import Retention
from gateway.ledger import Report
from gateway.message import Status
from gateway.stores.sqlite import SqliteStore
from gateway.suppressions import LIFETIME, LIFETIMES, MARKS, MOST_LEARNED, PREFIX, SECONDS, Suppression, Suppressions
from gateway.upkeep import Upkeep
from tests.factories import NOW
from tests.values import MemoryValues

LATER = NOW + SECONDS


@pytest.fixture
def values() -> MemoryValues:
    """An empty store."""
    return MemoryValues()


@pytest.fixture
def known(values: MemoryValues) -> Suppressions:
    """The list of one process."""
    return Suppressions(values)


def report(status: Status, recipient: str = "ann@example.com", reason: str = "") -> Report:
    """A provider's word."""
    return Report(operation="o", recipient=recipient, status=status, at=NOW, reason=reason)


async def test_an_address_is_found_in_any_case_until_it_expires(known: Suppressions) -> None:
    """An end that has come counts as absent."""
    added = await known.add("Ann@Example.com", "hard_bounce", NOW)
    expected = Suppression(address="ann@example.com", reason="hard_bounce", at=NOW, expires=NOW + LIFETIME)
    assert added == expected
    assert await known.check(["ANN@example.com", "bob@example.com"], NOW) == {"ann@example.com": expected}
    assert await known.get("ann@EXAMPLE.com", NOW) == expected
    assert await known.check(["ann@example.com"], NOW + LIFETIME) == {}


async def test_an_expired_entry_is_deleted_when_it_is_met(known: Suppressions, values: MemoryValues) -> None:
    """By a look at it, by a page of the list, by the purge."""
    for look in (known.get("ann@example.com", LATER), known.list(LATER), known.purge(LATER)):
        await known.add("ann@example.com", "hard_bounce", NOW, SECONDS)
        assert f"{PREFIX}ann@example.com" in values.values
        await look
        assert f"{PREFIX}ann@example.com" not in values.values


async def test_an_address_that_bounces_again_stays_longer(known: Suppressions) -> None:
    """The later end wins, and the newer reason; an old report that comes late shortens nothing."""
    await known.add("ann@example.com", "hard_bounce", NOW, timedelta(days=90))
    await known.add("ann@example.com", "suppressed_by_provider", LATER, timedelta(days=14))
    late = await known.add("ann@example.com", "manual", NOW - SECONDS, timedelta(days=1))
    assert (late.reason, late.at, late.expires) == ("suppressed_by_provider", LATER, NOW + timedelta(days=90))
    assert await known.get("ann@example.com", NOW) == late


async def test_two_that_add_at_once_both_win(known: Suppressions, values: MemoryValues) -> None:
    """A lost compare-and-set reads again."""
    await known.add("ann@example.com", "hard_bounce", NOW)
    values.rivals = 3
    await known.add("ann@example.com", "manual", LATER)
    assert (await known.list(NOW)).items[0].reason == "manual"


async def test_an_address_can_be_taken_off(known: Suppressions) -> None:
    """This process forgets it at once."""
    await known.add("ann@example.com", "hard_bounce", NOW)
    assert len(await known.check(["ann@example.com"], NOW)) == 1
    assert await known.remove(" Ann@example.com") is True
    assert await known.remove("ann@example.com") is False
    assert await known.check(["ann@example.com"], NOW) == {}


async def test_the_list_comes_in_pages_in_the_order_of_addresses(known: Suppressions) -> None:
    """Each page says behind which address the next one begins."""
    for name in "cab":
        await known.add(f"{name}@example.com", "hard_bounce", NOW)
    first = await known.list(NOW, limit=2)
    rest = await known.list(NOW, first.next or "", limit=2)
    assert [one.address[0] for one in (*first.items, *rest.items)] == ["a", "b", "c"]
    assert (first.next, rest.next) == ("b@example.com", None)


@pytest.mark.parametrize(
    ("status", "lasts"), [(Status.BOUNCED, LIFETIMES[Status.BOUNCED]), (Status.SUPPRESSED, timedelta(days=14))]
)
async def test_reports_of_bounces_and_suppressions_are_learnt(
    known: Suppressions, status: Status, lasts: timedelta
) -> None:
    """With the report's time and reason."""
    learnt = await known.learn(report(status, reason="why"), NOW)
    assert learnt == Suppression(address="ann@example.com", reason="why", at=NOW, expires=NOW + lasts)


@pytest.mark.parametrize("status", [Status.DELIVERED, Status.FAILED])
async def test_other_reports_teach_nothing(known: Suppressions, values: MemoryValues, status: Status) -> None:
    """A full mailbox or a spam filter says nothing about the address."""
    assert await known.learn(report(status), NOW) is None
    assert values.values == {}


async def test_reports_put_so_many_addresses_on_the_list_in_an_hour(
    known: Suppressions, values: MemoryValues, caplog: pytest.LogCaptureFixture
) -> None:
    """Together in all workers, whatever times they claim; one more is said once, and one that is there goes on."""
    caplog.set_level(logging.WARNING, logger="gateway")
    told = [report(Status.BOUNCED, recipient=f"{number}@example.com") for number in range(MOST_LEARNED + 5)]
    claimed = [each.model_copy(update={"at": NOW - timedelta(hours=number)}) for number, each in enumerate(told)]
    learnt = [await (known, Suppressions(values))[number % 2].learn(each, NOW) for number, each in enumerate(claimed)]

    again = await known.learn(told[0], NOW)
    later = await known.learn(told[-1], NOW + timedelta(hours=1))

    assert [True] * MOST_LEARNED + [False] * 5 == [found is not None for found in learnt]
    assert ("0@example.com", told[-1].recipient) == (again and again.address, later and later.address)
    lines = [json.loads(record.getMessage()) for record in caplog.records]
    assert [("suppressions_limited", MOST_LEARNED)] == [(line["event"], line["count"]) for line in lines]


@pytest.mark.parametrize("at", [datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)])
async def test_the_ends_of_the_calendar_are_times_too(known: Suppressions, at: datetime) -> None:
    """What lasts beyond the last day lasts to it."""
    found = await known.add("ann@example.com", "hard_bounce", at)

    assert at <= found.expires <= datetime.max.replace(tzinfo=UTC)


async def test_what_another_process_adds_is_seen_after_a_minute(known: Suppressions, values: MemoryValues) -> None:
    """An answer may be SECONDS old, and no older."""
    assert await known.check(["ann@example.com"], NOW) == {}
    await Suppressions(values).add("ann@example.com", "hard_bounce", NOW)
    assert await known.check(["ann@example.com"], LATER - timedelta(microseconds=1)) == {}
    assert list(await known.check(["ann@example.com"], LATER)) == ["ann@example.com"]


async def test_a_storm_costs_one_read_a_minute(known: Suppressions, values: MemoryValues) -> None:
    """And one for each address that is really on the list."""
    await known.add("one@example.com", "hard_bounce", NOW)
    values.calls.clear()
    found = [await known.check([f"{number}@example.com", "one@example.com"], NOW) for number in range(1000)]
    assert all(list(each) == ["one@example.com"] for each in found)
    assert values.calls == {"read": 2}


async def test_an_empty_list_costs_one_read_a_minute(known: Suppressions, values: MemoryValues) -> None:
    """For whomever."""
    for second in range(61):
        assert await known.check([f"{second}@example.com"], NOW + second * SECONDS / 60) == {}
    assert values.calls == {"read": 2}


async def test_a_list_too_long_for_marks_is_read_address_by_address(
    known: Suppressions, values: MemoryValues, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until enough of it has expired."""
    monkeypatch.setattr(suppressions, "MOST", 20)
    for number in range(30):
        await known.add(f"{number}@example.com", "hard_bounce", NOW, SECONDS if number < 15 else None)
    names = [f"{number}@example.com" for number in range(40)]
    assert len(await known.check(names, NOW)) == 30
    assert await known.purge(LATER) == 15
    values.calls.clear()
    assert len(await known.check(names, LATER)) == 15
    assert values.calls == {"read": 16}


async def test_a_mark_that_a_crash_left_out_is_made_by_the_purge(known: Suppressions, values: MemoryValues) -> None:
    """The entry is written first, so that is all that can be missing; a mark too many goes away."""
    await known.add("ann@example.com", "hard_bounce", NOW)
    await known.add("bob@example.com", "hard_bounce", NOW)
    await known.remove("bob@example.com")
    del values.values[MARKS]
    assert await known.check(["ann@example.com"], NOW) == {}
    await known.purge(NOW)
    assert list(await known.check(["ann@example.com"], LATER)) == ["ann@example.com"]
    assert len(values.values[MARKS][0]) == 4


async def test_the_purge_deletes_what_has_expired_in_the_store(tmp_path: Path) -> None:
    """With everything else that retention no longer wants."""
    store = await SqliteStore.open(tmp_path / "gateway.db")
    known = Suppressions(store)
    await known.add("ann@example.com", "hard_bounce", NOW, SECONDS)
    await known.add("bob@example.com", "hard_bounce", NOW)
    assert await Upkeep(store, Retention(), lambda: LATER).purge() == 1
    assert [value.key for value in await store.scan(PREFIX, "", 10)] == [f"{PREFIX}bob@example.com"]
    await store.close()
