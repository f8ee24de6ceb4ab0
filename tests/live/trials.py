"""A subscription for the live checks: a fake on 127.0.0.1 comes in, the verdicts go out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from gateway import live
from gateway.doctor.finding import SHOWN, Finding
from gateway.transports.identity import Identity
from tests.doctor.patients import SOURCES, Credential
from tests.servers.acs import KEY, FakeAcs
from tests.servers.graph import TOKEN, FakeGraph

ACS = "noreply: {transport: acs, address: noreply@contoso.com}"
GRAPH = "desk: {transport: graph, address: desk@contoso.com}"
TO = "owner@contoso.com"


class Clock:
    """A clock that only a pause moves."""

    def __init__(self) -> None:
        """At some moment."""
        self.now = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
        self.pauses: list[float] = []

    def __call__(self) -> datetime:
        """The time."""
        return self.now

    async def pause(self, seconds: float) -> None:
        """Let it pass."""
        self.pauses.append(seconds)
        self.now += timedelta(seconds=seconds)


def nobody(subject: str) -> int | None:
    """The owner cannot say."""
    del subject
    return None


def arrived(fake: FakeAcs | FakeGraph) -> Callable[[str], int]:
    """The owner counts right."""

    def count(subject: str) -> int:
        if isinstance(fake, FakeAcs):
            return sum(one.payload["content"]["subject"] == subject for one in fake.sent)
        return sum(one.mail.subject == subject for one in fake.sent)

    return count


def prepare(folder: Path, url: str, senders: str, **wishes: Any) -> live.Plan:
    """A plan for these senders; the endpoints are the fake's, and nobody else's."""
    assert url.startswith("http://127.0.0.1:"), "a test may send to a fake only"
    file = folder / "gateway.yaml"
    file.write_text(f"senders:\n  {senders}\n{SOURCES.replace('SENDER', senders.partition(':')[0])}", "utf-8")
    environ = {
        "GATEWAY_ENVIRONMENT": "test",
        "GATEWAY_CONFIG": str(file),
        "ACS_CONNECTION_STRING": f"endpoint={url}/;accesskey={KEY}",
        "GRAPH_ENDPOINT": url,
    }
    wishes.setdefault("pause", Clock().pause)
    return live.plan(environ, live.Wish(TO, make_identity=lambda _: Identity(Credential(TOKEN)), **wishes))


async def findings(plan: live.Plan) -> dict[str, Finding]:
    """What was found, by name."""
    return {finding.name: finding for finding in await live.verify(plan, lambda _: None)}


async def verdicts(plan: live.Plan) -> dict[str, str]:
    """Each verdict in words."""
    return {name: SHOWN[finding.verdict] for name, finding in (await findings(plan)).items()}
