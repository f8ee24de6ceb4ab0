"""The HTTP side: a request comes in, one of the routes answers it; refusals go out as problem+json.

docs/http.md is the contract; doors.py has the ways in, this module the routes that only look.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gateway import __version__, openapi, web
from gateway.auth import Keyring
from gateway.captured import CapturedMail
from gateway.config import Config
from gateway.doors import Doors
from gateway.errors import Rejected, StoreUnavailable
from gateway.inbox import Inbox
from gateway.ledger import Store
from gateway.message import Status
from gateway.pipeline import Line
from gateway.settings import Settings
from gateway.shown import entry_json


def build(settings: Settings, config: Config, store: Store, line: Line) -> web.Front:
    """The ASGI application."""
    keyring = Keyring(config)
    app = FastAPI(
        title="Notification Gateway",
        version=__version__,
        description=openapi.DESCRIPTION,
        telemetry={"tracing": False, "metrics": False, "logs": False},
        redoc_url=None,
        redirect_slashes=False,  # a redirected POST becomes a GET without a body
    )
    doors = Doors(config, line, keyring)
    _add_doors(app, doors)
    _add_views(app, Views(settings, store, keyring))
    if not settings.production:
        CapturedMail(settings, store, keyring).add_to(app)
        Inbox(settings, config, store, keyring).add_to(app)
    for expected in (Rejected, StoreUnavailable, Exception):
        app.add_exception_handler(expected, _refused)
    app.add_exception_handler(HTTPException, _no_route)
    openapi.complete(app)
    straight = {"/v1/notifications": doors.native, "/v1/webhooks/": doors.webhook, "/v1/forms/": doors.form}
    return web.Front(app, straight)


def _add_doors(app: FastAPI, doors: Doors) -> None:
    app.post("/v1/notifications", **openapi.NATIVE)(doors.native)
    app.post("/v1/webhooks/{source}", **openapi.WEBHOOK)(doors.webhook)
    app.api_route("/v1/webhooks/{source}", methods=["PUT", "GET"], include_in_schema=False)(doors.webhook)
    app.api_route("/v1/webhooks/{source}/{key}", methods=["POST", "PUT", "GET"], include_in_schema=False)(doors.webhook)
    app.post("/v1/forms/{source}", **openapi.FORM)(doors.form)
    app.options("/v1/forms/{source}", include_in_schema=False)(doors.preflight)
    app.get("/v1/forms/{source}/thanks", include_in_schema=False)(doors.thanks)


def _add_views(app: FastAPI, views: Views) -> None:
    app.get("/v1/notifications/{id}", **openapi.STATUS)(views.status)
    app.get("/v1/notifications", **openapi.LIST)(views.list)
    app.get("/health/live", **openapi.LIVE)(views.live)
    app.get("/health/ready", **openapi.READY)(views.ready)
    app.head("/health/live", include_in_schema=False)(views.live)
    app.head("/health/ready", include_in_schema=False)(views.ready)


@dataclass(frozen=True)
class Views:
    """The routes that only look."""

    settings: Settings
    store: Store
    keyring: Keyring

    async def status(self, request: Request) -> Response:
        """One notification, for whoever has a key of its source."""
        allowed = self.keyring.readable(web.credentials(request, web.headers_of(request)))
        entry = await self.store.get(request.path_params["id"])
        if entry is None or (allowed is not None and entry.source not in allowed):
            raise Rejected(404, "not_found", "There is no notification with this id, or it belongs to another source.")
        return web.answer(entry_json(entry))

    async def list(self, request: Request) -> Response:
        """The ledger, newest first, for operators."""
        self.keyring.require_admin(web.credentials(request, web.headers_of(request)))
        query = dict(web.query_of(request))
        status = query.get("status", "")
        if status and status not in list(Status):
            raise Rejected(
                422,
                "invalid",
                "There is no such status.",
                fields={"status": f"must be one of {', '.join(Status)}"},
            )
        page = await self.store.list(
            status=status,
            source=query.get("source", ""),
            since=web.time_of(query, "since"),
            cursor=query.get("cursor", ""),
            limit=web.number_of(query, "limit", default=100, most=1000),
        )
        return web.answer({"items": [entry_json(entry) for entry in page.entries], "next": page.next})

    async def live(self) -> Response:
        """The process answers."""
        return web.answer({"status": "ok", "version": __version__})

    async def ready(self) -> Response:
        """The process can accept: its configuration is sound (or we were not here) and its store answers."""
        try:
            await self.store.read("health")
        except Exception as error:  # whatever it is, the answer is "not ready"
            refusal = web.as_rejection(error)
            return web.answer({"status": "unavailable", "store": "unavailable"}, 503, refusal.headers)
        return web.answer({"status": "ok", "store": "ok", "environment": self.settings.environment})


async def _refused(_: Request, error: Exception) -> Response:
    return web.problem(web.as_rejection(error))


_METHOD_REASON = (
    "A POST that was redirected on its way arrives as a GET without its body: check the URL (https, no redirect)."
)


async def _no_route(request: Request, error: Exception) -> Response:
    """404 and 405 of the router, as everything else: with a code and a reason."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allow = (error.headers or {}).get("Allow", "POST")
        detail = f"{request.method} is not taken here, use {allow}. {_METHOD_REASON}"
        return web.problem(Rejected(405, "method_not_allowed", detail, headers={"Allow": allow}))
    detail = "There is nothing at this path; /docs lists what there is." if error.status_code == 404 else error.detail
    return web.problem(Rejected(error.status_code, "not_found", detail))
