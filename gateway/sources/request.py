"""What a native caller may write: JSON's values come in, a checked NativeRequest goes out.

The API's OpenAPI document is made from this model, so its descriptions are written for callers.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, ConfigDict, Field

from gateway.address import Address, AnyAddress, Model, split_addresses, unbroken, unrouted
from gateway.clock import wall_clock
from gateway.message import Priority
from gateway.sources.media import is_media

MOST_RECIPIENTS = 500
MOST_HEADERS = 20
MOST_TAGS = 20
MOST_ATTACHMENTS = 100

_HEADER = re.compile(r"[Xx]-[A-Za-z0-9-]{1,74}")
_NOT_BASE64 = "is not base64; encode the file's bytes (without the `data:…,` of a data URL)"
# What Exchange, its filters and Azure Communication Services write and read themselves. Exchange's "header firewall"
# drops X-MS-Exchange-Organization-* of untrusted senders (a spam level, say); a mailbox of the tenant is a trusted one.
_RESERVED = (
    "x-ms- x-microsoft- x-forefront- x-exchange- x-eop x-originatororg x-organizationheaders x-crosspremises".split()
)
LONGEST_DELAY = timedelta(days=366)
"""How far ahead `send_at` may be: what waits is kept, and so is its content."""
_WHITE_SPACE = b" \t\r\n\v\f"
_BLANK = re.compile(r"[ \t\r\n\v\f]")


def _listed(value: Any) -> Any:
    """One string may hold a list, and one object stands for a list of one."""
    if isinstance(value, str):
        if len(value) > 50_000:
            raise ValueError("is too long for a list in one string; send a JSON list")
        return _few(split_addresses(value, MOST_RECIPIENTS + 1), MOST_RECIPIENTS)
    return [value] if isinstance(value, dict) else _few(value, MOST_RECIPIENTS)


def _few(value: Any, most: int) -> Any:
    """Counted before each entry is looked at, of which every one may be wrong."""
    if isinstance(value, list | dict) and len(value) > most:
        raise ValueError(f"has too many entries; at most {most}")
    return value


def _words(value: Any) -> Any:
    if isinstance(value, str):
        value = [word.strip() for word in value.split(",", 10 * MOST_TAGS) if word.strip()]
    return _few(value, MOST_TAGS)


def _lower(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _bytes(value: Any) -> Any:
    """Base64 as bytes; PEM-like line breaks are common, so white space is allowed and nothing else."""
    import binascii

    try:
        # A file of 10 MB without line breaks is read without a copy.
        text = value.encode("ascii").translate(None, _WHITE_SPACE) if _BLANK.search(value) else value
        return binascii.a2b_base64(text, strict_mode=True)
    except (AttributeError, TypeError, ValueError):  # the first two for what is no string
        raise ValueError(_NOT_BASE64) from None


def _media(value: str) -> str:
    if not is_media(value):
        raise ValueError("is not a media type; write application/pdf or text/plain")
    return value


def _header(name: str) -> str:
    if not _HEADER.fullmatch(name):
        raise ValueError("is not allowed; only headers that begin with X- may be set, with letters, digits and -")
    if family := next((start for start in _RESERVED if name.lower().startswith(start)), None):
        raise ValueError(f"is reserved; {family}* steers the mail service")
    return name


def _distinct(headers: dict[str, str]) -> dict[str, str]:
    if len({name.lower() for name in headers}) < len(headers):
        raise ValueError("has the same header twice, in different case")
    return headers


def _finite(data: dict[str, Any]) -> dict[str, Any]:
    if data and not _is_finite(data):
        raise ValueError("must hold only finite numbers; JSON has no NaN and no Infinity")
    return data


def _is_finite(value: Any) -> bool:
    if isinstance(value, float):
        return isfinite(value)
    if isinstance(value, dict | list):
        return all(map(_is_finite, value.values() if isinstance(value, dict) else value))
    return True


def _moment(value: Any) -> Any:
    """Only a written time: a number may be seconds or milliseconds."""
    return value if isinstance(value, str | datetime) else ""


def _in_utc(value: datetime) -> datetime:
    if value.year <= 2000 or value > wall_clock() + LONGEST_DELAY:
        raise ValueError("is no time a mail could be sent at; at most one year ahead")
    return value.astimezone(UTC)


Line = Annotated[str, AfterValidator(unbroken)]
AddressList = Annotated[
    tuple[Annotated[AnyAddress, AfterValidator(unrouted)], ...],
    BeforeValidator(_listed, json_schema_input_type=str | Address | list[str | Address]),
    Field(max_length=MOST_RECIPIENTS),
]
HeaderName = Annotated[str, AfterValidator(_header)]
HeaderValue = Annotated[str, Field(max_length=900), AfterValidator(unbroken)]
Tag = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(unbroken)]


class NativeAttachment(Model):
    """One file."""

    name: Annotated[str, Field(min_length=1, max_length=255), AfterValidator(unbroken)] = Field(
        description="the file's name"
    )
    content_type: Annotated[str, AfterValidator(_media)] | None = Field(
        None, description="its media type; by the name's ending when left out"
    )
    content: Annotated[bytes, BeforeValidator(_bytes, json_schema_input_type=str)] = Field(
        description="its bytes in base64", repr=False
    )
    content_id: Annotated[str, Field(pattern=r"^[\x21-\x3b\x3d\x3f-\x7e]{1,200}$")] | None = Field(
        None, description='makes it an inline image: `<img src="cid:…">`'
    )


class NativeRequest(Model):
    """A notification an application sends; at least one of subject, text, html and template must be there."""

    to: AddressList = Field((), description="recipients: one string, a comma-separated list, a list, or objects")
    cc: AddressList = Field((), description="as `to`")
    bcc: AddressList = Field((), description="as `to`; not without a `to`")
    subject: Annotated[str, Field(max_length=900), AfterValidator(unbroken)] = Field("", description="one line")
    text: str = Field("", description="the plain-text part; made from html when left out", repr=False)
    html: str = Field("", description="the HTML part", repr=False)
    template: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")] | None = Field(
        None, description="the look, instead of the route's"
    )
    data: Annotated[dict[str, Any], AfterValidator(_finite)] = Field({}, description="values for the template")
    attachments: tuple[NativeAttachment, ...] = Field((), max_length=MOST_ATTACHMENTS, description="files")
    reply_to: AddressList = Field((), description="where answers go; as `to`")
    priority: Annotated[Priority, BeforeValidator(_lower, json_schema_input_type=Priority)] | None = Field(
        None, description="high goes before everything else"
    )
    headers: Annotated[
        dict[HeaderName, HeaderValue],
        Field(max_length=MOST_HEADERS),
        BeforeValidator(lambda value: _few(value, MOST_HEADERS), json_schema_input_type=dict[str, str]),
        AfterValidator(_distinct),
    ] = Field({}, description="more mail headers, only X-*")
    tags: Annotated[
        tuple[Tag, ...], BeforeValidator(_words, json_schema_input_type=str | list[str]), Field(max_length=MOST_TAGS)
    ] = Field((), description="words of yours to find it by")
    send_at: (
        Annotated[AwareDatetime, BeforeValidator(_moment, json_schema_input_type=datetime), AfterValidator(_in_utc)]
        | None
    ) = Field(None, description="not before this time, at most a year ahead; RFC 3339 with Z or an offset")
    dry_run: bool = Field(default=False, description="only render and answer; nothing is stored or sent")
    idempotency_key: Annotated[str, Field(pattern=r"^[\x20-\x7e]{1,255}$")] | None = Field(
        None, description="queue messages only; over HTTP it is the header Idempotency-Key"
    )
    source: str | None = Field(None, description="queue messages only; over HTTP the key names the source")

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        json_schema_extra={
            "examples": [
                {
                    "to": "ops@example.com",
                    "subject": "Backup finished",
                    "text": "All 14 databases were saved.",
                    "tags": ["backup"],
                }
            ]
        },
    )
