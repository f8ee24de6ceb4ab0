"""The rate that is written down, against what Azure allows by default."""

from __future__ import annotations

import pytest

from tests.doctor.patients import one, patient

OWN = "contoso.com"
MANAGED = "01234567-89ab.azurecomm.net"


@pytest.mark.parametrize(
    ("domain", "rate", "expected", "seen"),
    [
        (OWN, "", "pass", "noreply: 30 a minute and 100 an hour, within Azure's default"),
        (OWN, ", rate: acs-managed", "pass", "noreply: 5 a minute and 10 an hour, within Azure's default"),
        (OWN, ", rate: {minute: 100, hour: 1000}", "could not tell", "noreply: 100 a minute and 1000 an hour;"),
        (OWN, ", rate: {minute: 30, hour: 101}", "could not tell", "noreply: 30 a minute and 101 an hour;"),
        (OWN, ", rate: unlimited", "could not tell", "noreply: no limit;"),
        (MANAGED, "", "fail", "noreply: 30 a minute and 100 an hour, but an Azure-managed domain has 5 a minute and"),
        (MANAGED, ", rate: acs-managed", "pass", "noreply: 5 a minute and 10 an hour"),
        (MANAGED, ", rate: unlimited", "fail", "noreply: no limit, but an Azure-managed domain"),
    ],
)
async def test_a_rate_is_compared_with_the_domains_default(domain: str, rate: str, expected: str, seen: str) -> None:
    """More than that is a mistake on Azure's own domain, and a question on a customer's."""
    sender = f"noreply: {{transport: acs, address: noreply@{domain}{rate}}}"

    verdict, what, _ = await one(patient(sender, ACS_ENDPOINT="http://127.0.0.1:9"), "quota")

    assert (expected, True) == (verdict, what.startswith(seen)), what
