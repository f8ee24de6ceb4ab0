"""A Graph sender from gateway.yaml to the mail: its fields, its identity, and the fake that is run by hand."""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from gateway import configfile, wiring
from gateway.config import Config
from gateway.errors import ConfigurationError
from gateway.settings import Settings
from gateway.sources import KINDS
from gateway.transports.graph import Graph
from gateway.transports.graph_payload import Options
from tests.documents import ROOT
from tests.factories import NOW, make_message
from tests.servers.graph import IDENTITY_HEADER, FakeGraph
from tests.servers.serve import serve
from tests.transports.ways import MemoryFence

NO_STORE: Any = None
"""Only capture needs one."""

SOURCES = "sources: {app: {kind: form, origins: ['*'], sender: desk, to: [ops@example.com]}}"


def parsed(fields: str) -> Config:
    """A file with one sender."""
    text = f"senders:\n  desk: {{address: desk@example.com, {fields}}}\n{SOURCES}"
    return configfile.parse(text, "gateway.yaml", {}, KINDS)


FIELDS = {
    "transport: graph": Options("", "draft"),
    "transport: graph, mode: direct, save_to_sent: false": Options("", "direct", save_to_sent=False),
    "transport: graph, mailbox: Shared <shared@example.com>, on_unknown: park": Options(
        "shared@example.com", "draft", on_unknown="park"
    ),
    "transport: graph, mode: direct, on_unknown: resend": Options("", "direct", on_unknown="resend"),
}


@pytest.mark.parametrize("fields", FIELDS)
async def test_a_sender_becomes_a_way_of_its_own(fields: str) -> None:
    """With its mailbox and mode; built once; senders share the connection with its slots."""
    built: dict[tuple[str, str, str], Any] = {}
    find = wiring.transports(Settings(), parsed(fields), NO_STORE, built)
    graph, again, other = find("graph", "desk"), find("graph", "desk"), find("graph", "gone")
    assert isinstance(graph, Graph)
    assert isinstance(other, Graph)
    assert (graph.options, graph is again, graph.account is other.account) == (FIELDS[fields], True, True)
    assert (other.options, len(built)) == (Options(), 2)


MISTAKES = {
    "transport: acs, mailbox: a@example.com": "mailbox: only a sender with transport: graph can have it",
    "transport: capture, on_unknown: park": "on_unknown: only a sender with transport: graph can have it",
    "transport: graph, save_to_sent: false": (
        "save_to_sent: Graph keeps every draft it sends in Sent Items; false needs mode: direct"
    ),
    "transport: graph, mode: sent": "Input should be 'draft' or 'direct'",
    "transport: graph, on_unknown: maybe": "Input should be 'park' or 'resend'",
}


@pytest.mark.parametrize("fields", MISTAKES)
def test_a_sender_that_cannot_do_what_it_says_is_a_mistake(fields: str) -> None:
    """With the remedy."""
    with pytest.raises(ConfigurationError) as caught:
        parsed(fields)
    assert [problem.message for problem in caught.value.problems] == [MISTAKES[fields]]


def test_an_endpoint_that_cannot_be_graph_is_a_mistake(tmp_path: Path) -> None:
    """`gateway check` names the variable; a sender that only captures does not need it."""
    file = tmp_path / "gateway.yaml"
    settings = Settings(config=str(file), graph_endpoint="ftp://graph", environment="test")
    text = "senders:\n  desk: {address: desk@example.com, transport: graph, live: LIVE}\n" + SOURCES
    file.write_text(text.replace("LIVE", "false"), "utf-8")
    wiring.check(settings, {})
    file.write_text(text.replace("LIVE", "true"), "utf-8")
    with pytest.raises(ConfigurationError) as caught:
        wiring.check(settings, {})
    assert [str(problem) for problem in caught.value.problems] == [
        "environment:0: GRAPH_ENDPOINT: must be Microsoft Graph's root, such as https://graph.microsoft.com"
    ]


async def test_a_managed_identity_gets_its_token_where_app_service_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Microsoft's own login code, against the fake in both roles."""
    fake = FakeGraph()
    async with serve(fake, lifespan="off") as url:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{url}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", IDENTITY_HEADER)
        config = parsed("transport: graph, live: true")
        find = wiring.transports(Settings(graph_endpoint=url), config, NO_STORE, {})
        graph = find("graph", "desk")
        for _ in range(2):
            await graph.send(make_message(), 1, MemoryFence())
        await graph.close()
    assert (len(fake.sent), len(fake.calls("token"))) == (2, 1)


LOGINS: dict[str, dict[str, str]] = {
    "ClientSecretCredential": {"AZURE_CLIENT_SECRET": "example"},
    "CertificateCredential": {"AZURE_CLIENT_CERTIFICATE_PATH": "PEM"},
    "WorkloadIdentityCredential": {"AZURE_FEDERATED_TOKEN_FILE": "token"},
}


def rsa_certificate(folder: Path) -> Path:
    """Key and certificate of an application; Entra takes RSA only."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=900))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "application.pem"
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.mark.parametrize("login", LOGINS)
async def test_azure_identitys_own_variables_choose_the_login(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, login: str
) -> None:
    """A secret, a certificate, a federated token: nothing is configured beside them."""
    from gateway.transports.identity import Identity

    pem = str(rsa_certificate(tmp_path))
    for name, value in {"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c", **LOGINS[login]}.items():
        monkeypatch.setenv(name, pem if value == "PEM" else value)
    identity = Identity.default()
    chain = vars(identity)["_credential"].credentials
    names = [type(one).__name__ for one in chain]
    inner = type(getattr(chain[0], "_credential", None)).__name__
    await identity.close()
    assert login in (names[1] if login.startswith("Workload") else inner)


async def test_the_fake_run_by_hand_says_how_it_is_reached() -> None:
    """Three variables, as docs/graph.md promises, and a log that can be read."""
    command = [sys.executable, "-m", "tests.servers", "graph"]
    environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        assert process.stdout
        lines = [(await asyncio.wait_for(process.stdout.readline(), 30)).decode().strip() for _ in range(3)]
        said = dict(line.split("=", 1) for line in lines)
        async with aiohttp.ClientSession() as session:
            wish = {"second": "202-noop", "faults": {"send": ["503"]}}
            await session.post(f"{said['GRAPH_ENDPOINT']}/_control", json=wish)
            answer = await session.get(f"{said['GRAPH_ENDPOINT']}/_sent")
            log = await answer.json()
    finally:
        process.terminate()
        await process.wait()
    assert (sorted(said), log) == (["GRAPH_ENDPOINT", "IDENTITY_ENDPOINT", "IDENTITY_HEADER"], [])
