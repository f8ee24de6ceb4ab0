"""How fast we mean to send: a Patient comes in, whether that is what the provider allows by default goes out."""

from __future__ import annotations

from gateway.config import Sender
from gateway.doctor.finding import Finding, failed, passed, untold
from gateway.doctor.patient import Patient
from gateway.pacing import PRESETS, Account
from gateway.pacing.lanes import Limits
from gateway.ways import ways

CUSTOM = PRESETS["acs-custom"]
"""Custom domains, for the whole subscription; Microsoft raises it on request (service-limits.md)."""

MANAGED = PRESETS["acs-managed"]
"""Azure-managed domains; never raised."""

MANAGED_DOMAIN = "azurecomm.net"

_RAISED = "ask Microsoft for more (a support request: Service and subscription limits), or lower `rate`"


async def quota(patient: Patient) -> list[Finding]:
    """One line for each sender on Azure Communication Services, with the quota that pacing keeps for it."""
    senders = patient.senders("acs")
    if not senders or patient.config is None:
        return [passed("quota", "no sender uses Azure Communication Services here")]
    settings = patient.settings
    named = settings.acs_connection_string or settings.acs_endpoint
    kept = ways(patient.config, production=settings.production, endpoint=named)
    return [_one(name, sender, kept[name].account) for name, sender in senders.items()]


def managed(domain: str) -> bool:
    """Whether Azure made the domain and keeps its records."""
    return domain == MANAGED_DOMAIN or domain.endswith(f".{MANAGED_DOMAIN}")


def _one(name: str, sender: Sender, account: Account | None) -> Finding:
    allowed = MANAGED if managed(sender.address.domain) else CUSTOM
    rate = account.limits if account else None
    if rate is not None and rate.minute <= allowed.minute and rate.hour <= allowed.hour:
        return passed("quota", f"{name}: {_shown(rate)}, within Azure's default")
    wanted, shown = _shown(rate) if rate else "no limit", _shown(allowed)
    if allowed is MANAGED:
        remedy = "set `rate: acs-managed`, or send from a domain of your own"
        return failed("quota", f"{name}: {wanted}, but an Azure-managed domain has {shown} and never more", remedy)
    return untold("quota", f"{name}: {wanted}; Azure's default is {shown}, and what was raised shows nowhere", _RAISED)


def _shown(limits: Limits) -> str:
    return f"{limits.minute} a minute and {limits.hour} an hour"
