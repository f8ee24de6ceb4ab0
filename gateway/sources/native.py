"""Our own JSON: the body of POST /v1/notifications comes in, one Notification with an Envelope goes out.

The hot path parses once, straight from the bytes. Whatever does not pass there is looked at a second time: what is
meant as JSON is taken as JSON, a plain form too, and a caller is told everything that is wrong at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import Any

from pydantic import ValidationError

from gateway.address import Address, one_line
from gateway.errors import MOST_FAULTS, Rejected
from gateway.message import Attachment
from gateway.notification import Envelope, Notification
from gateway.sources.explain import explain, shown
from gateway.sources.jsontext import leaves, written
from gateway.sources.media import by_name
from gateway.sources.payload import Payload, Shape, sniff
from gateway.sources.request import MOST_ATTACHMENTS, MOST_RECIPIENTS, NativeAttachment, NativeRequest

__all__ = ["NativeRequest", "parse"]

# What ConvertTo-Json writes for everything below its -Depth, which is 2 unless said otherwise.
_TOO_DEEP = frozenset(
    {"System.Collections.Hashtable", "System.Collections.Specialized.OrderedDictionary", "System.Object[]"}
)
FEW_VALUES = 2000
"""Commas of a body that is validated as it is; of more values, each may be wrong, the least are looked at."""

_MOST_STRANGE = 50
_FORM_FIELDS = frozenset(
    "to cc bcc subject text html template reply_to priority tags send_at dry_run idempotency_key source".split()
)


def parse(body: bytes, headers: Mapping[str, str], source: str) -> list[Notification]:
    """One Notification; Rejected says everything that is wrong."""
    request = _request(body, headers)
    notification = Notification(
        source=source,
        kind="native",
        title=request.subject[:200] or _title(request),
        text=request.text,
        subject=request.subject,
        attachments=tuple(map(_attachment, request.attachments)),
        reply_to=request.reply_to,
        envelope=Envelope(
            to=request.to,
            cc=request.cc,
            bcc=request.bcc,
            html=request.html,
            template=request.template,
            data=request.data,
            headers=request.headers,
            tags=request.tags,
            priority=request.priority,
            send_at=request.send_at,
            dry_run=request.dry_run,
        ),
    )
    return [notification]


def _title(request: NativeRequest) -> str:
    """What a notification without a subject is called: its text's first line."""
    line = one_line(request.text[:5000].strip().partition("\n")[0])[:200]
    return line or request.template or "Notification"


def _request(body: bytes, headers: Mapping[str, str]) -> NativeRequest:
    cut_off = b'"System.' in body
    if not cut_off and (len(body) <= FEW_VALUES or body.count(b",") <= FEW_VALUES):
        try:
            request = NativeRequest.model_validate_json(body)
        except ValidationError:
            pass
        else:
            if not any(_omissions(vars(request))):
                return request
    return _validated(_object(body, headers), cut_off=cut_off)


def _omissions(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is wrong between the fields. No recipient at all is the route's business."""
    if not given.get("to") and (given.get("cc") or given.get("bcc")):
        yield "to", "is missing; Azure Communication Services wants at least one, cc or bcc alone is not enough"
    if not (given.get("subject") or given.get("text") or given.get("html") or given.get("template")):
        yield "text", "is missing; give at least one of subject, text, html and template"
    files = given.get("attachments")
    if files and isinstance(files, list | tuple):
        ids = [found for item in files if (found := _content_id(item))]
        if len(set(ids)) < len(ids):
            yield "attachments", "has the same content_id twice, which Azure Communication Services refuses"


def _content_id(item: Any) -> str | None:
    found = item.get("content_id") if isinstance(item, dict) else getattr(item, "content_id", None)
    return found if isinstance(found, str) else None


def _object(body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    """The fields a body holds, however it was sent; null is the same as leaving a field out."""
    payload = sniff(body, headers).simple()
    if payload.shape is Shape.EMPTY:
        raise Rejected(400, "empty_body", "The body is empty; send a JSON object with at least `to` and `text`.")
    if payload.shape is Shape.FORM:
        return _form(payload)
    if payload.shape is Shape.TEXT:
        raise _no_json(payload, headers.get("content-type", ""))
    if not isinstance(payload.value, dict):
        raise Rejected(400, "malformed", "The body must be one JSON object: {…} with at least `to` and `text`.")
    return {name: value for name, value in payload.value.items() if value is not None}


def _no_json(payload: Payload, content_type: str) -> Rejected:
    start = payload.text.lstrip()[:1]
    if start == "'":
        hint = "it begins with a single quote, which Windows' cmd passes on: put the JSON into a file, `-d @file.json`"
        return Rejected(400, "malformed", f"The body is not JSON: {hint}.")
    if payload.flaw and (start in '{["' or "json" in content_type.lower()):
        return Rejected(400, "malformed", f"The body is not JSON: {payload.flaw}.")
    return _unsupported("This is neither JSON nor a form.")


def _unsupported(why: str, fields: dict[str, str] | None = None) -> Rejected:
    detail = f"{why} Send one JSON object, with Content-Type: application/json."
    return Rejected(415, "unsupported_media_type", detail, fields=fields)


def _form(payload: Payload) -> dict[str, Any]:
    """A form whose fields are all ours and all plain text: PowerShell's -Body @{…}, curl -d to=… -d text=…."""
    if payload.files:
        raise _unsupported("Files are taken only as base64 in `attachments`.")
    strange = {shown(name): "cannot be sent as a form" for name, _ in payload.pairs if name not in _FORM_FIELDS}
    if strange or payload.left_out:
        raise _unsupported("The body is a form with fields that have no place here.", dict(list(strange.items())[:20]))
    found: dict[str, Any] = {}
    for name, value in payload.pairs:
        if name in found:
            found[name] = [*found[name], value] if isinstance(found[name], list) else [found[name], value]
        elif value:
            found[name] = value
    return found


def _validated(value: dict[str, Any], *, cut_off: bool) -> NativeRequest:
    fields = dict(_omissions(value))
    request = None
    try:
        request = NativeRequest.model_validate(_bounded(value))
    except ValidationError as error:
        fields |= explain(error, NativeRequest)
    if cut_off:
        hint = "was cut off by ConvertTo-Json, whose -Depth is 2 unless you say more: ConvertTo-Json -Depth 10"
        found = (shown(written(path)) for path, text in leaves(value) if text in _TOO_DEEP)
        fields |= dict.fromkeys(islice(found, MOST_FAULTS), hint)
    if request is None or fields:
        raise Rejected(422, "invalid", _summary(fields), fields=fields)
    return request


def _bounded(value: dict[str, Any]) -> dict[str, Any]:
    """The same without most of what is wrong: one answer names few faults, and each costs time and room.

    Members that nobody knows are left out beyond the first, files beyond one too many.
    """
    strange = iter(range(_MOST_STRANGE))

    def known(given: Any, names: Collection[str]) -> Any:
        if not isinstance(given, dict) or len(given) <= len(names):
            return given
        return {name: item for name, item in given.items() if name in names or next(strange, None) is not None}

    def each(name: str, names: Collection[str], most: int) -> None:
        if isinstance(given := found.get(name), list):
            found[name] = [known(item, names) for item in given[: most + 1]]
        elif isinstance(given, dict):
            found[name] = known(given, names)

    found: dict[str, Any] = known(value, NativeRequest.model_fields)
    found = dict(found)
    for name in ("to", "cc", "bcc", "reply_to"):
        each(name, Address.model_fields, MOST_RECIPIENTS)
    each("attachments", NativeAttachment.model_fields, MOST_ATTACHMENTS)
    return found


def _summary(fields: Mapping[str, str]) -> str:
    """problem+json's detail must make sense alone: PowerShell shows nothing else."""
    name, what = next(iter(fields.items()))
    more = f" (and {len(fields) - 1} more, see fields)" if len(fields) > 1 else ""
    return f"{name} {what}{more}."


def _attachment(file: NativeAttachment) -> Attachment:
    media = file.content_type or by_name(file.name)
    return Attachment(
        name=file.name or "attachment", content_type=media, content=file.content, content_id=file.content_id
    )
