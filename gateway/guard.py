"""Where a request comes from, whoever's key it carries: its head comes in, a refusal or nothing goes out.

Open this when a request gets 421 `foreign_host` or 403 `foreign_origin`, or a page of another web site could read mail.

A browser carries any page's requests to every address it can reach, a developer's own machine too. So the address is no
identity. Two things tell such requests from a person's and a program's, before anything else is looked at, so that not
even the time of the answer says anything:

    Host                    where no key is needed: the name must be the machine's own. A stranger's name that leads
                            here (DNS rebinding) would make its pages pages of this gateway.
    Origin, Sec-Fetch-Site  what a browser says of the page that asks; programs send neither. Only a form takes posts
                            from other web sites: https://www.w3.org/TR/fetch-metadata/, https://fetch.spec.whatwg.org/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from socket import SOCK_STREAM, getaddrinfo
from typing import Any

from gateway.errors import Rejected
from gateway.settings import Environment

FORMS = "/v1/forms/"
"""What is made for pages of other web sites; a form's `origins` say whose."""

READABLE = re.compile(r"/(?:v1/captured|captured|docs)?(?:/.*)?|/openapi\.json", re.DOTALL)
"""What is open without a key where none is needed."""

PAGES = re.compile(r"/|/docs|/captured/[^/]+")
"""What a link on another web site may lead a person to."""

DATA = re.compile(r"/+v1/(?!captured/[^/]+/raw$).*", re.DOTALL)
"""What only scripts of our own pages ask for; a mail to save is behind a link."""

ANSWERED = {
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""On every answer that is no form's: no other page may embed, keep or reinterpret it."""

_HOST = re.compile(r"(?:\[([0-9a-fA-F:.]{2,45})\]|([a-zA-Z0-9_](?:[a-zA-Z0-9._-]{0,252})))(?::([0-9]{0,5}))?")
_ORIGIN = re.compile(r"(https?)://([^/?#@\\]+)")
_PORTS = {"http": 80, "https": 443}
_LOOPBACK: dict[int, IPv4Network | IPv6Network] = {4: IPv4Network("127.0.0.0/8"), 6: IPv6Network("::1/128")}
_OWN_SITE = frozenset({"same-origin", "none"})

Scope = Mapping[str, Any]
Named = tuple[str, int | None]


@dataclass(frozen=True, slots=True)
class Access:
    """How this process can be reached, which only its host knows.

    `keyless`: captured mail, its pages and /docs need no key. `names` are then the host names that requests may use
    beside the loopback's; `addresses`: any IP address too, for a listener that was opened to others on purpose.
    `samples`: the keys of the samples, which everybody knows, may open something.
    """

    keyless: bool = False
    names: frozenset[str] = frozenset()
    addresses: bool = False
    samples: bool = False


KEYED = Access()
"""Whatever listens for others than this machine: Azure Functions, always."""


def check(access: Access, scope: Scope) -> None:
    """Let a request pass, or raise its refusal."""
    hosts, origins, sites = _said(scope)
    if access.keyless and not _own_name(access, hosts):
        raise _foreign_host(hosts)
    path: str = scope["path"]
    if path.startswith(FORMS):
        return
    if any(site not in _OWN_SITE for site in sites) and not _leads_to_a_page(scope, path):
        raise _foreign_origin("A page of another web site asked for this")
    for origin in origins:
        if origin != "null" and not _same(origin, hosts, scope.get("scheme", "http")):
            raise _foreign_origin("The Origin of this request is another one than the gateway's own")
        # Anybody can have this one, in a sandboxed frame; a browser that vouches for it says so.
        if origin == "null" and access.keyless and not sites and READABLE.fullmatch(path):
            raise _foreign_origin("The Origin of this request is hidden")
    if access.keyless and not (sites or origins) and DATA.fullmatch(path) and _hides_its_page(scope):
        raise _foreign_origin("A browser asked for this without saying for which page (X-Requested-With would)")


def answered(path: str, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """An answer's headers, with ours where it has none of its own; a form's answers are for other web sites."""
    own = list(headers)
    if path.startswith(FORMS):
        return own
    names = {name.lower() for name, _ in own}
    return own + [(name, value) for name, value in _ANSWERED if name not in names]


_ANSWERED = [(name.encode(), value.encode()) for name, value in ANSWERED.items()]


def _said(scope: Scope) -> tuple[list[str], list[str], list[str]]:
    """What Host, Origin and Sec-Fetch-Site say, each as often as it stands there."""
    hosts, origins, sites = [], [], []
    for name, value in scope["headers"]:
        if name == b"host":
            hosts.append(value.decode("latin-1"))
        elif name == b"origin":
            origins.append(value.decode("latin-1").strip())
        elif name == b"sec-fetch-site":
            sites.append(value.decode("latin-1").strip().lower())
    return hosts, origins, sites


def _hides_its_page(scope: Scope) -> bool:
    """Whether a browser asks and may do so for any page: to names that it trusts only with TLS it sends no
    Sec-Fetch-Site, and no Origin with a simple GET. Our own pages say X-Requested-With, which another site's may not.
    """
    told = dict(scope["headers"])
    mozilla = told.get(b"user-agent", b"").startswith(b"Mozilla/")
    return mozilla and b"accept-language" in told and b"x-requested-with" not in told


def _leads_to_a_page(scope: Scope, path: str) -> bool:
    """Whether a person follows a link to a page: nobody but that person sees what comes, nor when."""
    wanted = {b"sec-fetch-mode": b"navigate", b"sec-fetch-dest": b"document"}
    told = {name: value.strip().lower() for name, value in scope["headers"] if name in wanted}
    return scope["method"] in {"GET", "HEAD"} and told == wanted and PAGES.fullmatch(path) is not None


DEVELOPING = frozenset({Environment.LOCAL, Environment.TEST})
"""Where developers need no key on their own machine."""


def listener(host: str, allowed: Iterable[str], environment: str, *, opened: bool) -> Access:
    """What a listener on this address lets in; `opened`: on purpose, to others than this machine."""
    here = only_this_machine(host)
    if environment not in DEVELOPING or not (here or opened):
        return KEYED
    names = {found[0] for text in (*allowed, host) if (found := named(_bracketed(text)))}
    samples = here or environment == Environment.LOCAL
    return Access(keyless=True, names=frozenset(names), addresses=not here, samples=samples)


def behind_functions(environment: str, environ: Mapping[str, str]) -> Access:
    """What an app behind the Functions host lets in: it cannot know who reaches it, so always with a key.

    Azure and Core Tools both say in WEBSITE_HOSTNAME where the app is; on a developer's machine that is localhost.
    """
    found = named(environ.get("WEBSITE_HOSTNAME", "localhost"))
    return Access(samples=environment == Environment.LOCAL and found is not None and is_loopback(found[0]))


def only_this_machine(host: str) -> bool:
    """Whether nobody else can connect to a listener on this address; an empty one means every address there is."""
    try:
        found = [str(entry[4][0]) for entry in getaddrinfo(host, None, type=SOCK_STREAM)] if host else []
    except OSError:
        return False
    return bool(found) and all(is_loopback(address.partition("%")[0]) for address in found)


def _bracketed(host: str) -> str:
    """An IPv6 address as a Host header has it."""
    return f"[{host}]" if isinstance(_address(host), IPv6Address) else host


_RELAYED = re.compile(
    "forwarded|via|x-forwarded-.+|x-original-.+|x-real-ip|(?:x|true)-(?:client|cluster-client)-ip|cf-connecting-ip|"
    "fastly-client-ip|x-envoy-external-address|x-appengine-user-ip|fly-client-ip|x-azure-clientip"
)


def relayed(headers: Mapping[str, str]) -> bool:
    """Whether a proxy says that it passes on somebody else's request: then this machine is not where it is from."""
    return any(_RELAYED.fullmatch(name) for name in headers)


# ------------------------------------------------------------------------------------------------------- names


def named(text: str) -> Named | None:
    """A Host header as a name in its one form and a port, None without one; None for what is no host at all."""
    match = _HOST.fullmatch(text)
    if match is None or int(match[3] or 0) > 65535:
        return None
    port = int(match[3]) if match[3] else None
    if match[1] is None:
        return match[2].lower().removesuffix("."), port
    try:
        return IPv6Address(match[1]).compressed, port
    except ValueError:
        return None


def is_loopback(name: str) -> bool:
    """Whether a name means this machine wherever it is used: nobody can make it lead elsewhere, or from elsewhere.

    Only what browsers call trustworthy without TLS, since to other names they send no Sec-Fetch-Site: not
    ::ffff:127.0.0.1, which leads here too (https://w3c.github.io/webappsec-secure-contexts/#is-origin-trustworthy).
    """
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761 section 6.3
        return True
    address = _address(name)
    return address in _LOOPBACK[address.version] if address is not None else False


def _address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(name)
    except ValueError:
        return None


def _own_name(access: Access, hosts: list[str]) -> bool:
    found = named(hosts[0]) if len(hosts) == 1 else None
    if found is None:
        return False
    name = found[0]
    return is_loopback(name) or name in access.names or (access.addresses and _address(name) is not None)


def _same(origin: str, hosts: list[str], scheme: str) -> bool:
    """Whether a page of this origin is a page of this gateway.

    Behind a proxy that ends TLS we hear http where the page has https, so only the other way round is foreign. A port
    that one of the two leaves out is that of the page's scheme.
    """
    match = _ORIGIN.fullmatch(origin)
    asked, page = (named(hosts[0]) if len(hosts) == 1 else None), (named(match[2]) if match else None)
    if match is None or asked is None or page is None or (scheme == "https" and match[1] != "https"):
        return False
    usual = _PORTS[match[1]]
    return (asked[0], asked[1] or usual) == (page[0], page[1] or usual)


# ---------------------------------------------------------------------------------------------------- refusals


def _foreign_host(hosts: list[str]) -> Rejected:
    found = named(hosts[0]) if len(hosts) == 1 else None
    remedy = f"--allow-host {found[0]}" if found else "--allow-host NAME"
    return Rejected(
        421,
        "foreign_host",
        "This gateway needs no key and therefore answers under its machine's own names only, such as localhost. "
        f"Should this name lead here on purpose, start it with `python -m gateway dev {remedy}`.",
    )


def _foreign_origin(what: str) -> Rejected:
    return Rejected(
        403, "foreign_origin", f"{what}. Only forms (POST /v1/forms/…) take requests from pages of other web sites."
    )
