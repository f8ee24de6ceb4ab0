"""The storage account: what the environment says of AzureWebJobsStorage comes in, its endpoints and its key go out.

The names are those of the Functions host, so that host and store always mean the same account
(https://learn.microsoft.com/azure/azure-functions/functions-reference#connecting-to-host-storage-with-an-identity).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from gateway.errors import ConfigurationError, Problem
from gateway.settings import Settings

VARIABLE = "AzureWebJobsStorage"
SERVICES = ("table", "queue", "blob")
SUFFIX = "core.windows.net"

EMULATOR = {
    "accountname": "devstoreaccount1",
    # Azurite's and every Storage emulator's published key; it opens nothing else.
    "accountkey": "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
    "blobendpoint": "http://127.0.0.1:10000/devstoreaccount1",
    "queueendpoint": "http://127.0.0.1:10001/devstoreaccount1",
    "tableendpoint": "http://127.0.0.1:10002/devstoreaccount1",
}


@dataclass(frozen=True, slots=True)
class Account:
    """One storage account; without a `key` it is opened by identity.

    `endpoints` maps table, queue and blob to a base URL without a slash at its end. `client_id` and `managed` choose
    the identity.
    """

    name: str
    endpoints: Mapping[str, str]
    key: bytes = field(default=b"", repr=False)
    client_id: str = ""
    managed: bool = False


def account(settings: Settings) -> Account:
    """The account the settings name; ConfigurationError says which variable to mend."""
    if settings.storage:
        return _by_key(settings.storage)
    return _by_identity(settings)


def _by_key(connection_string: str) -> Account:
    parts = _parts(connection_string)
    if parts.get("usedevelopmentstorage", "").lower() == "true":
        parts = EMULATOR | parts
    name, key = parts.get("accountname", ""), parts.get("accountkey", "")
    if not name or not key:
        raise _problem(VARIABLE, "needs AccountName and AccountKey, or UseDevelopmentStorage=true")
    try:
        secret = base64.b64decode(key, validate=True)
    except binascii.Error:
        raise _problem(VARIABLE, "has an AccountKey that is not base64; copy the connection string again") from None
    protocol = parts.get("defaultendpointsprotocol", "https")
    suffix = parts.get("endpointsuffix", SUFFIX)
    endpoints = {
        service: _endpoint(VARIABLE, parts.get(f"{service}endpoint") or f"{protocol}://{name}.{service}.{suffix}")
        for service in SERVICES
    }
    return Account(name, endpoints, secret)


def _parts(connection_string: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in connection_string.split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs if value.strip()}


def _by_identity(settings: Settings) -> Account:
    named = settings.storage_account
    written = {
        "table": settings.storage_table_uri,
        "queue": settings.storage_queue_uri,
        "blob": settings.storage_blob_uri,
    }
    if not named and not all(written.values()):
        missing = f"is not set; name the storage account here or by {VARIABLE}__accountName"
        raise _problem(VARIABLE, missing)
    endpoints = {
        service: _endpoint(f"{VARIABLE}__{service}ServiceUri", uri or f"https://{named}.{service}.{SUFFIX}")
        for service, uri in written.items()
    }
    for service, url in endpoints.items():
        parts = urlsplit(url)
        if parts.scheme != "https" and parts.hostname not in {"127.0.0.1", "localhost", "::1"}:
            raise _problem(f"{VARIABLE}__{service}ServiceUri", "must be https, or a token would travel in the clear")
    return Account(
        named or (urlsplit(endpoints["table"]).hostname or "").partition(".")[0],
        endpoints,
        client_id=settings.storage_client_id,
        managed=settings.storage_credential.lower() == "managedidentity",
    )


def _endpoint(variable: str, url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query:
        raise _problem(variable, "has an endpoint that is no http or https URL")
    return url.rstrip("/")


def _problem(variable: str, message: str) -> ConfigurationError:
    return ConfigurationError([Problem("environment", 0, variable, message)])
