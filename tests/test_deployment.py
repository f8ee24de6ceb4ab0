"""azure.yaml and the workflows: what they name is there, nothing secret is in them, and the deploy signs in by OIDC."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.documents import ROOT, documents

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
PARAMETERS = (ROOT / "infra/main.parameters.json").read_text("utf-8")
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
    assert "hooks" not in project


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_little_and_ends(path: Path) -> None:
    """Its permissions are written down, its jobs have a time limit, its actions a version; it reads no secret."""
    text = path.read_text("utf-8")
    workflow = yaml.safe_load(text)

    assert "read" == workflow["permissions"]["contents"]
    assert workflow["permissions"].keys() <= {"contents", "id-token"}
    assert all(job["timeout-minutes"] <= 45 for job in workflow["jobs"].values())
    assert all(re.fullmatch(r"[\w./-]+@v\d+", step["uses"]) for step in steps(path) if "uses" in step)
    assert "secrets." not in text


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_input_of_a_person_becomes_a_command(path: Path) -> None:
    """An expression inside a script would be run as one; it goes through the environment instead."""
    assert [] == [step["run"] for step in steps(path) if "${{" in step.get("run", "")]


def test_the_deployment_signs_in_without_a_secret() -> None:
    """By a token that GitHub issues for this run, and only that workflow may ask for one."""
    asking = [path.name for path in WORKFLOWS if "id-token" in yaml.safe_load(path.read_text("utf-8"))["permissions"]]
    (login,) = [
        step["with"] for step in steps(ROOT / ".github/workflows/deploy.yml") if "azure/login" in step.get("uses", "")
    ]

    assert ["deploy.yml"] == asking
    assert {"client-id", "tenant-id", "subscription-id"} == login.keys()


def test_the_deployment_answers_what_azd_would_ask() -> None:
    """Each of the three questions, and every variable is one that the parameters read or azd itself knows."""
    (job,) = yaml.safe_load((ROOT / ".github/workflows/deploy.yml").read_text("utf-8"))["jobs"].values()
    text = "\n".join(step.get("run", "") for step in job["steps"])
    known = set(re.findall(r"\$\{(\w+)", PARAMETERS)) | {"AZURE_SUBSCRIPTION_ID"}

    asked = re.findall(r'"value": "\$\{(\w+)', PARAMETERS)
    for name in asked:
        parameter = re.search(rf'"(\w+)": {{ "value": "\$\{{{name}', PARAMETERS)
        assert parameter
        if re.search(rf"^param {parameter[1]} string$", MAIN, re.MULTILINE):
            assert name in job["env"], f"{parameter[1]} has no default, so azd asks"
    assert set() == job["env"].keys() - known
    for output in re.findall(r"azd env get-value (\w+)", text):
        assert f"output {output} string" in MAIN


def test_the_page_names_every_parameter_an_owner_may_set() -> None:
    """A row for each parameter of the template, and none that is not there."""
    parameters = re.findall(r"^param (\w+) ", MAIN, re.MULTILINE)

    assert sorted(parameters) == sorted(documents()["docs/deploy.md"].table("All parameters"))


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
