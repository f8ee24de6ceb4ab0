"""What every store says of how full it is: what is open, counted by source, whatever happens to it."""

from __future__ import annotations

from gateway.ledger import Store
from gateway.message import OPEN, Status
from tests.factories import NOW, make_entry, make_messages
from tests.stores.conftest import Place
from tests.stores.steps import MINUTE, added, claimed, settlement
from tests.stores.test_conformance_amend import amendment


async def test_an_empty_store_holds_nothing_open(store: Store) -> None:
    """Nor is it an error that nothing was ever written."""
    assert {} == (await store.usage()).open


async def test_open_messages_are_counted_by_their_source(store: Store) -> None:
    """Each message of a notification, due or not."""
    for number in range(3):
        await added(store, notification=f"a{number}", source="first")
    await added(store, NOW + 1000 * MINUTE, notification="later", source="second")
    messages = make_messages(4, source="third")
    await store.add(make_entry(*messages), messages, NOW)

    assert {"first": 3, "second": 1, "third": 4} == (await store.usage()).open


async def test_a_message_counts_as_long_as_it_is_open(place: Place) -> None:
    """While it is sent and while it is deferred, also after a restart; never once it is final."""
    store = await place.open()
    message = await added(store, source="it")
    claim = await claimed(store, message)
    counts = [(await store.usage()).open]
    await store.settle(claim, settlement(Status.DEFERRED, due=NOW + MINUTE))
    counts.append((await store.usage()).open)
    store = await place.reopen()
    counts.append((await store.usage()).open)
    await store.settle(await claimed(store, message, NOW + MINUTE), settlement())

    assert [{"it": 1}] * 3 == counts
    assert {} == (await store.usage()).open


async def test_a_message_that_an_operator_sends_again_counts_again(store: Store) -> None:
    """And no more once it is cancelled."""
    message = await added(store, source="it")
    await store.settle(await claimed(store, message), settlement(Status.FAILED))

    await store.amend(message.id, amendment(Status.QUEUED, Status.FAILED))
    assert {"it": 1} == (await store.usage()).open
    await store.amend(message.id, amendment(Status.CANCELLED, *OPEN))

    assert {} == (await store.usage()).open
