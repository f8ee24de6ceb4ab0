"""The operators' commands, each as a process of its own on a store that was prepared."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from gateway.clock import wall_clock
from gateway.ledger import MessageState, Store
from gateway.message import Status
from gateway.stores.sqlite import SqliteStore
from tests.documents import ROOT
from tests.factories import make_entry, make_message
from tests.gateway_process import running_gateway

FAILED = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
WAITING = "0f8fad5b-d9cb-469f-a165-70867728950e"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A store with a notification that has failed and one that waits for a year."""
    path = tmp_path / "gateway.db"

    async def fill(store: Store) -> None:
        for id, status, minutes in ((FAILED, Status.FAILED, 0), (WAITING, Status.QUEUED, 1)):
            message = make_message(notification=id, created=wall_clock() + timedelta(minutes=minutes))
            state = MessageState(id=message.id, to=message.to, sender=message.sender, status=status)
            entry = make_entry(message, messages=(state,), title=f"\x1b[31m{status}")
            await store.add(entry, [message], wall_clock() + timedelta(days=365))

    on(path, fill)
    return path


def on(path: Path, work: Callable[[Store], Awaitable[Any]]) -> Any:
    """Do something with the store, and close it."""

    async def opened() -> Any:
        store = await SqliteStore.open(path)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(opened())


def gateway(*arguments: str, store: Path | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    """`python -m gateway …`."""
    more = ["--store", f"sqlite:{store}"] if store else []
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments, *more],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def test_the_list_shows_the_newest_first_and_can_be_filtered(file: Path) -> None:
    """One line each; a title's control characters do nothing to the terminal."""
    everything = gateway("notifications", "list", store=file)
    failed = gateway("notifications", "list", "--status", "failed", store=file)

    lines = [line.split() for line in everything.stdout.splitlines()]
    assert ["STATUS", "CREATED", "SOURCE", "ID", "TITLE"] == lines[0]
    assert [("queued", WAITING), ("failed", FAILED)] == [(line[0], line[3]) for line in lines[1:]]
    assert "\x1b" not in everything.stdout
    assert (2, True) == (len(failed.stdout.splitlines()), FAILED in failed.stdout)


def test_pages_of_json_are_those_of_the_api(file: Path) -> None:
    """`next` goes on, and the last page has none."""
    first = json.loads(gateway("notifications", "list", "--limit", "1", "--json", store=file).stdout)
    second = json.loads(
        gateway("notifications", "list", "--limit", "1", "--json", "--cursor", first["next"], store=file).stdout
    )

    assert [[WAITING], [FAILED], None] == [[one["id"] for one in page["items"]] for page in (first, second)] + [
        second["next"]
    ]


def test_one_notification_is_shown_with_its_history(file: Path) -> None:
    """As text for people, and as the API's JSON."""
    text = gateway("notifications", "show", FAILED, store=file).stdout
    shown = json.loads(gateway("notifications", "show", FAILED, "--json", store=file).stdout)

    assert (f"id        {FAILED}", True) == (text.splitlines()[0], "accepted" in text)
    assert ("failed", f"{FAILED}-1") == (shown["status"], shown["messages"][0]["id"])


def test_a_failed_one_is_queued_again_and_a_waiting_one_is_cancelled(file: Path) -> None:
    """With the notification as it is now."""
    replayed = gateway("notifications", "replay", FAILED, "--json", store=file)
    cancelled = gateway("notifications", "cancel", WAITING, "--json", store=file)

    assert [(0, "queued"), (0, "cancelled")] == [
        (done.returncode, json.loads(done.stdout)["status"]) for done in (replayed, cancelled)
    ]


def test_a_gateway_that_runs_sends_what_a_command_has_queued(file: Path) -> None:
    """Its sweep finds it; nothing else connects the two processes but the file."""
    with running_gateway(store=file, environment="test") as running:
        assert 0 == gateway("notifications", "replay", FAILED, store=file).returncode
        mails = requests.get(f"{running.url}/v1/captured", {"wait": "30"}, timeout=60).json()["items"]

    assert [f"{FAILED}-1"] == [mail["id"] for mail in mails]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("show", "none"), "There is no notification with this id."),
        (("replay", WAITING), "stands at queued"),
        (("cancel", FAILED), "stands at failed"),
        (("replay", FAILED, "--message", "none-1"), "message: is no message of this notification"),
    ],
)
def test_what_cannot_be_done_says_why(file: Path, arguments: tuple[str, ...], reason: str) -> None:
    """On stderr, with exit status 1."""
    done = gateway("notifications", *arguments, store=file)

    assert (1, "", True) == (done.returncode, done.stdout, reason in done.stderr)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--since", "yesterday"), "must be a time with an offset"),
        (("--limit", "0"), "must be a whole number from 1 to 1000"),
        (("--status", "lost"), "invalid choice: 'lost'"),
    ],
)
def test_an_option_that_means_nothing_is_wrong_usage(file: Path, arguments: tuple[str, ...], reason: str) -> None:
    """Exit status 2."""
    done = gateway("notifications", "list", *arguments, store=file)

    assert (2, True) == (done.returncode, reason in done.stderr)


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """A mistyped path would show an empty ledger, and leave a file behind."""
    path = tmp_path / "other.db"

    done = gateway("notifications", "list", store=path)

    assert (1, True, False) == (done.returncode, f"there is no store at {path}" in done.stderr, path.exists())


class TestSuppressions:
    """python -m gateway suppressions."""

    def test_an_address_comes_and_goes(self, file: Path) -> None:
        """With the reason and the time that were given."""
        added = gateway("suppressions", "add", "Nobody@Example.com", "--reason", "left", "--days", "2", store=file)
        shown = json.loads(gateway("suppressions", "list", "--json", store=file).stdout)
        removed = gateway("suppressions", "remove", "nobody@example.com", store=file)
        empty = gateway("suppressions", "list", store=file)

        (item,) = shown["items"]
        lasts = datetime.fromisoformat(item["expires"]) - datetime.fromisoformat(item["at"])
        assert (0, f"nobody@example.com gets no mail until {item['expires']}\n") == (added.returncode, added.stdout)
        assert ("nobody@example.com", "left", timedelta(days=2), None) == (
            item["address"],
            item["reason"],
            lasts,
            shown["next"],
        )
        assert (0, "nobody@example.com gets mail again\n") == (removed.returncode, removed.stdout)
        assert "ADDRESS  REASON  AT  EXPIRES\n" == empty.stdout

    @pytest.mark.parametrize(
        ("arguments", "status", "reason"),
        [
            (("remove", "nobody@example.com"), 1, "This address is not on the suppression list."),
            (("add", "nobody"), 2, "is not an e-mail address"),
            (("add", "nobody@example.com", "--days", "0"), 2, "must be a whole number from 1 to 3650"),
        ],
    )
    def test_what_cannot_be_done_says_why(
        self, file: Path, arguments: tuple[str, ...], status: int, reason: str
    ) -> None:
        """On stderr."""
        done = gateway("suppressions", *arguments, store=file)

        assert (status, True) == (done.returncode, reason in done.stderr)
