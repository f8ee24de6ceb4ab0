"""How far a native caller reaches: not beyond the named host, not into the mail service, not beyond a year."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from gateway.clock import wall_clock
from tests.sources.test_native import BASE, envelope, refusal


@pytest.mark.parametrize(
    ("fields", "path", "why"),
    [
        ({"to": "victim%evil.test@example.com"}, "to[0]", "no % and no !"),
        ({"to": [{"email": "evil.test!victim@example.com"}]}, "to[0]", "no % and no !"),
        ({"cc": "a@example.com, Ops <b%c@example.com>"}, "cc[1]", "no % and no !"),
        ({"bcc": ["!@example.com"]}, "bcc[0]", "no % and no !"),
        ({"to": "=?utf-8?q?a=40evil.test=3e?=@example.com"}, "to[0]", "no =? before the @"),
        ({"reply_to": ["Ops <x=?US-ASCII?B?YUBiLmM=?=@example.com>"]}, "reply_to[0]", "no =? before the @"),
        ({"reply_to": "victim%evil.test@example.com"}, "reply_to[0]", "no % and no !"),
        ({"send_at": "0001-01-01T00:00:00+14:00"}, "send_at", "at most one year ahead"),
        ({"send_at": "2999-01-01T00:00:00Z"}, "send_at", "at most one year ahead"),
        ({"send_at": (wall_clock() + timedelta(days=367)).isoformat()}, "send_at", "at most one year ahead"),
    ],
)
def test_what_would_reach_further_is_refused_under_its_name(fields: dict[str, Any], path: str, why: str) -> None:
    """Old mail servers read % and ! as a way on to another host; what waits is kept, with its content."""
    found = refusal({**BASE, **fields})

    assert [path] == list(found.fields)
    assert why in found.fields[path]


@pytest.mark.parametrize(
    "name",
    [
        *("X-MS-Exchange-Organization-SCL", "x-ms-exchange-organization-skipsafelinksprocessing", "X-Ms-Has-Attach"),
        *("x-microsoft-antispam", "X-FOREFRONT-Antispam-Report", "X-Exchange-Antispam-Report-Test", "X-OriginatorOrg"),
        *("X-EOPAttributedMessage", "X-OrganizationHeadersPreserved", "X-CrossPremisesHeadersPromoted"),
    ],
)
def test_a_header_of_the_mail_service_is_reserved(name: str) -> None:
    """In any case: what Exchange, its filters and Azure write themselves."""
    found = refusal({**BASE, "headers": {name: "-1"}})

    assert "is reserved" in found.fields[f"headers.{name}"]


def test_almost_a_year_ahead_is_taken() -> None:
    """A reminder of next year's date."""
    at = wall_clock() + timedelta(days=365)

    assert at == envelope(send_at=at.isoformat()).send_at
