"""What /docs and /openapi.json say of each route: nothing comes in, keyword arguments for FastAPI's decorators go out.

The routes read their bodies themselves (any tool's format, bytes first), so their schemas are said here. Every example
works as it is against the sample gateway.yaml; a test posts them.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

DESCRIPTION = """Takes notifications over HTTP and delivers them through Azure Communication Services Email or Microsoft
Graph. Whatever is answered with 200 or 202 is durable and ends in a visible final state; every refusal is
`application/problem+json` with a stable `code`, a `detail` that makes sense alone and a `fields` map."""

_REF = "#/components/schemas/{model}"
_ADDRESSES = {"type": "array", "items": {"type": "string", "format": "email"}}
_STRINGS = {"type": "array", "items": {"type": "string"}}
_TEXT = {"type": "string"}
_TIME = {"type": "string", "format": "date-time"}


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties}


_MAIL = {
    "type": "object",
    "required": ["id", "from", "to", "subject", "text", "html"],
    "properties": {
        **dict.fromkeys(("id", "notification", "from", "from_name", "subject", "text", "html"), _TEXT),
        **dict.fromkeys(("to", "cc", "bcc", "reply_to"), _ADDRESSES),
        "captured": _TIME,
        "attachments": {"type": "array", "items": {"type": "object"}},
    },
}

SCHEMAS: dict[str, Any] = {
    "Problem": _object(
        ["title", "status", "code", "detail"],
        type=_TEXT,
        title=_TEXT,
        status={"type": "integer"},
        code={"type": "string", "description": "stable, for programs"},
        detail={"type": "string", "description": "for people"},
        fields={"type": "object", "additionalProperties": _TEXT, "description": "failing field → what to do"},
    ),
    "Accepted": _object(
        ["id", "status"],
        id=_TEXT,
        status={"const": "queued"},
        ids={**_STRINGS, "description": "where one call made several notifications"},
    ),
    "DryRun": _object(["status", "messages"], status={"const": "dry_run"}, messages={"type": "array", "items": _MAIL}),
    "Notification": _object(
        ["id", "source", "kind", "title", "state", "severity", "status", "messages", "history"],
        id=_TEXT,
        source=_TEXT,
        kind=_TEXT,
        title=_TEXT,
        state={"enum": ["firing", "resolved", "acknowledged", "info"]},
        severity={"enum": ["critical", "error", "warning", "info"]},
        unmapped={"type": "boolean"},
        status=_TEXT,
        reason=_TEXT,
        created=_TIME,
        messages={"type": "array", "items": {"type": "object"}},
        history={"type": "array", "items": _object(["at", "event"], at=_TIME, event=_TEXT)},
    ),
    "CapturedMail": _MAIL,
}


def _json(schema: str, description: str, **example: Any) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": _REF.format(model=schema)}}
    if example:
        content["example"] = example
    return {"description": description, "content": {"application/json": content}}


def _list_of(schema: str, description: str) -> dict[str, Any]:
    items = {"type": "array", "items": {"$ref": _REF.format(model=schema)}}
    page = _object(["items", "next"], items=items, next={"type": ["string", "null"]})
    return {"description": description, "content": {"application/json": {"schema": page}}}


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    meaning = {
        400: "malformed or empty body",
        401: "no key, or an unknown one",
        403: "a key or a web site that may not do this",
        404: "nothing there",
        405: "another method is needed",
        411: "the body was lost on the way",
        413: "the body is larger than 10 MiB",
        415: "not a content type this door reads",
        422: "fields that cannot be used, all at once",
        429: "too many requests",
        503: "not stored, so not accepted: send it again",
    }
    content = {"application/problem+json": {"schema": {"$ref": _REF.format(model="Problem")}}}
    return {status: {"description": meaning[status], "content": content} for status in statuses}


def _route(
    summary: str,
    tag: str,
    responses: dict[int | str, dict[str, Any]],
    *,
    body: dict[str, Any] | None = None,
    parameters: list[dict[str, Any]] | None = None,
    keyed: bool = True,
) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    if body:
        extra["requestBody"] = {"required": True, "content": body}
    if parameters:
        extra["parameters"] = parameters
    if keyed:
        extra["security"] = [{"bearer": []}, {"header": []}, {"basic": []}, {"code": []}]
    first = next(iter(responses))
    return {
        "summary": summary,
        "tags": [tag],
        "openapi_extra": extra,
        "responses": responses,
        "status_code": int(first),
        "response_model": None,
    }


def _query(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": _TEXT}


def _path(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "description": description, "schema": _TEXT}


_IDEMPOTENCY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "the same key and body within 24 hours give the first answer again",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
_SOURCE = _path("source", "a source's name in gateway.yaml")
_ACCEPTED = _json("Accepted", "durable, and on its way", id="7c9e6679-7425-40de-944b-e07fc1f90ae7", status="queued")

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

NATIVE = _route(
    "Send a notification",
    "doors",
    {
        202: _ACCEPTED,
        200: _json("DryRun", "`dry_run`: what would be sent; nothing was stored"),
        **_problems(400, 401, 403, 411, 413, 415, 422, 503),
    },
    body={"application/json": {"schema": {"$ref": _REF.format(model="NativeRequest")}, "example": NATIVE_EXAMPLE}},
    parameters=[_IDEMPOTENCY],
)
WEBHOOK = _route(
    "Post a tool's own payload",
    "doors",
    {200: _ACCEPTED, **_problems(400, 401, 403, 404, 405, 411, 413, 422, 503)},
    body={
        "application/json": {
            "schema": {"description": "whatever the tool sends; what cannot be read is mailed as it is"},
            "example": ALERTMANAGER_EXAMPLE,
        }
    },
    parameters=[_SOURCE, _IDEMPOTENCY],
)
FORM = _route(
    "Post a web form",
    "doors",
    {
        200: _ACCEPTED,
        303: {"description": "for a browser: to `_next`, or to a thank-you page"},
        **_problems(400, 401, 403, 404, 411, 413, 422, 503),
    },
    body={
        "application/x-www-form-urlencoded": {"schema": {"type": "object"}, "example": FORM_EXAMPLE},
        "multipart/form-data": {"schema": {"type": "object"}},
        "application/json": {"schema": {"type": "object"}, "example": FORM_EXAMPLE},
    },
    parameters=[_SOURCE, _IDEMPOTENCY],
    keyed=False,
)
STATUS = _route(
    "What became of a notification",
    "ledger",
    {200: _json("Notification", "its messages and its history"), **_problems(401, 403, 404)},
    parameters=[_path("id", "from the answer that accepted it")],
)
_PAGING = [_query("cursor", "`next` of the page before"), _query("limit", "at most 1000; 100 if left out")]
LIST = _route(
    "All notifications, newest first (operators)",
    "ledger",
    {200: _list_of("Notification", "one page"), **_problems(401, 403, 422)},
    parameters=[
        _query("status", "only these"),
        _query("source", "only this source's"),
        _query("since", "created at or after this time"),
        *_PAGING,
    ],
)
LIVE = _route("The process answers", "health", {200: {"description": "it does"}}, keyed=False)
READY = _route(
    "The gateway can accept",
    "health",
    {200: {"description": "it can"}, 503: {"description": "it cannot, and why"}},
    keyed=False,
)
CAPTURED = _route(
    "Captured mail, oldest first (outside production)",
    "captured mail",
    {200: _list_of("CapturedMail", "what matches"), **_problems(401, 403, 422)},
    parameters=[
        _query("to", "a recipient"),
        _query("subject", "a part of the subject"),
        _query("since", "captured at or after this time"),
        _query("wait", "seconds to wait for the first match, at most 120"),
        *_PAGING,
    ],
    keyed=False,
)
FORGET = _route(
    "Delete captured mail", "captured mail", {200: {"description": "how many"}, **_problems(401, 403)}, keyed=False
)
RAW = _route(
    "One captured mail as message/rfc822",
    "captured mail",
    {200: {"description": "the mail", "content": {"message/rfc822": {}}}, **_problems(401, 403, 404)},
    parameters=[_path("id", "the mail's id")],
    keyed=False,
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

            native = NativeRequest.model_json_schema(mode="validation", ref_template=_REF)
            components = plain().setdefault("components", {})
            schemas = {**SCHEMAS, **native.pop("$defs", {}), "NativeRequest": native}
            components["schemas"] = {**components.get("schemas", {}), **schemas}
            components["securitySchemes"] = _SECURITY
        return app.openapi_schema or plain()

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend its OpenAPI
