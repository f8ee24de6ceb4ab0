"""scripts/: what no template can do comes in; it parses, keeps to PowerShell 5.1, and passes its Pester tests."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests import tools
from tests.infra.bicep import INFRA, ROOT

SCRIPTS = sorted((ROOT / "scripts").glob("*.ps1"))

HOOKS = sorted((ROOT / "scripts/hooks").glob("*.ps1"))

NEWER = re.compile(r"\?\?|\?\.\w|&&|\|\||\s\?\s[^{]*\s:\s|-Parallel\b|\bclean\s*\{")
"""What Windows PowerShell 5.1 does not parse; no such machine runs these tests."""

PARSE = """
$found = $null
foreach ($file in Get-ChildItem '{folder}' -Filter *.ps1 -Recurse) {{
    [void][Management.Automation.Language.Parser]::ParseFile($file.FullName, [ref]$null, [ref]$found)
    foreach ($mistake in $found) {{ "$($file.Name): $mistake" }}
}}
"""

PESTER = """
if (-not (Get-Module -ListAvailable Pester | Where-Object Version -ge '5.0')) {{ 'no Pester'; exit 77 }}
Import-Module Pester -MinimumVersion 5.0
$result = Invoke-Pester -Path '{file}' -PassThru -Output Detailed
if ($result.PassedCount -eq 0) {{ exit 1 }}
exit $result.FailedCount
"""


def powershell(command: str, home: Path) -> subprocess.CompletedProcess[str]:
    """One command."""
    program = tools.pwsh()
    if program is None:
        pytest.skip("PowerShell 7 is not installed (pwsh)")
    environ = {**os.environ, "NO_COLOR": "1", "HOME": str(home)}
    arguments = [str(program), "-NoProfile", "-NonInteractive", "-Command", command]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False, env=environ)


def test_every_script_parses(tmp_path: Path) -> None:
    """Without a mistake."""
    done = powershell(PARSE.format(folder=ROOT / "scripts"), tmp_path)

    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("script", [*SCRIPTS, *HOOKS], ids=lambda script: script.name)
def test_a_script_keeps_to_what_windows_powershell_takes(script: Path) -> None:
    """Plain ASCII, since 5.1 reads a file without a mark as ANSI, and no newer syntax."""
    code = re.sub(r"<#.*?#>|#[^\n]*|'[^'\n]*'|\"[^\"\n]*\"", "", script.read_text("ascii"), flags=re.DOTALL)

    assert [] == NEWER.findall(code)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_does_what_its_tests_say(script: Path, tmp_path: Path) -> None:
    """With stubs for the cmdlets that exist in a tenant only."""
    done = powershell(PESTER.format(file=Path(__file__).parent / f"{script.stem}.Tests.ps1"), tmp_path)
    if done.returncode == 77:
        pytest.skip("Pester 5 is not installed (Install-Module Pester)")

    assert 0 == done.returncode, done.stdout[-4000:]


def test_script_and_template_grant_the_same_permissions() -> None:
    """By the same ids, in the script that looks for them and in the template that gives them."""
    script = (ROOT / "scripts/graph-grant.ps1").read_text("utf-8")
    template = (INFRA / "graph/graph-app-role.bicep").read_text("utf-8")
    looked_for = {name: id for id, name in re.findall(r"'([\da-f-]{36})' = '([\w.]+)'", script)}

    assert {"Mail.Send", "Mail.ReadWrite"} == looked_for.keys()
    assert looked_for == dict(re.findall(r"'([\w.]+)': '([\da-f-]{36})'", template))
