"""What a process grows by: its id and some work come in, the peak of its resident memory above its start goes out.

Linux only: /proc has the peak, and takes a wish to begin a new one.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

MIB = 1024 * 1024
TEN = 10 * MIB
KEY = {"x-api-key": "example-key-app", "content-type": "application/json"}

MEASURABLE = Path("/proc/self/clear_refs").exists()


def resident(pid: int, what: str = "VmRSS") -> int:
    """Bytes of memory that are really there; VmHWM is the most there ever were."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    return int(next(line for line in status.splitlines() if line.startswith(what)).split()[1]) * 1024


class Growth:
    """Begins with the process as it is; `most` is by how much it grew at its peak since then."""

    def __init__(self, pid: int) -> None:
        """The peak so far is forgotten (proc(5), clear_refs)."""
        self.pid = pid
        Path(f"/proc/{pid}/clear_refs").write_text("5", "ascii")
        self.base = resident(pid)

    @property
    def most(self) -> int:
        """Bytes."""
        return resident(self.pid, "VmHWM") - self.base


class Post(NamedTuple):
    """One request."""

    path: str
    body: bytes
    headers: Mapping[str, str] = KEY


def native(size: int, **more: Any) -> Post:
    """A file in our own JSON; the whole is `size` bytes at most, and above that less a kilobyte."""
    file = base64.b64encode(os.urandom((size - 1024) // 4 * 3)).decode()
    mail = {"to": "ops@example.com", "subject": "A large file", "attachments": [{"name": "a.pdf", "content": file}]}
    return Post("/v1/notifications", json.dumps({**mail, **more}).encode())


def text(size: int, **more: Any) -> Post:
    """The same with a long text."""
    mail = {"to": "ops@example.com", "subject": "A long text", "text": "Line by line.\n" * ((size - 1024) // 15)}
    return Post("/v1/notifications", json.dumps({**mail, **more}).encode())


def form(size: int) -> Post:
    """Two files in a browser's form."""
    file = b"%PDF-1.7 " + os.urandom(size // 2 - 1024)
    parts = [b'--b\r\nContent-Disposition: form-data; name="message"\r\n\r\nHello\r\n']
    for number in range(2):
        head = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{number}.pdf"\r\n'
        parts += [head.encode(), b"Content-Type: application/pdf\r\n\r\n", file, b"\r\n"]
    body = b"".join([*parts, b"--b--\r\n"])
    return Post("/v1/forms/contact", body, {"content-type": "multipart/form-data; boundary=b"})


def bombs(size: int) -> dict[str, Post]:
    """Bodies of many small values."""
    values = b"{},"
    alert = b'{"status": "firing", "alerts": [' + values * (size // 3 - 20) + b"{}]}"
    alertmanager = {"x-api-key": "example-key-alertmanager", "content-type": "application/json"}
    to = b'{"to": "ops@example.com", "text": "x", '
    keys = b",".join(b'"%d": 1' % number for number in range(size // 12 - 20))
    return {
        "alertmanager, {},{},…": Post("/v1/webhooks/alertmanager", alert, alertmanager),
        "form, {},{},…": Post("/v1/forms/contact", b'{"message": [' + values * (size // 3 - 20) + b"{}]}"),
        "native, {},{},…": Post(
            "/v1/notifications", to + b'"data": {"a": [' + values * (size // 3 - 30) + b"{}]}}", KEY
        ),
        "native, many keys": Post("/v1/notifications", to + keys + b"}", KEY),
    }


def send(port: int, post: Post) -> int:
    """The answer's status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request("POST", post.path, post.body, dict(post.headers))
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def at_once(port: int, post: Post, count: int, between: Callable[[], object] = lambda: None) -> Counter[int]:
    """The same from so many callers at once; `between` is done while they are under way. Their answers' statuses."""
    with ThreadPoolExecutor(count) as pool:
        under_way = [pool.submit(send, port, post) for _ in range(count)]
        between()
        return Counter(one.result() for one in under_way)
