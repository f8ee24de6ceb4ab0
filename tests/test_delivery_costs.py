"""What a message costs from accept to sent on Azure's storage, quota and suppression list included, call by call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from gateway.address import Address
from gateway.delivery import Delivery
from gateway.ledger import MessageState
from gateway.message import Message, Status
from gateway.pacing import PRESETS, Account, Pacer
from gateway.pacing.lanes import Limits
from gateway.settings import Settings
from gateway.stores.azure import AzureStore
from gateway.suppressions import Suppressions
from gateway.ways import Way
from tests.azurite import Azurite
from tests.deliveries import SENT, Call, Provider
from tests.factories import NOW, make_entry, make_message, new_id
from tests.faultproxy import FaultProxy, proxied

GOAL = 6


@dataclass
class Counted:
    """A store behind a proxy that counts, and the clock of whoever works on it."""

    store: AzureStore
    proxy: FaultProxy
    now = NOW

    def delivery(self, limits: Limits = PRESETS["acs-custom"]) -> Delivery:
        """A fresh process, as after a cold start."""
        calls: list[Call] = []
        return Delivery(
            self.store,
            lambda name, _: Provider(name, calls, lambda: self.now, lambda _: SENT),
            clock=lambda: self.now,
            ways={"noreply": Way("acs", Address(email="noreply@example.com"), Account(f"acs|{new_id()}", limits))},
            pacer=Pacer(self.store),
            suppressions=Suppressions(self.store),
        )

    async def accept(self, number: int = 0) -> Message:
        """Durable, and rung, to somebody else each time."""
        message = make_message(transport="acs", to=(Address(email=f"user{number}@example.com"),))
        state = MessageState(id=message.id, to=message.to, sender=message.sender, status=Status.QUEUED)
        assert await self.store.add(make_entry(message, messages=(state,)), [message], self.now) is None
        return message

    async def each(self, delivery: Delivery, number: int) -> None:
        """One whole way; the transport notes one fact of its own, which ACS does not."""
        assert await delivery.deliver((await self.accept(number)).id) is Status.SENT

    @property
    def calls(self) -> int:
        """Since the last look."""
        found = len(self.proxy.calls)
        self.proxy.spoil(None)
        return found


@pytest.fixture
async def counted(azurite: Azurite) -> AsyncIterator[Counted]:
    """A store whose table and queues are there."""
    async with proxied(azurite) as proxy:
        store = await AzureStore.open(Settings(storage=proxy.account()[0]))
        world = Counted(store, proxy)
        await world.each(world.delivery(Limits(600, 10_000)), 0)
        assert world.calls > 0
        yield world
        await store.close()


async def test_messages_one_after_the_other_stay_below_the_goal(counted: Counted) -> None:
    """20 within two seconds through ACS's smallest quota of one's own domain, a cold start included."""
    delivery = counted.delivery()
    for number in range(20):
        await counted.each(delivery, number)
        counted.now += timedelta(seconds=0.1)
    assert counted.calls / 20 - 1 <= GOAL


async def test_messages_all_at_once_cost_hardly_more_than_without_a_quota(counted: Counted) -> None:
    """60 in one process: five calls each, and a share of what is asked once for all."""
    delivery = counted.delivery(Limits(600, 10_000))
    await asyncio.gather(*(counted.each(delivery, number) for number in range(60)))
    assert counted.calls / 60 - 1 <= 5.6


async def test_a_lone_message_after_a_cold_start_costs_eight(counted: Counted) -> None:
    """Five, one to ask for its recipient, two for its turn; the scripted provider's fact is not counted."""
    await counted.each(counted.delivery(), 1)
    assert counted.calls - 1 == 8
