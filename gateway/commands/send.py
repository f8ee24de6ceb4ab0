"""Commands to try things with: a payload's file or words come in, the mail it would become or a posted one goes out.

render    through source, routing and rendering, on this machine; nothing is stored, nothing sent
send      one notification to a gateway that runs somewhere
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gateway.commands import Commands
from gateway.errors import ConfigurationError, Problem, Rejected
from gateway.message import Message
from gateway.settings import Environment, Settings

if TYPE_CHECKING:
    from gateway.config import Source
    from gateway.notification import Notification

TIMEOUT = 30.0
"""Seconds `send` waits for an answer."""


def add_to(commands: Commands) -> None:
    """Add the commands to the command line."""
    render = commands.add_parser("render", help="show the mail that a payload would become")
    render.add_argument("file", help="the payload as the tool posts it; - reads standard input")
    render.add_argument("--source", required=True, help="the source's name in gateway.yaml")
    render.add_argument("--config", help="the configuration file (GATEWAY_CONFIG)")
    render.add_argument("--content-type", default="", help="as the tool sends it; needed for multipart only")
    render.add_argument("--html", action="store_true", help="print the HTML of the first mail instead of the text")
    render.set_defaults(run=_render)

    send = commands.add_parser("send", help="post a notification to a running gateway")
    send.add_argument("--url", default="http://127.0.0.1:7071", help="where the gateway is (http://127.0.0.1:7071)")
    send.add_argument("--key", required=True, help="a key of a native source; - reads it from standard input")
    send.add_argument("--to", required=True, action="append", help="a recipient; may be repeated")
    send.add_argument("--subject", required=True, help="the subject")
    send.add_argument("--text", default="", help="the text")
    send.set_defaults(run=_send)


# ------------------------------------------------------------------------------------------------- render


def _render(options: argparse.Namespace) -> int:
    settings = Settings.read({"GATEWAY_ENVIRONMENT": Environment.LOCAL, **os.environ})
    settings = replace(settings, config=options.config or settings.config)
    try:
        messages = asyncio.run(_messages(settings, options, _content(options.file)))
    except Rejected as refusal:
        print(_refusal(refusal.code, refusal.detail, refusal.fields), file=sys.stderr)
        return 1
    if options.html:
        print(messages[0].html)
    else:
        print("\n\n".join(_as_text(message) for message in messages))
    return 0


def _content(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise ConfigurationError([Problem(file, 0, "FILE", f"cannot be read: {error.strerror}")]) from None


async def _messages(settings: Settings, options: argparse.Namespace, body: bytes) -> Sequence[Message]:
    """What the whole gateway makes of the payload, on a store that is gone afterwards."""
    from gateway import wiring

    with tempfile.TemporaryDirectory() as folder:
        gateway = await wiring.build(replace(settings, store=f"sqlite:{folder}/gateway.db"), os.environ)
        try:
            source = gateway.config.sources.get(options.source)
            if source is None:
                known = ", ".join(gateway.config.sources)
                raise Rejected(
                    404, "unknown_source", f"There is no source of this name in gateway.yaml; it has {known}."
                )
            headers = {"content-type": options.content_type} if options.content_type else {}
            found = _notifications(source, body, headers, options.source)
            return [message for one in found for message in gateway.line.compose(one, options.source)]
        finally:
            await gateway.close()


def _notifications(source: Source, body: bytes, headers: Mapping[str, str], name: str) -> list[Notification]:
    """As the source's door reads it: a form has files, of which it may refuse some."""
    from gateway import sources
    from gateway.sources.form import notification_of, read_form

    if source.kind == "form":
        return notification_of(read_form(body, headers), name, source.files)
    return sources.read(source.kind, body, headers, name)


def _as_text(message: Message) -> str:
    rows = {
        "From": str(message.from_),
        **{
            name: ", ".join(map(str, addresses))
            for name, addresses in (
                ("To", message.to),
                ("Cc", message.cc),
                ("Bcc", message.bcc),
                ("Reply-To", message.reply_to),
            )
            if addresses
        },
        "Subject": message.subject,
        "Attachments": ", ".join(attachment.name for attachment in message.attachments),
    }
    head = "\n".join(f"{name}: {value}" for name, value in rows.items() if value)
    return f"{head}\n\n{message.text.rstrip()}"


# --------------------------------------------------------------------------------------------------- send


def _send(options: argparse.Namespace) -> int:
    key = sys.stdin.readline().strip() if options.key == "-" else options.key
    body = {"to": options.to, "subject": options.subject, **({"text": options.text} if options.text else {})}
    try:
        status, answer = _post(options.url, key, json.dumps(body).encode())
    except (OSError, HTTPException) as error:
        print(f"{options.url}: no answer ({error}); start the gateway, or name another --url", file=sys.stderr)
        return 1
    if status != 202:
        refusal = _refusal(str(answer.get("code", status)), str(answer.get("detail", "")), answer.get("fields", {}))
        print(refusal, file=sys.stderr)
        return 1
    print(answer["id"])
    return 0


def _post(url: str, key: str, body: bytes) -> tuple[int, dict[str, Any]]:
    """The status and the JSON of the answer; of any other answer only its status."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError([Problem("command line", 0, "--url", "must be such as http://127.0.0.1:7071")])
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=TIMEOUT)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    try:
        connection.request("POST", f"{parts.path.rstrip('/')}/v1/notifications", body, headers)
        response = connection.getresponse()
        return response.status, _json(response.read())
    finally:
        connection.close()


def _json(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _refusal(code: str, detail: str, fields: dict[str, str]) -> str:
    return "\n".join([f"{code}: {detail}", *(f"  {name} {what}" for name, what in fields.items())])
