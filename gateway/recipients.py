"""What became of a message at each address: a provider's reports come in, recipients' states and the message's go out.

Pure functions that every store uses. A state is the least of all reports on an address in one total order, so neither
the order of the reports nor their repetition changes it. States are kept by operation id: what is said about a
submission that an operator has replaced no longer counts for the message.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from pydantic import TypeAdapter

from gateway.address import Address, folded
from gateway.ledger import Claim, MessageState, RecipientState, Report, Settlement
from gateway.message import WORST_FIRST, Status

Heard = Mapping[str, tuple[RecipientState, ...]]
"""Recipients' states by operation id, each in the order of its addresses."""

LISTENING = frozenset({Status.SENT, Status.DELIVERED, Status.BOUNCED, Status.SUPPRESSED, Status.UNKNOWN})
"""Where a report decides the status: the provider has the message, or may have it.

An open message is decided when it settles. What failed before the provider took it stays failed; captured, cancelled,
skipped and grouped were our own decisions.
"""

_PROOFS = frozenset({Status.DELIVERED, Status.BOUNCED, Status.FAILED})

_HEARD: TypeAdapter[dict[str, tuple[RecipientState, ...]]] = TypeAdapter(dict[str, tuple[RecipientState, ...]])


def reported_on(transport: str) -> bool:
    """Whether a provider may report on what this transport sends, so that its operation ids must be found again."""
    return transport != "capture"


def loaded(text: str | bytes) -> Heard:
    """What `dumped` was given; nothing stands for nothing."""
    return _HEARD.validate_json(text) if text else {}


def dumped(heard: Heard) -> bytes:
    """As JSON."""
    return _HEARD.dump_json(dict(heard), exclude_defaults=True)


def listened(heard: Heard, report: Report) -> Heard | None:
    """With this report; None when it says nothing new."""
    operation, email = report.operation.lower(), folded(report.recipient)
    states = {state.email: state for state in heard.get(operation, ())}
    new = RecipientState(email=email, status=report.status, reason=report.reason, at=report.at)
    states[email] = min(new, states.get(email, new), key=_order)
    after = tuple(states[key] for key in sorted(states))
    return None if after == heard.get(operation) else {**heard, operation: after}


def concerns(report: Report, emails: Iterable[str]) -> bool:
    """Whether a report speaks of somebody whom the message was for: anybody else's state is none of its business."""
    return folded(report.recipient) in map(folded, emails)


def combined(recipients: Iterable[str], states: Sequence[RecipientState]) -> tuple[Status, str]:
    """The worst of the recipients' states and its reason; who was not reported on counts as sent."""
    waiting = {folded(email) for email in recipients} - {state.email for state in states}
    worst = min(states, key=_order, default=None)
    if worst is None or (waiting and WORST_FIRST.index(Status.SENT) < WORST_FIRST.index(worst.status)):
        return Status.SENT, ""
    return worst.status, worst.reason


def standing(
    status: Status, reason: str, recipients: Iterable[str], states: Sequence[RecipientState]
) -> tuple[Status, str]:
    """A message's status and reason, when it would stand at `status` and these reports are there."""
    return combined(recipients, states) if states and status in LISTENING else (status, reason)


class News(NamedTuple):
    """What a report changes: what is known of the recipients, the message's status and why, and a word for its history.

    The word is "" when the recipient's status stays what it was.
    """

    heard: Heard
    status: Status
    reason: str
    word: str


def news(report: Report, heard: Heard, operation: str, message: MessageState, more: Iterable[str]) -> News | None:
    """What a report changes for a message whose current submission is `operation`; None: nothing.

    `more` are the message's recipients beside `to`.
    """
    after = listened(heard, report)
    if after is None:
        return None
    told, email = report.operation.lower(), folded(report.recipient)
    before, now = ({state.email: state.status for state in each.get(told, ())}.get(email) for each in (heard, after))
    addresses = (*(address.email for address in message.to), *more)
    status, reason = message.status, message.reason
    states = after.get(operation, ())
    if states and (status in LISTENING or (status, reason) == combined(addresses, heard.get(operation, ()))):
        status, reason = combined(addresses, states)
    return News(after, status, reason, "" if before == now else report.status.value)


def proven(heard: Heard, operation: str) -> bool:
    """Whether a report says that the provider took this submission; `suppressed` may be our own word."""
    return any(state.status in _PROOFS for state in heard.get(operation.lower(), ()))


def in_doubt(claim: Claim, word: Settlement, status: Status) -> bool:
    """Whether an attempt may have been accepted without our knowing, after this settlement that led to `status`."""
    if status != word.status:  # reports prove that it was accepted
        return False
    return claim.unresolved if word.untried else word.unresolved


def others(cc: Iterable[Address], bcc: Iterable[Address]) -> tuple[str, ...]:
    """The recipients beside `to`, as a row keeps them."""
    return tuple(dict.fromkeys(folded(address.email) for address in (*cc, *bcc)))


def _order(state: RecipientState) -> tuple[int, datetime, str, str]:
    """Worst first; among equal words the oldest."""
    return WORST_FIRST.index(state.status), state.at, state.reason, state.email
