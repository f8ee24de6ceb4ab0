"""Addresses and text fit for a header: strings of a caller come in, Address values without surprises go out."""

from __future__ import annotations

import re
from contextlib import suppress
from itertools import islice
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from gateway.domains import domain_of, domain_pattern


class Model(BaseModel):
    """A frozen value: unknown fields are refused, nobody mutates what it was given."""

    # Most processes use a third of the models; what a model costs is paid at its first use.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


def folded(email: str) -> str:
    """The form an address is compared and kept by: providers change its case, people write its domain as they read it.

    What is no address is left as it is, so that it is never taken for one.
    """
    email = email.strip()
    if email.isascii() and "xn--" not in (lower := email.lower()):
        return lower
    local, at, domain = email.rpartition("@")
    with suppress(ValueError):
        email = f"{local}{at}{domain_of(domain)}"
    return email.lower() if email.isascii() else email


def folded_pattern(pattern: str) -> str:
    """As `folded` for an address with stars, which must have an @; ValueError says what is wrong."""
    local, at, domain = pattern.strip().rpartition("@")
    if not at or not local.isascii():
        raise ValueError('matches no address; write user@example.com, *@example.com, or "*" for anyone')
    return f"{local.lower()}@{domain_pattern(domain)}"


# RFC 5321 dot-string local part and LDH domain. Quoted local parts, comments and groups are refused on purpose: no
# notification needs them and every one of them has been used to smuggle a second recipient.
_LOCAL = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
_DOMAIN = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
_BARE = re.compile(rf"{_LOCAL}@{_DOMAIN}", re.ASCII)
_NAMED = re.compile(r'(?:"((?:[^"\\\r\n]++|\\.)*+)"\s*+|([^"<>\r\n]*+))<([^<>\s]++)>')
# What stands between separators. An open quote reaches to the end: were it tried again behind each escaped quote, a
# list of 50,000 characters would take ten seconds.
_LISTED = re.compile(r'(?:"(?:[^"\\]++|\\.)*+(?:"|\Z|\\\Z)|<[^<>]*+>|[^,;"<]++|<)++', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)")
# U+2800, Braille without a dot, looks like a space and is none to `str.split`.
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
_BLANK = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\u2800\ud800-\udfff]")
_EMOJI = (
    r"\xa9\xae\u203c\u2049\u2122\u2139\u2194-\u21aa\u231a-\u23ff\u24c2\u25aa-\u27bf\u2934\u2935\u2b05-\u2b55"
    r"\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
)
# Unicode's categories Cc (without the line breaks above), Cf and Co, its noncharacters, and what it calls
# Default_Ignorable_Code_Point (DerivedCoreProperties.txt): all that is not seen, or changes the order of what is seen.
# tests/test_address.py compares the list with Python's own tables. U+FE0F stays where an emoji needs it for its colour.
_UNSEEN = re.compile(
    r"[\x80-\x84\x86-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5"
    r"\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ue000-\uf8ff\ufdd0-\ufdef\ufe00-\ufe0e\ufeff"
    r"\uffa0\ufff0-\ufffb\ufffe\uffff\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    r"\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    + "".join(rf"\U{plane:04x}fffe\U{plane:04x}ffff" for plane in range(1, 15))
    + rf"\U000f0000-\U0010ffff]|\ufe0f(?<![{_EMOJI}]\ufe0f)(?!\u20e3)"
)


LONGEST = 1000
"""Characters of an address with its name; longer is nobody's."""


def has_control(text: str) -> bool:
    """Whether `text` holds a character that could end a header line or is no character at all (CR, LF, U+2028, …)."""
    return _CONTROL.search(text) is not None


def seen(text: str) -> str:
    """`text` without what nobody sees: direction marks, joiners, fillers, tags, private characters.

    For whatever tells people who or what something is; a body keeps them, since languages and emoji need them.
    """
    return text if text.isascii() else _UNSEEN.sub("", text)


def one_line(text: str) -> str:
    """`text` fit for a header: line breaks and controls become spaces, runs of spaces one, and it is only what is seen.

    A family of emoji falls apart into its members here, and text in Persian or Hindi loses its joiners: that a name or
    a subject is what it seems to be is worth it.
    """
    return " ".join(_BLANK.sub(" ", seen(text)).split())


def _ascii(email: str) -> str:
    """The address with its domain in IDNA form; one that is in ASCII is read from a store as it was accepted."""
    return email if email.isascii() else _folded_domain(email)


def _folded_domain(email: str) -> str:
    local, at, domain = email.rpartition("@")
    if not at or (domain.isascii() and "xn--" not in domain.lower()):
        return email
    try:
        return f"{local}@{domain_of(domain)}"
    except ValueError as error:
        raise ValueError(f"is not an e-mail address: it {error}") from None


def _checked(email: str) -> str:
    """The address itself when it is one; lengths from RFC 5321 section 4.5.3.1."""
    if not _BARE.fullmatch(email) or len(email) > 254 or len(email.rpartition("@")[0]) > 64:
        raise ValueError("is not an e-mail address; write user@example.com or Name <user@example.com>")
    return email


def unbroken(text: str) -> str:
    """A caller's one line: what could end it is refused, what nobody sees is removed, since pasted text has it."""
    if has_control(text):
        raise ValueError("must not contain line breaks or control characters")
    return seen(text)


class Address(Model):
    """One mailbox: `email` in ASCII (an international domain in its xn-- form), `name` possibly empty."""

    email: Annotated[str, Field(max_length=LONGEST), AfterValidator(lambda email: _checked(_ascii(email)))]
    name: Annotated[str, Field(max_length=LONGEST), AfterValidator(unbroken)] = ""

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
        if len(text) > LONGEST:
            raise ValueError("is too long for an address")
        if has_control(text):
            raise ValueError("must not contain line breaks or control characters")
        if _BARE.fullmatch(text):
            return cls(email=_checked(_folded_domain(text)))
        if match := _NAMED.fullmatch(text):
            quoted, plain, email = match.groups()
            name = _ESCAPED.sub(r"\1", quoted) if quoted is not None else plain.strip()
            return cls(email=_checked(_folded_domain(email)), name=name)
        return cls(email=_checked(_folded_domain(text)))


def unrouted(address: Address) -> Address:
    """An address that a caller or a visitor named: % and ! before the @ are routes to other hosts for old mail servers.

    `user%elsewhere.example@contoso.com` would pass for an address at contoso.com.
    """
    if "%" in (local := address.email.rpartition("@")[0]) or "!" in local:
        raise ValueError("must have no % and no ! before the @: some mail servers read them as a way to another domain")
    if (
        "=?" in local
    ):  # RFC 2047 section 5 forbids it here; =?utf-8?q?victim=40elsewhere.example=3e?= is decoded by some
        raise ValueError("must have no =? before the @: some programs decode it, and read another address in it")
    return address


def split_addresses(text: str, most: int | None = None) -> list[str]:
    """The parts of a comma- or semicolon-separated list, at most so many; separators in quotes or <> stay."""
    if "," not in text and ";" not in text:
        return [text] if text.strip() else []
    parts = (part[0].strip() for part in _LISTED.finditer(text))
    return list(islice(filter(None, parts), most))


def _to_address(value: Any) -> Any:
    return Address.parse(value) if isinstance(value, str) else value


def _as_written(address: Address) -> Address:
    """An address from outside: its xn-- labels must be what some name is written as."""
    email = _folded_domain(address.email)
    return address if email == address.email else Address(email=email, name=address.name)


def _to_addresses(value: Any) -> Any:
    if isinstance(value, str):
        value = split_addresses(value)
    return [_to_address(item) for item in value] if isinstance(value, list) else value


AnyAddress = Annotated[
    Address, BeforeValidator(_to_address, json_schema_input_type=str | Address), AfterValidator(_as_written)
]
"""An address from outside, which may be written as one string."""
Addresses = Annotated[
    tuple[Annotated[Address, AfterValidator(_as_written)], ...],
    BeforeValidator(_to_addresses, json_schema_input_type=str | list[str | Address]),
]
"""Several addresses; one string may hold a comma-separated list."""
