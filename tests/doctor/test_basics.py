"""The configuration and the identity: what a deployed app's settings become, and whose tokens there are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway import doctor
from gateway.doctor.finding import SHOWN, Finding
from gateway.doctor.patient import Patient, admit
from gateway.settings import Environment
from tests.doctor.patients import ON_AZURE, SOURCES, Credential, one, patient, verdicts

ACS = "noreply: {transport: acs, address: noreply@contoso.com}"
GRAPH = "desk: {transport: graph, address: desk@contoso.com}"
CAPTURE = "noreply: {transport: capture, address: noreply@contoso.com}"
CAPTURE_CONFIG = f"senders:\n  {CAPTURE}\n{SOURCES.replace('SENDER', 'noreply')}"
BY_IDENTITY = {"GATEWAY_STORE": "azure", "AzureWebJobsStorage__accountName": "example"}
HASH = f"sha256:{'0' * 64}"
NATIVE = """
senders:
  noreply: {transport: capture, address: noreply@contoso.com}
sources:
  crm: {kind: native, keys: ["${env:CRM_KEY_HASH}"], sender: noreply, allow: ["*"]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration that can be used."""
    path = tmp_path / "gateway.yaml"
    write(path, CAPTURE_CONFIG)
    return path


def write(file: Path, text: str) -> None:
    file.write_text(text, "utf-8")


async def configuration(who: Patient) -> list[tuple[str, str]]:
    found = await doctor.examine(who, ["configuration"])
    return [(SHOWN[finding.verdict], finding.what) for finding in found]


# -------------------------------------------------------------------------------------------------- configuration


async def test_a_configuration_that_can_be_used_says_where_and_what_it_is(file: Path) -> None:
    """Local unless the environment says otherwise, as `dev` and `check` are."""
    assert [("pass", f"{file}, environment local: 1 sources, 1 senders")] == await configuration(
        admit({}, config=str(file))
    )


async def test_every_mistake_of_the_file_is_a_line(file: Path) -> None:
    """With file, line and field."""
    write(file, CAPTURE_CONFIG.replace("sender: noreply", "sender: nobody").replace("[info@example.com]", "[nobody]"))

    found = await configuration(admit({}, config=str(file)))

    assert ["fail", "fail"] == [verdict for verdict, _ in found]
    assert all(what.startswith(f"{file}:") for _, what in found)


async def test_a_variable_that_cannot_be_used_is_a_line() -> None:
    """And nothing else can be told then."""
    who = admit({"GATEWAY_ENVIRONMENT": "prod"})

    ((verdict, what),) = await configuration(who)
    assert ("fail", True) == (verdict, "GATEWAY_ENVIRONMENT" in what)
    assert ("acs.access", "could not tell") in await verdicts(who)


async def test_what_the_gateway_would_warn_of_is_no_pass() -> None:
    """It works, but not as the file's author may think."""
    who = patient(CAPTURE)
    warned = Patient(who.settings, who.environ, who.config, warnings=("senders.noreply.rate: not kept",))

    assert [("could not tell", "senders.noreply.rate: not kept")] == await configuration(warned)


# ---------------------------------------------------------------------------------------- a deployed app's settings


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([{"name": "CRM_KEY_HASH", "slotSetting": False, "value": HASH}]),
        json.dumps({"IsEncrypted": False, "Values": {"CRM_KEY_HASH": HASH}}),
        json.dumps({"CRM_KEY_HASH": HASH}),
    ],
    ids=["az", "local.settings.json", "plain"],
)
async def test_a_deployed_apps_settings_are_read(file: Path, text: str) -> None:
    """In the three shapes they come in; production and Azure's storage, unless they say otherwise."""
    write(file, NATIVE)

    who = admit({"GATEWAY_ENVIRONMENT": "production"}, config=str(file), app_settings=text)

    assert ("azure", Environment.PRODUCTION) == (who.settings.store, who.settings.environment)
    assert "pass" == (await configuration(who))[0][0]


@pytest.mark.parametrize("text", ["", "[1]", '["x"]', "3", '[{"name": "x"}]', "{", "null"])
async def test_settings_that_are_none_are_refused(text: str) -> None:
    """With the command that prints them."""
    ((verdict, what),) = await configuration(admit({}, app_settings=text))

    assert ("fail", True) == (verdict, "az functionapp config appsettings list" in what)


async def test_a_secret_in_a_vault_is_no_mistake_of_the_file(file: Path) -> None:
    """Only the app sees its value; a mistake elsewhere is still one."""
    write(file, NATIVE)
    vaulted = json.dumps({"CRM_KEY_HASH": "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/crm)"})

    ((verdict, what),) = await configuration(admit({}, config=str(file), app_settings=vaulted))
    write(file, NATIVE.replace("sender: noreply", "sendr: noreply"))
    broken = await configuration(admit({}, config=str(file), app_settings=vaulted))

    assert ("could not tell", True) == (verdict, "CRM_KEY_HASH" in what)
    assert "fail" == broken[0][0]


@pytest.mark.parametrize(
    ("authority", "plane"),
    [
        ("", "https://management.azure.com"),
        ("https://login.microsoftonline.us/", "https://management.usgovcloudapi.net"),
        ("login.chinacloudapi.cn", "https://management.chinacloudapi.cn"),
    ],
)
def test_the_control_plane_is_that_of_the_login(file: Path, authority: str, plane: str) -> None:
    """A national cloud has its own."""
    assert plane == admit({"AZURE_AUTHORITY_HOST": authority}, config=str(file)).control_plane


# ------------------------------------------------------------------------------------------------------- identity


async def identity(who: Patient) -> list[tuple[str, str]]:
    found: list[Finding] = await doctor.examine(who, ["identity"])
    return [(SHOWN[finding.verdict], finding.what) for finding in found]


async def test_one_token_for_each_provider_that_is_opened_by_identity() -> None:
    """And whose it is."""
    credential = Credential()
    senders = f"{ACS}\n  {GRAPH}"
    environ: dict[str, Any] = {**BY_IDENTITY, "ACS_ENDPOINT": "https://x.communication.azure.com"}

    found = await identity(patient(senders, credential=credential, **environ))

    assert [
        ("pass", "a token for storage (storage.azure.com), yours, not the app's managed identity's"),
        ("pass", "a token for acs (communication.azure.com), yours, not the app's managed identity's"),
        ("pass", "a token for graph (graph.microsoft.com), yours, not the app's managed identity's"),
    ] == found
    assert 3 == len(credential.scopes)


@pytest.mark.parametrize("own", [ON_AZURE, {"AZURE_CLIENT_SECRET": "example"}, {"AZURE_FEDERATED_TOKEN_FILE": "token"}])
async def test_where_the_gateway_has_an_identity_the_token_is_its_own(own: dict[str, str]) -> None:
    """On Azure, or as an application in Entra."""
    assert [("pass", "a token for storage (storage.azure.com), of the gateway's own identity")] == await identity(
        patient(CAPTURE, **BY_IDENTITY, **own)
    )


async def test_a_token_that_cannot_be_had_fails_without_the_librarys_words() -> None:
    """They may name people."""
    verdict, what, remedy = await one(
        patient(CAPTURE, credential=Credential(refused="storage"), **BY_IDENTITY), "identity"
    )

    assert ("fail", "no token for storage (storage.azure.com)") == (verdict, what)
    assert "nobody@example.com" not in what + remedy


async def test_what_is_opened_by_key_needs_no_token() -> None:
    """Nobody is asked for one."""
    credential = Credential()
    key = "endpoint=https://x.communication.azure.com/;accesskey=YQ=="

    found = await identity(patient(ACS, credential=credential, ACS_CONNECTION_STRING=key))

    assert [("pass", "everything is opened by key or needs none here")] == found
    assert [] == credential.scopes
