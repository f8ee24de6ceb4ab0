"""Who we are at the provider: azure-identity's credential comes in, one that fails only with TransportError goes out.

A token is asked for before the request leaves, so a failure is a certain no, and it must not look like a lost
connection: that would cost a minute of waiting for an answer nobody can give.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Protocol, Self

from gateway.errors import Outcome, Reason, TransportError

PATIENCE = 20.0
"""Seconds for a token; less than any transport's deadline, so that a hanging login is still a certain no."""


class Credential(Protocol):
    """What azure-identity's asynchronous credentials can do."""

    async def get_token_info(self, *scopes: str, options: Any = None) -> Any:
        """A token and when it ends."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class Identity:
    """A credential for Azure's clients; they cache its tokens."""

    def __init__(self, credential: Credential) -> None:
        """`credential` is closed with this."""
        self._credential = credential

    @classmethod
    def default(cls, client_id: str = "") -> Identity:
        """Service principal, workload identity, managed identity (`client_id` names a user-assigned one), then az."""
        from azure.identity.aio import DefaultAzureCredential

        return cls(DefaultAzureCredential(managed_identity_client_id=client_id or None))

    async def get_token(self, *scopes: str, **options: Any) -> Any:
        """The older form of the same question, which the clients' types ask for."""
        return await self.get_token_info(*scopes, options=options or None)

    async def get_token_info(self, *scopes: str, options: Any = None) -> Any:
        """A token; TransportError when there is none."""
        return await _certain(self._credential.get_token_info(*scopes, options=options))

    async def close(self) -> None:
        """Let go of connections."""
        await self._credential.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def _certain(asking: Awaitable[Any]) -> Any:
    try:
        async with asyncio.timeout(PATIENCE):
            return await asking
    except Exception as error:
        detail = f"no token could be obtained ({type(error).__name__})"
        raise TransportError(Outcome.NO, Reason.NO_CREDENTIAL, detail=detail) from error
