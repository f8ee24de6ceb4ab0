"""What is examined: the environment, gateway.yaml and who asks come in, a Patient that every check can use goes out."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from gateway import configfile, guard, wiring
from gateway.clock import wall_clock
from gateway.config import Config, Sender
from gateway.errors import ConfigurationError, Problem
from gateway.ledger import Store
from gateway.settings import Environment, Settings
from gateway.stores.azure_account import account
from gateway.transports.identity import Identity

if TYPE_CHECKING:
    from gateway.stores.azure_rest import Rest

VAULT = "@Microsoft.KeyVault("
"""A setting that begins so is resolved by the Functions host; nobody else sees its value."""

_OWN = (
    "IDENTITY_ENDPOINT",
    "MSI_ENDPOINT",
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PATH",
    "AZURE_FEDERATED_TOKEN_FILE",
)
"""Where a gateway has an identity of its own: Azure's hosts hand out tokens, or an application in Entra signs in."""

STORAGE_SCOPE = "https://storage.azure.com/.default"


@dataclass(frozen=True)
class Patient:
    """One gateway's settings and the ways to look at what they name.

    `config` is None when gateway.yaml cannot be used; `problems` says why. `resolver` is a name server's address and
    port, None for the system's. `subscription` is where Azure's control plane is asked, "" for not at all.
    """

    settings: Settings
    environ: Mapping[str, str] = field(default_factory=dict)
    config: Config | None = None
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()
    resolver: tuple[str, int] | None = None
    subscription: str = ""
    control_plane: str = "https://management.azure.com"
    make_identity: Callable[[str], Identity] = Identity.default
    clock: Callable[[], datetime] = wall_clock
    _identities: list[Identity] = field(default_factory=list)

    def senders(self, transport: str) -> dict[str, Sender]:
        """Those whose mail really goes out this way here; outside production the others capture."""
        found = self.config.senders if self.config else {}
        production = self.settings.production
        return {name: sender for name, sender in found.items() if sender.way_out(production=production) == transport}

    def identity(self) -> Identity:
        """Who we are at the providers; made once, closed with `close`."""
        if not self._identities:
            self._identities.append(self.make_identity(self.settings.client_id))
        return self._identities[0]

    @property
    def borrowed(self) -> bool:
        """Whether tokens are those of the person (or pipeline) who runs this instead of the gateway's own identity."""
        return not any(self.environ.get(name) for name in _OWN)

    @property
    def vaulted(self) -> list[str]:
        """The settings whose values lie in a Key Vault."""
        return sorted(name for name, value in self.environ.items() if value.startswith(VAULT))

    @asynccontextmanager
    async def store(self) -> AsyncIterator[Store]:
        """The gateway's own store, opened as the gateway does."""
        store = await self._open()
        try:
            yield store
        finally:
            await store.close()

    async def _open(self) -> Store:
        if self.settings.store == "azure" and not self.settings.storage:
            from gateway.stores.azure import AzureStore

            return AzureStore(await self.storage())
        return await wiring.open_store(self.settings)

    async def storage(self) -> Rest:
        """A client for the account; ConfigurationError when the settings name none, TransportError without a token."""
        from gateway.stores import azure_auth
        from gateway.stores.azure_rest import Rest

        named = account(self.settings)
        if named.key:
            return Rest(named)
        # The first token may take longer than one call may, since several ways of signing in are tried.
        await self.identity().get_token_info(STORAGE_SCOPE)
        # As azure_auth would, but with the one identity there is here, whoever that is.
        return Rest(named, azure_auth.Identity(named, _Kept(self.identity())))

    async def close(self) -> None:
        """Let go of the identity."""
        while self._identities:
            await self._identities.pop().close()


class _Kept(Identity):
    """The patient's identity, lent to a client that would close it."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    async def get_token_info(self, *scopes: str, options: Any = None) -> Any:
        return await self._identity.get_token_info(*scopes, options=options)

    async def close(self) -> None:
        """The patient does."""


def admit(
    environ: Mapping[str, str], *, config: str | None = None, app_settings: str | None = None, subscription: str = ""
) -> Patient:
    """Read everything; mistakes become the patient's `problems`. `app_settings` are a deployed app's, as JSON."""
    try:
        known = {**environ, **_deployed(app_settings)} if app_settings is not None else _local(environ)
        settings = Settings.read(known)
    except ConfigurationError as error:
        return Patient(Settings(environment="test"), environ, problems=error.problems)
    settings = replace(settings, config=config or settings.config)
    patient = Patient(settings, known, subscription=subscription, control_plane=_control_plane(settings.authority_host))
    try:
        deployed = guard.behind_functions(settings.environment, known) if app_settings is not None else None
        found = wiring.check(settings, known, deployed)
    except ConfigurationError as error:
        return replace(patient, problems=error.problems)
    return replace(patient, config=found, warnings=tuple(configfile.warnings(found)))


def _local(environ: Mapping[str, str]) -> dict[str, str]:
    """As `dev` and `check`: local, unless told otherwise."""
    return {"GATEWAY_ENVIRONMENT": Environment.LOCAL, **environ}


def _deployed(text: str) -> dict[str, str]:
    """What `az functionapp config appsettings list` prints, `local.settings.json`, or a plain object of strings."""
    try:
        read = json.loads(text)
    except ValueError:
        raise _unreadable from None
    if isinstance(read, dict):
        read = [{"name": name, "value": value} for name, value in read.get("Values", read).items()]
    try:
        return {"GATEWAY_STORE": "azure", **{str(item["name"]): str(item["value"] or "") for item in read}}
    except (TypeError, KeyError):
        raise _unreadable from None


_unreadable = ConfigurationError(
    [Problem("--settings", 0, "(file)", "must be what `az functionapp config appsettings list` prints")]
)


def _control_plane(authority: str) -> str:
    """Azure's control plane in the cloud of this login host."""
    if authority.rstrip("/").endswith(".us"):
        return "https://management.usgovcloudapi.net"
    if authority.rstrip("/").endswith(".cn"):
        return "https://management.chinacloudapi.cn"
    return "https://management.azure.com"
