"""Patients for the doctor: some YAML and variables come in, a Patient with an identity of ours goes out."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from gateway import configfile, doctor
from gateway.doctor.finding import SHOWN, Verdict
from gateway.doctor.patient import Patient
from gateway.settings import Settings
from gateway.sources import KINDS
from gateway.transports.identity import Identity
from tests.servers.serve import Receive, Scope, Send
from tests.servers.wire import answer

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ON_AZURE = {"IDENTITY_ENDPOINT": "http://127.0.0.1:9/"}
"""What tells the doctor that tokens are the app's own."""

SOURCES = """
sources:
  contact: {kind: form, origins: ["https://www.example.com"], sender: SENDER, to: [info@example.com]}
"""


class Token(NamedTuple):
    """As azure-identity gives it."""

    token: str
    expires_on: int = 4102444800


class Credential:
    """Gives a token for every scope, but for those whose host is in `refused`."""

    def __init__(self, token: str = "example", refused: str = "") -> None:
        """`token` is what it gives."""
        self.token = token
        self.refused = refused
        self.scopes: list[str] = []
        self.closed = 0

    async def get_token_info(self, *scopes: str, options: Any = None) -> Token:
        """A token, or an error whose text must not be shown."""
        self.scopes += scopes
        if self.refused and self.refused in scopes[0]:
            raise ValueError("nobody@example.com is not known")
        return Token(self.token)

    async def close(self) -> None:
        """Count how often."""
        self.closed += 1


def jwt(**claims: Any) -> str:
    """A token with these claims and a signature nobody looks at."""
    return ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({}, claims, 0)
    )


def patient(senders: str = "", *, credential: Any = None, **environ: Any) -> Patient:
    """A gateway in production with these senders (YAML, one `name: {…}` a line); a Patient's own fields go to it."""
    own = {name: environ.pop(name) for name in list(environ) if name in Patient.__dataclass_fields__}
    known = {"GATEWAY_ENVIRONMENT": "production", **environ}
    text = f"senders:\n  {senders}\n{SOURCES.replace('SENDER', senders.partition(':')[0])}"
    config = configfile.parse(text, "gateway.yaml", known, KINDS.keys()) if senders else None
    used = credential or Credential()
    made: dict[str, Any] = {"make_identity": lambda _: Identity(used), "clock": lambda: NOW, **own}
    return Patient(Settings.read(known), known, config, **made)


async def verdicts(who: Patient, *only: str) -> list[tuple[str, str]]:
    """Each finding's name and verdict in words."""
    return [(finding.name, SHOWN[finding.verdict]) for finding in await doctor.examine(who, only)]


async def one(who: Patient, only: str) -> tuple[str, str, str]:
    """The only finding of a check: its verdict in words, what was seen, the remedy."""
    (finding,) = await doctor.examine(who, [only])
    assert (finding.verdict is Verdict.OK) == (finding.remedy == ""), "what is not well has a remedy"
    return SHOWN[finding.verdict], finding.what, finding.remedy


class Answers:
    """An ASGI app that answers from a table: `METHOD path` to a status and a body; everything else is 404."""

    def __init__(self, table: Mapping[str, tuple[int, Any]], always: tuple[int, Any] = (404, {})) -> None:
        """`always` answers what the table does not have."""
        self.table = table
        self.always = always
        self.asked: list[str] = []
        self.authorizations: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One answer."""
        asked = f"{scope['method']} {scope['path']}"
        self.asked.append(asked)
        headers = dict(scope["headers"])
        self.authorizations.add(headers.get(b"authorization", b"").decode())
        status, body = self.table.get(asked, self.always)
        await answer(send, status, body)
