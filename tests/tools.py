"""The optional programs the tests use: nothing comes in, a program's path goes out, or the test is skipped with the
reason. With CI=true a missing program fails the test instead, so that nothing is skipped unseen.

`tests/install-tools.sh` installs them and looks in the same places.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / ".tools"

BESIDE = ROOT.parent / "shared/tools"
"""Where a machine may have tools that no package manager has."""

TEMPLATES = Path("/usr/share/prometheus/alertmanager/default.tmpl")
"""Debian's Alertmanager does not start without it, wherever the program itself lies."""


def chromium() -> Path:
    """A Chromium or Chrome that runs headless."""
    return _found("Chromium", "apt-get install chromium", "chromium", "chromium-browser", "google-chrome")


def alertmanager() -> Path:
    """Prometheus Alertmanager, from Debian's package."""
    unpacked = FOLDER / "alertmanager/usr/bin/prometheus-alertmanager"
    if not TEMPLATES.exists():
        missing(f"Alertmanager's {TEMPLATES.name} is not installed (as root: make tools)")
    return _found("Alertmanager", "make tools", str(unpacked), "prometheus-alertmanager", "alertmanager")


def azurite() -> Path:
    """Azurite, Microsoft's storage emulator; needs Node.js."""
    return _found("Azurite", "make tools", str(FOLDER / "azurite/node_modules/.bin/azurite"))


def curl() -> Path:
    """curl, which the examples use."""
    return _found("curl", "apt-get install curl", "curl")


def bicep() -> Path | None:
    """Microsoft's Bicep CLI; apt, npm and pip have none, so that its absence is no error in CI either."""
    return _beside("bicep/bicep", "bicep")


def pwsh() -> Path | None:
    """PowerShell 7, likewise."""
    return _beside("powershell/pwsh", "pwsh")


def _beside(place: str, program: str) -> Path | None:
    found = shutil.which(program) or shutil.which(BESIDE / place)
    return Path(found) if found else None


def missing(reason: str) -> NoReturn:
    """Skip this test for a reason that can be read; in CI it is an error."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and with CI=true every tool must be there")
    pytest.skip(reason)


def _found(what: str, remedy: str, *programs: str) -> Path:
    for program in programs:
        if path := shutil.which(program):
            return Path(path)
    missing(f"{what} is not installed ({remedy})")
