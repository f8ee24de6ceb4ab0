"""What would keep this gateway from delivering: a Patient comes in, a finding for each thing looked at goes out.

Nothing is changed and no mail is sent. A check is one function in one small module, `async (Patient) -> list[Finding]`,
entered in CHECKS under the name that `--only` takes. It answers "could not tell" rather than guess: whether a sender is
known to Azure, say, only Azure's control plane knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from gateway.doctor import acs, backlog, basics, domains, graph, quota, storage
from gateway.doctor.finding import Finding, as_json, as_text, exit_status, untold
from gateway.doctor.patient import Patient, admit
from gateway.errors import ConfigurationError, Problem

Check = Callable[[Patient], Awaitable[list[Finding]]]

CHECKS: dict[str, Check] = {
    "configuration": basics.configuration,
    "identity": basics.identity,
    "storage": storage.storage,
    "acs.access": acs.access,
    "acs.sender": acs.senders,
    "graph.mailbox": graph.mailbox,
    "graph.grant": graph.grant,
    "dns": domains.dns,
    "quota": quota.quota,
    "backlog": backlog.backlog,
    "dead-letters": backlog.dead_letters,
    "poison": backlog.poison,
}

WITHOUT_A_FILE = frozenset({"configuration", "storage", "backlog", "dead-letters", "poison"})
"""Checks that need the environment but not gateway.yaml."""

SECONDS = 60.0
"""For one check; what takes longer could not be told."""


async def examine(patient: Patient, only: Sequence[str] = ()) -> list[Finding]:
    """Every check, or those named; they run side by side and are told in the order above."""
    chosen = {name: check for name, check in CHECKS.items() if not only or name in only}
    try:
        found = await asyncio.gather(*(_one(patient, name, check) for name, check in chosen.items()))
    finally:
        await patient.close()
    return [finding for findings in found for finding in findings]


async def _one(patient: Patient, name: str, check: Check) -> list[Finding]:
    if patient.config is None and name not in WITHOUT_A_FILE:
        return [untold(name, "gateway.yaml cannot be used yet", "see the check `configuration`")]
    try:
        async with asyncio.timeout(SECONDS):
            return await check(patient)
    except TimeoutError:
        return [untold(name, f"no end within {SECONDS:.0f} seconds", "try it alone with --only")]
    except Exception as error:  # one broken check must not hide what the others found
        return [untold(name, f"the check itself failed ({type(error).__name__})", "please report this")]


async def run(
    environ: Mapping[str, str],
    *,
    config: str | None = None,
    app_settings: str | None = None,
    subscription: str = "",
    only: Sequence[str] = (),
    json: bool = False,
) -> tuple[str, int]:
    """What is printed, and the exit status; ConfigurationError when a check is named that is none."""
    if unknown := [name for name in only if name not in CHECKS]:
        message = f"{', '.join(unknown)} is no check; there are {', '.join(CHECKS)}"
        raise ConfigurationError([Problem("command line", 0, "--only", message)])
    patient = admit(environ, config=config, app_settings=app_settings, subscription=subscription)
    found = await examine(patient, only)
    return (as_json if json else as_text)(found), exit_status(found)
