"""The hooks of azure.yaml: what azd gives them comes in, they say whether the deployment may be called one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

from tests import tools
from tests.infra.bicep import ROOT

HOOKS = ROOT / "scripts/hooks"
SHELLS = ["sh", "ps1"]
REGISTERING = "provider register --namespace Microsoft.App --wait --subscription 1234\n"


def hook(name: str, shell: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """One run, as azd starts it."""
    program = tools.pwsh() if shell == "ps1" else Path("/bin/sh")
    if program is None or sys.platform == "win32":
        pytest.skip("PowerShell 7 is not installed (pwsh)")
    before = ["-NoProfile", "-NonInteractive", "-File"] if shell == "ps1" else []
    return subprocess.run(
        [program, *before, HOOKS / f"{name}.{shell}"],
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "NO_COLOR": "1", **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def app(*statuses: int) -> Iterator[tuple[str, list[str]]]:
    """An app that answers with these, the last of them for ever; the paths that were asked for."""
    asked: list[str] = []

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = statuses[min(len(asked), len(statuses) - 1)]
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Retry-After", "30")
            self.end_headers()
            self.wfile.write(b'{"code": "configuration_invalid"}' if status == 503 else b"")

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("shell", SHELLS)
def test_an_app_that_needs_a_moment_is_waited_for(shell: str) -> None:
    """It answers with the platform's page at first, and with the roles that are still spreading."""
    with app(404, 503, 200) as (uri, asked):
        done = hook("postdeploy", shell, AZURE_FUNCTION_URI=uri, READY_PAUSE="0.1")

    assert (0, ["/health/ready"] * 3) == (done.returncode, asked), done.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_an_app_that_is_not_ready_fails_the_deployment_with_its_reason(shell: str) -> None:
    """A green deployment of an app that answers nothing would be found out by its callers."""
    with app(503) as (uri, asked):
        done = hook("postdeploy", shell, AZURE_FUNCTION_URI=uri, READY_PAUSE="0.1", READY_TRIES="2")

    assert (1, 2) == (done.returncode, len(asked))
    assert "configuration_invalid" in done.stderr
    assert "Python 3.13" in done.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_no_answer_at_all_fails_the_deployment(shell: str) -> None:
    """Nothing listens on port 1; without azd's value there is nothing to ask."""
    silent = hook("postdeploy", shell, AZURE_FUNCTION_URI="http://127.0.0.1:1", READY_TRIES="1")
    pipeline = hook("postdeploy", shell, AZURE_FUNCTION_URI="http://127.0.0.1:1", READY_TRIES="0")
    unknown = hook("postdeploy", shell)

    assert (1, True) == (silent.returncode, "is not ready" in silent.stderr)
    assert unknown.returncode != 0
    assert 0 == pipeline.returncode, "a pipeline that asks for itself says so"
    assert "AZURE_FUNCTION_URI" in unknown.stderr


@pytest.fixture
def az(tmp_path: Path) -> Path:
    """A folder with an Azure CLI that writes down its arguments, and fails for subscription 5678."""
    program = tmp_path / "az"
    program.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/called\n[ "${{7}}" != 5678 ]\n', "utf-8")
    program.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("network", "subscription", "code", "called"),
    [
        ("private", "1234", 0, REGISTERING),
        ("private", "5678", 1, REGISTERING.replace("1234", "5678")),
        ("public", "1234", 0, ""),
        ("", "1234", 0, ""),
    ],
)
def test_a_private_network_registers_what_it_needs(
    az: Path, shell: str, network: str, subscription: str, code: int, called: str
) -> None:
    """And no other does; a refusal says what to do, before anything is made."""
    environ = {"GATEWAY_INFRA_NETWORK": network, "AZURE_SUBSCRIPTION_ID": subscription}

    done = hook("preprovision", shell, PATH=f"{az}:{os.environ['PATH']}", **environ)

    log = az / "called"
    assert (code, called) == (done.returncode, log.read_text("utf-8") if log.exists() else "")
    assert (code == 1) == ("az provider register --namespace Microsoft.App" in done.stderr)


def test_azd_runs_every_hook_on_every_system() -> None:
    """Each of its files is there for both, and can be started."""
    hooks = yaml.safe_load((ROOT / "azure.yaml").read_text("utf-8"))["hooks"]
    named = {
        name: {system: (what["shell"], what["run"]) for system, what in systems.items()}
        for name, systems in hooks.items()
    }

    assert named == {
        path.stem: {
            "posix": ("sh", f"./scripts/hooks/{path.stem}.sh"),
            "windows": ("pwsh", f"./scripts/hooks/{path.stem}.ps1"),
        }
        for path in HOOKS.glob("*.sh")
    }
    assert [] == [path.name for path in HOOKS.glob("*.sh") if not os.access(path, os.X_OK)]
    assert {path.stem for path in HOOKS.glob("*.ps1")} == named.keys()
