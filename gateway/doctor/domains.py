"""What receivers look up about a sender's domain: a Patient comes in, verdicts on SPF, DKIM and DMARC go out.

ACS and Exchange Online send through the same outbound servers (both ask for `include:spf.protection.outlook.com`), but
sign with other keys: ACS under selector1-azurecomm-prod-net and selector2-…, Exchange under selector1 and selector2.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

from gateway.doctor.finding import Finding, failed, passed, untold
from gateway.doctor.names import Names, Unanswered
from gateway.doctor.patient import Patient
from gateway.doctor.quota import managed

SENDS_FOR_US = ("spf.protection.outlook.com", "spf.protection.office365.us", "spf.protection.partner.outlook.cn")
"""What an SPF record includes: the public cloud, US government, China."""

SELECTORS = {
    "acs": ("selector1-azurecomm-prod-net", "selector2-azurecomm-prod-net"),
    "graph": ("selector1", "selector2"),
}
ISSUED = {"acs": "the domain's page under Email Communication Service in the portal", "graph": "Defender, DKIM"}

_SPF = re.compile(r"v=spf1( |$)", re.IGNORECASE)
_KEY = re.compile(r"\bp=[A-Za-z0-9+/]")
_TAG = re.compile(r"\b(\w++)\s*+=\s*+([^;\s]+)")

Look = Callable[[Names, str, str], Awaitable[Finding]]


async def dns(patient: Patient) -> list[Finding]:
    """Three lines for each domain that really sends."""
    domains = {
        (sender.address.domain, transport) for transport in SELECTORS for sender in patient.senders(transport).values()
    }
    if not domains:
        return [passed("dns", "no sender sends from a domain here")]
    try:
        names = Names(patient.resolver)
    except Unanswered as error:
        return [untold("dns", str(error), "pip install -r requirements-host.txt")]
    found = await asyncio.gather(*(_domain(names, *one) for one in sorted(domains)))
    return [finding for findings in found for finding in findings]


async def _domain(names: Names, domain: str, transport: str) -> list[Finding]:
    if managed(domain) or domain.endswith(".onmicrosoft.com"):
        return [passed("dns", f"{domain}: Microsoft keeps this domain's records")]
    looks: dict[str, Look] = {"dns.spf": spf, "dns.dkim": dkim, "dns.dmarc": dmarc}
    return [await _answered(name, look, names, domain, transport) for name, look in looks.items()]


async def _answered(name: str, look: Look, names: Names, domain: str, transport: str) -> Finding:
    try:
        return await look(names, domain, transport)
    except Unanswered as error:
        return untold(name, f"{domain}: no name server answered ({error})", "try again, or from another network")


async def spf(names: Names, domain: str, transport: str) -> Finding:
    """Whether the one SPF record lets Microsoft's servers send."""
    del transport
    records = [text for text in await names.texts(domain) if _SPF.match(text)]
    wanted = f"publish TXT {domain} `v=spf1 include:{SENDS_FOR_US[0]} -all`, with what else sends for it"
    if not records:
        return failed("dns.spf", f"{domain}: no SPF record", wanted)
    if len(records) > 1:
        return failed("dns.spf", f"{domain}: {len(records)} SPF records, which count as none", "make one of them")
    words = records[0].lower().split()
    if any(word.lstrip("+") == f"include:{host}" for word in words for host in SENDS_FOR_US):
        return passed("dns.spf", f"{domain}: Microsoft's servers may send")
    if any(word.startswith(("include:", "+include:", "redirect=")) for word in words):
        what = f"{domain}: the SPF record names Microsoft's servers at most by way of another domain"
        return untold("dns.spf", what, f"see that one of its includes leads to {SENDS_FOR_US[0]}")
    return failed("dns.spf", f"{domain}: the SPF record does not let Microsoft's servers send", wanted)


async def dkim(names: Names, domain: str, transport: str) -> Finding:
    """Whether both keys are published; Microsoft changes from one to the other."""
    hosts = [f"{selector}._domainkey.{domain}" for selector in SELECTORS[transport]]
    keys = [any(_KEY.search(text) for text in await names.texts(host)) for host in hosts]
    if all(keys):
        return passed("dns.dkim", f"{domain}: both keys are published")
    missing = [host for host, key in zip(hosts, keys, strict=True) if not key]
    dangling = [host for host in missing if await names.alias(host)]
    if dangling:
        remedy = f"compare its CNAME with {ISSUED[transport]}, and switch signing on there"
        return failed("dns.dkim", f"{domain}: {', '.join(dangling)} leads to no key", remedy)
    remedy = f"publish the CNAME that you find at {ISSUED[transport]}"
    return failed("dns.dkim", f"{domain}: no key at {', '.join(missing)}", remedy)


async def dmarc(names: Names, domain: str, transport: str) -> Finding:
    """The policy of the domain, or of the nearest one above it."""
    del transport
    labels = domain.split(".")
    for start in range(len(labels) - 1):
        above = ".".join(labels[start:])
        records = [text for text in await names.texts(f"_dmarc.{above}") if text.lower().startswith("v=dmarc1")]
        if len(records) > 1:
            return failed("dns.dmarc", f"{above}: {len(records)} DMARC records, which count as none", "keep one")
        if records:
            return passed("dns.dmarc", f"{domain}: policy {_policy(records[0], inherited=start > 0)} (_dmarc.{above})")
    remedy = f"publish TXT _dmarc.{'.'.join(labels[-2:])} `v=DMARC1; p=none; rua=mailto:…`; large receivers ask for one"
    return failed("dns.dmarc", f"{domain}: no DMARC record", remedy)


def _policy(record: str, *, inherited: bool) -> str:
    tags: dict[str, str] = dict(_TAG.findall(record.lower()))
    return (tags.get("sp") if inherited else None) or tags.get("p", "none")
