"""Commands that make mail appear: the configuration and our address come in, one curl command for each source goes out.

They work as they are with the keys of the sample gateway.yaml, which everybody knows; elsewhere KEY stands for the key.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any, NamedTuple

from gateway import keys, openapi
from gateway.config import Config, Source


class Example(NamedTuple):
    """One source's command; `unknown_key`: KEY in it must be replaced first."""

    source: str
    kind: str
    command: str
    unknown_key: bool


def examples(config: Config, base: str) -> list[Example]:
    """One for each source, in the order of the file; `base` ends with a slash."""
    return [_example(name, source, base.rstrip("/")) for name, source in config.sources.items()]


def _example(name: str, source: Source, base: str) -> Example:
    key = _key(name, source)
    lines = [f"curl {shlex.quote(base + _path(name, source))}"]
    if key:
        lines.append(f"-H {shlex.quote(f'Authorization: Bearer {key}')}")
    lines += _fields() if source.kind == "form" else _json(_body(source))
    return Example(name, source.kind, " \\\n  ".join(lines), key == "KEY")


def _key(name: str, source: Source) -> str:
    """The source's key where it is the sample's; a form that is open to web pages needs none."""
    if not source.keys or (source.kind == "form" and source.origins):
        return ""
    known = keys.samples([name])
    return next((known[key] for key in source.keys if key in known), "KEY")


def _path(name: str, source: Source) -> str:
    return {"native": "/v1/notifications", "form": f"/v1/forms/{name}"}.get(source.kind, f"/v1/webhooks/{name}")


def _fields() -> Iterator[str]:
    return (f"--data-urlencode {shlex.quote(f'{name}={value}')}" for name, value in openapi.FORM_EXAMPLE.items())


def _json(body: Any) -> list[str]:
    return ["-H 'Content-Type: application/json'", f"-d {shlex.quote(json.dumps(body, ensure_ascii=False))}"]


def _body(source: Source) -> Any:
    """A payload of the source's kind."""
    if source.kind == "native":
        return {**openapi.NATIVE_EXAMPLE, "to": _recipient(source)}
    if source.kind == "alertmanager":
        return openapi.ALERTMANAGER_EXAMPLE
    return {"title": "Disk almost full", "text": "The disk of web-1 is 91 % full."}


def _recipient(source: Source) -> str:
    """Somebody this caller may name."""
    pattern = source.allow[0] if source.allow else "*"
    return "you@example.com" if pattern == "*" else pattern.replace("*", "ops", 1).replace("*", "a")
