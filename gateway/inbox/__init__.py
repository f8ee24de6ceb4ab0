"""The capture inbox: a browser's request comes in, a page about captured mail goes out. Outside production only.

    page.html       what every page has: head, bar, footer        mails.html    the list, newest first
    row.html        one row, for the server and for inbox.js      message.html  one mail, one part of it at a time
    examples.html   commands that make mail appear                gone.html     there is no such mail

Everything in a mail is hostile. The pages run no script but inbox.js; a mail's own HTML is only ever shown as a
sandboxed document without scripts, without our origin and without anything from the network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from gateway import web
from gateway.captured import DOWNLOAD_POLICY, CapturedMail
from gateway.config import Config
from gateway.ledger import Captured, Entry
from gateway.settings import Settings

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER = Path(__file__).parent
PAGE_SIZE = 50

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
FRAME_POLICY = (
    "default-src 'none'; img-src data:; font-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'; sandbox"
)
"""For a mail's own HTML, should it be opened outside its frame too; pictures from the web could report the reader."""


OWN_WINDOW = {"Cross-Origin-Opener-Policy": "same-origin"}
"""No page that has opened one of ours can count its frames or hear when it is there. Not for a sandboxed document,
which browsers then refuse to show: https://html.spec.whatwg.org/multipage/browsers.html#cross-origin-opener-policies"""


@dataclass(frozen=True)
class Inbox:
    """The pages, and the two files they need."""

    settings: Settings
    config: Config
    captured: CapturedMail
    described: bool

    def add_to(self, app: FastAPI) -> None:
        """Register the routes; none is part of the API that /docs describes."""
        routes: dict[str, Callable[..., Any]] = {
            "/": self.mails,
            "/captured/{id}": self.message,
            "/captured/{id}/html": self.frame,
            "/captured/{id}/attachments/{number}": self.attachment,
            "/inbox.css": self.style,
            "/inbox.js": self.script,
        }
        for path, handler in routes.items():
            app.api_route(path, methods=["GET", "HEAD"], include_in_schema=False)(handler)

    async def mails(self, request: Request) -> Response:
        """The list, newest first; with `before` an older part of it, which does not change any more."""
        self.captured.check(request)
        before = dict(web.query_of(request)).get("before", "")
        kept = await self.captured.store.latest(before=before, limit=PAGE_SIZE)
        return self._page(
            "mails.html",
            request,
            mails=kept,
            before=before,
            cursor=kept[0].cursor if kept else "",
            older=kept[-1].cursor if len(kept) == PAGE_SIZE else "",
        )

    async def message(self, request: Request) -> Response:
        """One mail; `view` names the part of it that is shown."""
        from gateway.inbox import mail

        kept = await self._find(request)
        if kept is None:
            return self._page("gone.html", request, status=404)
        view = mail.chosen(kept.message, dict(web.query_of(request)).get("view", ""))
        return self._page(
            "message.html",
            request,
            mail=kept.message,
            at=kept.at,
            state=_state(await self.captured.store.get(kept.message.notification), kept.message.id),
            views=mail.VIEWS,
            view=view,
            **mail.part(kept.message, view),
        )

    async def frame(self, request: Request) -> Response:
        """A mail's own HTML, for the frame."""
        from gateway.inbox import mail

        kept = await self._find(request)
        document = mail.document(kept.message) if kept else ""
        return _html(document, FRAME_POLICY, 200 if kept else 404)

    async def attachment(self, request: Request) -> Response:
        """One file to save, whatever type it claims to be: nothing of a mail is shown under our origin."""
        from gateway.inbox import mail

        kept = await self._find(request)
        number = request.path_params["number"]
        files = kept.message.attachments if kept else ()
        if not number.isdecimal() or len(number) > 9 or not 0 < int(number) <= len(files):
            return self._page("gone.html", request, status=404)
        file = files[int(number) - 1]
        disposition = {"Content-Disposition": mail.disposition(file.name, int(number))}
        headers = {**disposition, "Content-Security-Policy": DOWNLOAD_POLICY}
        return Response(file.content, headers=headers, media_type="application/octet-stream")

    async def style(self) -> Response:
        """The pages' style sheet."""
        return Response(_file("inbox.css"), media_type="text/css")

    async def script(self) -> Response:
        """The pages' script."""
        return Response(_file("inbox.js"), media_type="text/javascript")

    async def _find(self, request: Request) -> Captured | None:
        self.captured.check(request)
        return await self.captured.store.captured_one(request.path_params["id"])

    def _page(self, template: str, request: Request, status: int = 200, **values: Any) -> Response:
        from gateway.inbox.examples import examples

        content = (
            _templates()
            .get_template(template)
            .render(
                **values,
                environment=self.settings.environment,
                described=self.described,
                live=[
                    name
                    for name, sender in self.config.senders.items()
                    if sender.way_out(production=False) != "capture"
                ],
                examples=examples(self.config, str(request.base_url)) if template == "mails.html" else (),
            )
        )
        return _html(content, PAGE_POLICY, status, OWN_WINDOW)


def _state(entry: Entry | None, message: str) -> dict[str, Any]:
    """What the ledger says of a mail; it may have been purged before the mail."""
    if entry is None:
        return {}
    own = next((state for state in entry.messages if state.id == message), None)
    return {"entry": entry, "status": own.status if own else entry.status, "attempts": own.attempts if own else 0}


def _html(content: str, policy: str, status: int, more: Mapping[str, str] = MappingProxyType({})) -> Response:
    headers = {"Content-Security-Policy": policy, "X-DNS-Prefetch-Control": "off", **more}
    return Response(content.encode("utf-8", "replace"), status, headers, "text/html; charset=utf-8")


@cache
def _file(name: str) -> bytes:
    return (FOLDER / name).read_bytes()


@cache
def _templates() -> Environment:
    import jinja2

    from gateway.inbox import mail

    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(size=mail.size, clock=mail.clock, iso=mail.iso, snippet=mail.snippet)
    return templates
