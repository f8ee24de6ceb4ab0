"""Who may read the embedded store: its owner alone, whatever the umask was and whoever made the file."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.stores.sqlite import SqliteStore
from tests.factories import NOW, make_message

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows gives a file the rights of its folder")


@pytest.fixture(params=[0o000, 0o022, 0o002], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """What the process's new files are denied, from nothing to the usual."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def leave_open_to_all(folder: Path) -> None:
    """As an older version did."""
    folder.chmod(0o755)
    for path in folder.iterdir():
        path.chmod(0o644)


def rights(folder: Path) -> dict[str, str]:
    """The rights of the folder and of everything in it."""
    return {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in (folder, *folder.iterdir())}


async def test_only_the_owner_may_read_a_new_store(tmp_path: Path, umask: int) -> None:
    """The folder, the file, and what SQLite adds while it is open."""
    file = tmp_path / "outer" / ".data" / "gateway.db"
    store = await SqliteStore.open(file)
    try:
        await store.keep(make_message(), NOW)
        found = rights(file.parent)
    finally:
        await store.close()

    assert {".data": "0o700", "gateway.db": "0o600", "gateway.db-wal": "0o600", "gateway.db-shm": "0o600"} == found


async def test_a_store_of_an_older_version_is_closed_to_others(tmp_path: Path) -> None:
    """With the log of a process that was killed; a folder that was there keeps its rights."""
    file = tmp_path / "gateway.db"
    script = (
        "import asyncio, os, sys\n"
        "from pathlib import Path\n"
        "from gateway.stores.sqlite import SqliteStore\n"
        "from tests.factories import NOW, make_message\n"
        "async def main():\n"
        "    store = await SqliteStore.open(Path(sys.argv[1]))\n"
        "    await store.keep(make_message(subject='kept'), NOW)\n"
        "    os._exit(0)\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", script, str(file)]
    await asyncio.to_thread(subprocess.run, command, check=True, cwd=Path(__file__).parents[2])
    leave_open_to_all(tmp_path)

    store = await SqliteStore.open(file)
    try:
        found = rights(tmp_path)
        kept = [item.message.subject for item in await store.latest(before="", limit=10)]
    finally:
        await store.close()

    assert {tmp_path.name: "0o755"} | dict.fromkeys(found.keys() - {tmp_path.name}, "0o600") == found
    assert {"gateway.db", "gateway.db-wal", "gateway.db-shm"} <= found.keys()
    assert ["kept"] == kept


async def test_opening_a_store_again_takes_no_lock_from_who_has_it_open(tmp_path: Path) -> None:
    """A closed descriptor would: another process could then remove the log of the one that still writes."""
    file = tmp_path / "gateway.db"
    first, second = await SqliteStore.open(file), await SqliteStore.open(file)
    locked = (
        "import fcntl, sys\n"
        "with open(sys.argv[1], 'r+b') as file:\n"
        "    try: fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "    except OSError: print('locked')\n"
    )
    try:
        result = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", locked, str(file)], capture_output=True, text=True, check=True
        )
    finally:
        await second.close()
        await first.close()

    assert "locked\n" == result.stdout
