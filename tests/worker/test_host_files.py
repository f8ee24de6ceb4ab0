"""host.json, the local settings sample and .funcignore: each says what it must, in a form its reader can read."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.settings import Environment, Settings
from tests.documents import documents
from tests.infra.expected import REQUESTS_THAT_FIT
from tests.worker import hostfile
from tests.worker.hostfile import HostFile, HostFileError, Queues
from tests.worker.process import ROOT

HOST = ROOT / "host.json"
SAMPLE = ROOT / "local.settings.sample.json"
IGNORED = (ROOT / ".funcignore").read_text("utf-8").splitlines()
GIT_IGNORED = (ROOT / ".gitignore").read_text("utf-8").splitlines()
NEEDED = ("function_app.py", "gateway", "gateway.yaml", "host.json", "requirements.txt", "requirements-core.txt")
HOST_NAMES = frozenset({"FUNCTIONS_WORKER_RUNTIME"})


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value with its dotted path."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, f"{path}.{name}".lstrip("."))
    else:
        yield path, value


def test_the_host_reads_the_values_that_were_chosen() -> None:
    """Read by the host's own rules; a change here needs its reason in docs/functions-host.md."""
    expected = HostFile(
        route_prefix="",
        function_timeout=timedelta(minutes=5),
        queues=Queues(
            message_encoding="none",
            batch_size=16,
            new_batch_threshold=8,
            max_dequeue_count=5,
            visibility_timeout=timedelta(seconds=30),
            max_polling_interval=timedelta(seconds=2),
        ),
        max_concurrent_requests=REQUESTS_THAT_FIT[2048],
    )

    assert expected == hostfile.read(HOST)


def test_alerts_can_count_every_log_line() -> None:
    """Traces are excluded from sampling, whatever the load."""
    sampling = json.loads(HOST.read_text("utf-8"))["logging"]["applicationInsights"]["samplingSettings"]

    assert "Trace" in sampling["excludedTypes"].split(";")


@pytest.mark.parametrize(
    "category",
    [
        *("Microsoft.AspNetCore.Hosting.Diagnostics", "Microsoft.AspNetCore.HttpLogging"),
        *("System.Net.Http.HttpClient", "Yarp.ReverseProxy.Forwarder"),
    ],
)
def test_no_line_of_the_hosts_own_has_a_requests_url(category: str) -> None:
    """A tool's key may stand in it, as `?code=`: what writes URLs at Information begins at Warning."""
    levels = json.loads(HOST.read_text("utf-8"))["logging"]["logLevel"]

    assert levels.get(category) in {"Warning", "Error", "Critical", "None"}


def test_every_value_has_its_reason_in_the_documentation() -> None:
    """host.json cannot hold comments; the table has a row for each value, with the value as it is."""
    section = documents()["docs/functions-host.md"].section("host.json, value by value")
    rows = re.findall(r"^\| `([\w.]+)` \| (.+?) \| .{20,} \|$", section, re.MULTILINE)
    documented = {name: "" if value == "empty" else value.strip("`") for name, value in rows}
    written = {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in leaves(json.loads(HOST.read_text("utf-8")))
    }

    assert written == documented


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "cannot be read"),
        ("{}", '"version": "2.0"'),
        ('{"version": "2.0", "extensions": {"queues": {"batchSize": 64}}}', "batchSize 64"),
        ('{"version": "2.0", "extensions": {"queues": {"visibilityTimeout": "30"}}}', "'30'"),
        ('{"version": "2.0", "extensions": {"queues": {"messageEncoding": "utf8"}}}', "utf8"),
        ('{"version": "2.0", "extensions": {"http": {"maxConcurrentRequests": 0}}}', "maxConcurrentRequests 0"),
        ('{"version": "2.0", "functionTimeout": "24:00:00"}', "24:00:00"),
        ('{"version": "2.0", "functionTimeout": "00:11:00"}', "00:11:00"),
    ],
)
def test_what_the_host_cannot_read_is_seen_here(tmp_path: Path, content: str, reason: str) -> None:
    """The host would answer 503 to every request, and stay alive."""
    (tmp_path / "host.json").write_text(content)

    with pytest.raises(HostFileError, match=re.escape(reason)):
        hostfile.read(tmp_path / "host.json")


def test_the_sample_of_the_local_settings_starts_the_gateway() -> None:
    """Every name is ours or the host's, and the gateway takes the values: local, so that nobody gets real mail."""
    values = json.loads(SAMPLE.read_text("utf-8"))["Values"]
    settings = Settings.read(values)

    assert settings == Settings(
        config="gateway.yaml",
        store="azure",
        environment=Environment.LOCAL,
        storage="UseDevelopmentStorage=true",
        memory_budget="256",
    )
    assert values["FUNCTIONS_WORKER_RUNTIME"] == "python"
    table = documents()["docs/functions-host.md"].table("On your machine, with Functions Core Tools")
    assert values == {name: cells[0].strip("`") for name, cells in table.items()}
    ours = {field.metadata["name"] for field in Settings.__dataclass_fields__.values()}
    assert values.keys() - ours == HOST_NAMES


def test_the_sample_serves_on_the_port_of_the_embedded_host_and_leaves_cors_to_the_gateway() -> None:
    """One port everywhere; the host's own CORS would answer the preflight of a form without asking its origins."""
    assert json.loads(SAMPLE.read_text("utf-8"))["Host"] == {"LocalHttpPort": 7071}


@pytest.mark.parametrize("name", IGNORED)
def test_what_is_kept_out_of_the_package_exists(name: str) -> None:
    """A name that nothing has is a typing mistake; tools' folders are in .gitignore. Core Tools knows no wildcards."""
    assert re.fullmatch(r"[\w.-]+", name)
    assert (ROOT / name).exists() or name in {line.strip("/") for line in GIT_IGNORED}


@pytest.fixture
def packaged(tmp_path: Path) -> Path:
    """A repository whose .gitignore is our .funcignore: git reads the same syntax."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs git and a checkout")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    shutil.copy(ROOT / ".funcignore", tmp_path / ".gitignore")
    return tmp_path


def kept_out(repository: Path, names: list[str]) -> set[str]:
    """Those of these names that do not go into the package."""
    command = ["git", "-C", str(repository), "check-ignore", "--no-index", "--stdin"]
    result = subprocess.run(command, input="\n".join(names), capture_output=True, text=True, check=False)
    return set(result.stdout.splitlines())


def test_the_package_has_what_the_app_needs_and_nothing_else(packaged: Path) -> None:
    """Every file of the checkout is either part of the app or kept out, so a new one has to be thought about."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = listed.splitlines()

    app = {name for name in files if name.split("/")[0] in NEEDED} | {"LICENSE"}

    assert {name for name in files if name not in kept_out(packaged, files)} == app


@pytest.mark.parametrize(
    "name", [".azure/prod/.env", ".azure/config.json", ".vscode/settings.json", ".idea/x", ".env", "venv/x", "env/x"]
)
def test_what_lies_beside_the_app_on_a_machine_stays_there(packaged: Path, name: str) -> None:
    """Core Tools keeps out what is listed and little else: azd's folder has the app settings and who deployed."""
    assert {name} == kept_out(packaged, [name])


@pytest.mark.parametrize("name", ["requirements-core.txt", ".python_packages/lib/site-packages/yaml/__init__.py"])
def test_what_a_build_needs_is_not_kept_out(packaged: Path, name: str) -> None:
    """requirements.txt includes the one, and the other is what was built without Azure."""
    assert set() == kept_out(packaged, [name])


@pytest.mark.parametrize("name", NEEDED)
def test_what_the_app_needs_is_in_the_checkout(name: str) -> None:
    """Otherwise the test above would keep a word that means nothing."""
    assert (ROOT / name).exists()
