"""What /docs and /openapi.json say of each route: nothing comes in, keyword arguments for FastAPI's decorators go out.

The routes read their bodies themselves (any tool's format, bytes first), so their schemas are said here. Every example
works as it is against the sample gateway.yaml; a test posts them.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from gateway.openapi.parts import PAGING, REF, SCHEMAS, json_of, list_of, path, problems, query, route

DESCRIPTION = """Takes notifications over HTTP and delivers them through Azure Communication Services Email or Microsoft
Graph. Whatever is answered with 200 or 202 is durable and ends in a visible final state; every refusal is
`application/problem+json` with a stable `code`, a `detail` that makes sense alone and a `fields` map."""

_IDEMPOTENCY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "the same key and body within 24 hours give the first answer again",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
_SOURCE = path("source", "a source's name in gateway.yaml")
_ACCEPTED = json_of("Accepted", "durable, and on its way", id="7c9e6679-7425-40de-944b-e07fc1f90ae7", status="queued")

NATIVE_EXAMPLE = {
    "to": "ops@example.com",
    "subject": "Nightly backup failed",
    "text": "The backup of db-1 ended with exit code 2.\nSee the log on the server.",
    "priority": "high",
}
ALERTMANAGER_EXAMPLE = {
    "version": "4",
    "status": "firing",
    "groupKey": '{}:{alertname="HighLatency"}',
    "commonLabels": {"alertname": "HighLatency", "severity": "critical"},
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "HighLatency", "severity": "critical", "instance": "api-1"},
            "annotations": {"summary": "p99 above 2 s for 10 minutes"},
            "startsAt": "2026-11-23T14:45:11Z",
        }
    ],
}
FORM_EXAMPLE = {"name": "Zoë Müller", "email": "zoe@example.com", "message": "Please call me back."}

NATIVE = route(
    "Send a notification",
    "doors",
    {
        202: _ACCEPTED,
        200: json_of("DryRun", "`dry_run`: what would be sent; nothing was stored"),
        **problems(400, 401, 403, 411, 413, 415, 422, 429, 503),
    },
    body={"application/json": {"schema": {"$ref": REF.format(model="NativeRequest")}, "example": NATIVE_EXAMPLE}},
    parameters=[_IDEMPOTENCY],
)
WEBHOOK = route(
    "Post a tool's own payload",
    "doors",
    {200: _ACCEPTED, **problems(400, 401, 403, 404, 405, 411, 413, 422, 503)},
    body={
        "application/json": {
            "schema": {"description": "whatever the tool sends; what cannot be read is mailed as it is"},
            "example": ALERTMANAGER_EXAMPLE,
        }
    },
    parameters=[_SOURCE, _IDEMPOTENCY],
)
FORM = route(
    "Post a web form",
    "doors",
    {
        200: _ACCEPTED,
        303: {"description": "for a browser: to `_next`, or to a thank-you page"},
        **problems(400, 401, 403, 404, 411, 413, 422, 429, 503),
    },
    body={
        "application/x-www-form-urlencoded": {"schema": {"type": "object"}, "example": FORM_EXAMPLE},
        "multipart/form-data": {"schema": {"type": "object"}},
        "application/json": {"schema": {"type": "object"}, "example": FORM_EXAMPLE},
    },
    parameters=[_SOURCE, _IDEMPOTENCY],
    keyed=False,
)
STATUS = route(
    "What became of a notification",
    "ledger",
    {200: json_of("Notification", "its messages and its history"), **problems(401, 403, 404)},
    parameters=[path("id", "from the answer that accepted it")],
)
LIST = route(
    "All notifications, newest first (operators)",
    "ledger",
    {200: list_of("Notification", "one page"), **problems(401, 403, 422)},
    parameters=[
        query("status", "only these"),
        query("source", "only this source's"),
        query("since", "created at or after this time"),
        *PAGING,
    ],
)
LIVE = route(
    "The process answers", "health", {200: {"description": "it does; an admin key shows the version too"}}, keyed=False
)
READY = route(
    "The gateway can accept",
    "health",
    {200: {"description": "it can"}, 503: {"description": "it cannot, and why"}},
    keyed=False,
)
CAPTURED = route(
    "Captured mail, oldest first (outside production)",
    "captured mail",
    {200: list_of("CapturedMail", "what matches"), **problems(401, 403, 422)},
    parameters=[
        query("to", "a recipient"),
        query("subject", "a part of the subject"),
        query("since", "captured at or after this time"),
        query("wait", "seconds to wait for the first match, at most 120"),
        *PAGING,
    ],
    at_home=True,
)
FORGET = route(
    "Delete captured mail", "captured mail", {200: {"description": "how many"}, **problems(401, 403)}, at_home=True
)
RAW = route(
    "One captured mail as message/rfc822",
    "captured mail",
    {200: {"description": "the mail", "content": {"message/rfc822": {}}}, **problems(401, 403, 404)},
    parameters=[path("id", "the mail's id")],
    at_home=True,
)

_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "basic": {"type": "http", "scheme": "basic", "description": "the key is the password, the user name is free"},
    "header": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    "code": {"type": "apiKey", "in": "query", "name": "code", "description": "for tools that can only store a URL"},
}


def complete(app: FastAPI) -> None:
    """Give the application's OpenAPI the schemas that its routes name; made at the first look, not at start."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            from gateway.sources.native import NativeRequest

            native = NativeRequest.model_json_schema(mode="validation", ref_template=REF)
            components = plain().setdefault("components", {})
            schemas = {**SCHEMAS, **native.pop("$defs", {}), "NativeRequest": native}
            components["schemas"] = {**components.get("schemas", {}), **schemas}
            components["securitySchemes"] = _SECURITY
        return app.openapi_schema or plain()

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend its OpenAPI
