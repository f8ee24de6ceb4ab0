"""What an examination found: facts about one thing come in, one printed line with a verdict and a remedy goes out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How one check ended."""

    OK = "pass"
    FAIL = "fail"
    UNKNOWN = "unknown"


SHOWN = {Verdict.OK: "pass", Verdict.FAIL: "fail", Verdict.UNKNOWN: "could not tell"}
"""The verdicts in words, as they are printed."""

FAILED = 1
UNTOLD = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: its name, the verdict, what was seen, and what to do about it."""

    name: str
    verdict: Verdict
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        """`verdict  name  what; remedy`, in columns."""
        then = f" → {self.remedy}" if self.remedy else ""
        return f"{SHOWN[self.verdict]:<15} {self.name:<17} {self.what}{then}"


def passed(name: str, what: str) -> Finding:
    """All is well."""
    return Finding(name, Verdict.OK, what)


def failed(name: str, what: str, remedy: str) -> Finding:
    """Something keeps mail from going out, or will."""
    return Finding(name, Verdict.FAIL, what, remedy)


def untold(name: str, what: str, remedy: str) -> Finding:
    """It could not be told from here; `remedy` says how it can be."""
    return Finding(name, Verdict.UNKNOWN, what, remedy)


def exit_status(findings: Iterable[Finding]) -> int:
    """0: all pass. 1: some fail. 2: none fails, but some could not be told."""
    verdicts = {finding.verdict for finding in findings}
    if Verdict.FAIL in verdicts:
        return FAILED
    return UNTOLD if Verdict.UNKNOWN in verdicts else 0


def summary(findings: Sequence[Finding]) -> str:
    """`12 checks: 9 pass, 1 fail, 2 could not tell`."""
    counts = {verdict: sum(1 for finding in findings if finding.verdict is verdict) for verdict in Verdict}
    return f"{len(findings)} checks: " + ", ".join(f"{count} {SHOWN[verdict]}" for verdict, count in counts.items())


def as_text(findings: Sequence[Finding]) -> str:
    """A line for each, then how many there were."""
    return "\n".join([*map(str, findings), "", summary(findings)])


def as_json(findings: Sequence[Finding]) -> str:
    """One object: the exit status and each finding's four fields."""
    return json.dumps(
        {"status": exit_status(findings), "checks": [asdict(finding) for finding in findings]},
        indent=2,
        ensure_ascii=False,
    )
