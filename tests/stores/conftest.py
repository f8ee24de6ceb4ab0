"""The stores under test: a place to store comes in, open stores go out, closed when the test ends.

To add a store: write a fixture that returns an Opener for a fresh place, and put its name into STORES.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.ledger import Store
from gateway.settings import Settings
from gateway.stores.azure import AzureStore
from gateway.stores.sqlite import SqliteStore
from tests.azurite import Azurite

Opener = Callable[[], Awaitable[Store]]
"""Opens the same place each time it is called."""

STORES = ("sqlite", "azure")


@pytest.fixture
def sqlite(tmp_path: Path) -> Opener:
    """A file in an own folder."""
    return lambda: SqliteStore.open(tmp_path / "data" / "gateway.db")


@pytest.fixture
def azure(azurite: Azurite) -> Opener:
    """A storage account of one's own."""
    settings = Settings(storage=azurite.account())
    return lambda: AzureStore.open(settings)


@dataclass
class Place:
    """One place to store; `open` may be called several times, as several processes would."""

    opener: Opener
    opened: list[Store] = field(default_factory=list)

    async def open(self) -> Store:
        """One more store on this place."""
        store = await self.opener()
        self.opened.append(store)
        return store

    async def close(self) -> None:
        """Close what is open."""
        while self.opened:
            await self.opened.pop().close()

    async def reopen(self) -> Store:
        """As after a restart."""
        await self.close()
        return await self.open()


@pytest.fixture(params=STORES)
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    """A fresh place of each kind."""
    place = Place(request.getfixturevalue(request.param))
    yield place
    await place.close()


@pytest.fixture
async def store(place: Place) -> Store:
    """An open store with nothing in it."""
    return await place.open()
