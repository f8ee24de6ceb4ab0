"""A worker's first invocation: an app and a function come in, what it took and what was imported goes out as JSON.

In a process of its own, of which this module is the main one: `python -m tests.worker.first_call FOLDER NAME [TEXT]`.
Nothing is imported here that a worker would not import anyway. TEXT is a queue's message.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from tests.worker import messages
from tests.worker.worker import Worker

STARTED = "FIRST_CALL_STARTED"
"""The variable with time.monotonic() of the moment before the process was started."""

_MAIL = {"to": "ops@example.com", "subject": "Backup of db-1 failed", "text": "It ended with exit status 3."}
_HEADERS = {"x-api-key": "tests-key-app", "content-type": "application/json", "host": "127.0.0.1"}


def _input(name: str, text: str) -> tuple[Any, dict[str, Any]]:
    """The trigger's value and metadata, as the host gives them."""
    if name == "http":
        body = json.dumps(_MAIL).encode()
        headers = {**_HEADERS, "content-length": str(len(body))}
        return messages.http("POST", "http://127.0.0.1/v1/notifications", headers, body), {}
    if name == "sweep":
        return {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": None, "IsPastDue": False}, {}
    return text.encode(), {"Id": "00000000-0000-4000-8000-000000000000", "DequeueCount": 1}


def _spent() -> dict[str, float]:
    """Seconds since the process was started, by the clock and of the processor."""
    return {"wall": time.monotonic() - float(os.environ.get(STARTED, "nan")), "cpu": time.process_time()}


async def _main(folder: Path, name: str, text: str) -> None:
    """Print it and end, without tidying up: a worker would go on."""
    worker = await Worker(folder).start()
    ready = _spent()
    before = set(sys.modules)
    data, metadata = _input(name, text)
    answer = await worker.invoke(name, data, metadata)
    done = _spent()
    found = answer.return_value
    status = int(found.http.status_code) if found and found.http else 0
    imported = sorted(set(sys.modules) - before)
    print(json.dumps({"ready": ready, "done": done, "status": status, "imported": imported}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]).absolute(), sys.argv[2], "".join(sys.argv[3:])))
