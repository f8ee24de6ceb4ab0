"""Domains and origins: names as people and browsers write them come in, the form they are compared in goes out.

Open this when two spellings of a host must be one, or must not be. International names follow IDNA 2008 after UTS 46's
mapping, non-transitional, as browsers and mail programs do: `straße.de` is `xn--strae-oqa.de`, and not the domain of
somebody else, `strasse.de`, which the rules of 2003 made of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urlsplit

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}")
# An underscore is no letter of a host name; the names of services have it, and browsers load pages from such hosts.
_STARRED = re.compile(r"[a-z0-9_*-]{1,63}")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_NOT_IN_A_URL = frozenset("\\\t\r\n")  # browsers read the first as a slash and drop the others
# urllib finds an address in brackets wherever they stand; a browser, only where they are the whole host.
_BRACKETS = re.compile(r"\[[0-9A-Fa-f:.]+\](?::[0-9]*)?|[^\[\]]+")
_DOTS = str.maketrans("\u3002\uff0e\uff61", "...")  # what UTS 46 takes for a dot

LONGEST = 253
"""Characters of a domain (RFC 1035 section 2.3.4, without the dot at the end)."""

PORTS = {"http": 80, "https": 443}

ANY = "*"
"""Among a form's origins: every page may post."""


def domain_of(text: str) -> str:
    """A host's name in lower case, its international labels in their xn-- form; ValueError says what is wrong.

    What is accepted never changes by being folded again, and two names fold alike only where UTS 46 says that they are
    spellings of one.
    """
    if len(text) > LONGEST:
        raise ValueError(f"has a domain of more than {LONGEST} characters")
    lower = text.lower() if text.isascii() else ""
    if not lower or "xn--" in lower:  # most are neither, and so pay nothing for the library's tables
        lower = _international(text)
    if not _DOMAIN.fullmatch(lower) or len(lower) > LONGEST:
        raise ValueError("has no domain such as example.com")
    return lower


def _international(text: str) -> str:
    import idna

    try:
        if any(not char.isascii() and not idna.uts46_remap(char) for char in text):
            # UTS 46 drops them: what is read with them, or for want of seeing them, would be another name.
            raise ValueError("has an invisible character in its domain; type it anew instead of copying it")
        labels = [_label(label) for label in idna.uts46_remap(text).split(".")]
        bidi = _is_bidi(labels)
        for label in filter(None, labels) if bidi else ():
            idna.check_bidi(label, check_ltr=True)
        return ".".join(label if label.isascii() else idna.alabel(label).decode("ascii") for label in labels)
    except UnicodeError:  # the library quotes what it was given
        raise ValueError("has a domain that IDNA 2008 does not allow; write it as its owner registered it") from None


def _label(label: str) -> str:
    """A label as it is read; one in its xn-- form must be the one way to write what it stands for."""
    import idna

    return idna.ulabel(label) if label.startswith("xn--") else label


def _is_bidi(labels: Iterable[str]) -> bool:
    """Whether a label is written from right to left, which binds all labels of the name (RFC 5893)."""
    from unicodedata import bidirectional

    return any(bidirectional(char) in {"R", "AL", "AN"} for label in labels for char in label)


def domain_pattern(text: str) -> str:
    """As `domain_of` for a name with stars: a label with one must be ASCII, what stands between those is folded."""
    folded, run = [], list[str]()
    for label in text.translate(_DOTS).split("."):
        if "*" not in label:
            run.append(label)
            continue
        if not _STARRED.fullmatch(label.lower() if label.isascii() else ""):
            raise ValueError(
                "has a star beside other letters than a-z, 0-9 and -; put a dot between, as in *.example.com"
            )
        folded += [domain_of(".".join(run)), label.lower()] if run else [label.lower()]
        run.clear()
    return ".".join([*folded, domain_of(".".join(run))] if run else folded)


# ------------------------------------------------------------------------------------------------------------- origins


def origin_of(url: str) -> str:
    """Scheme, host and port of an absolute http(s) URL as a browser compares them; nothing for anything else."""
    try:
        parts = urlsplit(url)
        port = parts.port
        if parts.scheme not in PORTS or not url.lower().startswith(f"{parts.scheme}://") or port == 0:
            return ""
        if set(url) & _NOT_IN_A_URL or set(parts.netloc) & set("@%") or not _BRACKETS.fullmatch(parts.netloc):
            return ""
        host = _host(parts.hostname or "", in_brackets="[" in parts.netloc)
    except ValueError:
        return ""
    return f"{parts.scheme}://{host}" + (f":{port}" if port is not None and port != PORTS[parts.scheme] else "")


def _host(text: str, *, in_brackets: bool) -> str:
    """The host of a URL; what ends in a number is an address (https://url.spec.whatwg.org/#concept-host-parser)."""
    if in_brackets:
        return f"[{IPv6Address(text).compressed}]"
    name = domain_of(text)
    return str(IPv4Address(name)) if _NUMBER.fullmatch(name.rpartition(".")[2]) else name


def listed_origin(text: str) -> str:
    """One entry of a form's `origins` in the form that origins are compared in; ValueError says what to write.

    `*` is every page, `https://*.example.com` every name below example.com, however many labels, but not itself.
    """
    if text == ANY:
        return ANY
    scheme, _, rest = text.partition("://")
    below = rest.startswith("*.")
    found = origin_of(f"{scheme}://{rest[2:] if below else rest}")
    if not found or set(rest) & set("/?# ") or (below and ("." not in rest[2:] or _is_address(found))):
        raise ValueError(
            "is no origin; write the page's scheme and host, and its port where there is one, such as "
            "https://www.example.com or http://localhost:8080, without a path, a user or a slash at the end"
        )
    return found.replace("://", "://*.", 1) if below else found


def _is_address(origin: str) -> bool:
    """Whether the host of an origin that was found sound is an IP address."""
    host = origin.partition("://")[2]
    return host.startswith("[") or _NUMBER.fullmatch(host.partition(":")[0].rpartition(".")[2]) is not None


def is_listed(origin: str, listed: Iterable[str]) -> bool:
    """Whether `origin`, of a page or of a URL, is among what `listed_origin` made; `*` is not looked at here.

    What is no origin (`null`, `file://`, nothing at all) is never listed.
    """
    found = origin_of(origin)
    return bool(found) and any(_covers(item, found) for item in listed)


def _covers(item: str, origin: str) -> bool:
    if "://*." not in item:
        return item == origin
    scheme, _, end = item.partition("*")
    return origin.startswith(scheme) and origin.endswith(end)
