"""Captured mail for people's own tests: a query comes in, what the capture transport kept goes out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from gateway import guard, openapi, web
from gateway.address import folded
from gateway.auth import Keyring
from gateway.errors import Rejected
from gateway.guard import Access
from gateway.ledger import Captured, Store
from gateway.security_events import SecurityEvents
from gateway.shown import message_json, time_json
from gateway.telemetry import log

POLL = 0.05
"""Seconds between two looks while a caller waits for a mail."""

DOWNLOAD_POLICY = "default-src 'none'; sandbox"
"""For what is saved and never shown, should a browser show it all the same."""

LONGEST_WAIT = 120
MOST = 1000

_waiting: set[asyncio.Event] = set()
"""One for each caller of this process who waits for mail."""


def answer_all() -> None:
    """Let nobody wait any longer: the process is about to stop."""
    for event in _waiting:
        event.set()


@dataclass(frozen=True)
class CapturedMail:
    """The routes under /v1/captured."""

    store: Store
    keyring: Keyring
    access: Access
    events: SecurityEvents

    def add_to(self, app: FastAPI) -> None:
        """Register the routes."""
        app.get("/v1/captured", **openapi.CAPTURED)(self.find)
        app.delete("/v1/captured", **openapi.FORGET)(self.forget)
        app.get("/v1/captured/{id}/raw", **openapi.RAW)(self.raw)

    def check(self, request: Request) -> str:
        """Let a developer in on the own machine, and elsewhere an operator, whose key is told."""
        headers = web.headers_of(request)
        if self.access.keyless and not guard.relayed(headers):
            return ""
        return self.keyring.require_admin(web.credentials(request, headers))

    async def find(self, request: Request) -> Response:
        """Captured mail that matches, oldest first; with `wait` as soon as there is some."""
        self.check(request)
        query = dict(web.query_of(request))
        hurry = asyncio.Event()
        _waiting.add(hurry)
        try:
            return await self._answer(request, query, hurry)
        finally:
            _waiting.discard(hurry)

    async def _answer(self, request: Request, query: dict[str, str], hurry: asyncio.Event) -> Response:
        wait = web.number_of(query, "wait", default=0, most=LONGEST_WAIT)
        limit = web.number_of(query, "limit", default=100, most=MOST) or MOST
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        cursor = query.get("cursor", "")
        while True:
            found, cursor = await self._scan(query, cursor, limit + 1)
            if found or loop.time() >= deadline or hurry.is_set() or await request.is_disconnected():
                break
            await asyncio.sleep(POLL)
        more = found[limit - 1].cursor if len(found) > limit else None
        return web.answer({"items": [captured_json(item) for item in found[:limit]], "next": more})

    async def _scan(self, query: dict[str, str], cursor: str, limit: int) -> tuple[list[Captured], str]:
        """What matches behind `cursor`, and how far was looked."""
        since = web.time_of(query, "since")
        found: list[Captured] = []
        async for item in self._all(cursor, since):
            cursor = item.cursor
            if _matches(item, query.get("to", ""), query.get("subject", "")):
                found.append(item)
                if len(found) == limit:
                    break
        return found, cursor

    async def _all(self, cursor: str, since: Any) -> AsyncIterator[Captured]:
        while items := await self.store.captured(after=cursor, since=since, limit=200):
            for item in items:
                yield item
            cursor = items[-1].cursor

    async def raw(self, request: Request) -> Response:
        """One captured mail as it would go over the wire."""
        from gateway import mime

        self.check(request)
        kept = await self.store.captured_one(request.path_params["id"])
        if kept is None:
            raise Rejected(404, "not_found", "No captured mail has this id.")
        saved = {"Content-Disposition": 'attachment; filename="mail.eml"', "Content-Security-Policy": DOWNLOAD_POLICY}
        return Response(mime.build(kept.message), media_type="message/rfc822", headers=saved)

    async def forget(self, request: Request) -> Response:
        """Delete all captured mail, as a test does before it begins."""
        await self.events.operator(self.check(request), request.scope)
        count = await self.store.forget_captured()
        log("captured_deleted", count=count)
        return web.answer({"deleted": count})


def captured_json(item: Captured) -> dict[str, Any]:
    """One captured mail as the API shows it."""
    return {**message_json(item.message), "captured": time_json(item.at), "cursor": item.cursor}


def _matches(item: Captured, to: str, subject: str) -> bool:
    """`to` is a whole address (or a part of one, without @), `subject` any part; neither minds case."""
    emails = [folded(address.email) for address in item.message.recipients]
    wanted = folded(to)
    reached = wanted in emails if "@" in wanted else any(wanted in email for email in emails)
    return (not wanted or reached) and subject.strip().lower() in item.message.subject.lower()
