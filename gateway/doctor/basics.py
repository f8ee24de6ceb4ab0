"""Configuration and identity: a Patient comes in, whether its files can be used and tokens be had goes out."""

from __future__ import annotations

from urllib.parse import urlsplit

from gateway.doctor.finding import Finding, failed, passed, untold
from gateway.doctor.patient import STORAGE_SCOPE, Patient
from gateway.doctor.probe import ACS_SCOPE
from gateway.errors import TransportError


async def configuration(patient: Patient) -> list[Finding]:
    """Every mistake is a line; what the gateway would warn of at its start is one too."""
    name = "configuration"
    if patient.config is None and patient.vaulted and not _structural(patient):
        return [
            untold(
                name,
                f"only the app sees the values of {', '.join(patient.vaulted)}, which are Key Vault references",
                "give the values in the environment, or look at the app's log",
            )
        ]
    if patient.problems:
        return [failed(name, str(problem), "mend it and run `python -m gateway check`") for problem in patient.problems]
    warned = [untold(name, warning, "see docs/configuration.md") for warning in patient.warnings]
    config = patient.config
    assert config is not None
    where = f"{patient.settings.config}, environment {patient.settings.environment}"
    return warned or [passed(name, f"{where}: {len(config.sources)} sources, {len(config.senders)} senders")]


def _structural(patient: Patient) -> bool:
    """Whether a problem is not about a value that could come out of the vault."""
    return any("must be the hash" not in problem.message for problem in patient.problems)


async def identity(patient: Patient) -> list[Finding]:
    """One token for each provider that is opened by identity; whose it is matters for the checks that follow."""
    scopes = dict(_scopes(patient))
    if not scopes:
        return [passed("identity", "everything is opened by key or needs none here")]
    return [await _token(patient, what, scope) for what, scope in scopes.items()]


def _scopes(patient: Patient) -> list[tuple[str, str]]:
    settings = patient.settings
    found = [("storage", STORAGE_SCOPE)] if settings.store == "azure" and not settings.storage else []
    for sender in patient.senders("acs").values():
        named = sender.connection_string or (settings.acs_connection_string if not sender.endpoint else "")
        found += [] if named else [("acs", ACS_SCOPE)]
    found += [("graph", graph_scope(settings.graph_endpoint))] if patient.senders("graph") else []
    return found


def graph_scope(endpoint: str) -> str:
    """The root of the cloud's Graph and `/.default` (deployments.md)."""
    return f"{endpoint.rstrip('/')}/.default"


async def _token(patient: Patient, what: str, scope: str) -> Finding:
    host = urlsplit(scope).netloc
    try:
        await patient.identity().get_token_info(scope)
    except TransportError:
        return failed(
            "identity",
            f"no token for {what} ({host})",
            "`az login`, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and a secret or certificate; on Azure, assign the "
            "identity to the app and set AZURE_CLIENT_ID",
        )
    whose = "yours, not the app's managed identity's" if patient.borrowed else "of the gateway's own identity"
    return passed("identity", f"a token for {what} ({host}), {whose}")
