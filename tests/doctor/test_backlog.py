"""What waits, what failed, what is poison: on both stores."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.ledger import Store
from gateway.message import Status
from gateway.settings import Settings
from gateway.stores.azure import AzureStore
from gateway.stores.sqlite import SqliteStore
from tests.azurite import Azurite
from tests.doctor.patients import NOW, ON_AZURE, Answers, Credential, one, patient, verdicts
from tests.factories import make_entry, make_message
from tests.servers.serve import serve

CHECKS = ("backlog", "dead-letters", "poison")


@pytest.fixture(params=["sqlite", "azure"])
def environ(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """A place to store, as the environment names it."""
    if request.param == "sqlite":
        return {"GATEWAY_STORE": f"sqlite:{tmp_path / 'gateway.db'}"}
    azurite: Azurite = request.getfixturevalue("azurite")
    return {"GATEWAY_STORE": "azure", "AzureWebJobsStorage": azurite.account()}


async def opened(environ: dict[str, str]) -> Store:
    settings = Settings.read(environ)
    if settings.store == "azure":
        return await AzureStore.open(settings)
    return await SqliteStore.open(settings.store.removeprefix("sqlite:"))


async def test_a_gateway_that_was_never_used_is_well(environ: dict[str, str]) -> None:
    """On either store, and nothing is made by looking."""
    assert [(name, "pass") for name in CHECKS] == await verdicts(patient(**environ), *CHECKS)


@pytest.mark.parametrize(
    ("late", "expected", "seen"),
    [
        (timedelta(minutes=9), "pass", "nothing has been due for ten minutes"),
        (timedelta(minutes=11), "fail", "1 messages are overdue, the oldest for 11 min"),
        (timedelta(hours=25), "fail", "1 messages are overdue, the oldest for 25 h 0 min"),
        (-timedelta(hours=1), "pass", "nothing has been due for ten minutes"),
    ],
)
async def test_a_message_that_is_due_for_long_is_a_backlog(
    environ: dict[str, str], late: timedelta, expected: str, seen: str
) -> None:
    """With how long the oldest has waited; one whose time has not come is none."""
    store = await opened(environ)
    message = make_message(created=NOW - timedelta(days=2))
    await store.add(make_entry(message), [message], NOW - late)
    await store.close()

    assert (expected, seen) == (await one(patient(**environ), "backlog"))[:2]


@pytest.mark.parametrize(
    ("status", "age", "expected", "seen"),
    [
        (Status.FAILED, timedelta(days=1), "fail", "1 failed in the last seven days"),
        (Status.UNKNOWN, timedelta(days=1), "fail", "1 unknown in the last seven days"),
        (Status.FAILED, timedelta(days=8), "pass", "none in the last seven days"),
        (Status.SKIPPED, timedelta(days=1), "pass", "none in the last seven days"),
    ],
)
async def test_what_ended_badly_is_a_dead_letter(
    environ: dict[str, str], status: Status, age: timedelta, expected: str, seen: str
) -> None:
    """For a week; then it is history."""
    store = await opened(environ)
    entry = make_entry(created=NOW - age, own=status, messages=())
    await store.add(entry, (), entry.created)
    await store.close()

    assert (expected, seen) == (await one(patient(**environ), "dead-letters"))[:2]


async def test_a_message_in_a_poison_queue_is_named(azurite: Azurite) -> None:
    """With the queue's name and how many there are."""
    account = azurite.account()
    store = await AzureStore.open(Settings(storage=account))
    for _ in range(2):
        await store._queues.put("outbox-poison", "x")
    await store.close()

    found = await one(patient(GATEWAY_STORE="azure", AzureWebJobsStorage=account), "poison")

    assert ("fail", "2 in outbox-poison") == found[:2]


@pytest.mark.parametrize("check", CHECKS)
async def test_storage_that_refuses_tells_nothing(check: str) -> None:
    """The check of the storage says why."""
    async with serve(Answers({}, always=(403, {})), lifespan="off") as url:
        names: dict[str, Any] = {f"AzureWebJobsStorage__{kind}ServiceUri": url for kind in ("table", "queue", "blob")}
        found = await one(patient(GATEWAY_STORE="azure", **names, **ON_AZURE), check)

    assert ("could not tell", "the storage cannot be read", "see the check `storage`") == found


@pytest.mark.parametrize("check", CHECKS)
async def test_storage_that_is_not_named_tells_nothing(check: str) -> None:
    """Neither by key nor by identity."""
    assert "could not tell" == (await one(patient(GATEWAY_STORE="azure"), check))[0]


@pytest.mark.parametrize("check", ["storage", *CHECKS])
async def test_without_a_token_nothing_can_be_told(check: str) -> None:
    """Which the check of the identity explains; the account is not asked."""
    names = {"GATEWAY_STORE": "azure", "AzureWebJobsStorage__accountName": "nobody"}

    assert "could not tell" == (await one(patient(credential=Credential(refused="storage"), **names), check))[0]
