"""What a fake provider may do wrong with one request: a fault's word comes in, a Fault goes out.

ok                          nothing
drop-before-accept          the connection ends, nothing was accepted
hang                        no answer until the caller leaves, nothing was accepted
garbage                     bytes that are no HTTP, nothing was accepted
accept-then-drop            accepted, then the connection ends
accept-then-hang            accepted, then no answer
accept-then-garbage         accepted, then bytes that are no HTTP
accept-then-nonsense        accepted, then a 202 whose body is not JSON
accept-then-cut             accepted, then half of a 202
accept-then-503             accepted, then that status (any status; `:20` adds Retry-After)
late:3                      the connection ends now, the request lands three seconds later
429, 429:30, 429:<date>     not accepted, that status (any status), perhaps with Retry-After
failed                      202, but its body says Failed; nothing is sent
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

GARBAGE = b"\x15\x03\x03\x00\x02\x02\x28 this is no answer\r\n\r\n"
CUT = b'HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{"id":"'


@dataclass(frozen=True, slots=True)
class Fault:
    """`lands`: seconds until the request is accepted (None: never). `then`: what the caller sees of it."""

    lands: float | None = 0.0
    then: Literal["answer", "status", "drop", "hang", "bytes", "nonsense", "failed"] = "answer"
    status: int = 0
    retry_after: str = ""
    raw: bytes = b""


OK = Fault()
_MENU = {
    "ok": OK,
    "drop": Fault(None, "drop"),
    "drop-before-accept": Fault(None, "drop"),
    "hang": Fault(None, "hang"),
    "garbage": Fault(None, "bytes", raw=GARBAGE),
    "failed": Fault(None, "failed"),
    "accept-then-drop": Fault(0.0, "drop"),
    "accept-then-hang": Fault(0.0, "hang"),
    "accept-then-garbage": Fault(0.0, "bytes", raw=GARBAGE),
    "accept-then-nonsense": Fault(0.0, "nonsense"),
    "accept-then-cut": Fault(0.0, "bytes", raw=CUT),
}


def fault(word: str) -> Fault:
    """The fault of this name; ValueError for a word that is not on the menu."""
    if word in _MENU:
        return _MENU[word]
    name, _, value = word.partition(":")
    if name == "late":
        return Fault(float(value), "drop")
    accepted = name.startswith("accept-then-")
    status = int(name.removeprefix("accept-then-"))
    return Fault(0.0 if accepted else None, "status", status, value)
