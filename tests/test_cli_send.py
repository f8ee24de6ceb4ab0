"""The commands to try things with: render a payload's mail, and post a notification to a gateway."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from gateway import openapi
from tests.documents import ROOT
from tests.gateway_process import GatewayProcess, running_gateway

NATIVE = json.dumps({**openapi.NATIVE_EXAMPLE, "cc": "Ann <ann@example.com>"})


def run(*arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    """`python -m gateway …` with something on standard input."""
    command = [sys.executable, "-m", "gateway", *arguments]
    return subprocess.run(command, cwd=ROOT, input=typed, capture_output=True, text=True, timeout=60, check=False)


UPLOAD = '--b\r\nContent-Disposition: form-data; name="cv"; filename="cv.html"\r\n\r\n<html>\r\n--b--\r\n'


class TestRender:
    """python -m gateway render."""

    def test_a_payload_is_shown_as_the_mail_it_would_become(self, tmp_path: Path) -> None:
        """From, to, subject, text; a file, or standard input."""
        file = tmp_path / "payload.json"
        file.write_text(NATIVE, "utf-8")

        read = run("render", str(file), "--source", "app")
        piped = run("render", "-", "--source", "app", typed=NATIVE)

        assert (0, "") == (read.returncode, read.stderr)
        assert [
            "From: Example <noreply@example.com>",
            "To: ops@example.com",
            "Cc: Ann <ann@example.com>",
            "Subject: Nightly backup failed",
            "",
            "The backup of db-1 ended with exit code 2.",
        ] == read.stdout.splitlines()[:6]
        assert read.stdout == piped.stdout

    def test_a_tools_payload_goes_through_its_routes(self) -> None:
        """A critical alert goes to those on call."""
        done = run("render", "-", "--source", "alertmanager", typed=json.dumps(openapi.ALERTMANAGER_EXAMPLE))

        assert "To: ops@example.com, oncall@example.com" in done.stdout
        assert "Subject: [CRITICAL] HighLatency" in done.stdout

    def test_html_can_be_looked_at_in_a_browser(self) -> None:
        """The whole document and nothing else."""
        done = run("render", "-", "--source", "app", "--html", typed=NATIVE)

        assert ("<!DOCTYPE html>", "</html>") == (done.stdout[:15], done.stdout.rstrip()[-7:])

    @pytest.mark.parametrize(
        ("source", "typed", "reason"),
        [
            ("crm", NATIVE, "unknown_source: There is no source of this name in gateway.yaml; it has contact,"),
            ("app", '{"to": "ops@elsewhere.test", "subject": "Hello"}', "to[0] may not be named by this caller"),
            ("app", "{", "malformed: "),
            ("contact", UPLOAD, "file_refused: cv: the file cv.html is text/html; taken are image/*, application/pdf"),
        ],
    )
    def test_what_the_door_would_refuse_is_refused(self, source: str, typed: str, reason: str) -> None:
        """With its reasons, and exit status 1."""
        done = run("render", "-", "--source", source, typed=typed)

        assert (1, "", True) == (done.returncode, done.stdout, reason in done.stderr)

    def test_a_file_that_is_not_there_is_named(self) -> None:
        """Without a traceback."""
        done = run("render", "none.json", "--source", "app")

        assert (1, True) == (done.returncode, done.stderr.startswith("none.json:0: FILE: cannot be read"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway to post to."""
    with running_gateway(store=tmp_path_factory.mktemp("send") / "gateway.db") as gateway:
        yield gateway


class TestSend:
    """python -m gateway send."""

    def test_a_notification_is_posted_and_its_id_printed(self, server: GatewayProcess) -> None:
        """The key may come from standard input, where no list of processes shows it."""
        words = ("--to", "ops@example.com", "--to", "oncall@example.com", "--subject", "Prüfung", "--text", "Exit 2")
        done = run("send", "--url", server.url, "--key", "-", *words, typed="example-key-app\n")

        mails: Any = requests.get(f"{server.url}/v1/captured", {"wait": "20"}, timeout=30).json()["items"]
        assert (0, "") == (done.returncode, done.stderr)
        assert [(done.stdout.strip(), ["ops@example.com", "oncall@example.com"], "Prüfung", "Exit 2")] == [
            (mail["notification"], mail["to"], mail["subject"], mail["text"].strip()) for mail in mails
        ]

    def test_a_refusal_is_said_in_full(self, server: GatewayProcess) -> None:
        """The code, the sentence and the field."""
        done = run(
            *("send", "--url", server.url, "--key", "example-key-app"),
            *("--to", "ops@elsewhere.test", "--subject", "Hello"),
        )

        assert (1, "recipient_not_allowed: ") == (done.returncode, done.stderr[:23])
        assert "to[0] may not be named by this caller" in done.stderr

    @pytest.mark.parametrize(
        ("url", "reason"),
        [("http://127.0.0.1:1", "no answer"), ("127.0.0.1:7071", "--url: must be such as http://127.0.0.1:7071")],
    )
    def test_a_gateway_that_is_not_there_is_said(self, url: str, reason: str) -> None:
        """With what helps."""
        done = run("send", "--url", url, "--key", "k", "--to", "ops@example.com", "--subject", "Hello")

        assert (1, True) == (done.returncode, reason in done.stderr)
