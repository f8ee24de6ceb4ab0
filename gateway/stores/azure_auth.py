"""Signatures for Azure Storage: a request comes in, the value of its Authorization header goes out.

Two ways: the account's key (SharedKey), or a token from azure-identity, which is imported only then.
https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlsplit

from gateway.stores.azure_account import Account

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

SCOPE = "https://storage.azure.com/.default"

FRESH_SECONDS = 300.0
"""A token is replaced this long before its end."""

# What the string to sign takes from the headers, in its own order; an empty line stands for what we never send.
_BLOB_LINES = ("content-encoding", "content-language", "content-length", "content-md5", "content-type", "date")
_BLOB_CONDITIONS = ("if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range")


class Authority(Protocol):
    """Who says that a request is ours."""

    async def sign(self, service: str, method: str, url: str, headers: Mapping[str, str]) -> str:
        """The Authorization header; `url` as it goes over the wire, `headers` with lower-case names."""
        ...

    def forget(self) -> bool:
        """Called after a refusal; whether a second try may go better."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class SharedKey:
    """Signs with the account's key."""

    def __init__(self, account: Account) -> None:
        """The account has a key."""
        self._name = account.name
        self._key = account.key

    async def sign(self, service: str, method: str, url: str, headers: Mapping[str, str]) -> str:
        """HMAC-SHA256 over what matters of the request."""
        text = _table_text(method, url, headers, self._name) if service == "table" else None
        text = text or _text(method, url, headers, self._name)
        digest = hmac.digest(self._key, text.encode(), "sha256")
        return f"SharedKey {self._name}:{base64.b64encode(digest).decode()}"

    def forget(self) -> bool:
        """A wrong key stays wrong."""
        return False

    async def close(self) -> None:
        """Nothing to do."""


def _table_text(method: str, url: str, headers: Mapping[str, str], name: str) -> str:
    path = urlsplit(url).path
    lines = (method, headers.get("content-md5", ""), headers.get("content-type", ""), headers["x-ms-date"])
    return "\n".join((*lines, f"/{name}{path}"))


def _text(method: str, url: str, headers: Mapping[str, str], name: str) -> str:
    parts = urlsplit(url)
    lines = [method, *(headers.get(line, "") for line in _BLOB_LINES + _BLOB_CONDITIONS)]
    if lines[3] == "0":
        lines[3] = ""  # since version 2015-02-21 an empty body has no length here
    ours = ((header, value) for header, value in headers.items() if header.startswith("x-ms-"))
    pairs = (pair.partition("=") for pair in parts.query.split("&") if pair)
    query = ((key.lower(), unquote(value)) for key, _, value in pairs)
    return "\n".join((*lines, *_sorted(ours), f"/{name}{parts.path}", *_sorted(query)))


def _sorted(pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [f"{name}:{value}" for name, value in sorted(pairs)]


class Identity:
    """Signs with a token of a managed identity, or of whatever DefaultAzureCredential finds."""

    def __init__(self, account: Account, credential: AsyncTokenCredential | None = None) -> None:
        """`credential` is made at the first request unless a test brings one."""
        self._account = account
        self._credential = credential
        self._lock = asyncio.Lock()
        self._token = ""
        self._until = 0.0

    async def sign(self, service: str, method: str, url: str, headers: Mapping[str, str]) -> str:
        """The token; one caller fetches it, the others wait."""
        async with self._lock:
            if time.time() > self._until - FRESH_SECONDS:
                self._credential = self._credential or _credential(self._account)
                found = await self._credential.get_token(SCOPE)
                self._token, self._until = found.token, float(found.expires_on)
        return f"Bearer {self._token}"

    def forget(self) -> bool:
        """A token may have been withdrawn: fetch another."""
        self._until = 0.0
        return True

    async def close(self) -> None:
        """Close the credential's own connections."""
        if self._credential:
            await self._credential.close()


def _credential(account: Account) -> AsyncTokenCredential:
    from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential

    client_id = account.client_id or None
    if account.managed:
        return ManagedIdentityCredential(client_id=client_id)
    return DefaultAzureCredential(managed_identity_client_id=client_id)


def authority(account: Account) -> Authority:
    """The one that fits the account."""
    return SharedKey(account) if account.key else Identity(account)
