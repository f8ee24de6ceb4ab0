"""`python -m gateway doctor`: its lines, its JSON, its exit status, and what it never prints."""

from __future__ import annotations

import asyncio
import io
import json
import re
from pathlib import Path

import pytest

from gateway import cli, doctor
from gateway.doctor import CHECKS
from gateway.doctor.finding import Finding, Verdict, exit_status, failed, passed, untold
from tests.doctor.patients import SOURCES, patient
from tests.documents import documents

SECRET = "c2VjcmV0LWNhbmFyeQ=="
CONFIG = f"senders:\n  noreply: {{transport: capture, address: a@example.com}}\n{SOURCES.replace('SENDER', 'noreply')}"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a configuration, and nothing stored."""
    (tmp_path / "gateway.yaml").write_text(CONFIG, "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_each_check_is_a_line_with_its_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    """In the order of the table, and a sum at the end."""
    assert 0 == cli.main(["doctor"])

    lines = capsys.readouterr().out.splitlines()
    assert [["pass", name] for name in CHECKS] == [line.split()[:2] for line in lines[:-2]]
    assert ["", f"{len(CHECKS)} checks: {len(CHECKS)} pass, 0 fail, 0 could not tell"] == lines[-2:]


def test_only_the_named_checks_run(capsys: pytest.CaptureFixture[str]) -> None:
    """In the table's order, whatever the command's."""
    assert 0 == cli.main(["doctor", "--only", "quota", "configuration", "--json"])

    assert ["configuration", "quota"] == [check["name"] for check in json.loads(capsys.readouterr().out)["checks"]]


def test_a_check_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """With those there are."""
    assert 1 == cli.main(["doctor", "--only", "dns", "mx"])

    assert "mx is no check; there are configuration, identity" in capsys.readouterr().err


def test_the_json_has_the_status_and_four_fields_of_each(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    """A failure is 1."""
    (here / "gateway.yaml").write_text(CONFIG.replace("sender: noreply", "sender: nobody"), "utf-8")

    assert 1 == cli.main(["doctor", "--only", "configuration", "--json"])

    told = json.loads(capsys.readouterr().out)
    assert 1 == told["status"]
    assert {"name", "verdict", "what", "remedy"} == told["checks"][0].keys()
    assert "fail" == told["checks"][0]["verdict"]


@pytest.mark.parametrize(
    ("findings", "status"),
    [
        ([passed("a", "x")], 0),
        ([passed("a", "x"), untold("b", "x", "y")], 2),
        ([untold("b", "x", "y"), failed("c", "x", "y")], 1),
    ],
)
def test_the_exit_status_is_the_worst_verdict(findings: list[Finding], status: int) -> None:
    """0 all pass, 1 some fail, 2 none fails but some could not be told."""
    assert status == exit_status(findings)


def test_settings_come_from_a_file_or_from_standard_input(
    capsys: pytest.CaptureFixture[str], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`az … | python -m gateway doctor --settings -` leaves no file with secrets behind."""
    text = json.dumps([{"name": "GATEWAY_ENVIRONMENT", "value": "staging"}])
    (here / "settings.json").write_text(text, "utf-8-sig")
    monkeypatch.setattr("sys.stdin", io.StringIO(text))

    assert 0 == cli.main(["doctor", "--settings", "settings.json", "--only", "configuration"])
    assert 0 == cli.main(["doctor", "--settings", "-", "--only", "configuration"])
    assert 1 == cli.main(["doctor", "--settings", "missing.json"])

    printed = capsys.readouterr()
    assert 2 == printed.out.count("environment staging")
    assert "--settings: missing.json cannot be read" in printed.err


def test_no_secret_is_printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    """Not of a key that works, nor of one that does not."""
    (here / "gateway.yaml").write_text(CONFIG.replace("capture", "acs"), "utf-8")
    monkeypatch.setenv("GATEWAY_ENVIRONMENT", "production")
    monkeypatch.setenv("GATEWAY_STORE", "azure")
    monkeypatch.setenv("ACS_CONNECTION_STRING", f"endpoint=http://127.0.0.1:9/;accesskey={SECRET}")
    ends = "".join(f"{name}Endpoint=http://127.0.0.1:9;" for name in ("Table", "Queue", "Blob"))
    monkeypatch.setenv("AzureWebJobsStorage", f"AccountName=a;AccountKey={SECRET};{ends}")
    monkeypatch.setattr("gateway.stores.azure_rest.PAUSE_SECONDS", 0.001)
    monkeypatch.setattr("gateway.doctor.names.LIFETIME", 0.1)

    assert 1 == cli.main(["doctor", "--json", "--only", *(name for name in CHECKS if name != "dns")])

    assert SECRET not in capsys.readouterr().out


async def test_a_check_that_breaks_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of ours, and one that never ends."""

    async def broken(_: object) -> list[Finding]:
        raise ValueError(SECRET)

    async def endless(_: object) -> list[Finding]:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setitem(CHECKS, "quota", broken)
    monkeypatch.setitem(CHECKS, "dns", endless)
    monkeypatch.setattr(doctor, "SECONDS", 0.05)
    found = await doctor.examine(patient("x: {transport: capture, address: x@example.com}"), ["dns", "quota", "poison"])

    assert [Verdict.UNKNOWN, Verdict.UNKNOWN, Verdict.OK] == [finding.verdict for finding in found]
    assert "the check itself failed (ValueError)" == found[1].what


def test_every_check_is_documented() -> None:
    """A row for each, and the sample shows lines as they are printed."""
    page = documents()["docs/doctor.md"]
    sample = next(block.text for block in page.blocks if block.language == "text")

    assert CHECKS.keys() == page.table("The checks").keys()
    for line in sample.splitlines()[:-2]:
        assert re.match(r"(pass|fail|could not tell) {1,13}[a-z.-]+ +\S", line), line
        assert any(line[16:].startswith(name) for name in CHECKS), line
