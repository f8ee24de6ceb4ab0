"""The storage account from the environment: connection strings, identities, and what is wrong with them."""

from __future__ import annotations

import base64

import pytest

from gateway.errors import ConfigurationError
from gateway.settings import Settings
from gateway.stores.azure_account import EMULATOR, account

KEY = base64.b64encode(b"example").decode()


def test_the_emulator_on_its_usual_ports() -> None:
    """UseDevelopmentStorage=true, as the Functions host reads it."""
    found = account(Settings(storage="UseDevelopmentStorage=true"))

    assert found.name == "devstoreaccount1"
    assert found.endpoints == {
        "blob": "http://127.0.0.1:10000/devstoreaccount1",
        "queue": "http://127.0.0.1:10001/devstoreaccount1",
        "table": "http://127.0.0.1:10002/devstoreaccount1",
    }
    assert base64.b64encode(found.key).decode() == EMULATOR["accountkey"]


@pytest.mark.parametrize(
    ("suffix", "host"), [("", "core.windows.net"), (";EndpointSuffix=core.chinacloudapi.cn", "core.chinacloudapi.cn")]
)
def test_a_connection_string_as_the_portal_gives_it(suffix: str, host: str) -> None:
    """https, in every cloud."""
    text = f"DefaultEndpointsProtocol=https;AccountName=contoso;AccountKey={KEY}{suffix};"

    found = account(Settings(storage=text))

    assert (found.name, found.key) == ("contoso", b"example")
    assert found.endpoints == {service: f"https://contoso.{service}.{host}" for service in ("table", "queue", "blob")}


def test_a_connection_string_may_name_each_endpoint() -> None:
    """Those of a private network, or of an emulator elsewhere."""
    found = account(Settings(storage=f"accountname=c;accountkey={KEY};TableEndpoint=http://azurite:10002/c/"))

    assert (found.endpoints["table"], found.endpoints["blob"]) == (
        "http://azurite:10002/c",
        "https://c.blob.core.windows.net",
    )


def test_an_account_by_identity() -> None:
    """The name is enough; a user-assigned identity is named by its client id."""
    found = account(
        Settings(storage_account="contoso", storage_credential="managedidentity", storage_client_id="client")
    )

    assert (found.name, found.key, found.managed, found.client_id) == ("contoso", b"", True, "client")
    assert found.endpoints["queue"] == "https://contoso.queue.core.windows.net"


def test_an_account_by_its_endpoints() -> None:
    """As for national clouds; the name is in them."""
    uris = [f"https://contoso.{service}.core.usgovcloudapi.net/" for service in ("table", "queue", "blob")]

    found = account(Settings(storage_table_uri=uris[0], storage_queue_uri=uris[1], storage_blob_uri=uris[2]))

    assert (found.name, found.managed) == ("contoso", False)
    assert list(found.endpoints.values()) == [uri.rstrip("/") for uri in uris]


@pytest.mark.parametrize(
    ("settings", "variable"),
    [
        (Settings(), "AzureWebJobsStorage"),
        (Settings(storage="nonsense"), "AzureWebJobsStorage"),
        (Settings(storage="AccountName=c;SharedAccessSignature=sv=1&sig=2"), "AzureWebJobsStorage"),
        (Settings(storage="AccountName=c;AccountKey=not base64!"), "AzureWebJobsStorage"),
        (Settings(storage=f"AccountName=c;AccountKey={KEY};BlobEndpoint=ftp://x"), "AzureWebJobsStorage"),
        (Settings(storage_blob_uri="https://c.blob.example.com"), "AzureWebJobsStorage"),
        (
            Settings(storage_account="c", storage_queue_uri="http://c.queue.example.com"),
            "AzureWebJobsStorage__queueServiceUri",
        ),
    ],
)
def test_what_cannot_be_used_is_said_with_its_variable(settings: Settings, variable: str) -> None:
    """Before anything is called, and never with the key."""
    with pytest.raises(ConfigurationError) as refusal:
        account(settings)

    assert [problem.field for problem in refusal.value.problems] == [variable]
    assert KEY not in str(refusal.value)


def test_the_key_is_in_no_repr() -> None:
    """Tracebacks and debuggers print those."""
    assert "example" not in repr(account(Settings(storage=f"AccountName=c;AccountKey={KEY}")))
