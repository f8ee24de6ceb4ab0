"""infra/ as the real Bicep CLI sees it: combinations of parameters come in, every rule holds of what they make."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.infra.bicep import COMBINATIONS, INFRA, ROOT, combinations, complaints, copy, deployment, files, modules, run
from tests.infra.every_rule import RULES
from tests.infra.expected import NAMES
from tests.infra.rules_order import too_early
from tests.test_house import files as tracked

pytestmark = pytest.mark.usefixtures("bicep")

MAIN = (INFRA / "main.bicep").read_text("utf-8")


def test_every_file_builds_and_lints_without_a_word() -> None:
    """With every rule of the linter an error (bicepconfig.json), and in the CLI's own style."""
    assert [] == complaints()


def test_every_file_is_part_of_the_whole() -> None:
    """What main.bicep neither uses nor imports, directly or through another file, is never deployed."""
    reached, waiting = set(), ["main.bicep"]
    while waiting:
        name = waiting.pop()
        reached.add(name)
        named = re.findall(r"'([\w-]+\.bicep)'", (INFRA / name).read_text("utf-8"))
        waiting += set(named) - reached

    assert {file.name for file in files()} == reached


@pytest.mark.parametrize("combination", combinations())
def test_every_rule_holds(combination: str) -> None:
    """Of every resource that this combination makes."""
    found = {rule.__name__: list(rule(deployment(combination))) for rule in RULES}

    assert {} == {name: problems for name, problems in found.items() if problems}


def test_the_combinations_are_all_that_is_offered() -> None:
    """Each choice of network and of domain, and a sovereign cloud of each kind."""
    texts = "".join((COMBINATIONS / f"{name}.bicepparam").read_text("utf-8") for name in combinations())
    parameters = set(re.findall(r"^param (\w+)", MAIN, re.MULTILINE))
    tried = set(re.findall(r"^param (\w+)", texts, re.MULTILINE))

    assert {"gatewayConfig", "networkPrefix", "logRetentionDays", "alertRefusals"} == parameters - tried


def test_nothing_starts_before_what_it_needs() -> None:
    """The app and the event subscription wait for their roles, which wait for what they are about."""
    assert [] == list(too_early(modules(INFRA / "main.bicep")))


# azd allows these for an environment; the portal and `az` allow a space and more letters, and so do resource groups.
ENVIRONMENT = st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyzABCXYZ0189-_.() äß"), min_size=1, max_size=64)
PROPERTIES = {
    "identity": "Microsoft.ManagedIdentity/userAssignedIdentities",
    "storage": "Microsoft.Storage/storageAccounts",
    "plan": "Microsoft.Web/serverfarms",
    "site": "Microsoft.Web/sites",
    "workspace": "Microsoft.OperationalInsights/workspaces",
    "insights": "Microsoft.Insights/components",
    "vault": "Microsoft.KeyVault/vaults",
    "communication": "Microsoft.Communication/communicationServices",
    "email": "Microsoft.Communication/emailServices",
    "topic": "Microsoft.EventGrid/systemTopics",
    "network": "Microsoft.Network/virtualNetworks",
}


@settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(environments=st.lists(ENVIRONMENT, min_size=80, max_size=80, unique_by=str.lower))
def test_every_environment_has_names_that_azure_allows(
    tmp_path_factory: pytest.TempPathFactory, environments: list[str]
) -> None:
    """Whatever it is called; 80 of them in one call, each with names of its own, whose case does not count."""
    folder = copy(tmp_path_factory.mktemp("names"))
    shutil.copy(Path(__file__).parent / "names.bicep", folder / "combinations")
    quoted = ", ".join(f"'{name}'" for name in environments)
    file = folder / "combinations/names.bicepparam"
    file.write_text(f"using 'names.bicep'\nparam environments = [{quoted}]\n", "utf-8")
    done = run(
        "snapshot", file, "--subscription-id", "11111111-1111-1111-1111-111111111111", "--location", "westeurope"
    )
    assert (0, "") == (done.returncode, done.stderr)
    outputs = json.loads(file.with_suffix(".snapshot.json").read_text("utf-8"))["outputs"]

    assert [] == [
        name for name in outputs["groups"] if not re.fullmatch(NAMES["Microsoft.Resources/resourceGroups"], name)
    ]
    for names in outputs["others"]:
        assert names.keys() == PROPERTIES.keys()
        assert [] == [name for key, name in names.items() if not re.fullmatch(NAMES[PROPERTIES[key]], name)]
    assert len(environments) == len({names["storage"] for names in outputs["others"]})


def test_azd_fills_in_every_parameter() -> None:
    """From an environment value each; one that is not set leaves the default, or is asked for where there is none."""
    given_by_azd = json.loads((INFRA / "main.parameters.json").read_text("utf-8"))["parameters"]
    values = [parameter["value"] for parameter in given_by_azd.values()]

    assert set(re.findall(r"^param (\w+)", MAIN, re.MULTILINE)) == given_by_azd.keys()
    assert [] == [value for value in values if not re.fullmatch(r"\$\{[A-Z_]+\}", value)]
    assert len(values) == len(set(values))


def test_an_administrator_answers_three_questions() -> None:
    """Beside the environment's name and its region, which azd asks for whatever the template is."""
    asked = set(re.findall(r"^param (\w+) [^=\n]+$", MAIN, re.MULTILINE))

    assert {"dataLocation", "alertEmail", "environmentName", "location"} == asked


def test_no_compiled_template_is_kept() -> None:
    """It is made from the sources when it is needed."""
    compiled = [
        name
        for name in tracked()
        if name.endswith(".json") and b"deploymentTemplate.json#" in (ROOT / name).read_bytes()
    ]

    assert [] == compiled
