"""The HTTP side: a request comes in, one of the routes answers it; refusals go out as problem+json.

docs/http.md is the contract; doors.py has the ways in, this module the routes that look and the operators'.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gateway import __version__, apidocs, openapi, web
from gateway.apidocs import ApiDocs
from gateway.auth import Keyring
from gateway.budget import Budget, default
from gateway.captured import CapturedMail
from gateway.client import Clients, networks
from gateway.clock import wall_clock
from gateway.config import Config
from gateway.doors import Doors
from gateway.errors import Rejected, StoreUnavailable
from gateway.guard import KEYED, Access
from gateway.inbox import Inbox
from gateway.ledger import Store
from gateway.message import Status
from gateway.openapi import operators as documented
from gateway.operators import Operators
from gateway.pipeline import Line
from gateway.security_events import SecurityEvents
from gateway.settings import Settings
from gateway.shown import entry_json, suppression_json
from gateway.store_secret import StoreSecret
from gateway.suppressions import Suppressions
from gateway.telemetry import log
from gateway.throttle import Throttle


def build(
    settings: Settings,
    config: Config,
    store: Store,
    line: Line,
    listed: Suppressions | None = None,
    access: Access = KEYED,
    budget: Budget | None = None,
) -> web.Front:
    """The ASGI application; `listed` is the suppression list as this process's deliveries know it, `access` what its
    host knows of who can reach it.
    """
    keyring = Keyring(config)
    app = FastAPI(
        title="Notification Gateway",
        version=__version__,
        description=openapi.DESCRIPTION,
        telemetry={"tracing": False, "metrics": False, "logs": False},
        docs_url=None,  # FastAPI's page runs a script of somebody else's server; apidocs/ has one of our own
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # a redirected POST becomes a GET without a body
    )
    events = SecurityEvents(Clients(StoreSecret(store), networks(config.trusted_proxies)))
    doors = Doors(config, line, keyring, events.clients, Throttle(store), events)
    _add_doors(app, doors)
    _add_views(app, Views(settings, store, keyring))
    _add_desk(app, Desk(keyring, Operators(store), listed or Suppressions(store), events))
    if not settings.production:
        mail = CapturedMail(store, keyring, access, events)
        mail.add_to(app)
        Inbox(settings, config, mail, described=apidocs.available()).add_to(app)
        ApiDocs(app, mail).add_to(app)

    async def _refused(request: Request, error: Exception) -> Response:
        refusal = web.as_rejection(error)
        await events.refused(refusal, request.scope)
        return web.problem(refusal)

    for expected in (Rejected, StoreUnavailable, Exception):
        app.add_exception_handler(expected, _refused)
    app.add_exception_handler(HTTPException, _no_route)
    openapi.complete(app)
    straight = {"/v1/notifications": doors.native, "/v1/webhooks/": doors.webhook, "/v1/forms/": doors.form}
    return web.Front(app, straight, access, budget or Budget(default()), events)


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


def _add_desk(app: FastAPI, desk: Desk) -> None:
    app.post("/v1/notifications/{id}/replay", **documented.REPLAY)(desk.replay)
    app.post("/v1/notifications/{id}/cancel", **documented.CANCEL)(desk.cancel)
    app.get("/v1/suppressions", **documented.SUPPRESSIONS)(desk.suppressions)
    app.delete("/v1/suppressions", **documented.UNSUPPRESS)(desk.unsuppress)


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

    async def live(self, request: Request) -> Response:
        """The process answers."""
        return web.answer({"status": "ok", **self._inside(request)})

    async def ready(self, request: Request) -> Response:
        """The process can accept: its configuration is sound (or we were not here) and its store answers."""
        try:
            await self.store.read("health")
        except Exception as error:  # whatever it is, the answer is "not ready"
            refusal = web.as_rejection(error)
            return web.answer({"status": "unavailable", "store": "unavailable"}, 503, refusal.headers)
        return web.answer({"status": "ok", "store": "ok", **self._inside(request)})

    def _inside(self, request: Request) -> dict[str, str]:
        """What helps an operator, and whoever looks for a version with a known hole."""
        if not self.keyring.is_admin(web.credentials(request, web.headers_of(request))):
            return {}
        return {"version": __version__, "environment": self.settings.environment}


@dataclass(frozen=True)
class Desk:
    """The routes of operators, who decide what only a person can decide."""

    keyring: Keyring
    operators: Operators
    listed: Suppressions
    events: SecurityEvents
    clock: Callable[[], datetime] = wall_clock

    async def replay(self, request: Request) -> Response:
        """Send again what has not arrived."""
        query = await self._asked(request)
        entry = await self.operators.replay(request.path_params["id"], query.get("message", ""))
        return web.answer(entry_json(entry), 202)

    async def cancel(self, request: Request) -> Response:
        """Stop what was not sent yet."""
        query = await self._asked(request)
        entry = await self.operators.cancel(request.path_params["id"], query.get("message", ""))
        return web.answer(entry_json(entry))

    async def suppressions(self, request: Request) -> Response:
        """The addresses that get no mail."""
        query = await self._asked(request)
        limit = web.number_of(query, "limit", default=100, most=1000) or 1
        page = await self.listed.list(self.clock(), query.get("cursor", ""), limit)
        return web.answer({"items": [suppression_json(item) for item in page.items], "next": page.next})

    async def unsuppress(self, request: Request) -> Response:
        """Let an address get mail again."""
        query = await self._asked(request)
        address = query.get("address", "").strip().replace(" ", "+")  # an unescaped + arrives as a space
        if not address:
            what = "is needed: DELETE /v1/suppressions?address=user@example.com"
            raise Rejected(422, "invalid", "The address is missing.", fields={"address": what})
        if not await self.listed.remove(address):
            raise Rejected(404, "not_found", "This address is not on the suppression list.")
        log("unsuppressed")
        return Response(status_code=204)

    async def _asked(self, request: Request) -> dict[str, str]:
        """The query, once an operator's key is there."""
        key = self.keyring.require_admin(web.credentials(request, web.headers_of(request)))
        await self.events.operator(key, request.scope)
        return dict(web.query_of(request))


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
    detail = (
        "There is nothing at this path; docs/http.md lists what there is." if error.status_code == 404 else error.detail
    )
    return web.problem(Rejected(error.status_code, "not_found", detail))
