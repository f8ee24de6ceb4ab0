"""Who a request comes from, as far as its address tells: a request comes in, a hash that changes every day goes out.

Open it for how proxies are trusted, or where a client must be counted or named in the log. The address itself is never
stored, logged or answered: the hash needs a key that is the store's secret, so that nobody can try all addresses.

    peer                    the other end of the connection; under Functions what Azure's front end says it was
    trusted_proxies         where the peer is one of these, the last entry of X-Forwarded-For that is none
    IPv6                    its /64, which is what one subscriber has; IPv4 in IPv6 counts as IPv4
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from gateway.clock import wall_clock
from gateway.store_secret import StoreSecret
from gateway.telemetry import WARNING, log
from gateway.waiting import ShortWait

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Tags = tuple[str, ...]
"""Today's hash of a client, and yesterday's where posts of yesterday may still count."""

OVERLAP = timedelta(hours=1)
"""How long after midnight yesterday's hash is of interest: the longest window of a limit."""

DIGITS = 16
SHOWN = 8
"""Hexadecimal digits of a hash, and of the part of it that a log line shows."""


@lru_cache(maxsize=1024)
def address_of(text: str) -> Address | None:
    """An address as hosts and proxies write it, with or without a port; None for anything else."""
    host = text.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:  # Azure's front end writes 203.0.113.7:50123
        host = host.partition(":")[0]
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


@lru_cache(maxsize=1024)
def _counted(address: Address) -> str:
    """What counts as one client."""
    return str(IPv6Network((address, 64), strict=False) if isinstance(address, IPv6Address) else address)


@dataclass
class Clients:
    """Tells the clients of one process's requests apart; built once from the configuration."""

    secret: StoreSecret
    trusted: tuple[Network, ...] = ()
    clock: Callable[[], datetime] = wall_clock
    _key: bytes = field(default=b"", repr=False)
    _own: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    _warned: bool = False
    _waiting: ShortWait = field(default_factory=ShortWait)

    async def tags(self, scope: MutableMapping[str, Any]) -> Tags:
        """The client's hash of today, and in the first hour of a day yesterday's too."""
        at = self.clock()
        client = self.client(scope)
        await self.warm()
        key = self._key or self._own
        today, before = at.date(), (at - OVERLAP).date()
        return tuple(_hash(key, client, day) for day in ((today,) if today == before else (today, before)))

    async def warm(self) -> None:
        """Learn the store's secret before it is needed; while that fails, this process has a key of its own."""
        if not self._key:
            await self._waiting.wait(self._learn)

    def client(self, scope: MutableMapping[str, Any]) -> str:
        """The client's address or network; "" where nothing is known."""
        peer = scope.get("client")
        address = address_of(peer[0]) if peer else None
        if address is not None and (address.is_loopback or self._trusts(address)):
            said = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
            if self._trusts(address):
                address = self._behind(address, ",".join(said))
            elif said and not self._warned:
                self._warned = True
                log("proxy_untrusted", WARNING, problem="a proxy on this machine is not in trusted_proxies")
        return _counted(address) if address is not None else ""

    def _behind(self, proxy: Address, forwarded: str) -> Address:
        """Who a trusted proxy speaks for. What stands left of the first stranger is that stranger's own claim."""
        while forwarded:
            forwarded, _, last = forwarded.rpartition(",")
            address = address_of(last)
            if address is None:
                return proxy
            if not self._trusts(address):
                return address
            proxy = address
        return proxy

    def _trusts(self, address: Address) -> bool:
        return any(address.version == network.version and address in network for network in self.trusted)

    async def _learn(self) -> None:
        self._key = await self.secret.key("client")


def networks(written: tuple[str, ...]) -> tuple[Network, ...]:
    """`trusted_proxies` as networks; they have been checked."""
    return tuple(ip_network(text) for text in written)


def shown(tags: Tags) -> str:
    """What a log line says of a client."""
    return tags[0][:SHOWN]


@lru_cache(maxsize=1024)
def _hash(key: bytes, client: str, day: date) -> str:
    return hmac.digest(key, f"{day.isoformat()}|{client}".encode(), hashlib.sha256).hex()[:DIGITS]
