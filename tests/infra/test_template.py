"""infra/ as the real Bicep CLI sees it: combinations of parameters come in, every rule holds of what they make."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.infra.bicep import INFRA, combinations, complaints, copy, deployment, modules, run
from tests.infra.every_rule import RULES
from tests.infra.expected import NAMES
from tests.infra.rules_order import too_early

pytestmark = pytest.mark.usefixtures("bicep")


def test_every_file_builds_and_lints_without_a_word() -> None:
    """With every rule of the linter an error (bicepconfig.json), and in the CLI's own style."""
    assert [] == complaints()


@pytest.mark.parametrize("combination", combinations())
def test_every_rule_holds(combination: str) -> None:
    """Of every resource that this combination makes."""
    found = {rule.__name__: list(rule(deployment(combination))) for rule in RULES}

    assert {} == {name: problems for name, problems in found.items() if problems}


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
