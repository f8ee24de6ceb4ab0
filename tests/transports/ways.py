"""What every way out under test is seen through: a mail as it arrived, a fence, a clock, a token, the Way itself."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

from gateway.message import Transport
from tests.factories import NOW


class Arrived(NamedTuple):
    """One mail as the other side has it."""

    subject: str
    text: str
    html: str
    to: tuple[tuple[str, str], ...]
    cc: tuple[tuple[str, str], ...]
    bcc: tuple[tuple[str, str], ...]
    reply_to: tuple[tuple[str, str], ...]
    attachments: tuple[tuple[str, str, bytes, str], ...]
    headers: dict[str, str]


class MemoryFence:
    """A fence that always holds."""

    def __init__(self, **facts: str) -> None:
        """What earlier tries recorded; usually nothing yet."""
        self.facts: dict[str, str] = facts

    async def record(self, **facts: str) -> None:
        """Remember."""
        self.facts |= facts


@dataclass
class Clock:
    """Time that moves when told."""

    at: datetime = NOW

    def __call__(self) -> datetime:
        """Now."""
        return self.at

    def pass_by(self, seconds: float) -> None:
        """So much later."""
        self.at += timedelta(seconds=seconds)


class Token:
    """An azure-identity credential that has a token, or none, or is silent."""

    def __init__(self, token: str = "", *, silent: bool = False) -> None:
        """`token` "" fails as azure-identity does."""
        self.token = token
        self.silent = silent
        self.scopes: list[str] = []
        self.closed = 0

    async def get_token_info(self, *scopes: str, options: Any = None) -> Any:
        """As azure-identity."""
        from azure.core.credentials import AccessTokenInfo
        from azure.identity import CredentialUnavailableError

        del options
        self.scopes += scopes
        if self.silent:
            await asyncio.Event().wait()
        if not self.token:
            raise CredentialUnavailableError("no identity on this machine for ops@example.com")
        return AccessTokenInfo(self.token, 4_000_000_000)

    async def close(self) -> None:
        """Counted."""
        self.closed += 1


class Way(Protocol):
    """One transport and what is behind it."""

    transport: Transport
    one_body: bool
    """Text beside html is not carried."""
    large: int
    """Bytes of a large file that it can carry."""

    async def truth(self) -> list[Arrived]:
        """Every mail that went out, oldest first."""
        ...

    def later(self) -> None:
        """Some minutes pass."""
        ...

    def broken(self, fault: str, *, asking: bool = False) -> AbstractAsyncContextManager[None]:
        """The next submission (or question) meets this fault; afterwards all is well again."""
        ...
