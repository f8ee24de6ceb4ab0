"""Commands that examine: arguments come in, what the doctor or the live checks found is printed, a status goes out.

doctor        what would keep this gateway from delivering; changes nothing, sends nothing
verify-live   what a real provider does with a repeated submission; sends a few real mails, and says so before
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from gateway.commands import Commands
from gateway.errors import ConfigurationError, Problem


def add_to(commands: Commands) -> None:
    """Add the commands to the command line."""
    doctor = commands.add_parser("doctor", help="say what would keep this gateway from delivering")
    doctor.add_argument("--config", help="the configuration file (GATEWAY_CONFIG)")
    doctor.add_argument(
        "--settings",
        metavar="FILE",
        help="a deployed app's settings, as `az functionapp config appsettings list` prints them; - reads them",
    )
    doctor.add_argument("--subscription", metavar="ID", help="ask Azure's control plane too (AZURE_SUBSCRIPTION_ID)")
    doctor.add_argument("--only", nargs="+", default=[], metavar="NAME", help="only these checks")
    doctor.add_argument("--json", action="store_true", help="print one JSON object")
    doctor.set_defaults(run=_doctor)

    live = commands.add_parser("verify-live", help="try at a real provider what no document says; sends real mail")
    live.add_argument("--to", required=True, metavar="ADDRESS", help="a mailbox of yours; the mails go there")
    live.add_argument("--yes", action="store_true", help="send; without it, only say what would be sent")
    live.add_argument("--config", help="the configuration file (GATEWAY_CONFIG)")
    live.add_argument("--sender", metavar="NAME", help="this sender of gateway.yaml; else the first of each provider")
    live.add_argument("--only", nargs="+", default=[], metavar="NAME", help="only these checks")
    live.add_argument("--long", action="store_true", help="also what is answered after ten minutes and after 25 hours")
    live.add_argument("--failing", default="", metavar="ADDRESS", help="an address whose domain takes no mail")
    live.add_argument("--json", action="store_true", help="print one JSON object, and ask nothing")
    live.set_defaults(run=_verify_live)


def _doctor(options: argparse.Namespace) -> int:
    from gateway import doctor

    subscription = options.subscription or os.environ.get("AZURE_SUBSCRIPTION_ID", "")
    work = doctor.run(
        os.environ,
        config=options.config,
        app_settings=_content(options.settings) if options.settings else None,
        subscription=subscription,
        only=options.only,
        json=options.json,
    )
    text, status = asyncio.run(work)
    print(text)
    return status


def _verify_live(options: argparse.Namespace) -> int:
    from gateway import live
    from gateway.doctor.finding import as_json, as_text, exit_status
    from gateway.settings import Environment

    asked = sys.stdin.isatty() and not options.json
    wish = live.Wish(
        to=options.to,
        config=options.config,
        sender=options.sender,
        only=tuple(options.only),
        long=options.long,
        failing=options.failing,
        count=_ask if asked else _nobody,
    )
    plan = live.plan({"GATEWAY_ENVIRONMENT": Environment.LOCAL, **os.environ}, wish)
    if not options.yes:
        print(f"{plan}\n\nNothing was sent. To send, add --yes.")
        return WRONG_USAGE
    print(plan, file=sys.stderr)
    found = asyncio.run(live.verify(plan, lambda line: print(line, file=sys.stderr, flush=True)))
    print((as_json if options.json else as_text)(found))
    return exit_status(found)


WRONG_USAGE = 2


def _ask(subject: str) -> int | None:
    """The owner counts; an empty answer is "I cannot say"."""
    answer = input(f"How many mails came with the subject `{subject}`? ").strip()
    return int(answer) if answer.isascii() and answer.isdigit() else None


def _nobody(subject: str) -> int | None:
    del subject
    return None


def _content(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError([Problem("command line", 0, "--settings", f"{name} cannot be read")]) from None
