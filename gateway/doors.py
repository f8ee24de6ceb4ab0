"""The doors: a request with a notification in it comes in, the line makes it durable, and only then an answer goes out.

Native clients get 202, tools 200, web pages 200 or 303; every refusal is a Rejected with a reason to act on.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway import sources, web
from gateway.auth import Keyring, origin_allowed, require_origin, stated_origin
from gateway.client import Clients
from gateway.config import Config, Source
from gateway.errors import Rejected
from gateway.notification import Notification
from gateway.pipeline import Accepted, Line
from gateway.security_events import SecurityEvents
from gateway.shown import message_json
from gateway.sources.form import Form, content_hash, next_url, notification_of, read_form
from gateway.telemetry import about
from gateway.threads import aside
from gateway.throttle import OPEN, Throttle, limits_of

FORM = "form"
NATIVE = "native"

_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_CORS_EXPOSED = "X-Notification-Id, Idempotency-Replay, Retry-After"


@dataclass(frozen=True)
class Doors:
    """The three ways in over HTTP."""

    config: Config
    line: Line
    keyring: Keyring
    clients: Clients
    throttle: Throttle
    events: SecurityEvents

    async def native(self, request: Request) -> Response:
        """The application's door: our own JSON, 202."""
        headers = web.headers_of(request)
        name = self.keyring.native(web.credentials(request, headers))
        about(name)
        await self._hold(name, self.config.sources[name], request, headers)
        body = await web.body_of(request, headers)
        if web.lost_body(body, headers):
            raise web.length_required()
        notifications = await aside(len(body), sources.read, "native", body, headers, name)
        if notifications[0].envelope and notifications[0].envelope.dry_run:
            rendered = self.line.compose(notifications[0], name)
            return web.answer({"status": "dry_run", "messages": [message_json(message) for message in rendered]})
        # What is parsed need not be there as it came, too: a large body is only kept as its hash.
        content, body = _digest(body, headers), b""
        accepted = await self._accept(name, notifications, content, headers)
        return _accepted(accepted, 202)

    async def webhook(self, request: Request) -> Response:
        """A tool's door: its own payload, 200, since several tools accept nothing else."""
        headers = web.headers_of(request)
        name, source = self._opened(request, headers)
        await self._hold(name, source, request, headers, later=True)
        body = await web.body_of(request, headers)
        if request.method == "GET":
            body = web.query_body(request)
            headers = {**headers, "content-type": "application/x-www-form-urlencoded"}
            if not body:
                raise _wrong_method("POST, PUT", "a GET is only taken with its payload in the query")
        if web.lost_body(body, headers):
            raise web.length_required()
        notifications = await aside(len(body), sources.read, source.kind, body, headers, name)
        content, body = _digest(body, headers), b""
        return _accepted(await self._accept(name, notifications, content, headers), 200)

    async def form(self, request: Request) -> Response:
        """A web page's door: 200 JSON for scripts, 303 for a browser that posted a plain form."""
        headers = web.headers_of(request)
        name, source = self._form_source(request, headers)
        try:
            response = await self._form(request, headers, name, source)
        except Exception as error:  # a page's script may only read the reason with CORS headers on it
            refusal = web.as_rejection(error)
            await self.events.refused(refusal, request.scope)
            if web.wants_html(headers):
                page = web.page("This did not work", [refusal.detail, *refusal.fields.values()], refusal.status)
                page.headers.update(refusal.headers)
                return page
            response = web.problem(refusal)
        return _with_cors(response, headers, source)

    async def _form(self, request: Request, headers: dict[str, str], name: str, source: Source) -> Response:
        with_key = await self._admit(name, source, request, headers)
        body = await web.body_with_files(request, headers)
        if web.lost_body(body, headers):
            raise web.length_required()
        form, notifications = await aside(len(body), _filled_in, body, headers, name, source)
        stranger = "" if with_key else await aside(len(body), content_hash, form)
        content, body = stranger or _digest(body, headers), b""
        accepted = await self._accept(name, notifications, content, headers, stranger)
        return self._form_answer(accepted, form, headers, name, source)

    def _form_answer(
        self, accepted: Accepted, form: Form, headers: dict[str, str], name: str, source: Source
    ) -> Response:
        if not web.wants_html(headers):
            return _accepted(accepted, 200)
        location = next_url(form, source.origins) or f"/v1/forms/{name}/thanks"
        return Response(status_code=303, headers={"Location": location, **_naming(accepted)})

    async def preflight(self, request: Request) -> Response:
        """A browser asks before a fetch with JSON; only the configured origins are told yes."""
        headers = web.headers_of(request)
        _, source = self._form_source(request, headers)
        response = Response(status_code=204, headers={"Allow": "POST, OPTIONS"})
        if origin_allowed(headers.get("origin", ""), source.origins):
            response.headers["Access-Control-Allow-Methods"] = "POST"
            wanted = headers.get("access-control-request-headers", "content-type")
            response.headers["Access-Control-Allow-Headers"] = wanted
            response.headers["Access-Control-Max-Age"] = "7200"
        return _with_cors(response, headers, source)

    async def thanks(self, request: Request) -> Response:
        """Where a browser goes when the form names no page of its own."""
        self._form_source(request, web.headers_of(request))
        return web.page("Thank you", ["Your message has been sent."])

    async def _admit(self, name: str, source: Source, request: Request, headers: Mapping[str, str]) -> bool:
        """Let a post in before anything of its body is read, or refuse it. Whether a key opened the form.

        Whoever has a key is only held to limits that are written. Who is not let in has used up one of his own posts,
        but none of the source's, so that it cannot be closed to others with wrong keys.
        """
        limits, counted = limits_of(source), name
        if self.keyring.opens(name, web.credentials(request, headers)):
            # By themselves, so that strangers cannot use up what is theirs.
            limits, counted = OPEN if source.limit is None else limits, f"{name}|key"
        if limits == OPEN:
            return self._let_in(name, source, request, headers)
        client = await self.clients.tags(request.scope)
        _refuse(self.throttle.wait(counted, limits, client))
        try:
            with_key = self._let_in(name, source, request, headers)
        except Rejected:
            await self.throttle.take(counted, limits, client, whole=False)
            raise
        _refuse(await self.throttle.take(counted, limits, client))
        return with_key

    async def _hold(
        self, name: str, source: Source, request: Request, headers: Mapping[str, str], *, later: bool = False
    ) -> None:
        """Hold a key's owner to the limits that are written."""
        if (limits := limits_of(source)) != OPEN:
            client = await self.clients.tags(request.scope)
            _refuse(await self.throttle.take(name, limits, client), later=later)

    def _let_in(self, name: str, source: Source, request: Request, headers: Mapping[str, str]) -> bool:
        """With keys, a valid one or a page of its origins, and of the keys that were sent one must be right.

        Without keys: its pages, and what has no Origin unless one is required. Whether a key opened it.
        """
        sent, origin = web.credentials(request, headers), stated_origin(headers)
        if source.keys and (sent or origin is None or not source.origins):
            self.keyring.require(name, sent)
            return True
        require_origin(origin, source.origins, needed=source.require_origin)
        return False

    def _form_source(self, request: Request, headers: Mapping[str, str]) -> tuple[str, Source]:
        """The form a path names; 404 otherwise, which tells strangers nothing of other sources."""
        name = request.path_params["source"]
        source = self.config.sources.get(name)
        if source is None or source.kind != FORM:
            known = source is not None and self.keyring.is_known(web.credentials(request, headers))
            raise _not_here(name, source if known else None)
        about(name)
        return name, source

    def _opened(self, request: Request, headers: Mapping[str, str]) -> tuple[str, Source]:
        """The webhook's source a path names, once its key is there.

        Without a valid key every name gets the same answer, whether there is such a source or not.
        """
        name, path_key = request.path_params["source"], request.path_params.get("key", "")
        sent = web.credentials(request, headers, path_key)
        source = self.config.sources.get(name)
        if source is None or source.kind in {FORM, NATIVE}:
            self.keyring.require_known(name, sent)
            raise _not_here(name, source)
        about(name)
        self.keyring.require(name, sent)
        if path_key and not source.key_in_path:
            what = "This source takes no key in its path; say `key_in_path: true` if it should."
            raise Rejected(404, "not_found", what)
        return name, source

    async def _accept(
        self, source: str, notifications: list[Any], content: str, headers: dict[str, str], stranger: str = ""
    ) -> Accepted:
        """`content`: the hash of the body; `stranger`: the hash of what somebody without a key sent.

        It becomes part of the Idempotency-Key, so that nobody can take the key that a page gives its visitors.
        """
        key = headers.get("idempotency-key")
        if key is not None and not _KEY.fullmatch(key):
            raise Rejected(400, "malformed", "Idempotency-Key must be 1 to 255 printable ASCII characters.")
        if key is None:
            return await self.line.accept(source, notifications)
        if stranger:
            key = f"{key}\n{stranger}"
        return await self.line.accept(source, notifications, key=key, digest=content)


def _digest(body: bytes, headers: Mapping[str, str]) -> str:
    """What a body is recognised by, where that may be asked."""
    return hashlib.sha256(body).hexdigest() if "idempotency-key" in headers else ""


def _refuse(wait: int, *, later: bool = False) -> None:
    """Over the limit for so many milliseconds, if any; `later`: a tool is told what it tries again after."""
    if wait:
        seconds = -(wait // -1000)
        detail = f"Too many messages have come from here, or to here. Please try again in {seconds} seconds."
        after = {"Retry-After": str(seconds)}
        # Alertmanager and Azure never send again after a 429.
        raise (
            Rejected(503, "rate_limited", detail, headers=after)
            if later
            else Rejected(429, "rate_limited", detail, headers=after)
        )


def _not_here(name: str, source: Source | None) -> Rejected:
    """404 with the way to the source, or without one where there is none, or none that the caller may know of."""
    if source is None:
        return Rejected(404, "unknown_source", "There is no such source at this door; gateway.yaml has their names.")
    door = {FORM: f"/v1/forms/{name}", NATIVE: "/v1/notifications"}.get(source.kind, f"/v1/webhooks/{name}")
    return Rejected(404, "wrong_door", f"Source {name} is of kind {source.kind}; post to {door}.")


def _filled_in(body: bytes, headers: Mapping[str, str], name: str, source: Source) -> tuple[Form, list[Notification]]:
    """A form, and what is told by it: nothing where a bot filled it in."""
    form = read_form(body, headers)
    return form, notification_of(form, name, source.files)


def _naming(accepted: Accepted) -> dict[str, str]:
    replay = {"Idempotency-Replay": "true"} if accepted.replayed else {}
    return {"X-Notification-Id": ", ".join(accepted.ids), **replay}


def _accepted(accepted: Accepted, status: int) -> Response:
    several = {"ids": accepted.ids} if len(accepted.ids) > 1 else {}
    value = {"id": accepted.ids[0], "status": "queued", **several}
    location = {"Location": f"/v1/notifications/{accepted.ids[0]}"} if status == 202 else {}
    return web.answer(value, status, {**_naming(accepted), **location})


def _with_cors(response: Response, headers: dict[str, str], source: Source) -> Response:
    origin = headers.get("origin", "")
    response.headers["Vary"] = "Origin"
    if origin and origin_allowed(origin, source.origins):
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = "X-Notification-Id, Idempotency-Replay, Retry-After"
    return response


def _wrong_method(allow: str, why: str) -> Rejected:
    return Rejected(
        405,
        "method_not_allowed",
        f"Use {allow} here: {why}. A POST that was redirected on its way also arrives as a GET: check the URL "
        "(https, no redirect).",
        headers={"Allow": allow},
    )
