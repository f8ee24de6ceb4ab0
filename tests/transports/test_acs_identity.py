"""ACS by identity: a token signs, and without one nothing is sent."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from gateway.errors import Outcome, Reason, TransportError
from gateway.transports.acs import Acs
from gateway.transports.identity import Identity
from tests.factories import make_message
from tests.servers.acs import FakeAcs
from tests.servers.serve import serve
from tests.transports.conftest import failure
from tests.transports.ways import MemoryFence, Token

NO, MAYBE = Outcome.NO, Outcome.MAYBE


async def test_an_identity_signs_with_its_token() -> None:
    """ACS's own scope, asked for once; also over http to a fake on this machine."""
    fake, token = FakeAcs(tokens=["example-token"]), Token("example-token")
    async with serve(fake, lifespan="off") as url:
        acs = Acs(url, identity=lambda: Identity(token))
        for _ in range(3):
            await acs.send(make_message(), 1, MemoryFence())
        await acs.close()
    assert (len(fake.sent), token.scopes, token.closed) == (3, ["https://communication.azure.com//.default"], 1)


async def test_without_a_token_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A credential that fails, and one that hangs."""
    monkeypatch.setattr("gateway.transports.identity.PATIENCE", 0.05)
    fake, clock = FakeAcs(), asyncio.get_running_loop().time
    began = clock()
    async with serve(fake, lifespan="off") as url:
        for token in (Token(), Token("x", silent=True)):
            acs = Acs(url, identity=partial(Identity, token))
            error = await failure(acs)
            assert (error.outcome, error.reason, error.permanent) == (NO, Reason.NO_CREDENTIAL, False)
            assert "example.com" not in str(error)
            with pytest.raises(TransportError) as asked:
                await acs.reconcile(make_message(), MemoryFence())
            assert (asked.value.outcome, asked.value.reason) == (MAYBE, Reason.NO_CREDENTIAL)
            await acs.close()
    assert (fake.requests, clock() - began < 3) == ([], True)


async def test_a_refused_token_is_a_401() -> None:
    """And is not asked for again within the same try."""
    fake = FakeAcs(tokens=["other"])
    async with serve(fake, lifespan="off") as url:
        acs = Acs(url, identity=lambda: Identity(Token("example-token")))
        error = await failure(acs)
        await acs.close()
    assert (error.outcome, error.reason, error.code, len(fake.posts)) == (NO, Reason.UNAUTHORIZED, "Denied", 1)


async def test_the_default_identity_is_azures_and_closes() -> None:
    """Nothing is invented beside azure-identity's own variables."""
    from azure.identity.aio import DefaultAzureCredential

    identity = Identity.default("00000000-0000-0000-0000-000000000001")
    assert isinstance(identity._credential, DefaultAzureCredential)
    await identity.close()
