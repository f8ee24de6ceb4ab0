"""A process of its own on a store's file: a file and a task come in as arguments, one line per durable fact goes out.

sqlite_child.py FILE work            adds and delivers without end: "added ID", "claimed ID", "settled ID"
sqlite_child.py FILE claim OWNER     claims whatever is due until nothing is: "claimed ID"
"""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta

from gateway.ledger import Settlement
from gateway.message import Status
from gateway.stores.sqlite import SqliteStore
from tests.factories import NOW, make_entry, make_messages

LEASES = {"capture": timedelta(minutes=1)}


def tell(word: str, id: str) -> None:
    """Written at once: what stands there was durable before, however the process ends."""
    sys.stdout.write(f"{word} {id}\n")
    sys.stdout.flush()


async def work(store: SqliteStore) -> None:
    """One notification after the other with two messages: one is settled, one stays claimed."""
    while True:
        messages = make_messages(2, text="x" * 2000)
        await store.add(make_entry(*messages), messages, NOW)
        tell("added", messages[0].notification)
        for message in messages:
            claim = await store.claim(message.id, "child", NOW, LEASES)
            assert claim
            tell("claimed", message.id)
            if message is messages[0]:
                assert await store.settle(claim, Settlement(status=Status.SENT, event="sent", at=NOW))
                tell("settled", message.id)


async def claim(store: SqliteStore, owner: str) -> None:
    """Take what is due, a few at a time, until there is nothing; the pause is the work between two claims."""
    while due := await store.due(NOW, 10):
        for found in due:
            if await store.claim(found.id, owner, NOW, LEASES):
                tell("claimed", found.id)
        await asyncio.sleep(0.005)


async def main(file: str, task: str, *arguments: str) -> None:
    """Do the task."""
    store = await SqliteStore.open(file)
    tell("open", "")
    sys.stdin.readline()
    if task == "work":
        await asyncio.gather(*(work(store) for _ in range(8)))
    else:
        await asyncio.gather(*(claim(store, *arguments) for _ in range(4)))
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
