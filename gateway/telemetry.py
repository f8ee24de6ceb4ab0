"""Log lines: an event's word and its ids come in, one structured line without secrets, addresses or content goes out.

Every line is `log(event, notification=…, message=…, …)`: a machine word plus correlation. Only the names in ALLOWED
may be logged, so that a body or an address cannot slip in through a new keyword.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

ERROR = logging.ERROR
WARNING = logging.WARNING
LOGGER = logging.getLogger("gateway")

ALLOWED = frozenset(
    "notification message source kind sender transport attempt status reason code outcome due path method port count "
    "seconds problem error store environment version operation queue queues poison".split()
)
"""The only facts a line may carry; promise 6 rests on this list."""


_PARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_TRACE: ContextVar[str] = ContextVar("trace", default="")


def trace(parent: str) -> None:
    """Lines of this task from now on carry the trace of a W3C `traceparent`; nothing that is none."""
    match = _PARENT.fullmatch(parent)
    _TRACE.set(match.group(1) if match else "")


# json.dumps would build a new encoder for every line.
_ENCODER = json.JSONEncoder(default=str)


class Line:
    """What a record's message is: the event and its facts, written out only where a handler wants it."""

    def __init__(self, event: str, facts: dict[str, object]) -> None:
        """`facts` have been checked."""
        self.event = event
        self.facts = {name: value for name, value in facts.items() if value not in ("", None)}

    def __str__(self) -> str:
        """One JSON object: what Application Insights' queries read, through whichever handler the host has."""
        return _ENCODER.encode({"event": self.event, **self.facts})


def log(event: str, level: int = logging.INFO, error: BaseException | None = None, **facts: object) -> None:
    """Write one line; an unknown fact is a programming error.

    Of an error only its type and the places it passed are written: its text may quote a body or an address, and a
    handler of somebody else's would print it with the traceback.
    """
    if LOGGER.isEnabledFor(level):
        assert facts.keys() <= ALLOWED, facts.keys() - ALLOWED
        if error is not None:
            facts["error"] = describe(error)
        if of_trace := _TRACE.get():
            facts["trace"] = of_trace
        # Not LOGGER.log: looking for the caller's line, which nobody reads, costs as much as all the rest.
        LOGGER.handle(logging.LogRecord(LOGGER.name, level, __file__, 0, Line(event, facts), None, None))


class Formatter(logging.Formatter):
    """`time level event key=value …` for people, one JSON object a line for machines."""

    def __init__(self, *, as_json: bool) -> None:
        """`as_json`: one object a line."""
        super().__init__()
        self.as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        level = record.levelname.lower()
        line = record.msg if isinstance(record.msg, Line) else Line(record.getMessage(), {})
        if self.as_json:
            return _ENCODER.encode({"at": at, "level": level, "event": line.event, **line.facts})
        words = " ".join(f"{name}={value}" for name, value in line.facts.items())
        return f"{at} {level:<7} {line.event} {words}".rstrip()


def describe(error: BaseException) -> str:
    """An exception's type and the lines it passed through, without its message."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        places.append(f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}")
        trace = trace.tb_next
    return f"{type(error).__name__} at {' > '.join(places[-6:])}" if places else type(error).__name__


def configure(*, as_json: bool | None = None, level: int = logging.INFO) -> None:
    """Send the gateway's lines to stderr; JSON when that is no terminal. The Functions host has its own handler."""
    handler = logging.StreamHandler()
    handler.setFormatter(Formatter(as_json=not sys.stderr.isatty() if as_json is None else as_json))
    LOGGER.handlers[:] = [handler]
    LOGGER.propagate = False
    LOGGER.setLevel(level)
    quiet_libraries()


def quiet_libraries() -> None:
    """Azure's SDKs log whole requests at INFO, uvicorn every URL with its key, and Functions sets the root to INFO."""
    logging.getLogger("azure").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.access").disabled = True
