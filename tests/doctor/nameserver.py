"""A name server on UDP: a table of records comes in, its address goes out for as long as the block lasts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Literal, cast

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

Record = tuple[Literal["TXT", "CNAME"], list[str]]
"""Its kind, and the values of all of that kind; a TXT record's text stands in quotes."""

Records = Mapping[str, Record]


class NameServer(asyncio.DatagramProtocol):
    """Answers from the table, NXDOMAIN for the rest; `trouble` answers SERVFAIL, or nothing at all."""

    def __init__(self, records: Records, trouble: Literal["", "SERVFAIL", "silent"] = "") -> None:
        """`records` as they are."""
        self.records = records
        self.trouble = trouble

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket; until Python 3.12 its class is no DatagramTransport by name."""
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """One question."""
        if self.trouble != "silent":
            self.transport.sendto(self._answer(dns.message.from_wire(data)).to_wire(), addr)

    def _answer(self, asked: dns.message.Message) -> dns.message.Message:
        answer = dns.message.make_response(asked)
        answer.flags |= dns.flags.RA
        name, wanted = str(asked.question[0].name).rstrip("."), asked.question[0].rdtype.name
        if self.trouble:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif name not in self.records:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        while name in self.records:
            kind, values = self.records[name]
            if kind in {wanted, "CNAME"}:
                answer.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", kind, *values))
            name = values[0].rstrip(".") if kind == "CNAME" and wanted != "CNAME" else ""
        return answer


@asynccontextmanager
async def name_server(
    records: Records, trouble: Literal["", "SERVFAIL", "silent"] = ""
) -> AsyncIterator[tuple[str, int]]:
    """Its address and port on 127.0.0.1."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: NameServer(records, trouble), local_addr=("127.0.0.1", 0)
    )
    try:
        yield transport.get_extra_info("sockname")
    finally:
        transport.close()
