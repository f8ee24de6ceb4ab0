"""Small ASGI applications to put behind the bridge: each shows one side of what comes in or goes out."""

from __future__ import annotations

import json
import logging

import pytest

from gateway.asgi import App, Bridge, Event, Receive, Send


async def respond(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes = b"") -> None:
    """A whole answer."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def body_of(receive: Receive) -> bytes:
    """The request's whole body."""
    event = await receive()
    assert event["more_body"] is False
    body: bytes = event["body"]
    return body


async def echo(scope: Event, receive: Receive, send: Send) -> None:
    """What came in, as JSON: everything an application can see of a request."""
    if scope["type"] == "lifespan":
        return
    seen = {
        "method": scope["method"],
        "scheme": scope["scheme"],
        "path": scope["path"],
        "raw_path": scope["raw_path"].decode(),
        "query": scope["query_string"].decode(),
        "headers": {name.decode(): value.decode() for name, value in scope["headers"]},
        "client": scope["client"],
        "server": scope["server"],
        "body": (await body_of(receive)).hex(),
    }
    await respond(send, 200, [(b"content-type", b"application/json")], json.dumps(seen).encode())


async def mirror(scope: Event, receive: Receive, send: Send) -> None:
    """The body again, as it came."""
    if scope["type"] == "http":
        await respond(send, 200, [(b"content-type", b"application/octet-stream")], await body_of(receive))


def bridge_to(app: App) -> Bridge:
    """A bridge of its own."""

    async def factory() -> App:
        return app

    return Bridge(factory)


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The words of the error lines."""
    return [json.loads(record.getMessage())["event"] for record in caplog.records if record.levelno == logging.ERROR]
