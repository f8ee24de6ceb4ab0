"""The pages on the command line and for operators: their tables are complete, and their samples run as they are."""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import requests

from gateway import cli
from gateway.clock import wall_clock
from gateway.ledger import Entry, MessageState
from gateway.message import Status
from gateway.stores.sqlite import SqliteStore
from tests.documents import ROOT, Block, blocks, documents
from tests.factories import make_entry, make_message
from tests.gateway_process import GatewayProcess, running_gateway
from tests.test_docs_samples import ADMIN, powershell

PAGE = documents()["docs/command-line.md"]
ID = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
SHELL = [block for block in PAGE.blocks if block.language == "sh"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A store with the notification that the pages name, which has failed, and a dead letter."""
    path = tmp_path / "gateway.db"
    message = make_message(notification=ID, created=wall_clock())
    state = MessageState(id=message.id, to=message.to, sender=message.sender, status=Status.FAILED)
    letter = make_entry(source="queue", kind="queue", own=Status.FAILED, reason="malformed", created=wall_clock())

    async def fill(*entries: Entry) -> None:
        store = await SqliteStore.open(path)
        for entry in entries:
            await store.add(entry, [message] if entry.messages else [], wall_clock() + timedelta(days=1))
        await store.close()

    asyncio.run(fill(make_entry(message, messages=(state,)), letter))
    return path


@pytest.fixture
def running(file: Path) -> Iterator[GatewayProcess]:
    """A gateway on that store."""
    with running_gateway(store=file, environment="local") as gateway:
        yield gateway


def commands(parser: argparse.ArgumentParser, before: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command with its words and its parser."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield before.strip(), parser
    for group in groups:
        for name, inner in group.choices.items():
            yield from commands(inner, f"{before} {name}")


def test_every_command_is_in_the_table() -> None:
    """And no other."""
    known = [words for words, _ in commands(cli._parser())]

    assert sorted(known) == sorted(PAGE.table("Commands"))


def test_every_option_of_the_operators_commands_is_in_the_table() -> None:
    """Of those that work on the store."""
    options = {
        option
        for words, parser in commands(cli._parser())
        if words.startswith(("notifications", "suppressions"))
        for action in parser._actions
        for option in action.option_strings
    }
    named = {word for row in PAGE.rows("Operate") for word in row[0].replace("`", "").split(", ")}

    assert options - {"-h", "--help"} == named


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_a_sample_of_the_command_line_runs(block: Block, file: Path, tmp_path: Path) -> None:
    """Each line as it is, one after the other, in a folder of its own."""
    environ = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "GATEWAY_STORE": f"sqlite:{file}",
        "GATEWAY_CONFIG": str(ROOT / "gateway.yaml"),
    }
    with running_gateway(store=tmp_path / "other.db") as gateway:
        script = ["bash", "-e", "-c", block.text.replace("gateway send ", f"gateway send --url {gateway.url} ")]
        done = subprocess.run(
            script, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120, check=False
        )

    assert (0, "") == (done.returncode, done.stderr), done.stdout


def test_the_powershell_sample_sends_again_what_failed(running: GatewayProcess, tmp_path: Path) -> None:
    """And leaves the dead letter alone."""
    (block,) = [block for block in blocks("powershell") if block.file == "docs/operating.md"]

    done = powershell(block.at(running.url), tmp_path)

    assert (0, [f"{ID} queued", "1 sent again"]) == (done.returncode, done.stdout.splitlines()), done.stderr
    mails = requests.get(f"{running.url}/v1/captured", {"wait": "20"}, headers=ADMIN, timeout=30).json()["items"]
    assert [ID] == [mail["notification"] for mail in mails]
