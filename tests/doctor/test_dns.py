"""SPF, DKIM and DMARC, asked of a name server on a real socket."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from gateway import doctor
from gateway.doctor import names
from gateway.doctor.finding import SHOWN
from tests.doctor.nameserver import Record, Records, name_server
from tests.doctor.patients import patient
from tests.doctor.patients import verdicts as verdicts_of

ACS = "noreply: {transport: acs, address: noreply@notify.contoso.com}"
GRAPH = "desk: {transport: graph, address: desk@contoso.com}"
SPF: Record = ("TXT", ['"v=spf1 include:spf.protection.outlook.com -all"'])
KEY: Record = ("TXT", ['"v=DKIM1; k=rsa; p=MIIBIjAN"'])
DMARC: Record = ("TXT", ['"v=DMARC1; p=reject; sp=quarantine"'])
ACS_KEYS = ("selector1-azurecomm-prod-net._domainkey", "selector2-azurecomm-prod-net._domainkey")
GOOD: Records = {
    "notify.contoso.com": SPF,
    **{f"{key}.notify.contoso.com": ("CNAME", [f"{key}.azurecomm.net."]) for key in ACS_KEYS},
    **{f"{key}.azurecomm.net": KEY for key in ACS_KEYS},
    "_dmarc.contoso.com": DMARC,
}
"""What a subdomain that sends through ACS has; its DMARC policy is its parent's."""


async def findings(records: Records, senders: str = ACS, trouble: Any = "") -> dict[str, tuple[str, str]]:
    """Each check's verdict and what was seen."""
    async with name_server(records, trouble) as address:
        who = patient(senders, ACS_ENDPOINT="http://127.0.0.1:9", resolver=address)
        found = await doctor.examine(who, ["dns"])
    return {finding.name: (SHOWN[finding.verdict], finding.what) for finding in found}


async def test_a_domain_with_everything_passes() -> None:
    """An alias leads to the keys, the policy is inherited."""
    assert {
        "dns.spf": ("pass", "notify.contoso.com: Microsoft's servers may send"),
        "dns.dkim": ("pass", "notify.contoso.com: both keys are published"),
        "dns.dmarc": ("pass", "notify.contoso.com: policy quarantine (_dmarc.contoso.com)"),
    } == await findings(GOOD)


async def test_exchange_has_selectors_of_its_own() -> None:
    """The same SPF, other keys; a policy of the domain itself."""
    records: Records = {
        "contoso.com": SPF,
        "selector1._domainkey.contoso.com": KEY,
        "selector2._domainkey.contoso.com": KEY,
        "_dmarc.contoso.com": DMARC,
    }

    found = await findings(records, GRAPH)

    assert ["pass"] * 3 == [verdict for verdict, _ in found.values()]
    assert "policy reject" in found["dns.dmarc"][1]


@pytest.mark.parametrize(
    ("texts", "verdict", "seen"),
    [
        (['"google-site-verification=x"'], "fail", "no SPF record"),
        (['"v=spf10 include:spf.protection.outlook.com"'], "fail", "no SPF record"),
        (['"v=spf1 -all"', '"v=spf1 mx -all"'], "fail", "2 SPF records, which count as none"),
        (['"v=spf1 ip4:192.0.2.1 -all"'], "fail", "the SPF record does not let Microsoft's servers send"),
        (['"v=spf1 -include:spf.protection.outlook.com ~all"'], "fail", "does not let Microsoft's servers send"),
        (['"v=spf1 include:_spf.contoso.com -all"'], "could not tell", "by way of another domain"),
        (['"v=spf1 redirect=_spf.contoso.com"'], "could not tell", "by way of another domain"),
        (['"V=SPF1 +include:spf.protection.outlook.com ?all"'], "pass", "may send"),
        (['"v=spf1 include:spf.protection.office365.us -all"'], "pass", "may send"),
        (['"v=spf1 include:spf.protection" ".outlook.com -all"'], "pass", "may send"),
    ],
)
async def test_each_spf_record_has_its_verdict(texts: list[str], verdict: str, seen: str) -> None:
    """None, two, one without Microsoft, one that may lead to it, one in two pieces."""
    found = (await findings({**GOOD, "notify.contoso.com": ("TXT", texts)}))["dns.spf"]

    assert (verdict, True) == (found[0], seen in found[1]), found


async def test_a_missing_key_is_named() -> None:
    """Microsoft changes from one selector to the other, so one is not enough."""
    records = {name: value for name, value in GOOD.items() if name != f"{ACS_KEYS[1]}.notify.contoso.com"}

    found = (await findings(records))["dns.dkim"]

    assert ("fail", f"notify.contoso.com: no key at {ACS_KEYS[1]}.notify.contoso.com") == found


@pytest.mark.parametrize("target", [{}, {f"{ACS_KEYS[0]}.azurecomm.net": ("TXT", ['"v=DKIM1; p="'])}])
async def test_an_alias_that_leads_to_no_key_is_another_mistake(target: Records) -> None:
    """A typing mistake in its target, or a key that was withdrawn."""
    records = {name: value for name, value in GOOD.items() if name != f"{ACS_KEYS[0]}.azurecomm.net"}

    verdict, what = (await findings({**records, **target}))["dns.dkim"]

    assert ("fail", True) == (verdict, what.endswith("leads to no key"))


@pytest.mark.parametrize(
    ("records", "seen"),
    [
        ({}, "no DMARC record"),
        ({"_dmarc.contoso.com": ("TXT", ['"v=DMARC1; p=none"'] * 1 + ['"v=DMARC1"'])}, "2 DMARC"),
    ],
)
async def test_a_domain_without_one_policy_fails(records: Records, seen: str) -> None:
    """None at all, or two."""
    known = {name: value for name, value in GOOD.items() if name != "_dmarc.contoso.com"}

    verdict, what = (await findings({**known, **records}))["dns.dmarc"]

    assert ("fail", True) == (verdict, seen in what)


@pytest.mark.parametrize("trouble", ["SERVFAIL", "silent"])
async def test_a_name_server_that_does_not_answer_tells_nothing(trouble: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is not the same as a record that is not there."""
    monkeypatch.setattr(names, "LIFETIME", 0.2)

    found = await findings(GOOD, trouble=trouble)

    assert ["could not tell"] * 3 == [verdict for verdict, _ in found.values()]


@pytest.mark.parametrize("domain", ["contoso.onmicrosoft.com", "0123.azurecomm.net"])
async def test_microsofts_own_domains_are_not_asked_about(domain: str) -> None:
    """Nobody else can set their records."""
    found = await findings({}, f"noreply: {{transport: acs, address: noreply@{domain}}}")

    assert {"dns": ("pass", f"{domain}: Microsoft keeps this domain's records")} == found


async def test_without_dnspython_nothing_can_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package on Azure does not have it."""
    monkeypatch.setitem(sys.modules, "dns.asyncresolver", None)

    assert {"dns": ("could not tell", "dnspython is not installed")} == await findings(GOOD)


async def test_a_gateway_that_captures_has_no_domains() -> None:
    """Nothing is looked up."""
    assert [("dns", "pass")] == await verdicts_of(patient("x: {transport: capture, address: x@contoso.com}"), "dns")
