"""The store on Azure Storage: the ledger's verbs come in; one table, two containers and two queues keep them.

A message that succeeds at the first try costs five calls: one transaction and one doorbell when it is accepted, one
read and two transactions when it is delivered. Nothing is created beforehand and nothing is called at start.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from gateway.errors import StoreUnavailable
from gateway.ledger import Amendment, Captured, Claim, Due, Entry, Page, Report, Room, Settlement, Usage, Value
from gateway.message import OPEN, Message, Priority, Status
from gateway.settings import Settings
from gateway.stores import azure_list
from gateway.stores import azure_rows as rows
from gateway.stores.azure_account import account
from gateway.stores.azure_bell import Bell
from gateway.stores.azure_blobs import Blobs
from gateway.stores.azure_captured import Mails
from gateway.stores.azure_messages import Messages
from gateway.stores.azure_purge import NAMED, Retention
from gateway.stores.azure_queues import Queues, Taken
from gateway.stores.azure_rest import Rest
from gateway.stores.azure_shared import Shared
from gateway.stores.azure_tables import Table
from gateway.telemetry import WARNING, log

TABLE = "gateway"
PAYLOADS = "payloads"
CAPTURED = "captured"

RING_SECONDS = 3.0
"""How long an accepted notification waits for its doorbell: it is durable already, and the sweep rings too."""


class AzureStore:
    """`gateway.ledger.Store` on a storage account; `open` makes one."""

    def __init__(self, rest: Rest) -> None:
        """The store closes `rest`."""
        self._rest = rest
        table = Table(rest, TABLE)
        self._blobs = Blobs(rest, PAYLOADS)
        self._queues = Queues(rest)
        self._messages = Messages(table, self._blobs)
        self._mails = Mails(table, Blobs(rest, CAPTURED))
        self._shared = Shared(table)
        self._retention = Retention(table, self._blobs)
        self._bell = Bell(self._queues)
        self._table = table

    @classmethod
    async def open(cls, settings: Settings) -> AzureStore:
        """The account that AzureWebJobsStorage names, without calling it; ConfigurationError when it names none."""
        return cls(Rest(account(settings)))

    async def close(self) -> None:
        """Finish what was begun and close every connection."""
        await self._mails.close()
        await self._bell.close()
        await self._rest.close()

    # ---------------------------------------------------------------------------------- the way of a message

    async def add(self, entry: Entry, messages: Sequence[Message], due: datetime) -> Entry | None:
        """Write it all, or return the notification that has this id already."""
        existing = await self._messages.add(entry, messages, due)
        if existing is None:
            waiting = {state.id for state in entry.messages if state.status not in OPEN}
            rung = (message for message in messages if message.id not in waiting)
            await asyncio.gather(*(self._ring_at_last(message, due, entry.created) for message in rung))
        return existing

    async def _ring_at_last(self, message: Message, due: datetime, now: datetime) -> None:
        try:
            await self._bell.ring(message.id, message.priority, due, now, RING_SECONDS)
        except StoreUnavailable as error:
            log("doorbell_lost", WARNING, notification=message.notification, message=message.id, reason=str(error))

    async def claim(
        self, message: str, owner: str, now: datetime, leases: Mapping[str, timedelta], room: Room | None = None
    ) -> Claim | None:
        """Take a message that is due."""
        return await self._messages.claim(message, owner, now, leases, room)

    async def record(self, claim: Claim, facts: dict[str, str]) -> Claim | None:
        """Add facts to what the claim knows."""
        return await self._messages.record(claim, facts)

    async def settle(self, claim: Claim, settlement: Settlement) -> bool:
        """End the claim with a word."""
        return await self._messages.settle(claim, settlement)

    async def amend(self, message: str, amendment: Amendment) -> Status | None:
        """Change a state without a claim."""
        return await self._messages.amend(message, amendment)

    async def report(self, report: Report) -> str | None:
        """Take a provider's word about one recipient."""
        return await self._messages.report(report)

    async def ring(self, message: str, priority: Priority, at: datetime, now: datetime) -> None:
        """Put a doorbell into the queue that becomes visible at its time."""
        await self._bell.ring(message, priority, at, now)

    async def doorbell(self) -> Due:
        """Wait for the next ring whose time has come, for the embedded host."""
        return await self._bell.next()

    async def due(self, now: datetime, limit: int) -> Sequence[Due]:
        """What is due, oldest first."""
        return await self._messages.due(now, limit)

    # --------------------------------------------------------------------------------------------- the ledger

    async def get(self, notification: str) -> Entry | None:
        """One notification."""
        return await self._messages.get(notification)

    async def beginning(self, prefix: str, limit: int) -> Sequence[Entry]:
        """Notifications whose id begins so."""
        return await self._messages.beginning(prefix, limit)

    async def list(self, *, status: str, source: str, since: datetime | None, cursor: str, limit: int) -> Page:
        """One page of notifications, newest first."""
        return await azure_list.page(
            self._table, self._messages.get, status=status, source=source, since=since, cursor=cursor, limit=limit
        )

    # ------------------------------------------------------------------------------------------ captured mail

    async def keep(self, message: Message, at: datetime) -> None:
        """Store one captured mail."""
        await self._mails.keep(message, at)

    async def kept(self, message: str) -> bool:
        """Whether it was captured."""
        return await self._mails.kept(message)

    async def captured(self, *, after: str, since: datetime | None, limit: int) -> Sequence[Captured]:
        """Captured mails, oldest first."""
        return await self._mails.after(after, since, limit)

    async def latest(self, *, before: str, limit: int) -> Sequence[Captured]:
        """Captured mails, newest first."""
        return await self._mails.latest(before, limit)

    async def captured_one(self, message: str) -> Captured | None:
        """One captured mail."""
        return await self._mails.one(message)

    async def forget_captured(self) -> int:
        """Delete all captured mail."""
        return await self._mails.forget()

    # ------------------------------------------------------------------------------------ blobs, shared values

    async def put(self, name: str, content: bytes) -> bool:
        """Write a blob once."""
        return await self._blobs.put(f"{NAMED}{rows.safe(name)}", content)

    async def fetch(self, name: str) -> bytes | None:
        """Read a blob."""
        return await self._blobs.get(f"{NAMED}{rows.safe(name)}")

    async def read(self, key: str) -> tuple[bytes, str] | None:
        """Read a shared value."""
        return await self._shared.read(key)

    async def write(self, key: str, value: bytes, version: str | None) -> bool:
        """Write a shared value if its version is still this one."""
        return await self._shared.write(key, value, version)

    async def remove(self, key: str, version: str) -> bool:
        """Delete a shared value if its version is still this one."""
        return await self._shared.remove(key, version)

    async def scan(self, prefix: str, after: str, limit: int) -> Sequence[Value]:
        """Shared values whose key begins so, in the order of their keys."""
        return await self._shared.scan(prefix, after, limit)

    async def usage(self) -> Usage:
        """What is open. How much an account holds is a metric of Azure's own, which comes once a day."""
        return Usage(await self._messages.open_by_source())

    async def purge(self, *, bodies: datetime, ledger: datetime, captured: datetime) -> int:
        """Delete what is too old, a transaction at a time."""
        return (
            await self._retention.ledger(ledger)
            + await self._retention.bodies(bodies)
            + await self._retention.named(ledger)
            + await self._mails.forget(captured)
        )

    # -------------------------------------------------------------------------------- the account beside the ledger

    async def blob_size(self, container: str, name: str) -> int | None:
        """How many bytes a blob of the account has."""
        return await Blobs(self._rest, container).size(name)

    async def blob(self, container: str, name: str, most: int) -> bytes | None:
        """A blob of the account, or its beginning."""
        return await Blobs(self._rest, container).beginning(name, most)

    async def take(self, queue: str, most: int, hidden: timedelta) -> Sequence[Taken]:
        """Some messages of any queue, out of others' sight for a while."""
        return await self._queues.take(queue, most, round(hidden.total_seconds()))

    async def done(self, queue: str, taken: Taken) -> None:
        """A message that was dealt with goes."""
        await self._queues.delete(queue, taken)

    async def put_back(self, queue: str, text: str, delay: timedelta) -> None:
        """A message that is seen after a while."""
        await self._queues.put(queue, text, math.ceil(delay.total_seconds()))

    async def queue_length(self, queue: str) -> int:
        """About how many messages a queue holds: what an operator wants to know of the poison queues."""
        return await self._queues.length(queue)
