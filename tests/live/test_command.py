"""`python -m gateway verify-live`: what it says before, that it asks first, what it prints."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway import cli, live
from gateway.errors import ConfigurationError
from gateway.live import CHECKS
from tests.documents import documents
from tests.live.trials import ACS, GRAPH, TO, arrived, prepare
from tests.servers.acs import FakeAcs
from tests.servers.serve import serve

NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose senders lead to a port where nobody listens."""
    prepare(tmp_path, NOBODY, f"{ACS}\n  {GRAPH}")
    monkeypatch.setenv("ACS_CONNECTION_STRING", f"endpoint={NOBODY}/;accesskey=YQ==")
    monkeypatch.setenv("GRAPH_ENDPOINT", NOBODY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_yes_it_only_says_what_would_be_sent(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From whom, to whom, each check, and how many mails."""
    assert 2 == cli.main(["verify-live", "--to", TO])

    out = capsys.readouterr().out
    assert f"From noreply@contoso.com (acs) to {TO}:" in out
    assert f"From desk@contoso.com (graph) to {TO}:" in out
    assert [] == [name for name in CHECKS if f"  {name} " not in out]
    assert "Real mail: 7 if the providers do as is hoped, at most 37." in out
    assert out.endswith("Nothing was sent. To send, add --yes.\n")


def test_without_an_address_it_does_not_start(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There is no default for whom to send to."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["verify-live", "--yes"])

    assert 2 == ended.value.code
    assert "--to" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--to", "nobody"], "--to: is not an e-mail address"),
        (["--to", TO, "--only", "acs.x"], "--only: acs.x is no check"),
        (["--to", TO, "--sender", "info"], "--sender: must be one of noreply, desk"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    """Before anything is sent."""
    assert 1 == cli.main(["verify-live", "--yes", *words])

    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("senders", "said"),
    [
        ("noreply: {transport: capture, address: a@contoso.com}", "none uses acs or graph"),
        (ACS, "ACS_CONNECTION_STRING"),
    ],
)
def test_a_configuration_with_nobody_to_send_is_refused(tmp_path: Path, senders: str, said: str) -> None:
    """No sender of a provider, or no account for it."""
    prepare(tmp_path, NOBODY, ACS)
    file = tmp_path / "gateway.yaml"
    file.write_text(file.read_text("utf-8").replace(ACS, senders), "utf-8")

    with pytest.raises(ConfigurationError, match=said):
        live.plan({"GATEWAY_ENVIRONMENT": "test", "GATEWAY_CONFIG": str(file)}, live.Wish(TO))


def test_it_prints_a_verdict_for_each_check_and_a_status(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody answers here, so nothing could be told: 2. What is under way goes to stderr."""
    assert 2 == cli.main(["verify-live", "--to", TO, "--yes", "--sender", "noreply", "--json"])

    printed = capsys.readouterr()
    told: Any = json.loads(printed.out)
    names = [name for name in CHECKS if name.startswith("acs.")]
    assert set(names) <= {check["name"] for check in told["checks"]}
    assert [] == [name for name in names if f"{name}: " not in printed.err]


def test_with_a_terminal_the_owner_is_asked_how_many_mails_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After everything was sent; anything but a number is "I cannot say"."""
    fake = FakeAcs()
    asked: list[str] = []

    def owner(question: str) -> str:
        asked.append(question)
        return "1" if len(asked) == 1 else ""

    async def both() -> tuple[int, int]:
        async with serve(fake, lifespan="off") as url:
            prepare(tmp_path, url, ACS)
            monkeypatch.setenv("ACS_CONNECTION_STRING", prepare(tmp_path, url, ACS).settings.acs_connection_string)
            words = [
                "verify-live",
                "--to",
                TO,
                "--yes",
                "--only",
                "acs.parallel",
                "--config",
                str(tmp_path / "gateway.yaml"),
            ]
            first = await asyncio.to_thread(cli.main, words)
            return first, await asyncio.to_thread(cli.main, words)

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", owner)
    assert (0, 2) == asyncio.run(both())

    subjects = sorted({one.payload["content"]["subject"] for one in fake.sent})
    assert subjects == sorted(question.split("`")[1] for question in asked)
    assert "one mail came" in capsys.readouterr().out
    assert 1 == arrived(fake)(subjects[0])


def test_every_live_check_is_documented() -> None:
    """A row for each, beside the window that it closes."""
    page = documents()["docs/delivery-guarantees.md"]

    assert CHECKS.keys() == page.table("The live checks").keys()
