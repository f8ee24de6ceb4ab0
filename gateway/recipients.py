"""What became of a message at each address: a provider's reports come in, recipients' states and the message's go out.

Pure functions that every store uses. A state is the least of all reports on an address in one total order, so neither
the order of the reports nor their repetition changes it. States are kept by operation id: what is said about a
submission that an operator has replaced no longer counts for the message.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from pydantic import TypeAdapter

from gateway.address import Address
from gateway.ledger import RecipientState, Report
from gateway.message import WORST_FIRST, Status

Heard = Mapping[str, tuple[RecipientState, ...]]
"""Recipients' states by operation id, each in the order of its addresses."""

LISTENING = frozenset({Status.SENT, Status.DELIVERED, Status.BOUNCED, Status.SUPPRESSED, Status.UNKNOWN})
"""Where a report decides the status: the provider has the message, or may have it.

An open message is decided when it settles. `failed` is the worst word already, and captured, cancelled, skipped and
grouped were our own decisions.
"""

_HEARD: TypeAdapter[dict[str, tuple[RecipientState, ...]]] = TypeAdapter(dict[str, tuple[RecipientState, ...]])


def reported_on(transport: str) -> bool:
    """Whether a provider may report on what this transport sends, so that its operation ids must be found again."""
    return transport != "capture"


def folded(email: str) -> str:
    """An address as reports are kept by: providers change its case."""
    return email.strip().lower()


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


def word_of(heard: Heard, operation: str, email: str) -> Status | None:
    """What is known of one address in one submission."""
    key = folded(email)
    return next((state.status for state in heard.get(operation.lower(), ()) if state.email == key), None)


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


def others(cc: Iterable[Address], bcc: Iterable[Address]) -> tuple[str, ...]:
    """The addresses beside `to`, as a row keeps them."""
    return tuple(dict.fromkeys(folded(address.email) for address in (*cc, *bcc)))


def _order(state: RecipientState) -> tuple[int, datetime, str, str]:
    """Worst first; among equal words the oldest."""
    return WORST_FIRST.index(state.status), state.at, state.reason, state.email
