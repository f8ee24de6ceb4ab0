"""Operators' commands: arguments come in, the ledger in the store is read or changed, text or JSON goes out.

They work on the store itself (--store, GATEWAY_STORE), whether a gateway runs on it or not, and do what the operators'
routes do. A gateway that runs finds what was queued by its next sweep.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from gateway.address import Address, folded, one_line
from gateway.clock import wall_clock
from gateway.errors import ConfigurationError, Problem, Rejected, StoreUnavailable
from gateway.ledger import Entry, Store
from gateway.message import Status
from gateway.settings import Environment, Settings

Work = Callable[[Store, argparse.Namespace], Awaitable[None]]


_VERBS: dict[str, Any] = {"required": True, "metavar": "COMMAND"}


class Commands(Protocol):
    """Where commands are added to: what argparse's `add_subparsers` gives."""

    def add_parser(self, name: str, *, help: str) -> argparse.ArgumentParser:
        """One more command."""
        ...


def add_to(commands: Commands) -> None:
    """Add the commands to the command line."""
    notifications = commands.add_parser("notifications", help="look at notifications, send them again, stop them")
    verbs = notifications.add_subparsers(**_VERBS)
    listing = _command(verbs, "list", "notifications, newest first", _list)
    listing.add_argument("--status", default="", choices=[status.value for status in Status], help="only these")
    listing.add_argument("--source", default="", help="only this source's")
    listing.add_argument("--since", type=_time, help="created at or after this time, such as 2026-11-23T14:45:00Z")
    _paging(listing)
    _command(verbs, "show", "one notification with its history", _show).add_argument("id", help="its id")
    for name, help, work in (
        ("replay", "send again what has not arrived", _replay),
        ("cancel", "stop what was not sent yet", _cancel),
    ):
        command = _command(verbs, name, help, work)
        command.add_argument("id", help="the notification's id")
        command.add_argument("--message", default="", help="only this message of it")
    _add_suppressions(commands.add_parser("suppressions", help="addresses that get no mail").add_subparsers(**_VERBS))


def _add_suppressions(verbs: Commands) -> None:
    _paging(_command(verbs, "list", "the list, in the order of the addresses", _suppressed))
    add = _command(verbs, "add", "send no mail to an address", _suppress)
    add.add_argument("address", type=_address, help="the e-mail address")
    add.add_argument("--reason", default="manual", type=one_line, help="a word for why (manual)")
    add.add_argument("--days", default=90, type=_number(3650), help="for how long, 1 to 3650 (90)")
    remove = _command(verbs, "remove", "let an address get mail again", _unsuppress)
    remove.add_argument("address", help="the e-mail address")


def _command(verbs: Commands, name: str, help: str, work: Work) -> argparse.ArgumentParser:
    command = verbs.add_parser(name, help=help)
    command.add_argument("--store", help="sqlite:PATH or azure (GATEWAY_STORE)")
    command.add_argument("--json", action="store_true", help="print JSON, as the API answers it")
    command.set_defaults(run=lambda options: run(work, options))
    return command


def _paging(command: argparse.ArgumentParser) -> None:
    command.add_argument("--limit", type=_number(1000), default=100, help="at most so many, 1 to 1000 (100)")
    command.add_argument("--cursor", default="", help="go on where the page before ended")


def _time(text: str) -> datetime:
    with contextlib.suppress(ValueError):
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return at
    raise argparse.ArgumentTypeError("must be a time with an offset, such as 2026-11-23T14:45:00Z")


def _number(most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {most}")
        return int(text)

    return read


def _address(text: str) -> str:
    try:
        return Address.parse(text).email
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


# ------------------------------------------------------------------------------------------------- running


def run(work: Work, options: argparse.Namespace) -> int:
    """Do some work on the store; what is refused is said on stderr, and the exit status is 1."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a console of another code page shows a title as well as it can
    settings = _settings(options.store)
    try:
        asyncio.run(_with_store(settings, work, options))
    except Rejected as refusal:
        print(
            " ".join([refusal.detail, *(f"{name}: {what}" for name, what in refusal.fields.items())]), file=sys.stderr
        )
        return 1
    except StoreUnavailable as error:
        print(f"{settings.store.partition(':')[0]}: the store does not answer ({error})", file=sys.stderr)
        return 1
    return 0


async def _with_store(settings: Settings, work: Work, options: argparse.Namespace) -> None:
    from gateway.wiring import open_store

    store = await open_store(settings)
    try:
        await work(store, options)
    finally:
        await store.close()


def _settings(store: str | None) -> Settings:
    """The environment with the option on top. A file that is not there is a slip: nobody means an empty ledger."""
    settings = Settings.read({"GATEWAY_ENVIRONMENT": Environment.LOCAL, **os.environ})
    settings = replace(settings, store=store or settings.store)
    problems = settings.problems()
    scheme, _, path = settings.store.partition(":")
    if not problems and scheme == "sqlite" and not Path(path).is_file():
        what = f"there is no store at {path}; say --store sqlite:PATH as the gateway was started with"
        problems = [Problem("command line", 0, "--store", what)]
    if problems:
        raise ConfigurationError(problems)
    return settings


# ------------------------------------------------------------------------------------------- notifications


async def _list(store: Store, options: argparse.Namespace) -> None:
    from gateway.shown import entry_json

    page = await store.list(
        status=options.status,
        source=options.source,
        since=options.since,
        cursor=options.cursor,
        limit=options.limit,
    )
    if options.json:
        print_json({"items": [entry_json(entry) for entry in page.entries], "next": page.next})
        return
    shown = [entry_json(entry) for entry in page.entries]
    print_table(("status", "created", "source", "id", "title"), shown)
    print_more(page.next)


async def _show(store: Store, options: argparse.Namespace) -> None:
    entry = await store.get(options.id)
    if entry is None:
        raise Rejected(404, "not_found", "There is no notification with this id.")
    _print_entry(entry, options)


async def _replay(store: Store, options: argparse.Namespace) -> None:
    from gateway.operators import Operators

    _print_entry(await Operators(store).replay(options.id, options.message), options)


async def _cancel(store: Store, options: argparse.Namespace) -> None:
    from gateway.operators import Operators

    _print_entry(await Operators(store).cancel(options.id, options.message), options)


def _print_entry(entry: Entry, options: argparse.Namespace) -> None:
    from gateway.shown import entry_json

    shown = entry_json(entry)
    if options.json:
        print_json(shown)
        return
    for name in ("id", "source", "kind", "title", "state", "severity", "status", "reason", "created"):
        print(f"{name:<10}{one_line(str(shown[name]))}".rstrip())
    print()
    print_table(("status", "attempts", "id", "sender", "to", "reason"), shown["messages"])
    print()
    print_table(("at", "event", "message", "reason"), shown["history"])


# -------------------------------------------------------------------------------------------- suppressions


async def _suppressed(store: Store, options: argparse.Namespace) -> None:
    from gateway.shown import suppression_json
    from gateway.suppressions import Suppressions

    page = await Suppressions(store).list(wall_clock(), options.cursor, options.limit)
    shown = [suppression_json(item) for item in page.items]
    if options.json:
        print_json({"items": shown, "next": page.next})
        return
    print_table(("address", "reason", "at", "expires"), shown)
    print_more(page.next)


async def _suppress(store: Store, options: argparse.Namespace) -> None:
    from gateway.shown import suppression_json
    from gateway.suppressions import Suppressions

    lifetime = timedelta(days=options.days)
    shown = suppression_json(await Suppressions(store).add(options.address, options.reason, wall_clock(), lifetime))
    if options.json:
        print_json(shown)
    else:
        print(f"{shown['address']} gets no mail until {shown['expires']}")


async def _unsuppress(store: Store, options: argparse.Namespace) -> None:
    from gateway.suppressions import Suppressions

    if not await Suppressions(store).remove(options.address):
        raise Rejected(404, "not_found", "This address is not on the suppression list.")
    if options.json:
        print_json({"address": folded(options.address)})
    else:
        print(f"{folded(options.address)} gets mail again")


# -------------------------------------------------------------------------------------------------- output


def print_json(value: Any) -> None:
    """For programs."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """For people: a heading, aligned columns; a control character in a title does nothing to the terminal."""
    cells = [[column.upper() for column in columns]]
    cells += [[_cell(row.get(column, "")) for column in columns] for row in rows]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    for row in cells:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    return one_line(", ".join(value) if isinstance(value, list) else str(value))


def print_more(cursor: str | None) -> None:
    """How to see the next page, should there be one."""
    if cursor:
        print(f"\nThere are more: --cursor {cursor}")
