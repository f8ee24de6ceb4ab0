"""Microsoft Graph: a Message comes in, Graph's 202 or a TransportError goes out; by draft, or directly.

`draft` (Mail.ReadWrite and Mail.Send) never sends twice and nearly always knows: see graph_draft.py.

`direct` (Mail.Send alone) is one `sendMail`, which has no key to tell a repetition by: it is called at most once, and
when its answer is lost nobody can be asked. Then the message is parked as `unknown`, or, where the sender says
`on_unknown: resend`, sent again, up to ten times. It goes as MIME when there are both text and html, or headers that
JSON cannot carry, and as JSON when the MIME would exceed 4 MB or the mail must not be kept in Sent Items.

    answer to sendMail, send      meaning
    202                           accepted, whatever Retry-After says
    401, 429                      no; later
    other 4xx                     no, for good (a few pass: see graph_client.py)
    408, 5xx, anything else       maybe

An application may have four requests under way in one mailbox. One that finds no slot within five seconds is `no`,
`throttled`: the wait is shorter than what being deferred would cost, and keeps the order.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from gateway.errors import Outcome, Reason, TransportError
from gateway.message import DEADLINES, Fence, Message, NotFound, Receipt, Status
from gateway.transports.graph_client import Account, box, maybe, recast, refusal
from gateway.transports.graph_draft import PREPARING, Draft
from gateway.transports.graph_payload import Options, submission

RESENDS = 10
"""How often `on_unknown: resend` sends again; over about two hours, as the waits grow."""


@dataclass
class Graph:
    """One sender's way through its mailbox; keeps `gateway.message.Transport`."""

    account: Account
    options: Options = field(default_factory=Options)
    deadline: float = DEADLINES["graph"]

    async def send(self, message: Message, attempt: int, fence: Fence) -> Receipt:
        """Submit once: the message itself, or the draft the fence has recorded."""
        mailbox = self._mailbox(message)
        try:
            async with asyncio.timeout(self.deadline), self.account.slot(mailbox):
                if self._by_draft(fence):
                    return await self._draft(message, fence).send(attempt, self.deadline * PREPARING)
                return await self._direct(message, fence)
        except TimeoutError as error:
            raise maybe(Reason.CONNECTION_LOST, "no answer before the deadline") from error

    async def reconcile(self, message: Message, fence: Fence) -> Receipt | NotFound:
        """Look for the sent copy; after a direct submission there is nobody to ask."""
        if not self._by_draft(fence):
            return await self._unanswered(fence)
        try:
            async with asyncio.timeout(self.deadline), self.account.slot(self._mailbox(message)):
                return await self._draft(message, fence).reconcile()
        except TimeoutError as error:
            raise maybe(Reason.CONNECTION_LOST, "no answer before the deadline") from error
        except TransportError as error:
            if error.outcome is Outcome.MAYBE and (not error.permanent or error.reason is Reason.UNKNOWN_OUTCOME):
                raise
            raise recast(error, Outcome.MAYBE) from error

    async def close(self) -> None:
        """Let go of this event loop's connections; other senders of the account make new ones."""
        await self.account.close()

    def _by_draft(self, fence: Fence) -> bool:
        """What was begun in one mode is ended in it, though the sender's mode was changed meanwhile."""
        if "submitted_at" in fence.facts:
            return False
        return self.options.mode == "draft" or "draft" in fence.facts

    def _mailbox(self, message: Message) -> str:
        return self.options.mailbox or message.from_.email

    def _draft(self, message: Message, fence: Fence) -> Draft:
        return Draft(self.account, self._mailbox(message), message, fence, strict=self.options.on_unknown == "park")

    # ------------------------------------------------------------------------------------------------------ directly

    async def _direct(self, message: Message, fence: Fence) -> Receipt:
        body = _body(message, self.options, self.account)
        await fence.record(submitted_at=self.account.clock().isoformat())
        answer = await self.account.call("POST", f"{box(self._mailbox(message))}/sendMail", body)
        if answer.status == 202:
            return Receipt(status=Status.SENT, provider_id=message.operation_id)
        error = refusal(answer)
        if error.permanent and fence.facts.get("resent"):
            # Refused this time; an earlier one may have gone out.
            raise _parked("refused when it was sent again") from error
        raise error

    async def _unanswered(self, fence: Fence) -> NotFound:
        """Nothing left before the fence said so; afterwards it is the sender's choice."""
        if "submitted_at" not in fence.facts:
            return NotFound()
        again = int(fence.facts.get("resent", "0")) + 1
        if self.options.on_unknown != "resend" or again > RESENDS:
            raise _parked("a direct submission cannot be asked about")
        await fence.record(resent=str(again))
        return NotFound()


def _body(message: Message, options: Options, account: Account) -> object:
    try:
        return submission(message, options, account.cloud)
    except TransportError:
        raise
    except Exception as error:
        detail = f"an error of ours ({type(error).__name__})"
        raise TransportError(Outcome.NO, Reason.BUG, permanent=True, detail=detail) from error


def _parked(detail: str) -> TransportError:
    return TransportError(Outcome.MAYBE, Reason.UNKNOWN_OUTCOME, permanent=True, detail=detail)
