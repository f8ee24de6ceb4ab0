"""Where messages survive: a Patient comes in, whether its storage answers and lets us write goes out.

Writing is tried by deleting what cannot be there: who may not delete is told 403, who may is told 404, and nothing has
changed either way. That Azure asks for the role before it looks is what its services do; no document promises it.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from gateway.doctor.finding import Finding, failed, passed, untold
from gateway.doctor.patient import Patient
from gateway.errors import ConfigurationError, StoreUnavailable, TransportError
from gateway.triggers import QUEUES

if TYPE_CHECKING:
    from gateway.stores.azure_rest import Request, Rest

ROLES = {
    "table": "Storage Table Data Contributor",
    "queue": "Storage Queue Data Contributor",
    "blob": "Storage Blob Data Contributor",
}

_REFUSED = frozenset({401, 403})

_ANYBODY_WRITES = stat.S_IWOTH | stat.S_ISVTX
"""Where the sticky bit is set too, as in /tmp, nobody can remove what is somebody else's."""


async def storage(patient: Patient) -> list[Finding]:
    """The file of this machine, or the three services of the account."""
    kind, _, path = patient.settings.store.partition(":")
    if kind == "sqlite":
        return [_file(Path(path))]
    try:
        rest = await patient.storage()
    except ConfigurationError as error:
        remedy = "set AzureWebJobsStorage, or AzureWebJobsStorage__accountName for an account by identity"
        return [failed("storage", "; ".join(f"{one.field} {one.message}" for one in error.problems), remedy)]
    except TransportError:
        return [untold("storage", "there is no token to ask with", "see the check `identity`")]
    try:
        found = await asyncio.gather(*(_service(patient, rest, *service) for service in _SERVICES))
    finally:
        await rest.close()
    return [*found, *_roles(patient)]


def _file(path: Path) -> Finding:
    folder = next(parent for parent in (path.parent, *path.parent.absolute().parents) if parent.exists())
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        return failed("storage", f"{path} cannot be read and written", "give this user the right to, or name another")
    if not os.access(folder, os.W_OK):
        return failed("storage", f"{folder} cannot be written", "give this user the right to, or name another place")
    if wide := _readable_by_others(path):
        return failed("storage", f"other users of this machine may read {wide}", f"chmod 600 {wide}")
    if os.name == "posix" and folder.stat().st_mode & _ANYBODY_WRITES == stat.S_IWOTH:
        what = f"every user of this machine may put another file in the place of {path}"
        return failed("storage", what, f"chmod o-w {folder}")
    there = "is there" if path.exists() else "is made at the first start"
    return passed("storage", f"{path} {there}")


def _readable_by_others(path: Path) -> str:
    """The files of the store that are open to more than their owner, "" when none is; Windows knows no such rights."""
    from gateway.stores.sqlite_file import OTHERS, beside

    there = [name for name in beside(path) if os.name == "posix" and name.exists()]
    return " ".join(str(name) for name in there if name.stat().st_mode & OTHERS)


async def _service(
    patient: Patient, rest: Rest, service: str, look: Callable[[Rest], Awaitable[list[str]]], spoil: Request
) -> Finding:
    """One service: what is missing there, then whether we may write."""
    name = f"storage.{service}"
    borrowed = patient.borrowed and not patient.settings.storage
    try:
        missing = await look(rest)
        # What a person may write says nothing about the app, and infra/ lets operators read only.
        status = 0 if borrowed else (await rest.send(spoil)).status
    except _Refused as refused:
        return _no(patient, name, service, refused.status)
    except StoreUnavailable as error:
        remedy = "check the account's name, its firewall and this machine's network"
        return failed(name, f"{service} storage cannot be reached ({error})", remedy)
    if status in _REFUSED:
        return _no(patient, name, service, status, "; it may only read")
    there = f"; made at first use: {', '.join(missing)}" if missing else ""
    return passed(name, f"{service} storage can be read{'' if borrowed else ' and written'}{there}")


def _no(patient: Patient, name: str, service: str, status: int, more: str = "") -> Finding:
    if patient.settings.storage:
        remedy = "copy the connection string again; the account may also refuse keys (allowSharedKeyAccess)"
        return failed(name, f"{service} storage refuses the key ({status}){more}", remedy)
    what = f"{service} storage refuses this identity ({status}){more}"
    remedy = f"assign the role {ROLES[service]} on the account, and wait some minutes; its firewall says 403 too"
    return (
        untold(name, f"{what}, which is you, not the app", remedy) if patient.borrowed else failed(name, what, remedy)
    )


def _roles(patient: Patient) -> Iterable[Finding]:
    if patient.settings.storage or not patient.borrowed:
        return
    remedy = "`az role assignment list --all --assignee CLIENT_ID` lists them; infra/ assigns them"
    yield untold("storage.roles", "whether the app's own identity has these roles cannot be seen from here", remedy)


class _Refused(Exception):
    """401 or 403."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


async def _there(rest: Rest, request: Request) -> bool:
    """Whether it is there; _Refused when we may not know."""
    answer = await rest.send(request)
    if answer.status in _REFUSED:
        raise _Refused(answer.status)
    if answer.status >= 400 and answer.status != 404:
        raise StoreUnavailable(f"{answer.status} {answer.code}")
    return answer.status != 404


async def _table(rest: Rest) -> list[str]:
    from gateway.stores.azure import TABLE

    request = _request("table", "GET", f"/{TABLE}()", "$top=1")
    return [] if await _there(rest, request) else [f"table {TABLE}"]


async def _queue(rest: Rest) -> list[str]:
    there = await asyncio.gather(
        *(_there(rest, _request("queue", "GET", f"/{name}", "comp=metadata")) for name in QUEUES)
    )
    return [f"queue {name}" for name, found in zip(QUEUES, there, strict=True) if not found]


async def _blob(rest: Rest) -> list[str]:
    from gateway.stores.azure import CAPTURED, PAYLOADS

    names = (PAYLOADS, CAPTURED)
    there = await asyncio.gather(
        *(_there(rest, _request("blob", "GET", f"/{name}", "restype=container")) for name in names)
    )
    return [f"container {name}" for name, found in zip(names, there, strict=True) if not found]


def _request(service: str, method: str, path: str, query: str = "") -> Request:
    from gateway.stores.azure_rest import Request

    headers = {"accept": "application/json;odata=nometadata"} if service == "table" else {}
    return Request(service, method, path, query, headers | ({"if-match": "*"} if method == "DELETE" else {}))


_NOBODY = f"doctor-{uuid4()}"
_SERVICES = (
    ("table", _table, _request("table", "DELETE", f"/gateway(PartitionKey='doctor',RowKey='{_NOBODY}')")),
    ("queue", _queue, _request("queue", "DELETE", f"/outbox/messages/{uuid4()}", "popreceipt=doctor")),
    ("blob", _blob, _request("blob", "DELETE", f"/payloads/{_NOBODY}")),
)
