"""The command line: arguments come in, one command runs, its exit status goes out (0 done, 1 not, 2 wrong usage).

python -m gateway dev       serve on this machine, everything captured unless a sender says `live: true`
python -m gateway check     read gateway.yaml and say every mistake at once
python -m gateway keys new  make a key and the hash that belongs into gateway.yaml
python -m gateway schema    write gateway.schema.json, which editors complete gateway.yaml from

commands/ has what operators do (notifications, suppressions), what tries things (render, send), and the checks.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway import __version__
from gateway import commands as operators
from gateway.commands import doctor, send
from gateway.errors import ConfigurationError, Problem
from gateway.settings import Environment, Settings

if TYPE_CHECKING:
    from gateway.guard import Access

SCHEMA_FILE = "gateway.schema.json"
DEFAULT_PORT = 7071


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command."""
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gateway", description="The notification gateway.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    dev = commands.add_parser("dev", help="serve on this machine")
    dev.add_argument("--config", help="the configuration file (GATEWAY_CONFIG)")
    dev.add_argument("--store", help="sqlite:PATH or azure (GATEWAY_STORE)")
    dev.add_argument("--host", default="127.0.0.1", help="address to listen on")
    dev.add_argument("--port", type=int, default=DEFAULT_PORT, help="port to listen on; 0 takes a free one")
    dev.add_argument(
        "--allow-host",
        metavar="NAME",
        type=_host_name,
        action="append",
        default=[],
        help="a host name that requests may use beside this machine's own; may be repeated",
    )
    dev.add_argument(
        "--open", action="store_true", help="beyond this machine too, captured mail needs no key: everybody may read it"
    )
    dev.set_defaults(run=_dev)

    check = commands.add_parser("check", help="read a configuration and say every mistake")
    check.add_argument("file", nargs="?", help="the configuration file (GATEWAY_CONFIG)")
    check.set_defaults(run=_check)

    keys = commands.add_parser("keys", help="make keys").add_subparsers(required=True, metavar="COMMAND")
    new = keys.add_parser("new", help="make a key and its hash")
    new.add_argument("name", help="what the key is for")
    new.add_argument("--json", action="store_true", help="print one JSON object")
    new.set_defaults(run=_new_key)

    schema = commands.add_parser("schema", help=f"write {SCHEMA_FILE}")
    schema.add_argument("--check", action="store_true", help="only say whether it is up to date")
    schema.set_defaults(run=_schema)

    operators.add_to(commands)
    send.add_to(commands)
    doctor.add_to(commands)
    return parser


def _settings(config: str | None, store: str | None = None) -> Settings:
    """The environment with the options on top; `dev` and `check` are local unless told otherwise."""
    settings = Settings.read({"GATEWAY_ENVIRONMENT": Environment.LOCAL, **os.environ})
    changed = replace(settings, config=config or settings.config, store=store or settings.store)
    if problems := changed.problems():
        raise ConfigurationError(problems)
    return changed


def _dev(options: argparse.Namespace) -> int:
    from gateway import host, telemetry

    settings = _settings(options.config, options.store)
    access = _access(settings, options)
    telemetry.configure()

    def ready(port: int) -> None:
        store = settings.store.partition(":")[0]
        inbox = "local" if access.keyless else "none" if settings.production else "admin"
        if access.addresses:
            telemetry.log("open_to_everybody", telemetry.WARNING, port=port)
            inbox = "everybody"
        telemetry.log("listening", port=port, environment=settings.environment, store=store, inbox=inbox)
        if sys.stderr.isatty():
            shown = "127.0.0.1" if options.host in {"0.0.0.0", "::"} else options.host  # noqa: S104  # only compared
            print(f"\n  Captured mail:  http://{shown}:{port}/\n  The HTTP API:   http://{shown}:{port}/docs\n")

    return _run(host.serve(settings, os.environ, options.host, options.port, ready, access=access))


def _access(settings: Settings, options: argparse.Namespace) -> Access:
    """What the address lets in. Beyond this machine nobody reads captured mail without being asked for a key."""
    from gateway import guard, wiring

    developing = settings.environment in guard.DEVELOPING
    if options.open and not developing:
        what = f"is for local and test only; GATEWAY_ENVIRONMENT is {settings.environment}"
        raise ConfigurationError([Problem("command line", 0, "--open", what)])
    access = guard.listener(options.host, options.allow_host, settings.environment, opened=options.open)
    if developing and not access.keyless and wiring.load(settings, os.environ).admin is None:
        what = (
            f"lets others than this machine in at {options.host}: captured mail then needs an admin key. "
            "Write `admin: {keys: […]}` into gateway.yaml, or say --open if everybody there may read all mail"
        )
        raise ConfigurationError([Problem("command line", 0, "--host", what)])
    return access


def _host_name(text: str) -> str:
    from gateway.guard import named

    if named(text) is None:
        raise argparse.ArgumentTypeError(f"{text} is no host name; write one such as gateway.test")
    return text


def _run(work: Any) -> int:
    try:
        import uvloop
    except ImportError:  # Windows has none; asyncio's own loop does the same, slower
        asyncio.run(work)
    else:
        uvloop.run(work)
    return 0


def _check(options: argparse.Namespace) -> int:
    from gateway import configfile, wiring

    settings = _settings(options.file)
    config = wiring.check(settings, os.environ)
    for warning in configfile.warnings(config):
        print(f"{settings.config}: {warning}", file=sys.stderr)
    print(f"{settings.config}: {len(config.sources)} sources, {len(config.senders)} senders, no mistakes")
    return 0


def _new_key(options: argparse.Namespace) -> int:
    from gateway.auth import new_key

    key = new_key(options.name)
    if options.json:
        print(json.dumps(key._asdict()))
    else:
        print(f"key   {key.key}\nhash  {key.hash}\n\nGive the key to {key.name}; only the hash goes into gateway.yaml.")
    return 0


def _schema(options: argparse.Namespace) -> int:
    from gateway.config import Config

    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}
    text = json.dumps(schema, indent=2) + "\n"
    path = Path(SCHEMA_FILE)
    if not options.check:
        path.write_text(text, "utf-8")
        return 0
    if path.exists() and path.read_text("utf-8") == text:
        return 0
    print(f"{SCHEMA_FILE} is out of date; run `make schema`", file=sys.stderr)
    return 1
