"""Every environment variable: a mapping of strings comes in, one frozen, checked Settings goes out.

Written by hand and not with pydantic-settings: that import alone costs a cold start 100 ms and more (measured with
`make bench`), and there are a dozen plain strings to read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum

from gateway.budget import MIB, default
from gateway.errors import ConfigurationError, Problem

_SIZE = re.compile(r"1[6-9]|[2-9][0-9]|[1-9][0-9]{2,4}")


class Environment(StrEnum):
    """Where the gateway runs; only production sends real mail unasked."""

    LOCAL = "local"
    TEST = "test"
    STAGING = "staging"
    PRODUCTION = "production"


def _variable(name: str, about: str, default: str = "", *, secret: bool = False) -> str:
    value: str = field(default=default, repr=not secret, metadata={"name": name, "about": about, "secret": secret})
    return value


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says; each field's metadata has its variable and what it means."""

    config: str = _variable("GATEWAY_CONFIG", "the configuration file", "gateway.yaml")
    store: str = _variable("GATEWAY_STORE", "sqlite:PATH or azure", "sqlite:.data/gateway.db")
    environment: str = _variable(
        "GATEWAY_ENVIRONMENT", "local, test, staging or production", Environment.PRODUCTION.value
    )
    acs_connection_string: str = _variable(
        "ACS_CONNECTION_STRING", "Azure Communication Services by access key", secret=True
    )
    acs_endpoint: str = _variable("ACS_ENDPOINT", "Azure Communication Services by identity")
    graph_endpoint: str = _variable("GRAPH_ENDPOINT", "Microsoft Graph's root", "https://graph.microsoft.com")
    tenant_id: str = _variable("AZURE_TENANT_ID", "azure-identity: the Entra tenant")
    client_id: str = _variable("AZURE_CLIENT_ID", "azure-identity: the application or managed identity")
    client_secret: str = _variable("AZURE_CLIENT_SECRET", "azure-identity: the application's secret", secret=True)
    client_certificate_path: str = _variable(
        "AZURE_CLIENT_CERTIFICATE_PATH", "azure-identity: the application's certificate"
    )
    authority_host: str = _variable("AZURE_AUTHORITY_HOST", "azure-identity: login host of a national cloud")
    memory_budget: str = _variable(
        "GATEWAY_MEMORY_BUDGET", "MiB that large bodies and mails under way may take together"
    )
    storage: str = _variable("AzureWebJobsStorage", "the storage account by connection string", secret=True)
    storage_account: str = _variable("AzureWebJobsStorage__accountName", "the storage account by identity")
    storage_table_uri: str = _variable(
        "AzureWebJobsStorage__tableServiceUri", "its table endpoint by identity, where it is not the public cloud's"
    )
    storage_queue_uri: str = _variable(
        "AzureWebJobsStorage__queueServiceUri", "its queue endpoint by identity, where it is not the public cloud's"
    )
    storage_blob_uri: str = _variable(
        "AzureWebJobsStorage__blobServiceUri", "its blob endpoint by identity, where it is not the public cloud's"
    )
    storage_credential: str = _variable(
        "AzureWebJobsStorage__credential", "managedidentity, where the account is named by identity"
    )
    storage_client_id: str = _variable(
        "AzureWebJobsStorage__clientId", "the user-assigned identity's client id for the storage account"
    )

    @classmethod
    def read(cls, environ: Mapping[str, str], *, checked: bool = True) -> Settings:
        """Read and, unless told otherwise, check; ConfigurationError lists every variable that cannot be used."""
        values = {
            item.name: environ[item.metadata["name"]].strip()
            for item in fields(cls)
            if item.metadata["name"] in environ
        }
        settings = cls(**{name: value for name, value in values.items() if value})
        problems = settings.problems() if checked else []
        if problems:
            raise ConfigurationError(problems)
        return settings

    def problems(self) -> list[Problem]:
        """What cannot be used, each with the remedy."""
        found = []
        if self.environment not in list(Environment):
            found.append(Problem("environment", 0, "GATEWAY_ENVIRONMENT", f"must be one of {', '.join(Environment)}"))
        if self.store != "azure" and not self.store.startswith("sqlite:"):
            found.append(Problem("environment", 0, "GATEWAY_STORE", "must be sqlite:PATH or azure"))
        if self.memory_budget and not _SIZE.fullmatch(self.memory_budget):
            found.append(
                Problem("environment", 0, "GATEWAY_MEMORY_BUDGET", "must be a whole number of MiB from 16 to 99999")
            )
        return found

    @property
    def budget(self) -> int:
        """Bytes that large bodies and mails may take together; by the memory there is, unless it is said."""
        return int(self.memory_budget) * MIB if self.memory_budget else default()

    @property
    def production(self) -> bool:
        """Whether real people get mail without being asked for."""
        return self.environment == Environment.PRODUCTION
