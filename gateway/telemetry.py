"""Log lines: an event's word and its ids come in, one structured line without secrets, addresses or content goes out.

Every line is `log(event, notification=…, message=…, …)`: a machine word plus correlation. Only the names in ALLOWED
may be logged, so that a body or an address cannot slip in through a new keyword.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

ERROR = logging.ERROR
WARNING = logging.WARNING
LOGGER = logging.getLogger("gateway")

ALLOWED = frozenset(
    "notification message source kind sender transport attempt status reason code outcome due path method port count "
    "seconds problem error store environment version operation queue trace".split()
)
"""The only facts a line may carry; promise 6 rests on this list."""


def log(event: str, level: int = logging.INFO, exc_info: BaseException | None = None, **facts: object) -> None:
    """Write one line; an unknown fact is a programming error and raises in tests through the assertion."""
    if LOGGER.isEnabledFor(level):
        assert facts.keys() <= ALLOWED, facts.keys() - ALLOWED
        LOGGER.log(level, event, extra={"facts": facts}, exc_info=exc_info)


class Formatter(logging.Formatter):
    """`time level event key=value …` for people, one JSON object a line for machines; tracebacks without messages.

    An exception's text may quote a body or an address, so only its type and the places it passed are shown.
    """

    def __init__(self, *, as_json: bool) -> None:
        """`as_json`: one object a line."""
        super().__init__()
        self.as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        facts = dict(getattr(record, "facts", {}))
        if record.exc_info and record.exc_info[1]:
            facts["error"] = describe(record.exc_info[1])
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        if self.as_json:
            line = {"at": at, "level": record.levelname.lower(), "event": record.getMessage(), **facts}
            return json.dumps(line, default=str)
        words = " ".join(f"{key}={value}" for key, value in facts.items() if value not in ("", None))
        return f"{at} {record.levelname.lower():<7} {record.getMessage()} {words}".rstrip()


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
    """Azure's SDKs log whole requests at INFO, and the Functions worker sets the root logger to INFO."""
    logging.getLogger("azure").setLevel(logging.WARNING)
