"""A policy scan: every resource of two combinations comes in, checkov's findings are those that are explained here.

checkov weighs 270 MB, so only CI installs it unasked: `CI=true tests/install-tools.sh` puts it into `.tools`. What it
asks for that matters here is in the rules too, which need the Bicep CLI only.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.infra.bicep import deployment
from tests.tools import FOLDER

VERSION = "3.3.30"
"""Each version has checks of its own."""

OPEN = {
    "CKV_AZURE_35": "storage takes requests from everywhere, though from identities only; `network: private` closes it",
    "CKV_AZURE_59": "as above; no blob can be read without an identity",
    "CKV_AZURE_109": "so does the vault",
    "CKV_AZURE_189": "as above",
}
"""What is accepted in a public network, and why."""

ACCEPTED = {
    "CKV_AZURE_13": "callers are forms and tools, which know no Entra; the gateway checks their keys itself",
    "CKV_AZURE_17": "nor do they have client certificates",
    "CKV_AZURE_222": "their door must be public",
    "CKV_AZURE_78": "Flex Consumption has no FTP, and its publishing credentials are refused",
    "CKV_AZURE_206": "three zones where a region has them; more is for `storageSku` to choose",
    "CKV_AZURE_212": "the app scales from none; `alwaysReady` keeps some",
    "CKV_AZURE_213": "Flex Consumption has no health check; an alert sees when the timer stops",
    "CKV_AZURE_225": "Flex Consumption spreads over zones only with instances that always wait",
    "CKV_AZURE_63": "looks into the app settings, which are none of this; Application Insights has every request",
    "CKV_AZURE_65": "as above",
    "CKV_AZURE_66": "as above",
    "CKV_AZURE_80": "looks for .NET there",
    "CKV_AZURE_88": "looks for Azure Files there",
}
"""What is accepted everywhere, and why."""


@pytest.fixture
def checkov() -> Path:
    """The scanner, in the version whose findings are listed."""
    found = shutil.which(FOLDER / "checkov/bin/checkov") or shutil.which("checkov")
    if found is None:
        pytest.skip(f"checkov {VERSION} is not installed")
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if said != VERSION:
        pytest.skip(f"checkov is {said}; what is accepted is listed for {VERSION}")
    return Path(found)


@pytest.mark.usefixtures("bicep")
@pytest.mark.parametrize(("combination", "accepted"), [("public", {**OPEN, **ACCEPTED}), ("private", ACCEPTED)])
def test_every_finding_is_explained(checkov: Path, tmp_path: Path, combination: str, accepted: dict[str, str]) -> None:
    """And every explanation is still needed."""
    template = {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": deployment(combination).resources,
    }
    (tmp_path / "template.json").write_text(json.dumps(template), "utf-8")
    command = [str(checkov), "-d", str(tmp_path), "--framework", "arm", "--skip-download", "--compact", "-o", "json"]
    environ = {**os.environ, "LOG_LEVEL": "ERROR", "HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environ)
    scan = json.loads(done.stdout)

    assert 0 == scan["summary"]["parsing_errors"]
    assert accepted.keys() == {finding["check_id"] for finding in scan["results"]["failed_checks"]}
