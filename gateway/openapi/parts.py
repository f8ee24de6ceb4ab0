"""The parts that descriptions of routes are made of: names and sentences come in, pieces of OpenAPI go out."""

from __future__ import annotations

from typing import Any

REF = "#/components/schemas/{model}"
ADDRESSES = {"type": "array", "items": {"type": "string", "format": "email"}}
STRINGS = {"type": "array", "items": {"type": "string"}}
TEXT = {"type": "string"}
TIME = {"type": "string", "format": "date-time"}


def object_of(required: list[str], **properties: Any) -> dict[str, Any]:
    """An object's schema."""
    return {"type": "object", "required": required, "properties": properties}


MAIL = {
    "type": "object",
    "required": ["id", "from", "to", "subject", "text", "html"],
    "properties": {
        **dict.fromkeys(("id", "notification", "from", "from_name", "subject", "text", "html"), TEXT),
        **dict.fromkeys(("to", "cc", "bcc", "reply_to"), ADDRESSES),
        "captured": TIME,
        "attachments": {"type": "array", "items": {"type": "object"}},
    },
}

SCHEMAS: dict[str, Any] = {
    "Problem": object_of(
        ["title", "status", "code", "detail"],
        type=TEXT,
        title=TEXT,
        status={"type": "integer"},
        code={"type": "string", "description": "stable, for programs"},
        detail={"type": "string", "description": "for people"},
        fields={"type": "object", "additionalProperties": TEXT, "description": "failing field → what to do"},
    ),
    "Accepted": object_of(
        ["id", "status"],
        id=TEXT,
        status={"const": "queued"},
        ids={**STRINGS, "description": "where one call made several notifications"},
    ),
    "DryRun": object_of(["status", "messages"], status={"const": "dry_run"}, messages={"type": "array", "items": MAIL}),
    "Notification": object_of(
        ["id", "source", "kind", "title", "state", "severity", "status", "messages", "history"],
        id=TEXT,
        source=TEXT,
        kind=TEXT,
        title=TEXT,
        state={"enum": ["firing", "resolved", "acknowledged", "info"]},
        severity={"enum": ["critical", "error", "warning", "info"]},
        unmapped={"type": "boolean"},
        status=TEXT,
        reason=TEXT,
        created=TIME,
        messages={"type": "array", "items": {"type": "object"}},
        history={"type": "array", "items": object_of(["at", "event"], at=TIME, event=TEXT)},
    ),
    "CapturedMail": MAIL,
    "Suppression": object_of(
        ["address", "reason", "at", "expires"],
        address={"type": "string", "format": "email"},
        reason=TEXT,
        at=TIME,
        expires=TIME,
    ),
}


def json_of(schema: str, description: str, **example: Any) -> dict[str, Any]:
    """An answer in JSON."""
    content: dict[str, Any] = {"schema": {"$ref": REF.format(model=schema)}}
    if example:
        content["example"] = example
    return {"description": description, "content": {"application/json": content}}


def list_of(schema: str, description: str) -> dict[str, Any]:
    """An answer with one page of a list."""
    items = {"type": "array", "items": {"$ref": REF.format(model=schema)}}
    page = object_of(["items", "next"], items=items, next={"type": ["string", "null"]})
    return {"description": description, "content": {"application/json": {"schema": page}}}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The refusals with these statuses."""
    meaning = {
        400: "malformed or empty body",
        401: "no key, or an unknown one",
        403: "a key or a web site that may not do this",
        404: "nothing there",
        405: "another method is needed",
        409: "it does not stand where this can be done",
        411: "the body was lost on the way",
        413: "the body is larger than 10 MiB",
        415: "not a content type this door reads",
        422: "fields that cannot be used, all at once",
        429: "too many requests",
        503: "not stored, so not accepted: send it again",
    }
    content = {"application/problem+json": {"schema": {"$ref": REF.format(model="Problem")}}}
    return {status: {"description": meaning[status], "content": content} for status in statuses}


def route(
    summary: str,
    tag: str,
    responses: dict[int | str, dict[str, Any]],
    *,
    body: dict[str, Any] | None = None,
    parameters: list[dict[str, Any]] | None = None,
    keyed: bool = True,
    at_home: bool = False,
) -> dict[str, Any]:
    """Keyword arguments for one of FastAPI's decorators; `at_home`: no key is needed on one's own machine."""
    extra: dict[str, Any] = {}
    if body:
        extra["requestBody"] = {"required": True, "content": body}
    if parameters:
        extra["parameters"] = parameters
    if keyed:
        extra["security"] = [{"bearer": []}, {"header": []}, {"basic": []}, {"code": []}]
        extra["security"] += [{}] if at_home else []
    first = next(iter(responses))
    return {
        "summary": summary,
        "tags": [tag],
        "openapi_extra": extra,
        "responses": responses,
        "status_code": int(first),
        "response_model": None,
    }


def query(name: str, description: str) -> dict[str, Any]:
    """A query parameter that may be left out."""
    return {"name": name, "in": "query", "required": False, "description": description, "schema": TEXT}


def path(name: str, description: str) -> dict[str, Any]:
    """A part of the path."""
    return {"name": name, "in": "path", "required": True, "description": description, "schema": TEXT}


PAGING = [query("cursor", "`next` of the page before"), query("limit", "at most 1000; 100 if left out")]
