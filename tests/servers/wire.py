"""Plain ASGI for the fakes: a scope comes in, a Request goes out; answers, broken connections and silence go back."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from tests.servers.serve import WIRE, Receive, Scope, Send


@dataclass
class Request:
    """One request as it came; `facts` is what the fake understood of it."""

    method: str
    path: str
    target: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    transport: Any
    facts: dict[str, Any] = field(default_factory=dict)


async def read(scope: Scope, receive: Receive) -> Request:
    """The whole request; `target` is path and query exactly as they were on the wire."""
    body = bytearray()
    while True:
        event = await receive()
        body += event.get("body", b"")
        if not event.get("more_body"):
            break
    query = scope["query_string"].decode()
    return Request(
        method=scope["method"],
        path=scope["path"],
        target=scope["raw_path"].decode() + (f"?{query}" if query else ""),
        query=dict(parse_qsl(query)),
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        body=bytes(body),
        transport=scope["extensions"][WIRE]["transport"],
    )


async def answer(send: Send, status: int, body: Any = b"", headers: dict[str, str] | None = None) -> None:
    """One complete answer; anything but bytes goes out as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    content = b"" if status == 204 else content
    kind = b"text/html" if isinstance(body, bytes) else b"application/json"
    lines = [(b"content-type", kind), (b"content-length", str(len(content)).encode())]
    lines += [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": content})


async def drop(request: Request, receive: Receive, last_words: bytes = b"") -> None:
    """End the connection without an answer, perhaps after some bytes that are none."""
    request.transport.write(last_words)
    request.transport.close()
    await gone(receive)


async def gone(receive: Receive) -> None:
    """Say nothing until the caller has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
