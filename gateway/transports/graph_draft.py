"""A mail by draft: a Message and its claim's fence come in, a Receipt, NotFound or a TransportError goes out.

    1  create a draft that is tagged with the operation id        nothing of this can be seen by anybody,
    2  record its id under the claim (compare-and-set)            so every trouble here is a certain no
    3  add the attachments that were too large for 1
    4  record that it is about to be sent
    5  send it: 202 is a yes, 429 a no, and after anything else it is looked for

Only the recorded draft is ever sent. So two workers, or one that stood still for an hour, send the same draft, and not
two. Whether its id survives the sending is said differently in different places; a sent copy is found by the tag, or by
the Message-ID. The copy appears within seconds to minutes (outlook-things-to-know-about-send-mail.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import quote, urlencode

from gateway.errors import ClaimLost, Outcome, Reason, TransportError
from gateway.message import Fence, Message, NotFound, Receipt, Status
from gateway.mime import message_id
from gateway.transports.graph_client import Account, Answer, box, maybe, recast, refusal
from gateway.transports.graph_files import Files
from gateway.transports.graph_payload import TAG, draft

SETTLE = timedelta(minutes=5)
"""How long a draft may stay where it is after `send` without that meaning anything."""

VISIBLE = timedelta(minutes=10)
"""How long a sent copy may be nowhere to be found without that meaning anything."""

LOOK_AGAIN = 60.0
"""Seconds between two looks while it is too early to tell."""

PREPARING = 2 / 3
"""The part of the deadline for everything before `send`, so that the rest is enough for that."""

_IMMUTABLE = {"Prefer": 'IdType="ImmutableId"'}
"""A draft that somebody moves to another folder keeps its id."""


class Copy(NamedTuple):
    """One message of the mailbox that has our tag or Message-ID."""

    id: str
    draft: bool


@dataclass(frozen=True, slots=True)
class Draft:
    """One message's way through one mailbox; `strict`: a draft that was told to go is never told again."""

    account: Account
    mailbox: str
    message: Message
    fence: Fence
    strict: bool = False
    _made: list[str] = field(default_factory=list)

    # ----------------------------------------------------------------------------------------------------- sending

    async def send(self, attempt: int, patience: float) -> Receipt:
        """Steps 1 to 5, or what is left of them; `patience`: seconds for all that comes before the sending."""
        told = self._told
        with self._nothing_is_sent_by_this():
            async with asyncio.timeout(patience):
                ready = await self._ready(attempt)
                if isinstance(ready, Receipt):
                    return ready
                if not self._made or not self._told:
                    await self.fence.record(**self._issue())
        answer = await self._call("POST", f"{self._place(ready)}/send")
        if answer.status == 202:
            return self._receipt()
        raise await self._not_taken(answer, ready, told=told is not None)

    async def _ready(self, attempt: int) -> str | Receipt:
        """The recorded draft with everything in it, or that it went out long ago."""
        return await self._found(attempt) or await self._create()

    async def _found(self, attempt: int) -> str | Receipt | None:
        """What an earlier try left; None when there is nothing."""
        recorded = self.fence.facts.get("draft", "")
        if recorded and not self._told:
            return await self._completed(recorded)
        copies = await self._look() if attempt > 1 or recorded else []
        if any(not copy.draft for copy in copies):
            return self._receipt()
        if not recorded:
            return await self._adopt([copy.id for copy in copies]) if copies else None
        if not any(copy.id == recorded for copy in copies):
            raise maybe(Reason.PENDING, "the draft is gone and no sent copy shows")
        return recorded

    async def _completed(self, recorded: str) -> str | None:
        """The recorded draft with all its attachments; None when somebody deleted it before it was ever sent."""
        _, rest = draft(self.message, self.account.cloud)
        try:
            if rest:
                files = self._files(recorded)
                await files.add(await files.missing(rest))
        except TransportError as error:
            if error.code != "ErrorItemNotFound":
                raise
            await self.fence.record(draft="", upload="")
            return None
        return recorded

    async def _adopt(self, drafts: list[str]) -> str | None:
        """The oldest of the drafts that lost answers left; the others go, which nobody can ever send."""
        oldest, *others = drafts
        await self.fence.record(draft=oldest)
        for other in others:
            await self._discard(other)
        return await self._completed(oldest)

    async def _create(self) -> str:
        body, rest = draft(self.message, self.account.cloud)
        answer = await self._call("POST", f"{self._box}/messages", body)
        created = answer.text("id")
        if answer.status != 201 or not created:
            raise refusal(answer)
        self._made.append(created)
        try:
            # Nothing to add: steps 2 and 4 are one write.
            await self.fence.record(draft=created, upload="", **({} if rest else self._issue()))
        except ClaimLost:
            # The recorded draft is another worker's; nobody would ever send this one.
            await self._discard(created)
            raise
        await self._files(created).add(rest)
        return created

    async def _not_taken(self, answer: Answer, sent: str, *, told: bool) -> TransportError:
        """A refusal counts when this was the first `send`; after an earlier one it may only mean that it worked."""
        error = refusal(answer)
        if not error.permanent:
            return error
        if answer.status == 404 or told:
            return recast(error, Outcome.MAYBE)
        await self._discard(sent)
        return error

    # ------------------------------------------------------------------------------------------------------ asking

    async def reconcile(self) -> Receipt | NotFound:
        """Whether it went out; without "send" in the recorded facts it cannot have."""
        told = self._told
        if told is None:
            return NotFound()
        copies = await self._look()
        if any(not copy.draft for copy in copies):
            return self._receipt()
        still = any(copy.id == self.fence.facts.get("draft") for copy in copies)
        self._too_early(told + (SETTLE if still else VISIBLE))
        if still and not self.strict:
            return NotFound()
        detail = "it is still a draft" if still else "neither the draft nor a sent copy is there"
        raise TransportError(Outcome.MAYBE, Reason.UNKNOWN_OUTCOME, permanent=True, answered=True, detail=detail)

    def _too_early(self, until: datetime) -> None:
        left = (until - self.account.clock()).total_seconds()
        if left > 0:
            wait = min(left, LOOK_AGAIN)
            raise TransportError(
                Outcome.MAYBE, Reason.PENDING, retry_after=wait, answered=True, detail="no sent copy shows yet"
            )

    async def _look(self) -> list[Copy]:
        """Every copy with our tag in any folder, oldest first; by Message-ID where the tag tells nothing."""
        tagged = (
            f"singleValueExtendedProperties/Any(ep: ep/id eq '{TAG}' and ep/value eq '{self.message.operation_id}')"
        )
        copies = await self._search(tagged)
        if any(not copy.draft or copy.id == self.fence.facts.get("draft") for copy in copies):
            return copies
        more = await self._search(f"internetMessageId eq '{message_id(self.message)}'")
        # The same one is often found both ways, and a second draft would be deleted.
        return list(dict.fromkeys([*copies, *more]))

    async def _search(self, condition: str) -> list[Copy]:
        query = urlencode({"$filter": condition, "$select": "id,isDraft,createdDateTime"}, safe="$", quote_via=quote)
        answer = await self._call("GET", f"{self._box}/messages?{query}")
        if answer.status != 200:
            raise refusal(answer)
        found = [one for one in answer.items("value") if isinstance(one, dict)]
        found.sort(key=lambda one: str(one.get("createdDateTime")))
        return [Copy(str(one.get("id")), one.get("isDraft") is True) for one in found]

    # ------------------------------------------------------------------------------------------------------- parts

    @property
    def _told(self) -> datetime | None:
        """When the recorded draft was last told to go; None: never."""
        facts = self.fence.facts
        return datetime.fromisoformat(facts["issued_at"]) if facts.get("send_issued") else None

    def _issue(self) -> dict[str, str]:
        return {"send_issued": "true", "issued_at": self.account.clock().astimezone(UTC).isoformat()}

    @contextmanager
    def _nothing_is_sent_by_this(self) -> Iterator[None]:
        """Trouble before `send` is a certain no, unless an earlier `send` may still count."""
        outcome = Outcome.NO if self._told is None else Outcome.MAYBE
        try:
            yield
        except TransportError as error:
            if error.outcome is outcome:
                raise
            raise recast(error, outcome) from error
        except TimeoutError as error:
            detail = "the draft was not ready before the deadline"
            raise TransportError(outcome, Reason.CONNECTION_LOST, detail=detail) from error

    async def _discard(self, unwanted: str) -> None:
        """Delete a draft that will never be sent, if it can be done now."""
        try:
            await self._call("DELETE", self._place(unwanted))
        except TransportError:
            return

    def _receipt(self) -> Receipt:
        return Receipt(status=Status.SENT, provider_id=self.message.operation_id)

    def _files(self, identity: str) -> Files:
        return Files(self.account, self._place(identity), self.message, self.fence)

    @property
    def _box(self) -> str:
        return box(self.mailbox)

    def _place(self, identity: str) -> str:
        return f"{self._box}/messages/{quote(identity, safe='')}"

    async def _call(self, method: str, path: str, body: object = None) -> Answer:
        return await self.account.call(method, path, body, _IMMUTABLE)
