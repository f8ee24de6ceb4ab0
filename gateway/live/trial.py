"""What every live check uses: a provider, two addresses, a clock come in; what was seen goes out, to be judged later.

How many mails arrived only the owner of the mailbox can say, and some seconds later. So a check first acts, and its
verdict is a function of that number.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.doctor.finding import Finding, failed, passed, untold
from gateway.doctor.probe import Answer, Probe

Judge = Callable[[int | None], Finding]

GUARANTEES = "docs/delivery-guarantees.md says what follows from it"


@dataclass(frozen=True)
class Seen:
    """One thing that was tried. `subject`: the mails to count for it, "" where no mail decides."""

    judge: Judge
    subject: str = ""


@dataclass(frozen=True)
class Trial:
    """One provider under trial; `mark` is in every subject, so that nobody takes the mails for real ones.

    `operations` are ids that the provider has accepted, for the checks that only ask.
    """

    probe: Probe
    sender: str
    to: str
    mark: str
    pause: Callable[[float], Awaitable[None]]
    long: bool = False
    at_once: int = 20
    failing: str = ""
    operations: list[str] = field(default_factory=list)

    def subject(self, what: str) -> str:
        """`verify-live 3f2a repeat`."""
        return f"verify-live {self.mark} {what}"

    @property
    def domain(self) -> str:
        """The sender's."""
        return self.sender.rpartition("@")[2]


def told(finding: Finding) -> Seen:
    """What needs no count."""
    return Seen(lambda _: finding)


def refused(name: str, answer: Answer) -> Seen:
    """The first call already went wrong, so nothing follows."""
    return told(untold(name, f"not even the first was accepted: {answer}", "run `python -m gateway doctor`"))


def once(name: str, what: str, subject: str) -> Seen:
    """Right when exactly one mail came."""

    def judge(count: int | None) -> Finding:
        if count is None:
            return untold(name, what, f"count the mails with the subject `{subject}`: one is right")
        if count == 1:
            return passed(name, f"{what}; one mail came")
        if count == 0:
            return untold(name, f"{what}; no mail came", "look into the junk folder, wait, and count again")
        return failed(name, f"{what}; {count} mails came", GUARANTEES)

    return Seen(judge, subject)


def never(name: str, what: str, subject: str) -> Seen:
    """Right when no such mail came."""

    def judge(count: int | None) -> Finding:
        if count is None:
            return untold(name, what, f"count the mails with the subject `{subject}`: none is right")
        return passed(name, f"{what}; it did not come") if not count else failed(name, f"{what}; it came", GUARANTEES)

    return Seen(judge, subject)


def listed(answers: Mapping[str, Answer]) -> str:
    """`first 202, after 1 s 400 Conflict`."""
    return ", ".join(f"{when} {answer}" for when, answer in answers.items())


def field_of(answer: Answer, name: str) -> Any:
    """A field of a JSON object, None when there is neither."""
    body = answer.json
    return body.get(name) if isinstance(body, dict) else None
