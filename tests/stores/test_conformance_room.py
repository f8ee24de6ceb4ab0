"""A store asks for room before it loads a large mail, and before the mail's claim begins."""

from __future__ import annotations

from datetime import datetime

import pytest

from gateway.budget import SMALL
from gateway.errors import NoRoom
from gateway.ledger import Store
from tests.factories import NOW, make_attachment
from tests.stores.steps import LEASES, MINUTE, added, state


async def test_a_large_mail_waits_for_room_before_its_claim_begins(store: Store) -> None:
    """However long that takes, the claim has all of its time; a small one asks for nothing."""
    asked: list[int] = []

    async def room(size: int) -> datetime:
        asked.append(size)
        assert (await state(store, large)).attempts == 0
        return NOW + 5 * MINUTE

    small = await added(store)
    large = await added(store, attachments=(make_attachment(content=b"x" * SMALL),))
    first = await store.claim(small.id, "me", NOW, LEASES, room)
    second = await store.claim(large.id, "me", NOW, LEASES, room)

    assert first is not None
    assert second is not None
    assert (first.message, first.until) == (small, NOW + MINUTE)
    assert (second.message, second.until) == (large, NOW + 6 * MINUTE)
    assert len(asked) == 1
    assert SMALL < asked[0] < 2 * SMALL


async def test_without_room_nothing_is_claimed(store: Store) -> None:
    """Whoever comes next finds it as it was."""

    async def room(size: int) -> datetime:
        raise NoRoom(str(size))

    message = await added(store, attachments=(make_attachment(content=b"x" * SMALL),))

    with pytest.raises(NoRoom):
        await store.claim(message.id, "me", NOW, LEASES, room)
    assert await store.claim(message.id, "you", NOW, LEASES) is not None


async def test_a_mail_that_somebody_took_while_we_waited_is_not_ours(store: Store) -> None:
    """The room was there, the mail is not any more."""
    message = await added(store, attachments=(make_attachment(content=b"x" * SMALL),))

    async def room(size: int) -> datetime:
        assert size > SMALL
        assert await store.claim(message.id, "you", NOW, LEASES) is not None
        return NOW

    assert await store.claim(message.id, "me", NOW, LEASES, room) is None
