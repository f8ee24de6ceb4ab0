"""azure.yaml and the workflows: what they name is there, nothing secret is in them, and the deploy signs in by OIDC."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests import tools
from tests.documents import ROOT, Block, documents

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
DEPLOY = ROOT / ".github/workflows/deploy.yml"
PROPOSALS = ROOT / ".github/dependabot.yml"
PARAMETERS = (ROOT / "infra/main.parameters.json").read_text("utf-8")
ENDS = ("", "-core", "-host", "-otel", "-dev")
MAIN = (ROOT / "infra/main.bicep").read_text("utf-8")


def steps(path: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(path.read_text("utf-8"))["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


def test_azd_finds_one_function_app_in_this_folder() -> None:
    """The tag that infra/ puts on the site names the service."""
    project = yaml.safe_load((ROOT / "azure.yaml").read_text("utf-8"))

    ((name, service),) = project["services"].items()
    assert {"project": "./", "language": "python", "host": "function", "remoteBuild": True} == service
    assert f"'azd-service-name': '{name}'" in (ROOT / "infra/function.bicep").read_text("utf-8")
    # .funcignore is read since 1.18.0, JSON parameters are parsed since 1.23.4, remoteBuild is known since 1.23.5.
    least = re.fullmatch(r">= (\d+)\.(\d+)\.(\d+)", project["requiredVersions"]["azd"])
    assert least
    assert tuple(map(int, least.groups())) >= (1, 23, 5)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_little_and_ends(path: Path) -> None:
    """Its permissions are written down, its jobs have a time limit; it reads no secret and keeps no credential."""
    text = path.read_text("utf-8")
    workflow = yaml.safe_load(text)

    assert {"contents": "read"} == workflow["permissions"]
    assert all(job["timeout-minutes"] <= 45 for job in workflow["jobs"].values())
    assert "secrets." not in text
    checkouts = [step for step in steps(path) if step.get("uses", "").startswith("actions/checkout@")]
    assert [False] * len(checkouts) == [step["with"]["persist-credentials"] for step in checkouts]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_what_a_workflow_runs_is_one_version(path: Path) -> None:
    """An action is a commit with its tag beside it, since a tag can be moved; a package has an exact version."""
    text = path.read_text("utf-8")
    commit = re.compile(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")

    used = re.findall(r"uses: (.+)", text)
    installed = [word for line in re.findall(r"pip install (.+)", text) for word in line.split()]
    files = [after for before, after in itertools.pairwise(installed) if before == "-r"]
    packages = [word for word in installed if not word.startswith("-") and word not in files]

    assert [] == [action for action in used if not commit.fullmatch(action)]
    assert len(used) == len([step for step in steps(path) if "uses" in step])
    assert [] == [package for package in packages if not re.fullmatch(r"[\w-]+==[\w.]+", package)]


def test_every_workflow_uses_the_same_version_of_an_action() -> None:
    """And the proposals for newer ones name them all."""
    used = {action for path in WORKFLOWS for action in re.findall(r"uses: (.+)", path.read_text("utf-8"))}
    proposals = yaml.safe_load(PROPOSALS.read_text("utf-8"))

    assert len(used) == len({action.partition("@")[0].lower() for action in used})
    assert {"pip", "github-actions"} == {update["package-ecosystem"] for update in proposals["updates"]}


@pytest.mark.parametrize(("schema", "files"), [("workflows", WORKFLOWS), ("dependabot", [PROPOSALS])])
def test_github_reads_what_is_written_for_it(schema: str, files: list[Path]) -> None:
    """By GitHub's own schemas, which the checker brings along: a misspelt key is ignored there or ends the run."""
    name = schema if schema == "dependabot" else f"github-{schema}"
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{name}", *map(str, files)]

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert 0 == done.returncode, done.stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_input_of_a_person_becomes_a_command(path: Path) -> None:
    """An expression inside a script would be run as one; it goes through the environment instead."""
    assert [] == [step["run"] for step in steps(path) if "${{" in step.get("run", "")]


def test_the_deployment_signs_in_without_a_secret() -> None:
    """By a token that GitHub issues for this run, and only that one job may ask for one."""
    asking = [
        (path.name, job)
        for path in WORKFLOWS
        for job, what in yaml.safe_load(path.read_text("utf-8"))["jobs"].items()
        if "id-token" in what.get("permissions", {})
    ]
    first, again = [step["with"] for step in steps(DEPLOY) if "azure/login" in step.get("uses", "")]

    assert [("deploy.yml", "deploy")] == asking
    assert {"client-id", "tenant-id", "subscription-id"} == first.keys()
    assert first == again


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What the workflow checks out: `main` with a tag, and beside it a branch, a pull request and misleading names."""
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    git(tmp_path, "init", "-q", "-b", "main", str(origin))
    for name in ("first", "second"):
        git(origin, "commit", "-q", "--allow-empty", "-m", name)
        git(origin, "tag", f"v-{name}")
    git(origin, "switch", "-q", "-c", "feature")
    git(origin, "commit", "-q", "--allow-empty", "-m", "not reviewed")
    for tag in ("v-feature", "origin/main", "main", "refs/remotes/origin/main"):
        git(origin, "tag", tag)
    git(origin, "tag", "-a", "-m", "signed or not", "v-annotated", "v-first")
    git(origin, "update-ref", "refs/pull/1/merge", "feature")
    git(origin, "switch", "-q", "refs/heads/main", "--detach")
    git(tmp_path, "clone", "-q", str(origin), str(clone))
    git(clone, "fetch", "-q", "--tags", "origin", "+refs/pull/*:refs/remotes/pull/*")
    git(clone, "fetch", "-q", "origin", "+refs/heads/*:refs/remotes/origin/*")
    return clone


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "advice.detachedHead=false")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("ref", "deployed"),
    [
        ("refs/remotes/origin/main", True),
        ("v-first", True),
        ("v-annotated", True),
        ("refs/remotes/origin/main~1", True),
        ("refs/remotes/origin/feature", False),
        ("v-feature", False),
        ("refs/tags/main", False),
        ("refs/tags/origin/main", False),
        ("refs/remotes/pull/1/merge", False),
    ],
)
def test_only_what_is_on_main_is_deployed(clone: Path, tmp_path: Path, ref: str, *, deployed: bool) -> None:
    """The workflow's own script, before anything of the commit runs and before it signs in."""
    first, check, *rest = steps(ROOT / ".github/workflows/deploy.yml")
    git(clone, "checkout", "-q", "--detach", ref)
    summary = tmp_path / "summary"

    done = subprocess.run(
        ["bash", "-e", "-c", check["run"]],
        cwd=clone,
        env={"PATH": os.environ["PATH"], "GITHUB_STEP_SUMMARY": str(summary)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (deployed, "" if deployed else "::error::") == (done.returncode == 0, done.stdout[:9])
    assert re.fullmatch(r"Commit `[0-9a-f]{40}`\n", summary.read_text("utf-8"))
    assert (0, "checkout") == (first["with"]["fetch-depth"], first["uses"].partition("/")[2].partition("@")[0])
    assert any("login" in step.get("uses", "") for step in rest)


@pytest.mark.skipif(sys.platform != "linux" or sys.version_info[:2] != (3, 13), reason="what Azure installs")
def test_what_the_pinned_packages_pull_in_is_pinned_too() -> None:
    """So that two builds of one commit are alike."""
    text = "\n".join((ROOT / f"requirements{end}.txt").read_text("utf-8") for end in ENDS)
    pinned = {
        canonicalize_name(name): version for name, version in re.findall(r"^([\w.-]+)==([\w.]+)", text, re.MULTILINE)
    }
    wanted = {
        canonicalize_name(needed.name)
        for name in pinned
        for needed in map(Requirement, metadata.requires(name) or ())
        if needed.marker is None or needed.marker.evaluate({"extra": ""})
    }

    assert set() == wanted - pinned.keys()


def script(word: str) -> str:
    """The script of the one step of the deployment that has this word."""
    (found,) = [step["run"] for step in steps(DEPLOY) if word in step.get("run", "")]
    return str(found)


@pytest.fixture
def bin(tmp_path: Path) -> Path:
    """A folder for programs that a step would call; each call is a line of `calls`, and nothing sleeps."""
    folder = tmp_path / "bin"
    folder.mkdir()
    put(folder, "sleep", "")
    return folder


def put(folder: Path, name: str, answers: str) -> None:
    """A program that does this, after it has written down how it was called."""
    (folder / name).write_text(f'#!/bin/sh\necho "{name} $*" >> {folder.parent}/calls\n{answers}\n', "utf-8")
    (folder / name).chmod(0o755)


def run(text: str, folder: Path, **environ: str) -> tuple[int, list[str], str]:
    """A step as the runner does it: exit code, calls, output."""
    path = os.pathsep.join([str(folder), str(Path(sys.executable).parent), os.environ["PATH"]])
    command = ["bash", "-e", "-c", text]
    environ = {"PATH": path, **environ}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=60)
    calls = folder.parent / "calls"
    return done.returncode, calls.read_text("utf-8").splitlines() if calls.exists() else [], done.stdout + done.stderr


def passed(variables: dict[str, str], folder: Path) -> dict[str, str]:
    """What the step gives to the later ones."""
    file = folder / "env"
    code, _, said = run(script("main.parameters.json"), folder, VARIABLES=json.dumps(variables), GITHUB_ENV=str(file))
    assert 0 == code, said
    found = re.findall(r"^(\w+)<<(\w+)\n(.*?)\n\2$", file.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return {name: value for name, _, value in found}


def test_the_deployment_passes_every_parameter_that_is_set(bin: Path) -> None:
    """What a person set up with azd, and the pipeline left out, would get its default again: all app settings, say."""
    names = re.findall(r"\$\{(\w+)\}", PARAMETERS)
    variables = {name: f'{{"{name}": "a b\\nc"}}\n# $HOME' for name in names}

    assert variables == passed({**variables, "SOMETHING_ELSE": "x"}, bin)


def test_the_deployment_passes_no_parameter_that_is_empty(bin: Path) -> None:
    """An empty text is a value to azd, which no @allowed takes and no JSON is. And a pipeline is nobody's operator."""
    names = re.findall(r"\$\{(\w+)\}", PARAMETERS)

    assert {"GATEWAY_INFRA_OPERATORS_GROUP_ID": "none"} == passed(dict.fromkeys(names, ""), bin)
    assert {"GATEWAY_INFRA_OPERATORS_GROUP_ID": "none"} == passed({}, bin)


@pytest.mark.parametrize(("fails", "code", "calls"), [(0, 0, 1), (1, 0, 2), (3, 0, 4), (4, 1, 4)])
def test_a_deployment_before_its_roles_have_spread_is_tried_again(bin: Path, fails: int, code: int, calls: int) -> None:
    """The second time is well; what is really wrong ends after four."""
    put(bin, "azd", f"[ $(grep -c azd {bin.parent}/calls) -gt {fails} ]")

    ended, called, _ = run(script("azd deploy"), bin)

    assert (code, calls) == (ended, called.count("azd deploy --no-prompt"))


@pytest.mark.parametrize(("listed", "code"), [("10", 0), ("1", 1), ("", 1)])
def test_a_deployment_whose_triggers_nobody_knows_fails(bin: Path, listed: str, code: int) -> None:
    """The app would answer, and neither queues nor the timer would ever start it."""
    put(bin, "azd", 'echo "the-$3"')
    put(bin, "az", f'[ "$1" = rest ] || echo "{listed}"')

    ended, called, said = run(script("host/default/sync"), bin, AZURE_SUBSCRIPTION_ID="1234")

    site = "/resourceGroups/the-AZURE_RESOURCE_GROUP/providers/Microsoft.Web/sites/the-AZURE_FUNCTION_NAME"
    sync = f"az rest --method post --url /subscriptions/1234{site}/host/default/sync?api-version="
    assert any(call.startswith(sync) for call in called)
    assert (code, code == 1) == (ended, "::error::" in said)


def test_the_deployment_answers_what_azd_would_ask() -> None:
    """Every variable of the job is one that the parameters read or azd itself knows; every output it reads is there."""
    (job,) = yaml.safe_load(DEPLOY.read_text("utf-8"))["jobs"].values()
    text = "\n".join(step.get("run", "") for step in job["steps"])

    assert {"AZURE_ENV_NAME", "AZURE_LOCATION", "AZURE_SUBSCRIPTION_ID"} == job["env"].keys()
    for parameter, name in re.findall(r'"(\w+)": { "value": "\$\{(\w+)\}"', PARAMETERS):
        if re.search(rf"^param {parameter} string$", MAIN, re.MULTILINE):
            assert name in DEPLOY.read_text("utf-8"), f"{parameter} has no default, so azd asks: say so at the top"
    for output in re.findall(r"azd env get-value (\w+)", text):
        assert f"output {output} string" in MAIN


def test_the_deployment_asks_the_app_after_a_fresh_sign_in() -> None:
    """What GitHub says of a run is believed for minutes only; a build may take longer."""
    order = [step.get("uses", step.get("run", "")) for step in steps(DEPLOY)]
    (_, again) = [index for index, what in enumerate(order) if what.startswith("azure/login")]

    after = [what for what in order if "az functionapp" in what]
    assert after == [what for what in order[again:] if "az functionapp" in what] != []


def test_the_page_names_every_parameter_an_owner_may_set() -> None:
    """A row for each parameter of the template, and none that is not there."""
    parameters = re.findall(r"^param (\w+) ", MAIN, re.MULTILINE)

    assert sorted(parameters) == sorted(documents()["docs/deploy.md"].table("All parameters"))


PAGE = documents()["docs/deploy.md"]
SETTING = [block for block in PAGE.blocks if "azd env set GATEWAY_SETTINGS" in block.text]


@pytest.mark.parametrize("block", SETTING, ids=lambda block: block.language)
def test_the_page_gives_the_app_every_setting_that_its_file_asks_for(bin: Path, block: Block) -> None:
    """In bash and in PowerShell the JSON arrives whole; what else the file asks for, the template sets."""
    put(bin, "azd", f'printf "%s" "$4" > {bin.parent}/value')
    shell = ["bash", "-e"] if block.language == "sh" else [str(tools.pwsh() or pytest.skip("no pwsh")), "-NoProfile"]
    path = os.pathsep.join([str(bin), os.environ["PATH"]])

    subprocess.run([*shell, "-c", block.text], env={"PATH": path, "HOME": str(bin)}, check=True, timeout=60)

    (sample,) = [block.text for block in PAGE.blocks if block.language == "yaml"]
    given = json.loads((bin.parent / "value").read_text("utf-8"))
    assert {"sh", "powershell"} == {block.language for block in SETTING}
    assert set(re.findall(r"\$\{env:(\w+)\}", sample)) == given.keys() | {"MAIL_DOMAIN"}
    assert all(value.startswith("sha256:") for value in given.values())


def test_the_page_goes_from_a_clone_to_the_first_mail_step_by_step() -> None:
    """In the order in which each step has what it needs."""
    steps = re.findall(r"^### (\d)\. (.+)$", PAGE.text, re.MULTILINE)

    assert list(range(1, 10)) == [int(number) for number, _ in steps]
    words = ["file", "Keys", "environment", "Settings", "right?", "Up", "DNS", "doctor", "mail"]
    assert [] == [(word, title) for word, (_, title) in zip(words, steps, strict=True) if word not in title]


def test_the_picture_shows_every_kind_of_resource() -> None:
    """The SVG has the name of each module that main.bicep uses, and is whole XML that takes both looks."""
    import xml.etree.ElementTree as ET

    svg = (ROOT / "docs/resources.svg").read_text("utf-8")
    root = ET.fromstring(svg)
    shown = " ".join(text.strip() for text in root.itertext())

    assert "prefers-color-scheme: dark" in svg
    for word in ("Function app", "Storage account", "Communication Services", "Event Grid", "Key Vault"):
        assert word in shown
    for word in ("Application Insights", "Log Analytics", "Managed identity", "Alerts", "Workbook", "Virtual network"):
        assert word in shown
