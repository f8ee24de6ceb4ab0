"""Log lines: an event's word and its ids come in, one structured line without secrets, addresses or content goes out.

Every line is `log(event, notification=…, message=…, …)`: a machine word plus correlation. Only the names in ALLOWED
may be logged, so that a body or an address cannot slip in through a new keyword. docs/observability.md lists the words.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Iterable
from contextvars import ContextVar
from datetime import UTC, datetime

from gateway import otel

ERROR = logging.ERROR
INFO = logging.INFO
WARNING = logging.WARNING
LOGGER = logging.getLogger("gateway")

ALLOWED = frozenset(
    "notification message source kind sender transport attempt status reason code due port count seconds problem error "
    "store environment operation queue queues poison inbox client key".split()
)
"""The only facts a line may carry; promise 6 rests on this list."""


_PARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_TRACE: ContextVar[str] = ContextVar("trace", default="")
_BY: ContextVar[tuple[str, str]] = ContextVar("by", default=("", ""))
_SOURCE: ContextVar[str] = ContextVar("source", default="")


def trace(parent: str) -> None:
    """Lines of this task from now on carry the trace of a W3C `traceparent`; nothing that is none."""
    _TRACE.set(parent if _PARENT.fullmatch(parent) else "")


def continued(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """The same by a request's headers, unless a host in front of us has told the trace already."""
    for name, value in headers:
        if name == b"traceparent" and not _TRACE.get():
            trace(value.decode("latin-1"))


def by(key: str, client: str) -> None:
    """Lines of this task from now on say which operator's key was used, by a part of its hash, and from where."""
    _BY.set((key, client))


def source() -> str:
    """The source that lines of this task are about."""
    return _SOURCE.get()


def about(source: str) -> None:
    """Lines of this task from now on carry a source's name, which must be one of the configuration's."""
    _SOURCE.set(source)


# json.dumps would build a new encoder for every line.
_ENCODER = json.JSONEncoder(default=str)


class Line:
    """What a record's message is: the event and its facts, written out only where a handler wants it."""

    def __init__(self, event: str, facts: dict[str, object], parent: str = "") -> None:
        """`facts` have been checked; `parent` is the trace parent."""
        self.event = event
        self.facts = {name: value for name, value in facts.items() if value not in ("", None)}
        self.parent = parent

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
        if source := _SOURCE.get():
            facts.setdefault("source", source)
        if (whose := _BY.get()) != ("", ""):
            facts = {**facts, "key": whose[0], "client": whose[1]}
        if parent := _TRACE.get():
            facts["trace"] = parent[3:35]
        # Not LOGGER.log: looking for the caller's line, which nobody reads, costs as much as all the rest.
        LOGGER.handle(logging.LogRecord(LOGGER.name, level, __file__, 0, Line(event, facts, parent), None, None))


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
    """An exception's type and the lines it passed through, without its message; and what could not be imported."""
    kind = type(error).__name__
    if isinstance(error, ImportError):  # most likely a package that was built for another Python
        kind = f"{kind} of {error.name} in {sys.implementation.cache_tag}"
    places = []
    trace = error.__traceback__
    while trace is not None:
        places.append(f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}")
        trace = trace.tb_next
    return f"{kind} at {' > '.join(places[-6:])}" if places else kind


def configure(*, as_json: bool | None = None, level: int = logging.INFO) -> None:
    """Send the gateway's lines to stderr; JSON when that is no terminal."""
    handler = logging.StreamHandler()
    handler.setFormatter(Formatter(as_json=not sys.stderr.isatty() if as_json is None else as_json))
    LOGGER.handlers[:] = [handler]
    LOGGER.propagate = False
    LOGGER.setLevel(level)
    join()


def join() -> None:
    """The same under a host that has a handler of its own, as Functions does for whatever comes to the root logger."""
    # Azure's SDKs log whole requests at INFO, uvicorn every URL with its key, and Functions sets the root to INFO.
    logging.getLogger("azure").setLevel(logging.WARNING)
    # The worker's own logger, which is no SDK's.
    logging.getLogger("azure.functions").setLevel(logging.getLogger().level)
    logging.getLogger("uvicorn.access").disabled = True
    _export()


def _export() -> None:
    """To an OpenTelemetry collector too, where one is named."""
    if not os.environ.get(otel.ENDPOINT) or any(isinstance(handler, otel.Exporter) for handler in LOGGER.handlers):
        return
    try:
        LOGGER.addHandler(otel.Exporter.attached())
    except ImportError:
        remedy = "install what requirements-otel.txt names, or remove the variable"
        log("export_off", WARNING, problem=f"{otel.ENDPOINT} is set, but OpenTelemetry is not installed: {remedy}")
