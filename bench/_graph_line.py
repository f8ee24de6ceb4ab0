"""A Graph that answers at once: `python -m bench._graph_line` in, its address on the screen and only yeses out.

The fake Graph of the tests reads each mail and looks through its mailboxes, which takes longer than sending does. This
reads a request's length and path, nothing else: 201 with an id for a new draft, 202 for `send` and `sendMail`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re

from tests.servers.serve import listen

DRAFT = {
    "id": "AAMkAD_item-1/x=",
    "isDraft": True,
    "parentFolderId": "drafts",
    "createdDateTime": "2026-03-02T09:30:00+00:00",
    "internetMessageId": "<7c9e6679742540de944be07fc1f90ae7@example.com>",
    "subject": "Disk almost full",
}
_BODY = json.dumps(DRAFT).encode()
_CREATED = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(_BODY),
    _BODY,
)
_ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Line(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        """Nothing has come yet."""
        self._come = b""
        self._out: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where the answers go."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._out = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        assert self._out
        self._come += data
        while (end := self._come.find(b"\r\n\r\n") + 4) >= 4:
            head = self._come[:end]
            length = _LENGTH.search(head)
            assert length, "a request that does not say how long it is"
            end += int(length[1])
            if len(self._come) < end:
                return
            self._come = self._come[end:]
            self._out.write(_CREATED if head.partition(b" HTTP/")[0].endswith(b"/messages") else _ACCEPTED)


async def main() -> None:
    """Serve until it is ended."""
    with listen() as listener:
        server = await asyncio.get_running_loop().create_server(Line, sock=listener)
        print(f"GRAPH_ENDPOINT=http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
