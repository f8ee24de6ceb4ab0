"""Is this caller who it says: request headers and query come in, the source it may use goes out, or a Rejected.

Keys are 256-bit random and stored as their SHA-256, so a plain hash is enough; every comparison takes the same time
whatever matches. Any one valid credential in a request suffices.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from gateway import keys
from gateway.config import NAME, Config
from gateway.domains import ANY, is_listed
from gateway.errors import Rejected

CHALLENGE = {"WWW-Authenticate": 'Basic realm="gateway", Bearer'}
"""On every 401: .NET and PowerShell send their credentials only after it."""

_KEY_HEADERS = ("x-api-key", "x-functions-key")
"""The second is what clients of Azure Functions have always sent."""

SHOWN = 8
"""Hexadecimal digits of a key's hash that tell in the log which one it was."""


class NewKey(NamedTuple):
    """A fresh key and what the configuration keeps of it."""

    name: str
    key: str
    hash: str


def new_key(name: str) -> NewKey:
    """A 256-bit random key; only its hash belongs into the configuration."""
    key = secrets.token_urlsafe(32)
    return NewKey(name, key, hash_key(key))


hash_key = keys.hash_key


def presented(headers: Mapping[str, str], code: Iterable[str]) -> Iterator[str]:
    """Every credential in a request: any Authorization scheme, the Basic password, a key's header, `?code=`."""
    scheme, _, credential = headers.get("authorization", "").strip().partition(" ")
    credential = credential.strip()
    if scheme.lower() == "basic":
        user, _, password = _basic(credential).partition(":")
        yield password or user
    elif credential:
        yield credential
    yield from (key for name in _KEY_HEADERS if (key := headers.get(name, "").strip()))
    yield from (value for value in code if value)


def _basic(credential: str) -> str:
    try:
        return base64.b64decode(credential, validate=True).decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError):
        return ""


class Keyring:
    """Who may use what; built once from the configuration."""

    def __init__(self, config: Config) -> None:
        """Only hashes are kept."""
        self._sources = {name: source.keys for name, source in config.sources.items()}
        self._native = [(name, source.keys) for name, source in config.sources.items() if source.kind == "native"]
        self._admin = config.admin.keys if config.admin else ()

    def require(self, source: str, credentials: Iterable[str]) -> None:
        """Let a source's caller in, or raise 401 or 403. A source without keys is open (a form with origins)."""
        keys = self._sources[source]
        if not keys:
            return
        hashes = [hash_key(credential) for credential in credentials]
        if not _any_match(keys, hashes):
            raise self._refusal(hashes, f"a key of source {source}")

    def opens(self, source: str, credentials: Iterable[str]) -> bool:
        """Whether a key of this source was presented."""
        keys = self._sources[source]
        return bool(keys) and _any_match(keys, [hash_key(credential) for credential in credentials])

    def require_known(self, source: str, credentials: Iterable[str]) -> None:
        """Let whoever has a key of anything learn that this source is not here; others hear what a wrong key would."""
        hashes = [hash_key(credential) for credential in credentials]
        if not self._known(hashes):
            # What can be no name is not repeated: it may be long, or markup.
            raise self._refusal(hashes, f"a key of source {source}" if NAME.fullmatch(source) else "a source's key")

    def is_known(self, credentials: Iterable[str]) -> bool:
        """Whether any key of the configuration was presented."""
        return self._known([hash_key(credential) for credential in credentials])

    def native(self, credentials: Iterable[str]) -> str:
        """The native source whose key was presented."""
        hashes = [hash_key(credential) for credential in credentials]
        found = [name for name, keys in self._native if _any_match(keys, hashes)]
        if not found:
            raise self._refusal(hashes, "a key of a native source")
        return found[0]

    def is_admin(self, credentials: Iterable[str]) -> bool:
        """Whether an operator's key was presented."""
        return _any_match(self._admin, [hash_key(credential) for credential in credentials])

    def require_admin(self, credentials: Iterable[str]) -> str:
        """Let an operator in, or raise 401 or 403. The first digits of the key's hash, as gateway.yaml has it."""
        hashes = [hash_key(credential) for credential in credentials]
        used = [key for key in self._admin if _any_match((key,), hashes)]
        if not used:
            raise self._refusal(hashes, "an admin key (`admin: {keys: […]}` in gateway.yaml)")
        return used[0].removeprefix("sha256:")[:SHOWN]

    def readable(self, credentials: Iterable[str]) -> frozenset[str] | None:
        """The sources whose notifications this caller may read; None means all of them (an operator)."""
        hashes = [hash_key(credential) for credential in credentials]
        if _any_match(self._admin, hashes):
            return None
        names = frozenset(name for name, keys in self._sources.items() if _any_match(keys, hashes))
        if not names:
            raise self._refusal(hashes, "a key of the notification's source, or an admin key")
        return names

    def _known(self, hashes: list[str]) -> bool:
        return any(_any_match(keys, hashes) for keys in (*self._sources.values(), self._admin))

    def _refusal(self, hashes: list[str], wanted: str) -> Rejected:
        if self._known(hashes):
            return Rejected(403, "forbidden", f"This key is valid, but not here: {wanted} is needed.")
        what = "The key is not known" if hashes else "No key was sent"
        ways = "Authorization: Bearer KEY, x-api-key: KEY, a Basic password or ?code=KEY"
        return Rejected(401, "unauthorized", f"{what}; {wanted} is needed. Send {ways}.", headers=CHALLENGE)


def _any_match(keys: Iterable[str], hashes: list[str]) -> bool:
    """Whether one of `hashes` is among `keys`; every pair is compared, each in constant time."""
    found = False
    for key in keys:
        for candidate in hashes:
            found |= hmac.compare_digest(key, candidate)
    return found


def origin_allowed(origin: str, origins: Iterable[str]) -> bool:
    """Whether a browser page of this origin may post; `*` allows every page."""
    allowed = tuple(origins)
    return ANY in allowed or is_listed(origin, allowed)


def stated_origin(headers: Mapping[str, str]) -> str | None:
    """The Origin of a request. `null` is none: a sandboxed frame, a file, a redirect; anybody can have that one."""
    origin = headers.get("origin")
    return None if origin == "null" else origin


def require_origin(origin: str | None, origins: Iterable[str], *, needed: bool) -> None:
    """A foreign Origin is 403; none at all (curl, a server, an old browser) is taken unless one is `needed`."""
    if origin is None and needed:
        raise Rejected(
            403,
            "origin_required",
            "This form only takes posts from pages of its web sites (`require_origin: true`); this one has no Origin.",
        )
    if origin is not None and not origin_allowed(origin, origins):
        raise Rejected(
            403,
            "foreign_origin",
            "This form does not take posts from the page's web site; add its origin to the source's `origins`.",
        )
