"""Between values and table rows: ledger values come in and rows go out, rows come in and ledger values go out.

One table, 16 partitions by the last hexadecimal digit of the notification's id, so that everything about one
notification changes in one transaction. Row keys, which sort by character:

    n|<notification>|             what is known of it, never changed
    n|<notification>|<number>     a message: what changes, and its content if that is small (c0, c1, …)
    due|<time>|<message>          an open message, at the time it must be looked at, with its priority and source
    end|<time>|<message>          a final message whose content is still there, at the time it became final
    o|<operation id>              whose submission it was: the message's id
    t|<time>|<notification>|      the list, both turned round so that the newest comes first: source, own status,
                                  and each message's status (s1, s2, …)

Every row has the schema's version `v`. Times are microseconds since 1970 in UTC, 18 digits.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from gateway.ledger import Entry
from gateway.message import OPEN, WORST_FIRST, Status

Row = Mapping[str, Any]

SCHEMA = 1
PARTITIONS = "0123456789abcdef"
END = "~"
"""Sorts behind every character of a key."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
LAST = 10**18 - 1

CHUNK = 60 * 1024
"""Bytes in one binary property; the service's limit is 64 KiB."""

INLINE = 200 * 1024
"""A larger content becomes a blob: a row may hold 1 MiB, a transaction 4 MiB, and both travel as base64."""

INLINE_TOGETHER = 2 * 1024 * 1024
"""The same for one notification's messages together."""

HISTORY = 30_000
"""Characters of history a row keeps, of 32 Ki that a string may have; the oldest lines behind the first go."""

_LONGEST_ID = 100
"""Bytes of a notification's id: keys end at 1 KiB in UTF-16, and some hold the id encoded."""


def stamp(at: datetime) -> str:
    """A time as keys hold it; what lies outside 1970 to 9999 becomes its edge."""
    return f"{min(max((at - EPOCH) // MICROSECOND, 0), LAST):018d}"


def moment(text: str) -> datetime:
    """The time `stamp` was made of."""
    return EPOCH + timedelta(microseconds=int(text))


def turned(text: str) -> str:
    """A stamp turned round, and back: later ones sort first."""
    return f"{LAST - int(text):018d}"


def safe(text: str) -> str:
    r"""A string fit for a key, where / \ # ? and control characters are forbidden; `original` undoes it."""
    quoted = quote(text, safe="", errors="surrogatepass")
    return quoted.replace(".", "%2E").replace("~", "%7E").replace("%", "=")


def original(text: str) -> str:
    """What `safe` was given."""
    return unquote(text.replace("=", "%"), errors="surrogatepass")


def partition(notification: str) -> str:
    """Where a notification and everything about it lies."""
    digit = notification[-1:].lower()
    return digit if digit in PARTITIONS and digit else digest(notification)[-1]


def digest(text: str) -> str:
    """A short name for a long one."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Place(NamedTuple):
    """Where a message lies."""

    partition: str
    notification: str
    number: int

    @property
    def row(self) -> str:
        """Its row's key."""
        return f"n|{safe(self.notification)}|{self.number:09d}"

    @property
    def id(self) -> str:
        """The message's id."""
        return f"{self.notification}-{self.number}"


def place(message: str) -> Place | None:
    """The place a message's id names; None when no message can have this id."""
    notification, _, number = message.rpartition("-")
    if len(number) > 9 or not (number.isascii() and number.isdigit()) or number != str(int(number)):
        return None
    return Place(partition(notification), notification, int(number)) if known_form(notification) else None


def known_form(notification: str) -> bool:
    """Whether a notification can have this id at all."""
    return 0 < len(notification.encode("utf-8", "surrogatepass")) <= _LONGEST_ID


def pointer(kind: str, at: str, message: str) -> str:
    """The key of a message's row in the order of time; `kind` is due or end."""
    return f"{kind}|{at}|{safe(message)}"


def operation_row(operation: str) -> str:
    """The key of an operation id's row."""
    return f"o|{safe(operation)}"


def chunks(name: str, content: bytes) -> dict[str, Any]:
    """Bytes as binary properties: name0, name1 and so on."""
    columns: dict[str, Any] = {}
    for number, start in enumerate(range(0, len(content), CHUNK)):
        columns[f"{name}{number}"] = base64.b64encode(content[start : start + CHUNK]).decode()
        columns[f"{name}{number}@odata.type"] = "Edm.Binary"
    return columns


def joined(name: str, row: Row) -> bytes:
    """What `chunks` was given."""
    parts: list[bytes] = []
    while text := row.get(f"{name}{len(parts)}"):
        parts.append(base64.b64decode(text))
    return b"".join(parts)


def line(at: datetime, event: str, reason: str) -> str:
    """One event of a message's history, as it is appended."""
    return json.dumps([stamp(at), event, reason]) + ","


def with_line(history: str, added: str) -> str:
    """The history with a line more; one that grew too long loses a quarter, but never its first line."""
    if len(history) + len(added) <= HISTORY:
        return history + added
    kept = [json.dumps(event) + "," for event in lines(history)]
    excess = len(history) - HISTORY * 3 // 4
    while len(kept) > 2 and excess > 0:
        excess -= len(kept.pop(1))
    return "".join(kept) + added


def lines(history: str) -> list[Any]:
    """A history's events as `line` was given them."""
    found: list[Any] = json.loads(f"[{history.removesuffix(',')}]")
    return found


def list_row(entry: Entry) -> str:
    """The key of the notification's row in the list; ids fall where times are equal, as in every store."""
    upside_down = bytes(255 - byte for byte in entry.id.encode("utf-8", "surrogatepass"))
    return f"t|{turned(stamp(entry.created))}|{upside_down.hex()}|"


def listed_id(row: str) -> str:
    """The notification's id, from that key."""
    upside_down = bytes.fromhex(row.split("|")[2])
    return bytes(255 - byte for byte in upside_down).decode("utf-8", "surrogatepass")


def list_columns(entry: Entry, statuses: Mapping[int, Status]) -> dict[str, Any]:
    """The notification's row in the list."""
    own = {"own": entry.own.value} if entry.own else {}
    states = {f"s{number}": status.value for number, status in statuses.items()}
    return {"v": SCHEMA, "source": entry.source, **own, **states}


def worst(row: Row) -> Status:
    """The status of a notification, from its row in the list."""
    present = _statuses(row)
    return next((status for status in WORST_FIRST if status in present), Status.SKIPPED)


def ended(row: Row) -> bool:
    """Whether a notification and all its messages are final, from its row in the list."""
    return all(map(is_final, _statuses(row)))


def _statuses(row: Row) -> set[str]:
    return {text for name, text in row.items() if name == "own" or (name[0] == "s" and name[1:].isdigit())}


def is_open(status: str) -> bool:
    """Whether a stored status still needs work."""
    return status in OPEN


def is_final(status: str) -> bool:
    """Whether a stored status is the last word."""
    return status not in OPEN and status != Status.HELD
