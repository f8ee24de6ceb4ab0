"""gateway.yaml's models: plain values come in, a frozen Config goes out; their JSON Schema is gateway.schema.json.

`configfile` reads the file and adds what must hold between the entries.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from gateway import expressions
from gateway.address import Address, Addresses, AnyAddress, Model, folded, folded_pattern
from gateway.domains import ANY, listed_origin
from gateway.filetypes import ALIASES, TYPES
from gateway.message import Priority

NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")
"""Names of senders and sources: they stand in URLs, log lines and table keys."""

HASH = re.compile(r"sha256:[0-9a-f]{64}")
_DURATION = re.compile(r"(\d+)(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
LONGEST = timedelta(days=3650)
"""Of a duration: what is kept for ever would end before the calendar does."""

_SIZE = re.compile(r"(\d{1,15}) ?([KMG]?B)?", re.IGNORECASE)
_BYTES = {"": 1, "B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3}
_GROUPS = frozenset({"*/*", *(f"{kind.partition('/')[0]}/*" for kind in TYPES)})
_MATCH_KEYS = frozenset({"severity", "state", "kind", "title"})


def _duration(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(str(value).strip())
    if not match:
        raise ValueError("is not a duration; write 30s, 5m, 4h or 7d")
    amount, unit = match.groups()
    if len(amount) > 9 or (found := timedelta(seconds=int(amount) * _SECONDS[unit])) > LONGEST:
        raise ValueError(f"is too long; at most {LONGEST.days}d")
    return found


def _size(value: Any) -> Any:
    match = None if isinstance(value, bool) else _SIZE.fullmatch(str(value).strip())
    if not match:
        raise ValueError("is not a size; write a number of bytes, 500KB, 5MB or 2GB (1KB is 1,024 bytes)")
    return int(match.group(1)) * _BYTES[(match.group(2) or "").upper()]


def as_size(count: int) -> str:
    """A number of bytes as people write it: `5 MB`, `2.5 GB`."""
    unit = next((unit for unit in ("GB", "MB", "KB") if count >= _BYTES[unit]), "B")
    return f"{count / _BYTES[unit]:.4g} {unit}"


def _media(value: Any) -> Any:
    """A type that can be told, in its usual name; or every harmless one of a group."""
    text = str(value).strip().lower()
    known = ALIASES.get(text, text)
    if known not in TYPES and known not in _GROUPS:
        raise ValueError(
            "is no media type that a file can be told to be; docs/sources/form.md lists them. A group is image/*, "
            "audio/*, video/*, text/* or application/*; application/octet-stream is whatever cannot be told"
        )
    return known


def _strings(value: Any) -> Any:
    items = value if isinstance(value, list) else [value]
    return [str(item) if isinstance(item, int | float) else item for item in items]


def _pattern(value: str) -> str:
    if (expression := expressions.written(value)) is not None:
        expressions.compiled(expression)
    return value


def _hashed(value: str) -> str:
    if not HASH.fullmatch(value):
        raise ValueError(
            "must be the hash of a key, sha256: and 64 hexadecimal digits; "
            "make one with `python -m gateway keys new NAME`"
        )
    return value


def allowed_pattern(value: str) -> str:
    """One entry of `allow`, folded as the addresses are that it is compared with; ValueError says what is wrong."""
    return value if value == ANY else folded_pattern(value)


def _lenient(fold: Callable[[str], str]) -> Callable[[str], str]:
    """`configfile` says what is wrong with what stays as it is here, so that it hides no other mistake of the entry."""

    def read(value: str) -> str:
        try:
            return fold(value)
        except ValueError:
            return value

    return read


UNCHECKED = "templates are not checked"
"""The validation context of a process that renders nothing: a template needs Jinja to be read, a doorbell does not."""


def _template(value: str, info: ValidationInfo) -> str:
    if info.context == UNCHECKED:
        return value
    import jinja2

    try:
        jinja2.Environment(autoescape=True).parse(value)
    except jinja2.TemplateSyntaxError as error:
        raise ValueError(f"is not a template: {error.message}") from None
    return value


Duration = Annotated[
    timedelta, BeforeValidator(_duration, json_schema_input_type=Annotated[str, Field(pattern=_DURATION.pattern)])
]
Size = Annotated[int, BeforeValidator(_size, json_schema_input_type=int | Annotated[str, Field(pattern=_SIZE.pattern)])]
MediaTypes = Annotated[
    tuple[Annotated[str, BeforeValidator(_media)], ...],
    BeforeValidator(_strings, json_schema_input_type=str | list[str]),
]
Recipients = Annotated[tuple[str, ...], BeforeValidator(_strings, json_schema_input_type=str | list[str])]
Patterns = Annotated[
    tuple[Annotated[str, BeforeValidator(_pattern)], ...],
    BeforeValidator(_strings, json_schema_input_type=str | int | list[str | int]),
]
KeyHash = Annotated[str, BeforeValidator(_hashed)]
Origin = Annotated[str, AfterValidator(_lenient(listed_origin))]
Allowed = Annotated[str, AfterValidator(_lenient(allowed_pattern))]
Template = Annotated[str, BeforeValidator(_template)]


def acs_host(text: str) -> str:
    """The host of an endpoint, or of a connection string, which is `endpoint=https://…/;accesskey=…`."""
    pairs = (part.partition("=") for part in text.split(";"))
    named = next((value for name, _, value in pairs if name.strip().lower() == "endpoint"), text).strip()
    return urlsplit(named if "://" in named else f"https://{named}").netloc.lower()


def _with_host(value: str) -> str:
    try:
        acs_host(value)
    except ValueError:  # its text may quote the value
        what = "https://NAME.communication.azure.com or the resource's connection string"
        raise ValueError(f"names no host; write {what}") from None
    return value


Endpoint = Annotated[str, AfterValidator(_with_host)]


class Rate(Model):
    """How many messages a sender's account may send."""

    minute: int = Field(gt=0)
    hour: int = Field(gt=0)


class Sender(Model):
    """One From address and the way its mail goes out."""

    transport: Literal["acs", "graph", "capture"] = Field(description="the way out")
    address: AnyAddress = Field(description="the From address")
    name: str = Field("", description="the display name beside the address")
    rate: Literal["acs-custom", "acs-managed", "graph-mailbox", "unlimited"] | Rate | None = Field(
        None, description="the account's quota; default by transport"
    )
    fallback: str | None = Field(None, description="the sender to use when this one certainly cannot")
    mode: Literal["draft", "direct"] = Field("draft", description="graph: verified by a draft, or at most once")
    mailbox: AnyAddress | None = Field(None, description="graph: the mailbox that sends, where it is not the address's")
    save_to_sent: bool = Field(default=True, description="graph, mode direct: keep a copy in Sent Items")
    on_unknown: Literal["park", "resend"] | None = Field(
        None, description="graph: what follows when it cannot be known whether it was sent; default by mode"
    )
    live: bool = Field(default=False, description="send real mail outside production too")
    connection_string: Endpoint = Field("", description="acs: another account than ACS_CONNECTION_STRING", repr=False)
    endpoint: Endpoint = Field("", description="acs: another account than ACS_ENDPOINT, by identity")

    @model_validator(mode="after")
    def _possible(self) -> Sender:
        """What would silently do nothing is a mistake."""
        only = {"mailbox", "save_to_sent", "on_unknown"} & self.model_fields_set
        if only and self.transport != "graph":
            raise ValueError(f"{min(only)}: only a sender with transport: graph can have it")
        if not self.save_to_sent and self.mode == "draft":
            raise ValueError("save_to_sent: Graph keeps every draft it sends in Sent Items; false needs mode: direct")
        return self

    @property
    def from_address(self) -> Address:
        """The From header's mailbox."""
        return Address(email=self.address.email, name=self.name or self.address.name)

    @property
    def resource(self) -> str:
        """Where the provider counts its mail: the mailbox, or the host of its own ACS resource ("" without one)."""
        if self.transport == "acs":
            return acs_host(self.connection_string or self.endpoint)
        return folded((self.mailbox or self.address).email)

    def way_out(self, *, production: bool) -> str:
        """The transport that is really used: capture, unless this is production or the sender is live."""
        return self.transport if production or self.live else "capture"


class Group(Model):
    """A storm guard in Alertmanager's words."""

    by: tuple[str, ...] = ()
    wait: Duration = timedelta(seconds=30)
    interval: Duration = timedelta(minutes=5)
    repeat: Duration = timedelta(hours=4)


class Route(Model):
    """Which notifications go to whom; what is left out comes from the source."""

    match: dict[str, Patterns] = Field({}, description="severity, state, kind, title or label.NAME; all must match")
    to: Recipients = Field((), description="addresses, or names under recipients")
    cc: Recipients = ()
    sender: str | None = None
    template: str | None = None
    language: Literal["en", "de"] | None = None
    priority: Priority | None = Field(
        None, description="high for firing alerts of severity critical or error, else normal; see docs"
    )
    group: Group | None = None
    continue_: bool = Field(
        default=False, alias="continue", description="go on to the next route after this one matched"
    )

    @model_validator(mode="after")
    def _known_keys(self) -> Route:
        for key in self.match:
            if key not in _MATCH_KEYS and not (key.startswith("label.") and len(key) > 6):
                raise ValueError(f"match: unknown key {key}; use severity, state, kind, title or label.NAME")
        return self


class Files(Model):
    """Which files a form takes."""

    most: int = Field(5, ge=0, le=20, description="how many in one post; 0 takes none")
    bytes: Size = Field(5 * 1024**2, gt=0, description="the largest one file may be")
    types: MediaTypes = Field(
        ("image/*", "application/pdf"), min_length=1, description="media types, judged by what a file really is"
    )


Off = Literal["off", False]


def _count(value: Any) -> Any:
    """0 is what `off` becomes: as many as there are."""
    if value is False or value == "off":  # YAML reads a bare off as false
        return 0
    if isinstance(value, int) and value is not True and value >= 1:
        return value
    raise ValueError("must be a whole number from 1, or off")


def _each(model: type[Model]) -> BeforeValidator:
    """`off` is short for `off` in all its fields."""

    def spread(value: Any) -> Any:
        return dict.fromkeys(model.model_fields, "off") if value is False or value == "off" else value

    return BeforeValidator(spread, json_schema_input_type=model | Off | None)


Count = Annotated[int, BeforeValidator(_count, json_schema_input_type=Annotated[int, Field(gt=0)] | Off)]


class Window(Model):
    """How many in any minute and in any hour; what is not written is as usual for the kind of source."""

    minute: Count | None = None
    hour: Count | None = None


class Limit(Model):
    """How often a source may be posted to: by one client, and by all of them."""

    address: Annotated[Window | None, _each(Window)] = None
    source: Annotated[Window | None, _each(Window)] = None


class Source(Model):
    """One kind of payload, who may send it, and where it goes."""

    kind: str = Field(description="the parser: form, native, alertmanager, …")
    keys: tuple[KeyHash, ...] = Field((), description="hashes of the keys that open it; two for rotation")
    key_in_path: bool = Field(
        default=False, description="also take the key as last path segment (paths reach telemetry)"
    )
    origins: tuple[Origin, ...] = Field((), description="form: the web sites that may post")
    limit: Annotated[Limit | None, _each(Limit)] = Field(
        None, description="how often it may be posted to; on for forms without a key, off for others"
    )
    require_origin: bool = Field(default=False, description="form: refuse what has no Origin header")
    files: Files = Field(Files(), description="form: the files that visitors may send")
    sender: str
    to: Recipients = ()
    cc: Recipients = ()
    reply_to: Template = Field("", description="a template over fields and labels")
    subject: Template = Field("", description="a template that replaces the look's subject")
    template: str | None = Field(None, description="the look: default, alert, form, or a folder under templates")
    language: Literal["en", "de"] = "en"
    allow: tuple[Allowed, ...] = Field((), description="native: the only recipients a caller may name")
    routes: tuple[Route, ...] = ()


class Admin(Model):
    """Who may use the operator's endpoints."""

    keys: tuple[KeyHash, ...] = Field(min_length=1)


class Retention(Model):
    """How long things are kept; bodies count from the final state."""

    bodies: Duration = timedelta(days=7)
    ledger: Duration = timedelta(days=90)
    captured: Duration = timedelta(days=7)


def _network(value: Any) -> Any:
    try:
        network = ip_network(value)
    except ValueError:
        raise ValueError("is no network or address; write 203.0.113.7, 10.0.0.0/8 or 2001:db8::/32") from None
    if not network.prefixlen:
        raise ValueError("is everybody, who then could choose his address; name the proxies")
    return value


class Bounds(Model):
    """How much may wait and be kept; beyond it callers are told to come back."""

    open: int = Field(20_000, gt=0, description="open messages of one source")
    size: Size = Field(10 * 1024**3, gt=0, description="what the store's file may hold")
    free: Size = Field(500 * 1024**2, ge=0, description="what stays free on the disk of the store's file")


class Config(Model):
    """The whole file. `folder` is where its relative paths start."""

    senders: dict[str, Sender] = Field(min_length=1)
    recipients: dict[str, Addresses] = {}
    sources: dict[str, Source] = Field(min_length=1)
    admin: Admin | None = None
    templates: str | None = None
    retention: Retention = Retention()
    trusted_proxies: tuple[Annotated[str, BeforeValidator(_network)], ...] = Field(
        (), description="networks whose X-Forwarded-For is believed"
    )
    bounds: Bounds = Bounds()
    folder: Path = Field(Path(), exclude=True, json_schema_extra={"readOnly": True})

    @property
    def template_folder(self) -> Path | None:
        """The owner's own looks, if there are any."""
        return self.folder / self.templates if self.templates else None

    def addresses(self, names: tuple[str, ...]) -> tuple[Address, ...]:
        """Names under `recipients` and plain addresses, as addresses, each once."""
        found: dict[str, Address] = {}
        for name in names:
            for address in self.recipients.get(name) or (Address.parse(name),):
                found.setdefault(folded(address.email), address)
        return tuple(found.values())
