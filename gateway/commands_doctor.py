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


def _content(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError([Problem("command line", 0, "--settings", f"{name} cannot be read")]) from None
