"""Every exception the gateway raises on purpose; nothing comes in, decisions go out.

    GatewayError
    ├── ConfigurationError      the configuration cannot be used; carries every Problem found
    ├── Rejected                a caller gets a problem+json answer: status, code, detail, fields
    ├── ClaimLost               another worker has the message now: stop at once
    ├── StoreUnavailable        nothing could be made durable: 503, the caller must try again
    │   └── Full                a bound is reached: the same, and it may take a while
    └── TransportError          one provider call did not end in "yes"; carries the decision

A TransportError's `outcome` is the whole truth about what may have happened at the provider:

    no      certainly not accepted (429, a first-attempt 4xx, could not connect)
    maybe   everything else: never submit again before `reconcile`
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

MOST_FAULTS = 50
"""Failing fields that one refusal names; who has more mends these first."""


class GatewayError(Exception):
    """Root of the tree above."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a file: where it is (1-based line, 0 unknown), what is wrong and what to write instead."""

    file: str
    line: int
    field: str
    message: str

    def __str__(self) -> str:
        """`gateway.yaml:12: sources.crm.allow: …`, the form editors jump to."""
        return f"{self.file}:{self.line}: {self.field}: {self.message}"


class ConfigurationError(GatewayError):
    """The configuration cannot be used; `problems` holds every mistake, not only the first."""

    def __init__(self, problems: list[Problem]) -> None:
        """`problems` must not be empty."""
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class Rejected(GatewayError):
    """The caller's request is refused: HTTP `status`, a stable `code`, a sentence, and the failing fields."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        fields: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        """`fields` maps a dotted field path to what is wrong with it; `headers` go out with the answer."""
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.fields = dict(islice(fields.items(), MOST_FAULTS)) if fields else {}
        self.headers = headers or {}


class StoreUnavailable(GatewayError):
    """The store could not make the message durable; nothing was accepted."""


class Full(StoreUnavailable):
    """There is no room for more, so nothing was accepted; `code` says which bound is reached."""

    def __init__(self, code: str) -> None:
        """`code` is source_full or store_full."""
        super().__init__(code)
        self.code = code


class NoRoom(GatewayError):
    """There was no room in the memory budget in time; nothing was done, and it may be tried again in a moment."""


class ClaimLost(GatewayError):
    """The claim on a message has gone to another worker; whatever was about to be done must not be done."""


class Outcome(StrEnum):
    """What one provider call may have done when it did not answer yes."""

    NO = "no"
    """Certainly not accepted: it may be submitted again."""
    MAYBE = "maybe"
    """It may have been accepted: ask the provider before anything else."""


class Reason(StrEnum):
    """Why a provider call failed; the same word is the log's, the ledger's and the metric's."""

    THROTTLED = "throttled"
    """The provider refused for its quota (429)."""
    UNREACHABLE = "unreachable"
    """No connection was made."""
    UNAUTHORIZED = "unauthorized"
    """The provider refused our credentials (401)."""
    REFUSED = "refused"
    """The provider refused this message (other 4xx)."""
    PROVIDER_ERROR = "provider_error"
    """The provider answered with a fault of its own (5xx)."""
    CONNECTION_LOST = "connection_lost"
    """The connection ended, or a time-out struck, after the request may have left."""
    NO_CREDENTIAL = "no_credential"
    """No token could be obtained, so nothing was sent."""
    CRASHED = "crashed"
    """The worker that held the message ended without settling it."""
    NOT_FOUND = "not_found"
    """The provider does not know the submission, so it was never accepted."""
    PENDING = "pending"
    """The provider was told to send it, and nothing shows yet whether it did."""
    PACED = "paced"
    """Its turn has not come: the account's quota, or the provider's "not before"."""
    SUPPRESSED = "suppressed"
    """Every recipient is on the suppression list."""
    DROPPED = "dropped"
    """The provider accepted the message and later said that it failed."""
    UNKNOWN_OUTCOME = "unknown_outcome"
    """What happened cannot be found out any more."""
    BUG = "bug"
    """An error of ours; the log has its traceback."""


class TransportError(GatewayError):
    """One provider call did not end in yes.

    `permanent`: the same message will be refused again. `retry_after`: seconds the provider asked to wait.
    `answered`: a complete answer came, so nothing of the request is still on its way.
    `code` is the provider's own word, `detail` a sentence for people without addresses or content.
    """

    def __init__(
        self,
        outcome: Outcome,
        reason: Reason,
        *,
        permanent: bool = False,
        retry_after: float | None = None,
        answered: bool = False,
        code: str = "",
        detail: str = "",
    ) -> None:
        """All facts the retry decision needs."""
        super().__init__(f"{reason}{f' ({code})' if code else ''}{f': {detail}' if detail else ''}")
        self.outcome = outcome
        self.reason = reason
        self.permanent = permanent
        self.retry_after = retry_after
        self.answered = answered
        self.code = code
        self.detail = detail
