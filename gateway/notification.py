"""Notification: the one normalised model every payload becomes.

Comes in: what a source module understood of a payload. Goes out: a frozen value that routing matches and rendering
shows. Nothing in it is trusted: every string may be hostile, templates escape it, headers never carry it unchecked.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import AwareDatetime

from gateway.address import Address, Model, seen
from gateway.message import Attachment, Priority


class State(StrEnum):
    """What the notification says of its subject."""

    FIRING = "firing"
    """Something is wrong now."""
    RESOLVED = "resolved"
    """It is over."""
    ACKNOWLEDGED = "acknowledged"
    """Somebody is on it."""
    INFO = "info"
    """Nothing is wrong: a form, a report, a message."""


class Severity(StrEnum):
    """How bad, on one scale for every tool."""

    CRITICAL = "critical"
    """Someone is woken."""
    ERROR = "error"
    """Something failed."""
    WARNING = "warning"
    """Something may fail."""
    INFO = "info"
    """For the record."""


_WORDS = {
    Severity.CRITICAL: "critical crit emergency emerg fatal page disaster p1 sev0 sev1",
    Severity.ERROR: "error err major high severe p2 sev2",
    Severity.WARNING: "warning warn minor medium average p3 sev3",
    Severity.INFO: "info information informational notice low none ok debug p4 p5 sev4",
}
SEVERITY_WORDS = {word: severity for severity, words in _WORDS.items() for word in words.split()}
"""What tools call their severities, in lower case."""

_ORDER = {severity: index for index, severity in enumerate(Severity)}


def severity_of(word: str, default: Severity = Severity.WARNING) -> Severity:
    """A tool's own word on our scale; an unknown word is `default`, since nobody may miss it."""
    return SEVERITY_WORDS.get(word.strip().lower(), default)


def worst(severities: list[Severity]) -> Severity:
    """The gravest of several; info when there is none."""
    return min(severities, key=_ORDER.__getitem__, default=Severity.INFO)


_SQUARE = (
    "[]\uff3b\uff3d\u3010\u3011\u3014\u3015\u3016\u3017\u301a\u301b\u2045\u2046\u27e6\u27e7\u298b\u298c\u2772\u2773"
)


def unbracketed(text: str) -> str:
    """A visitor's words for a subject: square brackets, also those of other scripts, become round.

    `[CRITICAL] …` is how our alerts begin, `[contact] …` how a visitor's words do. Nor does an encoded word (RFC 2047)
    stay one, which a mail program would show as whatever is in it.
    """
    text = seen(text).replace("=?", "= ?")
    for number, bracket in enumerate(_SQUARE):
        text = text.replace(bracket, "()"[number % 2])  # `translate` takes ten times as long on a long text
    return text


def untitled(source: str) -> str:
    """What a form is called whose visitor gave it no title."""
    return f"New message from {source}"


class Pair(Model):
    """A labelled value, in the order its author gave: a form field, an alert's label."""

    name: str
    value: str


class Link(Model):
    """A labelled address on the web: dashboard, runbook, silence. Only http and https."""

    label: str
    url: str


class Item(Model):
    """One alert of a group."""

    title: str
    text: str = ""
    state: State = State.FIRING
    severity: Severity = Severity.WARNING
    severity_word: str = ""
    starts: AwareDatetime | None = None
    ends: AwareDatetime | None = None
    labels: dict[str, str] = {}
    fields: tuple[Pair, ...] = ()
    links: tuple[Link, ...] = ()


class Envelope(Model):
    """What a native caller wrote himself about the mail; `None` and empty mean: the route decides."""

    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    html: str = ""
    template: str | None = None
    data: dict[str, Any] = {}
    headers: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    priority: Priority | None = None
    send_at: AwareDatetime | None = None
    dry_run: bool = False


class Notification(Model):
    """One thing somebody wants to tell.

    `title` names it, `text` says more. `subject` is the caller's whole subject line, used as it is. `key` recognises
    a re-delivery of the same event (None: cannot be told from a recurrence), `thread` binds firing and resolved.
    `labels` are what routes match, `fields` what the mail shows in this order. `more` counts items left out by the
    tool. `unmapped`: promise 3 had to help, the payload is shown as it came.
    """

    source: str
    kind: str
    title: str
    text: str = ""
    subject: str = ""
    state: State = State.INFO
    severity: Severity = Severity.INFO
    severity_word: str = ""
    key: str | None = None
    thread: str | None = None
    starts: AwareDatetime | None = None
    ends: AwareDatetime | None = None
    labels: dict[str, str] = {}
    fields: tuple[Pair, ...] = ()
    links: tuple[Link, ...] = ()
    items: tuple[Item, ...] = ()
    more: int = 0
    attachments: tuple[Attachment, ...] = ()
    reply_to: tuple[Address, ...] = ()
    envelope: Envelope | None = None
    unmapped: bool = False
