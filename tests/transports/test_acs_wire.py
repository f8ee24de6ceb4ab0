"""Whether a request had left: connections that never stood, and those that broke after everything was received."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.errors import Outcome, Reason, TransportError
from gateway.transports.acs import Acs
from tests.factories import make_message
from tests.servers.acs import KEY
from tests.transports.conftest import failure
from tests.transports.ways import MemoryFence

NO, MAYBE = Outcome.NO, Outcome.MAYBE


@asynccontextmanager
async def connected(endpoint: str) -> AsyncIterator[Acs]:
    """A transport to this endpoint."""
    acs = Acs(endpoint, key=KEY)
    try:
        yield acs
    finally:
        await acs.close()


def certificate(folder: Path) -> Path:
    """Key and certificate of localhost, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "localhost.pem"
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A bare server's port."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    yield int(server.sockets[0].getsockname()[1])
    server.close()


async def refused(stack: AsyncExitStack, folder: Path) -> str:
    del stack, folder
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


async def no_such_host(stack: AsyncExitStack, folder: Path) -> str:
    del stack, folder
    return "https://nobody.invalid"


async def plain_port(stack: AsyncExitStack, folder: Path) -> str:
    del folder

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    return f"https://localhost:{await stack.enter_async_context(listening(talk))}"


async def ended_handshake(stack: AsyncExitStack, folder: Path) -> str:
    del folder

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del writer
        await reader.read(100)

    return f"https://localhost:{await stack.enter_async_context(listening(hang_up))}"


async def untrusted(stack: AsyncExitStack, folder: Path) -> str:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate(folder))

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del writer
        await reader.read(100)

    return f"https://localhost:{await stack.enter_async_context(listening(wait, tls))}"


async def silent_handshake(stack: AsyncExitStack, folder: Path) -> str:
    del folder

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del writer
        while await reader.read(1000):
            pass

    return f"https://localhost:{await stack.enter_async_context(listening(say_nothing))}"


NEVER_LEFT = [refused, no_such_host, plain_port, ended_handshake, untrusted, silent_handshake]


@pytest.mark.parametrize("endpoint", NEVER_LEFT)
async def test_a_request_that_never_left_is_a_certain_no(
    endpoint: Callable[[AsyncExitStack, Path], Awaitable[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No name, nobody listening, no TLS, a stranger's certificate: it may be tried again at once."""
    monkeypatch.setattr("gateway.transports.wire.CONNECT", 0.3)
    async with AsyncExitStack() as stack:
        acs = await stack.enter_async_context(connected(await endpoint(stack, tmp_path)))
        error = await failure(acs)
        with pytest.raises(TransportError) as asked:
            await acs.reconcile(make_message(), MemoryFence())
    assert (error.outcome, error.reason, error.permanent) == (NO, Reason.UNREACHABLE, False)
    assert (asked.value.outcome, asked.value.reason) == (MAYBE, Reason.UNREACHABLE)


async def test_azure_is_reached_through_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that refuses is a certain no; NO_PROXY and a fake on this machine go around it."""
    asked: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()

    async with listening(refuse) as port:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("no_proxy", "around.invalid")
        errors = []
        for endpoint in ("https://contoso.invalid", "https://around.invalid", "http://127.0.0.1:9"):
            async with connected(endpoint) as acs:
                errors.append(await failure(acs))
    assert [(error.outcome, error.reason) for error in errors] == [(NO, Reason.UNREACHABLE)] * 3
    assert asked == [b"CONNECT contoso.invalid:443 HTTP/1.1\r\n"]


async def test_a_tls_error_after_the_request_is_a_maybe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server has read everything and answers with bytes that are no TLS; azure-core calls that "not sent"."""
    path = certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(path)
    received = asyncio.Event()

    async def garble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        received.set()
        with socket.socket(fileno=socket.dup(writer.get_extra_info("socket").fileno())) as bare:
            bare.send(b"this is no TLS record")

    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", ssl.create_default_context(cafile=path))
    async with listening(garble, tls) as port, connected(f"https://localhost:{port}") as acs:
        error = await failure(acs)
    assert (received.is_set(), error.outcome, error.reason) == (True, MAYBE, Reason.CONNECTION_LOST)
