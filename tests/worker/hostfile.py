"""host.json as the Functions host reads it: a file comes in, the settings our triggers depend on go out.

The host answers 503 to everything when it cannot read the file, and ignores keys that it does not know.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

_TIME = re.compile(r"(?:(\d+)\.)?([01]?\d|2[0-3]):([0-5]?\d):([0-5]?\d)(?:\.(\d{1,7}))?")
_LONGEST_FUNCTION = timedelta(minutes=10)


class HostFileError(Exception):
    """The host would answer 503 to every request."""


@dataclass(frozen=True)
class Queues:
    """The queue extension's settings, one for all queues; the defaults are the extension's."""

    message_encoding: str = "base64"
    batch_size: int = 16
    new_batch_threshold: int = 8
    max_dequeue_count: int = 5
    visibility_timeout: timedelta = timedelta()
    max_polling_interval: timedelta = timedelta(minutes=1)


@dataclass(frozen=True)
class HostFile:
    """What the host takes from the file."""

    route_prefix: str
    function_timeout: timedelta
    queues: Queues
    max_concurrent_requests: int = 100
    """The default everywhere but on Consumption plans; -1 is no limit."""


def read(path: Path) -> HostFile:
    """Read and check."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise HostFileError(f"host.json cannot be read: {error}") from error
    if not isinstance(content, dict) or content.get("version") != "2.0":
        raise HostFileError('host.json must say "version": "2.0"')
    extensions = content.get("extensions", {})
    at_once = extensions.get("http", {}).get("maxConcurrentRequests", 100)
    if not isinstance(at_once, int) or at_once < -1 or at_once == 0:
        raise HostFileError(f"http.maxConcurrentRequests {at_once} is neither -1 nor 1 or more")
    return HostFile(
        route_prefix=extensions.get("http", {}).get("routePrefix", "api"),
        function_timeout=_function_timeout(content.get("functionTimeout", "00:05:00")),
        queues=_queues(extensions.get("queues", {})),
        max_concurrent_requests=at_once,
    )


def _queues(section: dict[str, Any]) -> Queues:
    standard = Queues()
    batch_size = section.get("batchSize", standard.batch_size)
    if batch_size not in range(1, 33):
        raise HostFileError(f"queues.batchSize {batch_size} is not within 1 and 32")
    encoding = section.get("messageEncoding", standard.message_encoding)
    if encoding not in {"none", "base64"}:
        raise HostFileError(f"queues.messageEncoding {encoding} is neither none nor base64")
    return Queues(
        message_encoding=encoding,
        batch_size=batch_size,
        new_batch_threshold=section.get("newBatchThreshold", batch_size // 2),
        max_dequeue_count=section.get("maxDequeueCount", standard.max_dequeue_count),
        visibility_timeout=_time(section.get("visibilityTimeout", "00:00:00")),
        max_polling_interval=_time(section.get("maxPollingInterval", "00:01:00")),
    )


def _function_timeout(text: str) -> timedelta:
    """At most ten minutes on the Consumption plan; the other plans take more, so this fits all."""
    timeout = _time(text)
    if not timedelta(seconds=1) <= timeout <= _LONGEST_FUNCTION:
        raise HostFileError(f"functionTimeout {text} is not between 1 second and {_LONGEST_FUNCTION}")
    return timeout


def _time(text: Any) -> timedelta:
    """.NET's TimeSpan: `d.hh:mm:ss.fffffff`, where hours beyond 23 cannot be read."""
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise HostFileError(f"{text!r} is not a time span such as 00:00:30")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups()[:4])
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds + float(f"0.{match[5] or 0}"))
