"""The embedded store and real processes: some are killed, some share one file."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from gateway.ledger import Entry
from gateway.message import Status
from gateway.stores.sqlite import SqliteStore
from tests.factories import NOW
from tests.stores.steps import LEASES, MINUTE, added

ROOT = Path(__file__).parents[2]
ROUNDS = 6


async def child(file: Path, *arguments: str) -> Process:
    """A process that has opened the file and waits for a line to begin."""
    process = await create_subprocess_exec(
        sys.executable, "-m", "tests.stores.sqlite_child", str(file), *arguments, cwd=ROOT, stdin=PIPE, stdout=PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"open \n"
    return process


def begin(process: Process) -> None:
    """Let it go on."""
    assert process.stdin is not None
    process.stdin.write(b"\n")


async def told(process: Process) -> list[tuple[str, str]]:
    """All whole lines until its end: words and ids."""
    assert process.stdout is not None
    output = (await process.stdout.read()).decode()
    await process.wait()
    lines = output.split("\n")[:-1]
    return [(word, id) for word, _, id in (line.partition(" ") for line in lines)]


async def killed(file: Path, after: int) -> list[tuple[str, str]]:
    """What a process told until it was killed, some lines after its beginning."""
    process = await child(file, "work")
    begin(process)
    assert process.stdout is not None
    first = [(await process.stdout.readline()).decode().split() for _ in range(after)]
    process.kill()
    return [(word, id) for word, id in first] + await told(process)


def ids(facts: Iterable[tuple[str, str]], word: str) -> set[str]:
    """The ids that were told with this word."""
    return {id for told, id in facts if told == word}


async def entries(store: SqliteStore) -> list[Entry]:
    """The whole ledger."""
    found: list[Entry] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await store.list(status="", source="", since=None, cursor=cursor, limit=500)
        found += page.entries
        cursor = page.next
    return found


async def test_nothing_told_is_lost_by_kill_9(tmp_path: Path) -> None:
    """Whatever a verb returned for is there afterwards, and what was half done is done or not, never in between."""
    file = tmp_path / "gateway.db"
    facts: list[tuple[str, str]] = []
    for number in range(ROUNDS):
        facts += await killed(file, after=20 + 37 * number)

    store = await SqliteStore.open(file)
    ledger = {entry.id: entry for entry in await entries(store)}
    states = {state.id: state for entry in ledger.values() for state in entry.messages}

    assert len(ids(facts, "added")) > 50
    assert ids(facts, "added") - ledger.keys() == set()
    assert {len(entry.messages) for entry in ledger.values()} == {2}
    assert {id for id in ids(facts, "settled") if states[id].status != Status.SENT} == set()
    assert {id for id in ids(facts, "claimed") if states[id].attempts != 1} == set()
    await taken_over(store, ids(facts, "claimed") - ids(facts, "settled"))
    await store.close()
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def taken_over(store: SqliteStore, claimed: set[str]) -> None:
    """Each message that died in somebody's hands is due when the claim ends, and then in doubt."""
    due = {due.id for due in await store.due(NOW + MINUTE, 100_000)}
    for id in claimed & due:
        claim = await store.claim(id, "next", NOW + MINUTE, LEASES)
        assert claim is not None
        assert (claim.attempt, claim.unresolved, claim.submitted) == (2, True, NOW)
    # A settlement that was written but not told: such a message is sent, and nobody sends it again.
    for id in claimed - due:
        entry = await store.get(id.rpartition("-")[0])
        assert entry is not None
        assert [state.status for state in entry.messages if state.id == id] == [Status.SENT]


async def test_two_processes_never_claim_one_message_both(tmp_path: Path) -> None:
    """They race for every message of one file; each is taken once and none is left."""
    file = tmp_path / "gateway.db"
    store = await SqliteStore.open(file)
    messages = await asyncio.gather(*(added(store) for _ in range(300)))
    processes = [await child(file, "claim", owner) for owner in ("a", "b")]

    for process in processes:
        begin(process)
    claims = [[id for _, id in facts] for facts in await asyncio.gather(*map(told, processes))]

    assert sorted(claims[0] + claims[1]) == sorted(message.id for message in messages)
    assert min(len(claim) for claim in claims) > 0
    assert [process.returncode for process in processes] == [0, 0]
    assert await store.due(NOW, 10) == []
    await store.close()


async def test_a_process_that_waits_for_a_lock_does_not_hold_the_readers(tmp_path: Path) -> None:
    """While another process writes without a pause, this one still adds and reads."""
    file = tmp_path / "gateway.db"
    store = await SqliteStore.open(file)
    process = await child(file, "work")
    begin(process)

    messages = await asyncio.gather(*(added(store) for _ in range(20)))
    found = [await store.get(message.notification) for message in messages]

    process.kill()
    await told(process)
    assert [entry.status for entry in found if entry] == [Status.QUEUED] * 20
    await store.close()
