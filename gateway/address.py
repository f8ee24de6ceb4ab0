"""Addresses and text fit for a header: strings of a caller come in, Address values without surprises go out."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict


class Model(BaseModel):
    """A frozen value: unknown fields are refused, nobody mutates what it was given."""

    # Most processes use a third of the models; what a model costs is paid at its first use.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


def folded(email: str) -> str:
    """The form an address is compared and kept by: providers change its case."""
    return email.strip().lower()


# RFC 5321 dot-string local part and LDH domain. Quoted local parts, comments and groups are refused on purpose: no
# notification needs them and every one of them has been used to smuggle a second recipient.
_LOCAL = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
_DOMAIN = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
_BARE = re.compile(rf"{_LOCAL}@{_DOMAIN}", re.ASCII)
_NAMED = re.compile(r'(?:"((?:[^"\\\r\n]|\\.)*)"|([^"<>\r\n]*?))\s*<([^<>\s]+)>')
_ESCAPED = re.compile(r"\\(.)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")


def has_control(text: str) -> bool:
    """Whether `text` holds a character that could end a header line or is no character at all (CR, LF, U+2028, …)."""
    return _CONTROL.search(text) is not None


def one_line(text: str) -> str:
    """`text` fit for a header: control characters and line separators become spaces, runs of spaces one."""
    return " ".join(_CONTROL.sub(" ", text).split())


def _ascii(email: str) -> str:
    """The address with its domain in IDNA form."""
    local, at, domain = email.rpartition("@")
    if not at or domain.isascii():
        return email
    try:
        return f"{local}@{domain.encode('idna').decode('ascii')}"
    except UnicodeError:
        return email


def _checked(email: str) -> str:
    """The address itself when it is one; lengths from RFC 5321 section 4.5.3.1."""
    if not _BARE.fullmatch(email) or len(email) > 254 or len(email.rpartition("@")[0]) > 64:
        raise ValueError("is not an e-mail address; write user@example.com or Name <user@example.com>")
    return email


def _unbroken(name: str) -> str:
    if has_control(name):
        raise ValueError("must not contain line breaks or control characters")
    return name


class Address(Model):
    """One mailbox: `email` in ASCII (an international domain in its xn-- form), `name` possibly empty."""

    email: Annotated[str, AfterValidator(lambda email: _checked(_ascii(email)))]
    name: Annotated[str, AfterValidator(_unbroken)] = ""

    def __str__(self) -> str:
        """`Name <email>`, or the bare e-mail."""
        return f"{self.name} <{self.email}>" if self.name else self.email

    @property
    def domain(self) -> str:
        """The part behind the @, in lower case."""
        return self.email.rpartition("@")[2].lower()

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `user@host` or `Name <user@host>`; ValueError says what is wrong, without repeating the text."""
        text = text.strip()
        if len(text) > 1000:
            raise ValueError("is too long for an address")
        if has_control(text):
            raise ValueError("must not contain line breaks or control characters")
        if _BARE.fullmatch(text):
            return cls(email=_checked(text))
        if match := _NAMED.fullmatch(text):
            quoted, plain, email = match.groups()
            name = _ESCAPED.sub(r"\1", quoted) if quoted is not None else plain.strip()
            return cls(email=_checked(_ascii(email)), name=name)
        return cls(email=_checked(_ascii(text)))


def split_addresses(text: str) -> list[str]:
    """The parts of a comma- or semicolon-separated list; separators inside quotes or angle brackets stay."""
    if "," not in text and ";" not in text:
        return [text] if text.strip() else []
    parts = re.findall(r'(?:"(?:[^"\\]|\\.)*"|<[^<>]*>|[^,;"<]|["<])+', text)
    return [part.strip() for part in parts if part.strip()]


def _to_address(value: Any) -> Any:
    return Address.parse(value) if isinstance(value, str) else value


def _to_addresses(value: Any) -> Any:
    if isinstance(value, str):
        value = split_addresses(value)
    return [_to_address(item) for item in value] if isinstance(value, list) else value


AnyAddress = Annotated[Address, BeforeValidator(_to_address, json_schema_input_type=str | Address)]
"""An address that may be written as one string."""
Addresses = Annotated[
    tuple[Address, ...], BeforeValidator(_to_addresses, json_schema_input_type=str | list[str | Address])
]
"""Several addresses; one string may hold a comma-separated list."""
