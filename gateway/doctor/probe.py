"""One HTTP call as it is: an address and credentials come in, the bare answer goes out, neither judged nor retried.

What examines a provider must see its statuses, headers and error words, which the transports turn into decisions. The
signature is written out here, so that `doctor` and `verify-live` do not depend on what they examine.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from gateway.clock import wall_clock
from gateway.errors import TransportError
from gateway.transports.identity import Identity

if TYPE_CHECKING:
    import aiohttp

ACS_SCOPE = "https://communication.azure.com//.default"
"""With two slashes: the audience that Microsoft's own client asks for (auth_policy_utils.py)."""

API_VERSION = "2025-09-01"
SECONDS = 30.0
"""For one call."""

_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_SIGNED = "x-ms-date;host;x-ms-content-sha256"


class NoAnswer(Exception):
    """There was none: no connection, a time-out, or no token. The text names neither secret nor address."""


class Answer(NamedTuple):
    """What came back; `status` is never judged here."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON, None when it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def code(self) -> str:
        """The provider's own word for an error, when it is a plain word."""
        body = self.json
        error = body.get("error") if isinstance(body, dict) else None
        word = error.get("code") if isinstance(error, dict) else None
        return word if isinstance(word, str) and _CODE.fullmatch(word) else ""

    def __str__(self) -> str:
        """`401 Denied`."""
        return f"{self.status} {self.code}".strip()


Sign = Callable[[str, str, bytes], Awaitable[dict[str, str]]]
"""Method, URL and body come in, headers go out."""


@dataclass(frozen=True)
class Probe:
    """A provider at one address."""

    root: str
    sign: Sign
    session: aiohttp.ClientSession

    async def call(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """One call; NoAnswer when there is none. An underscore in a header's name stands for a dash."""
        import aiohttp
        from yarl import URL

        url = self.root + path
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            async with asyncio.timeout(SECONDS):
                signed = await self.sign(method, url, body)
                async with self.session.request(
                    method, URL(url, encoded=True), data=body, headers=given | signed, allow_redirects=False
                ) as response:
                    return Answer(response.status, response.headers, await response.read())
        except TransportError as error:
            raise NoAnswer("no token") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NoAnswer(type(error).__name__) from error


@asynccontextmanager
async def probing(root: str, sign: Sign) -> AsyncIterator[Probe]:
    """A probe for the length of a block."""
    import aiohttp

    async with aiohttp.ClientSession(trust_env=True, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield Probe(root.rstrip("/"), sign, session)


def bearer(identity: Identity, scope: str) -> Sign:
    """Signs with a token for `scope`."""

    async def sign(method: str, url: str, body: bytes) -> dict[str, str]:
        del method, url, body
        return {"Authorization": f"Bearer {(await identity.get_token_info(scope)).token}"}

    return sign


def by_key(key: str, clock: Callable[[], datetime] = wall_clock) -> Sign:
    """Signs with an access key of Azure Communication Services (HMAC-SHA256 over date, host and the body's hash)."""

    async def sign(method: str, url: str, body: bytes) -> dict[str, str]:
        parts = urlsplit(url)
        date = format_datetime(clock(), usegmt=True)
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        text = f"{method}\n{target}\n{date};{parts.netloc};{digest}"
        signature = base64.b64encode(hmac.digest(base64.b64decode(key), text.encode(), "sha256")).decode()
        return {
            "x-ms-date": date,
            "x-ms-content-sha256": digest,
            "Authorization": f"HMAC-SHA256 SignedHeaders={_SIGNED}&Signature={signature}",
        }

    return sign


class Account(NamedTuple):
    """One resource of Azure Communication Services; without a `key` it is opened by identity."""

    endpoint: str
    key: str = ""

    @property
    def host(self) -> str:
        """What may be shown of it."""
        return urlsplit(self.endpoint).netloc


def account(connection_string: str, endpoint: str) -> Account:
    """Either of the two; ValueError when the connection string is none."""
    if not connection_string:
        return Account((endpoint if "://" in endpoint else f"https://{endpoint}").rstrip("/"))
    pairs = (part.partition("=") for part in connection_string.split(";"))
    values = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if not values.get("endpoint") or not values.get("accesskey"):
        raise ValueError("is no connection string: endpoint=https://NAME.communication.azure.com/;accesskey=KEY")
    return Account(values["endpoint"].rstrip("/"), values["accesskey"])


def probing_acs(account: Account, identity: Callable[[], Identity]) -> AbstractAsyncContextManager[Probe]:
    """A probe of one account; the identity is only made where there is no key."""
    return probing(account.endpoint, by_key(account.key) if account.key else bearer(identity(), ACS_SCOPE))


def operation(id: str) -> str:
    """The path of an operation's status."""
    return f"/emails/operations/{id}?api-version={API_VERSION}"
