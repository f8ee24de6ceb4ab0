"""How fast we mean to send: a Patient comes in, whether that is what the provider allows by default goes out."""

from __future__ import annotations

from gateway.config import Rate, Sender
from gateway.doctor.patient import Patient
from gateway.finding import Finding, failed, passed, untold

CUSTOM = Rate(minute=30, hour=100)
"""Custom domains, for the whole subscription; Microsoft raises it on request (service-limits.md)."""

MANAGED = Rate(minute=5, hour=10)
"""Azure-managed domains; never raised."""

PRESETS = {"acs-custom": CUSTOM, "acs-managed": MANAGED}
MANAGED_DOMAIN = "azurecomm.net"

_RAISED = "ask Microsoft for more (a support request: Service and subscription limits), or lower `rate`"


async def quota(patient: Patient) -> list[Finding]:
    """One line for each sender on Azure Communication Services."""
    senders = patient.senders("acs")
    if not senders:
        return [passed("quota", "no sender uses Azure Communication Services here")]
    return [_one(name, sender) for name, sender in senders.items()]


def managed(domain: str) -> bool:
    """Whether Azure made the domain and keeps its records."""
    return domain == MANAGED_DOMAIN or domain.endswith(f".{MANAGED_DOMAIN}")


def _one(name: str, sender: Sender) -> Finding:
    allowed = MANAGED if managed(sender.address.domain) else CUSTOM
    shown = f"{allowed.minute} a minute and {allowed.hour} an hour"
    rate = sender.rate if isinstance(sender.rate, Rate) else PRESETS.get(sender.rate or "acs-custom")
    if rate is not None and rate.minute <= allowed.minute and rate.hour <= allowed.hour:
        return passed("quota", f"{name}: {rate.minute} a minute and {rate.hour} an hour, within Azure's default")
    wanted = f"{rate.minute} a minute and {rate.hour} an hour" if rate else "no limit"
    if allowed is MANAGED:
        remedy = "set `rate: acs-managed`, or send from a domain of your own"
        return failed("quota", f"{name}: {wanted}, but an Azure-managed domain has {shown} and never more", remedy)
    return untold("quota", f"{name}: {wanted}; Azure's default is {shown}, and what was raised shows nowhere", _RAISED)
