"""SOCKET 1, sources: one module per kind of payload; bytes and headers come in, Notifications go out.

To add a kind: write `gateway/sources/<kind>.py` with one function

    parse(body: bytes, headers: Mapping[str, str], source: str) -> list[Notification]

(`headers` have lower-case names, `source` is the configured name), add a line to KINDS, and put cases into
`tests/payloads/<kind>/<case>.json` with `<case>.expected.json` beside each: the conformance test needs no code.
A module raises Rejected only for what a caller must mend; a webhook that it cannot read is left to `read`, which
delivers it as a readable dump (promise 3: no alert is refused for its shape). With Unmapped (payload.py) instead
of another error the body is not read a second time for that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module

from gateway.errors import Rejected
from gateway.notification import Notification
from gateway.telemetry import log

Parse = Callable[[bytes, Mapping[str, str], str], list[Notification]]

KINDS: dict[str, str] = {
    "alertmanager": "gateway.sources.alertmanager",
    "form": "gateway.sources.form",
    "native": "gateway.sources.native",
}
"""Every kind and its module, imported when the first payload of that kind arrives."""

STRICT = frozenset({"form", "native"})
"""Kinds with a door of their own, whose callers are told what is wrong instead of being mailed as a dump."""


def parser(kind: str) -> Parse:
    """The kind's `parse`."""
    parse: Parse = import_module(KINDS[kind]).parse
    return parse


def read(kind: str, body: bytes, headers: Mapping[str, str], source: str) -> list[Notification]:
    """Parse a payload; what a webhook's module cannot read becomes an unmapped Notification instead of an error."""
    try:
        return parser(kind)(body, headers, source)
    except Rejected:
        raise
    except Exception as error:
        if kind in STRICT:
            raise
        log("payload_unmapped", source=source, kind=kind, error=error)
        from gateway.sources.payload import Unmapped
        from gateway.sources.unmapped import dump

        known = error.payload if isinstance(error, Unmapped) else None
        return [dump(body, headers, source, kind, known)]
