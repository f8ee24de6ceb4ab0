"""infra/ as text: what can be told without the Bicep CLI, so that it is told everywhere."""

from __future__ import annotations

import json
import re

from gateway.settings import Environment, Settings
from tests.infra import expected
from tests.infra.bicep import COMBINATIONS, INFRA, ROOT, combinations, files
from tests.test_house import files as tracked

MAIN = (INFRA / "main.bicep").read_text("utf-8")
ALL = "".join(file.read_text("utf-8") for file in files())


def test_every_file_is_part_of_the_whole() -> None:
    """What main.bicep neither uses nor imports, directly or through another file, is never deployed."""
    reached, waiting = set(), ["main.bicep"]
    while waiting:
        name = waiting.pop()
        reached.add(name)
        named = re.findall(r"'([\w-]+\.bicep)'", (INFRA / name).read_text("utf-8"))
        waiting += set(named) - reached

    assert {file.name for file in files()} == reached


def test_the_combinations_are_all_that_is_offered() -> None:
    """Each choice of network and of domain, and a sovereign cloud of each kind."""
    texts = "".join((COMBINATIONS / f"{name}.bicepparam").read_text("utf-8") for name in combinations())
    parameters = set(re.findall(r"^param (\w+)", MAIN, re.MULTILINE))
    tried = set(re.findall(r"^param (\w+)", texts, re.MULTILINE))

    assert {"gatewayConfig", "networkPrefix", "alertRefusals"} == parameters - tried


def test_azd_fills_in_every_parameter() -> None:
    """From an environment value each; one that is not set leaves the default, or is asked for where there is none."""
    given_by_azd = json.loads((INFRA / "main.parameters.json").read_text("utf-8"))["parameters"]
    values = [parameter["value"] for parameter in given_by_azd.values()]

    assert set(re.findall(r"^param (\w+)", MAIN, re.MULTILINE)) == given_by_azd.keys()
    assert [] == [value for value in values if not re.fullmatch(r"\$\{[A-Z_]+\}", value)]
    assert len(values) == len(set(values))


def test_no_parameter_is_taken_from_a_shell_by_accident() -> None:
    """A shell's variables are read too: a name is azd's own or says whose it is, and is none that the gateway reads."""
    names = re.findall(r"\$\{(\w+)\}", (INFRA / "main.parameters.json").read_text("utf-8"))
    read = {field.metadata["name"] for field in Settings.__dataclass_fields__.values()}

    assert set() == set(names) & read
    assert {"AZURE_ENV_NAME", "AZURE_LOCATION", "AZURE_PRINCIPAL_ID", "GATEWAY_SETTINGS", "GATEWAY_VAULT_SETTINGS"} == {
        name for name in names if not name.startswith("GATEWAY_INFRA_")
    }


def test_an_administrator_answers_three_questions() -> None:
    """Beside the environment's name and its region, which azd asks for whatever the template is."""
    asked = set(re.findall(r"^param (\w+) [^=\n]+$", MAIN, re.MULTILINE))

    assert {"dataLocation", "alertEmail", "environmentName", "location"} == asked


def test_only_environments_whose_captured_mail_needs_a_key_are_offered() -> None:
    """The door is public: `local` and `test` are for a machine of one's own, where none is needed."""
    (offered,) = re.findall(r"^@allowed\(\[(.*)\]\)\n.*\nparam gatewayEnvironment ", MAIN, re.MULTILINE)

    assert {"staging", "production"} == set(re.findall(r"'(\w+)'", offered))
    assert {"staging", "production"} == set(Environment) - {Environment.LOCAL, Environment.TEST}


def test_the_dns_records_are_passed_on_as_azure_gives_them() -> None:
    """Azure promises none of their fields; a typed output without one would end each deployment."""
    outputs = re.findall(r"^output \w+ ([^=]+?) = ", ALL, re.MULTILINE)

    assert {"string", "bool", "object"} == set(outputs)


def test_no_compiled_template_is_kept() -> None:
    """It is made from the sources when it is needed."""
    compiled = [
        name
        for name in tracked()
        if name.endswith(".json") and b"deploymentTemplate.json#" in (ROOT / name).read_bytes()
    ]

    assert [] == compiled


def test_every_setting_of_the_code_is_given_by_name() -> None:
    """And none that Flex Consumption refuses."""
    given = {*re.findall(r"^ +(?:\? \{ )?([A-Z]\w+): ", ALL, re.MULTILINE), *re.findall(r"[{,] ([A-Z_]+): ", ALL)}

    assert set() == expected.settings() - given
    assert [] == [name for name in given if expected.FORBIDDEN.fullmatch(name)]


def test_every_queue_of_a_trigger_is_made() -> None:
    """Each with its poison queue."""
    layout = (INFRA / "layout.bicep").read_text("utf-8")
    (listed,) = re.findall(r"var queues = \[(.*?), reportQueue\]", layout)
    (reports,) = re.findall(r"var reportQueue = '([\w-]+)'", layout)
    queues = {*re.findall(r"'([\w-]+)'", listed), reports}

    assert queues | {f"{name}-poison" for name in queues} == {binding.queue for binding in expected.bindings()}


def test_every_role_has_its_number() -> None:
    """Microsoft's, which are the same in every tenant; and no role stands outside its one file."""
    roles = (INFRA / "rbac.bicep").read_text("utf-8")

    assert expected.ROLES == dict(re.findall(r"'([\w ]+)': '([\da-f-]{36})'", roles))
    assert ["rbac.bicep"] == [file.name for file in files() if "roleAssignments@" in file.read_text("utf-8")]
