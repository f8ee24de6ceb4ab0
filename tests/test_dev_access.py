"""`dev --host`, `--open` and `--allow-host` in a real process: who may read captured mail, and what the start says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import requests

from gateway.auth import hash_key
from tests.gateway_process import ROOT, SAMPLE, GatewayProcess, running_gateway

KEY = "a-key-of-this-test"
CONFIG = f"""\
senders:
  noreply: {{transport: capture, address: noreply@example.com}}
sources:
  app: {{kind: native, keys: ["{hash_key(KEY)}"], sender: noreply, allow: ["*"]}}
"""
ADMIN = f'admin: {{keys: ["{hash_key("admin " + KEY)}"]}}\n'
EVERYWHERE = ("--host", "0.0.0.0")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration without an admin key."""
    path = tmp_path / "gateway.yaml"
    path.write_text(CONFIG, "utf-8")
    return path


def captured(gateway: GatewayProcess, host: str = "", **headers: str) -> int:
    """The status of captured mail under this name."""
    named = {"Host": host} if host else {}
    return requests.get(f"{gateway.url}/v1/captured", headers={**named, **headers}, timeout=10).status_code


def refused(file: Path, *options: str, environment: str = "test") -> str:
    """What `dev` says when it does not start."""
    result = subprocess.run(
        [sys.executable, "-m", "gateway", "dev", "--config", str(file), "--port", "0", *options],
        cwd=ROOT,
        env={"GATEWAY_ENVIRONMENT": environment, "GATEWAY_STORE": f"sqlite:{file.with_name('g.db')}"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert 1 == result.returncode, result.stderr
    return result.stderr


def inbox(gateway: GatewayProcess) -> object:
    """Who may read captured mail, as the start says."""
    return gateway.events("listening")[0]["inbox"]


@pytest.mark.parametrize("environment", ["local", "test"])
def test_beyond_this_machine_it_starts_only_with_an_admin_key_or_opened_on_purpose(
    file: Path, environment: str
) -> None:
    """The refusal names both remedies, and nothing has listened."""
    said = refused(file, *EVERYWHERE, environment=environment)

    assert "--host: lets others than this machine in at 0.0.0.0" in said
    assert "admin: {keys: […]}" in said
    assert "--open" in said
    assert not file.with_name("g.db").exists()


def test_beyond_this_machine_captured_mail_needs_the_admin_key(file: Path, tmp_path: Path) -> None:
    """Under any name, since no page knows the key; asking from the machine itself is no exception."""
    file.write_text(CONFIG + ADMIN, "utf-8")
    with running_gateway(store=tmp_path / "g.db", config=file, options=EVERYWHERE) as gateway:
        assert "admin" == inbox(gateway)
        assert [401, 401] == [captured(gateway), captured(gateway, "gw.example.com")]
        assert 200 == captured(gateway, "gw.example.com", **{"x-api-key": "admin " + KEY})
        assert 401 == requests.delete(f"{gateway.url}/v1/captured", timeout=10).status_code
        assert 401 == requests.get(gateway.url, timeout=10).status_code


def test_opened_on_purpose_it_needs_no_key_and_says_so(file: Path, tmp_path: Path) -> None:
    """An address is no name that could be made to lead here; a name still has to be allowed."""
    options = (*EVERYWHERE, "--open", "--allow-host", "gateway.test", "--allow-host", "Other.Test:7071")
    with running_gateway(store=tmp_path / "g.db", config=file, options=options) as gateway:
        assert "everybody" == inbox(gateway)
        assert ["warning"] == [line["level"] for line in gateway.events("open_to_everybody")]
        hosts = ["", "10.1.2.3:7071", "[fd00::1]", "gateway.test", "other.test"]
        assert [200] * 5 == [captured(gateway, host) for host in hosts]
        assert 421 == captured(gateway, "attacker.test")


def test_a_name_is_allowed_by_its_option(tmp_path: Path) -> None:
    """With any port, in any case, and no name below it."""
    with running_gateway(store=tmp_path / "g.db", config=SAMPLE, options=("--allow-host", "gateway.test")) as gateway:
        assert "local" == inbox(gateway)
        assert [200, 200] == [captured(gateway, host) for host in ("gateway.test", "GATEWAY.test.:80")]
        assert [421, 421] == [captured(gateway, host) for host in ("x.gateway.test", "gateway.test.evil.example")]


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_no_other_environment_can_be_opened(file: Path, environment: str) -> None:
    """Captured mail is somebody's mail there."""
    assert "--open: is for local and test only" in refused(file, "--open", environment=environment)


@pytest.mark.parametrize("name", ["http://gateway.test", "a b", "*", "", "user@gateway.test"])
def test_what_is_no_name_cannot_be_allowed(file: Path, name: str) -> None:
    """Wrong usage, before anything is read."""
    command = [sys.executable, "-m", "gateway", "dev", "--config", str(file), "--allow-host", name]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)

    assert (2, True) == (result.returncode, "is no host name" in result.stderr)
