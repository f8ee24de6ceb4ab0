"""The Bicep CLI: the files under infra/ come in; what it says of them, and every resource they make, goes out.

`python -m tests.infra.bicep` builds, lints and checks the style of every file, and is part of `make check`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tests import tools

ROOT = Path(__file__).parent.parent.parent
INFRA = ROOT / "infra"
COMBINATIONS = Path(__file__).parent / "combinations"

ABSENT = "the Bicep CLI is not installed (https://learn.microsoft.com/azure/azure-resource-manager/bicep/install)"

SUBSCRIPTION = "11111111-1111-1111-1111-111111111111"
TENANT = "22222222-2222-2222-2222-222222222222"

Json = dict[str, Any]


@dataclass(frozen=True)
class Deployment:
    """Every resource of one combination as it would be sent to Azure, and the outputs; `[…]` is left to run time."""

    name: str
    parameters: str
    resources: list[Json]
    outputs: Json = field(default_factory=dict)

    def of(self, type: str) -> list[Json]:
        """All resources of a type."""
        return [resource for resource in self.resources if resource["type"] == type]

    def one(self, type: str) -> Json:
        """The only resource of a type."""
        (found,) = self.of(type)
        return found

    @property
    def text(self) -> str:
        """All of it."""
        return json.dumps([self.resources, self.outputs])


class BuildFailed(Exception):
    """The text is what the CLI said."""


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """One call; BuildFailed when there is no CLI."""
    program = tools.bicep()
    if program is None:
        raise BuildFailed(ABSENT)
    # Small machines have no libicu, and the CLI unpacks itself once below HOME.
    environ = {"HOME": tempfile.gettempdir(), **os.environ, "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1"}
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120, check=False, env=environ)


def silent(*arguments: str | Path) -> str:
    """One call's output; anything said beside it is a failure, since the CLI calls a wrong property a warning."""
    done = run(*arguments)
    if done.returncode or done.stderr.strip():
        raise BuildFailed(done.stderr or f"exit code {done.returncode}")
    return done.stdout


def files() -> list[Path]:
    """Every file that is built; those of infra/graph need an extension from Microsoft's registry."""
    return sorted(INFRA.glob("*.bicep"))


def copy(folder: Path, cloud: str = "AzureCloud") -> Path:
    """The sources again, for a cloud: its answer is put where environment() is, which the CLI leaves to run time."""
    shutil.copytree(INFRA, folder / "infra")
    shutil.copytree(COMBINATIONS, folder / "combinations")
    shutil.copy(ROOT / "bicepconfig.json", folder)
    for file in (folder / "infra").rglob("*.bicep"):
        text = file.read_text("utf-8")
        file.write_text(text.replace("environment()", "loadJsonContent('cloud.json')"), "utf-8")
    facts = json.loads((Path(__file__).parent / "clouds.json").read_text("utf-8"))
    (folder / "infra/cloud.json").write_text(json.dumps(facts[cloud]), "utf-8")
    return folder


def evaluate(folder: Path, combination: str) -> Deployment:
    """What a combination makes of the sources in a folder that `copy` made."""
    file = folder / "combinations" / f"{combination}.bicepparam"
    where = ("--subscription-id", SUBSCRIPTION, "--tenant-id", TENANT, "--location", "westeurope")
    done = run("snapshot", file, *where)
    result = file.with_suffix(".snapshot.json")
    if done.returncode or done.stderr.strip():
        raise BuildFailed(done.stderr)
    found = json.loads(result.read_text("utf-8"))
    result.unlink()
    if found["diagnostics"]:
        raise BuildFailed(json.dumps(found["diagnostics"]))
    return Deployment(combination, file.read_text("utf-8"), found["predictedResources"], found["outputs"])


def combinations() -> list[str]:
    """Every combination of parameters that is looked at."""
    return sorted(file.stem for file in COMBINATIONS.glob("*.bicepparam"))


def cloud_of(combination: str) -> str:
    """The cloud its first line names, else the public one."""
    first = (COMBINATIONS / f"{combination}.bicepparam").read_text("utf-8").splitlines()[0]
    named = re.search(r"Azure\w+Cloud|AzureUSGovernment", first)
    return named.group() if named else "AzureCloud"


@cache
def deployment(combination: str) -> Deployment:
    """The sources as they are, evaluated once."""
    with tempfile.TemporaryDirectory() as folder:
        return evaluate(copy(Path(folder), cloud_of(combination)), combination)


def modules(main: Path) -> dict[str, Json]:
    """The modules of main.bicep as ARM JSON has them, with what each waits for."""
    found: dict[str, Json] = json.loads(silent("build", main, "--stdout"))["resources"]
    return {name: module for name, module in found.items() if module["type"] == "Microsoft.Resources/deployments"}


def check() -> int:
    """Build, lint and compare with the CLI's own style; the exit code."""
    if tools.bicep() is None:
        sys.stderr.write(f"bicep: not checked, {ABSENT}\n")
        return 0
    wrong = complaints()
    sys.stderr.writelines(f"{line}\n" for line in wrong)
    return 1 if wrong else 0


def complaints() -> list[str]:
    """What is wrong with any file; linting builds it too."""
    linted = run("lint", "--pattern", INFRA / "*.bicep")
    wrong = [linted.stderr.strip()] if linted.returncode or linted.stderr.strip() else []
    with tempfile.TemporaryDirectory() as folder:
        styled = Path(shutil.copytree(INFRA, Path(folder) / "infra"))
        run("format", "--pattern", styled / "*.bicep")
        changed = [file.name for file in files() if (styled / file.name).read_bytes() != file.read_bytes()]
    return [*wrong, *(f"infra/{name}: `bicep format` would change it" for name in changed)]


if __name__ == "__main__":
    raise SystemExit(check())
