"""A lean HTTP load: an address and a request's bytes come in, answers per second and times go out.

Raw sockets and not a client library, so that the load costs as little as it can; bounded in count and time.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass

LONGEST = 60.0


@dataclass(frozen=True)
class Load:
    """What a load measured: requests per second, and the median and 99th percentile in milliseconds."""

    rate: float
    median: float
    p99: float


def request(path: str, body: bytes, key: str) -> bytes:
    """One POST as bytes."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _client(port: int, content: bytes, count: int, status: bytes, times: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(count):
        began = time.perf_counter()
        writer.write(content)
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]
        await reader.readexactly(int(length))
        times.append(time.perf_counter() - began)
        if not head.startswith(b"HTTP/1.1 " + status):
            raise RuntimeError(head.decode())
    writer.close()


async def run(port: int, content: bytes, *, count: int, concurrency: int, status: int = 202) -> Load:
    """Post `count` times over `concurrency` connections."""
    times: list[float] = []
    share = count // concurrency
    began = time.perf_counter()
    async with asyncio.timeout(LONGEST):
        await asyncio.gather(*(_client(port, content, share, str(status).encode(), times) for _ in range(concurrency)))
    seconds = time.perf_counter() - began
    ordered = sorted(times)
    return Load(len(ordered) / seconds, statistics.median(ordered) * 1000, ordered[int(len(ordered) * 0.99) - 1] * 1000)
