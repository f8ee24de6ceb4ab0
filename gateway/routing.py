"""Which notification goes to whom: a Notification and its source's name come in, one Target for each mail goes out.

A source's routes are tried in order and the first that matches wins, unless it says `continue`. Who a caller named
himself is checked here, on the final list, against the source's `allow`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain

from gateway.address import Address, folded
from gateway.config import Config, Route, Source
from gateway.errors import Rejected
from gateway.expressions import compiled, written
from gateway.message import Priority, Target
from gateway.notification import Envelope, Notification, Severity, State

__all__ = ["Router", "Target"]

_Test = Callable[[Notification], bool]
_Read = Callable[[Notification], Iterable[str]]
_NOBODY_NAMED = Envelope()
_URGENT = {Severity.CRITICAL, Severity.ERROR}


class Router:
    """Every source's routes, with matchers compiled and addresses looked up once."""

    def __init__(self, config: Config) -> None:
        """`config` has been checked: names in it exist."""
        self._sources = {name: _Source.compiled(source, config) for name, source in config.sources.items()}

    def targets(self, source: str, notification: Notification) -> list[Target]:
        """One Target for each mail; Rejected when a caller named somebody it may not, or there is nobody to tell."""
        compiled = self._sources[source]
        named = notification.envelope or _NOBODY_NAMED
        _check_allowed(source, compiled.allow, named)
        targets: list[Target] = []
        for rule in compiled.rules:
            if all(test(notification) for test in rule.tests):
                # A caller's own recipients get one mail, however many routes go on to the next one.
                target = rule.target(notification, named if not targets else _without_recipients(named))
                if target.to:
                    targets.append(target)
                if not rule.goes_on:
                    break
        if not targets:
            raise Rejected(
                422,
                "no_recipient",
                "Nobody would get this notification.",
                fields={"to": "is missing; name at least one recipient (cc or bcc alone is not enough)"},
            )
        return targets


@dataclass(frozen=True, slots=True)
class _Rule:
    """One route as it runs."""

    number: int
    tests: tuple[_Test, ...]
    sender: str
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    look: str | None
    language: str
    priority: Priority | None
    speaks_of_state: bool
    goes_on: bool

    def target(self, notification: Notification, named: Envelope) -> Target:
        """This route for a caller who named these; copies that the configuration wants are always made."""
        to, cc, bcc = _each_once(named.to or self.to, named.cc + self.cc, named.bcc)
        return Target(
            route=self.number,
            sender=self.sender,
            to=to,
            cc=cc,
            bcc=bcc,
            look=named.template or self.look,
            language=self.language,
            priority=named.priority or self._priority_of(notification),
        )

    def _priority_of(self, notification: Notification) -> Priority:
        """What the route says, for what is over only where it matches on the state; else grave alerts are urgent."""
        if notification.state is State.RESOLVED and not self.speaks_of_state:
            return Priority.NORMAL
        firing = notification.state is State.FIRING and notification.severity in _URGENT
        return self.priority or (Priority.HIGH if firing else Priority.NORMAL)


@dataclass(frozen=True, slots=True)
class _Source:
    """One source as it runs; `allow` is None where anyone may be named."""

    rules: tuple[_Rule, ...]
    allow: re.Pattern[str] | None

    @classmethod
    def compiled(cls, source: Source, config: Config) -> _Source:
        """The source itself stands behind its routes, so that nothing can fall through them."""
        routes = source.routes if source.routes and not source.routes[-1].match else (*source.routes, Route())
        return cls(
            rules=tuple(_rule(number, route, source, config) for number, route in enumerate(routes)),
            allow=None if "*" in source.allow else _allow_pattern(source.allow),
        )


def _rule(number: int, route: Route, source: Source, config: Config) -> _Rule:
    return _Rule(
        number=number,
        tests=tuple(_test(key, patterns) for key, patterns in route.match.items()),
        sender=route.sender or source.sender,
        to=config.addresses(route.to or source.to),
        cc=config.addresses(route.cc or source.cc),
        look=route.template or source.template,
        language=route.language or source.language,
        priority=route.priority,
        speaks_of_state="state" in route.match,
        goes_on=route.continue_,
    )


def _test(key: str, patterns: tuple[str, ...]) -> _Test:
    """One line of `match`: whether any value the notification has for `key` meets any of the patterns."""
    read = _reader(key)
    found = {pattern: written(pattern) for pattern in patterns}
    words = frozenset(pattern.casefold() for pattern, expression in found.items() if expression is None)
    expressions = tuple(compiled(expression) for expression in found.values() if expression is not None)

    def test(notification: Notification) -> bool:
        return any(
            value.casefold() in words or any(matches(value) for matches in expressions) for value in read(notification)
        )

    return test


def _reader(key: str) -> _Read:
    """Where a match key's values stand; a severity is our word or the tool's own."""
    if key.startswith("label."):
        return _label_reader(key.removeprefix("label."))
    return {
        "severity": lambda notification: (notification.severity, notification.severity_word),
        "state": lambda notification: (notification.state,),
        "kind": lambda notification: (notification.kind,),
        "title": lambda notification: (notification.title,),
    }[key]


def _label_reader(name: str) -> _Read:
    """A label of the notification, else that label of any of its items; an absent one is empty, as in Prometheus."""

    def read(notification: Notification) -> Iterable[str]:
        if name in notification.labels:
            return (notification.labels[name],)
        return [item.labels[name] for item in notification.items if name in item.labels] or ("",)

    return read


def _allow_pattern(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """One expression for all of `allow`, which is folded as addresses are; a star never crosses an @."""
    return re.compile("|".join(map(_star_pattern, patterns)) or r"(?!)")


def _star_pattern(pattern: str) -> str:
    """Between two stars the first place counts, and is kept: were each tried, five stars could take seconds."""
    first, *pieces = map(re.escape, pattern.split("*"))
    if not pieces:
        return first
    *middle, last = pieces
    return first + "".join(rf"(?>[^@\s]*?{piece})" for piece in middle) + rf"[^@\s]*{last}"


def _check_allowed(source: str, allow: re.Pattern[str] | None, named: Envelope) -> None:
    """Every recipient a caller named himself, wherever he named it."""
    if allow is None:
        return
    refused = {
        f"{field}[{index}]": f"may not be named by this caller; sources.{source}.allow lists who may"
        for field, addresses in (("to", named.to), ("cc", named.cc), ("bcc", named.bcc))
        for index, address in enumerate(addresses)
        if not allow.fullmatch(folded(address.email))
    }
    if refused:
        raise Rejected(422, "recipient_not_allowed", "This caller may not write to these recipients.", fields=refused)


def _without_recipients(named: Envelope) -> Envelope:
    return named.model_copy(update={"to": (), "cc": (), "bcc": ()})


def _each_once(*lists: tuple[Address, ...]) -> tuple[tuple[Address, ...], ...]:
    """The lists without anybody named before; the first mention wins."""
    emails = [folded(address.email) for address in chain(*lists)]
    if len(set(emails)) == len(emails):
        return lists
    seen: set[str] = set()
    result = []
    for addresses in lists:
        kept: list[Address] = []
        for address in addresses:
            if (email := folded(address.email)) not in seen:
                seen.add(email)
                kept.append(address)
        result.append(tuple(kept))
    return tuple(result)
