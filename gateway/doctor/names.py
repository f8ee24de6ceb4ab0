"""The domain name system: a name comes in, its TXT records or its alias go out, or Unanswered.

dnspython does the asking: an SPF record is often longer than one datagram, and the parsing of what a stranger's name
server says is no place for code of our own. It is needed by nothing else, so it is imported here only.
"""

from __future__ import annotations

from typing import Any

LIFETIME = 8.0
"""Seconds for one question, all name servers and tries together."""


class Unanswered(Exception):
    """Nobody could say; which is not the same as "there is none"."""


class Names:
    """Asks the system's name servers, or the one it is given."""

    def __init__(self, server: tuple[str, int] | None = None) -> None:
        """`server` is an address and a port; Unanswered when dnspython is not installed."""
        try:
            from dns.asyncresolver import Resolver
        except ImportError:
            raise Unanswered("dnspython is not installed") from None
        self._resolver = Resolver(configure=server is None)
        self._resolver.lifetime = LIFETIME
        if server:
            self._resolver.nameservers = [server[0]]
            self._resolver.port = server[1]

    async def texts(self, name: str) -> list[str]:
        """Every TXT record, aliases followed; none is an empty list."""
        return [b"".join(record.strings).decode("utf-8", "replace") for record in await self._ask(name, "TXT")]

    async def alias(self, name: str) -> str:
        """Where its CNAME leads, "" without one."""
        found = [str(record.target).rstrip(".").lower() for record in await self._ask(name, "CNAME")]
        return found[0] if found else ""

    async def _ask(self, name: str, kind: str) -> list[Any]:
        from dns.exception import DNSException
        from dns.resolver import NXDOMAIN

        try:
            answer = await self._resolver.resolve(f"{name}.", kind, raise_on_no_answer=False)
        except NXDOMAIN:
            return []
        except (DNSException, OSError) as error:
            raise Unanswered(type(error).__name__) from error
        return list(answer.rrset or ())
