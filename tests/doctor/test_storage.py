"""Where messages survive: a file, Azurite, and accounts that refuse."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gateway import doctor
from gateway.doctor.finding import SHOWN
from gateway.settings import Settings
from gateway.stores.azure import AzureStore
from gateway.triggers import QUEUES
from tests.azurite import Azurite
from tests.doctor.patients import ON_AZURE, Answers, Credential, one, patient, verdicts
from tests.factories import make_entry, make_message
from tests.servers.serve import serve

SERVICES = ("table", "queue", "blob")


async def findings(**environ: Any) -> dict[str, tuple[str, str]]:
    found = await doctor.examine(patient(GATEWAY_STORE="azure", **environ), ["storage"])
    return {finding.name: (SHOWN[finding.verdict], finding.what) for finding in found}


def by_identity(url: str, **environ: str) -> dict[str, str]:
    """An account opened by identity, all three services at one address."""
    return {f"AzureWebJobsStorage__{service}ServiceUri": url for service in SERVICES} | environ


async def test_an_empty_account_passes_and_says_what_will_be_made(azurite: Azurite) -> None:
    """Nothing is made by looking."""
    account = azurite.account()

    first, second = await findings(AzureWebJobsStorage=account), await findings(AzureWebJobsStorage=account)

    assert first == second
    assert {f"storage.{service}": "pass" for service in SERVICES} == {name: seen[0] for name, seen in first.items()}
    assert "made at first use: table gateway" in first["storage.table"][1]
    assert f"made at first use: {', '.join(f'queue {queue}' for queue in QUEUES)}" in first["storage.queue"][1]
    assert "made at first use: container payloads, container captured" in first["storage.blob"][1]


async def test_what_is_there_is_not_missed(azurite: Azurite) -> None:
    """After the first notification there are the table and one queue."""
    account = azurite.account()
    store = await AzureStore.open(Settings(storage=account))
    message = make_message()
    await store.add(make_entry(message), [message], message.created)
    await store.close()

    found = await findings(AzureWebJobsStorage=account)

    assert ("pass", "table storage can be read and written") == found["storage.table"]
    assert "queue outbox," not in found["storage.queue"][1]


async def test_a_wrong_key_fails_and_is_not_shown(azurite: Azurite) -> None:
    """At every service."""
    account = azurite.account().replace("AccountKey=ZXhhbXBsZQ==", "AccountKey=b3RoZXI=")

    found = await findings(AzureWebJobsStorage=account)

    assert {f"storage.{service}": "fail" for service in SERVICES} == {name: seen[0] for name, seen in found.items()}
    assert "b3RoZXI=" not in str(found)


async def test_an_account_nobody_answers_for_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the kind of error, after the store's own tries."""
    monkeypatch.setattr("gateway.stores.azure_rest.PAUSE_SECONDS", 0.001)

    found = await findings(**by_identity("http://127.0.0.1:9", **ON_AZURE))

    assert {"fail"} == {seen[0] for seen in found.values()}
    assert "cannot be reached" in found["storage.table"][1]


async def test_no_account_at_all_is_said_with_the_variable() -> None:
    """One line, not three."""
    verdict, what, remedy = await one(patient(GATEWAY_STORE="azure"), "storage")

    assert ("fail", True, True) == (
        verdict,
        "AzureWebJobsStorage" in what,
        "AzureWebJobsStorage__accountName" in remedy,
    )


@pytest.mark.parametrize(("where", "expected"), [(ON_AZURE, "fail"), ({}, "could not tell")])
async def test_an_identity_without_a_role_fails_only_where_it_is_the_apps_own(
    where: dict[str, str], expected: str
) -> None:
    """A person may lack what the app has."""
    async with serve(Answers({}, always=(403, {})), lifespan="off") as url:
        found = await findings(**by_identity(url, **where))

    assert {expected} == {seen[0] for seen in found.values()}
    assert ("storage.roles" in found) == (not where)


async def test_an_identity_that_may_only_read_fails() -> None:
    """Every GET is answered, no DELETE is."""
    table = "/gateway(PartitionKey='doctor',RowKey='"

    class ReadOnly(Answers):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            self.always = (403, {}) if scope["method"] == "DELETE" else (404, {})
            await super().__call__(scope, receive, send)

    app = ReadOnly({})
    async with serve(app, lifespan="off") as url:
        found = await findings(**by_identity(url, **ON_AZURE))

    assert {f"storage.{service}": "fail" for service in SERVICES} == {name: seen[0] for name, seen in found.items()}
    assert all(seen[1].endswith("(403); it may only read") for seen in found.values())
    assert any(asked.startswith(f"DELETE {table}") for asked in app.asked)


async def test_an_account_by_identity_is_asked_with_a_token() -> None:
    """One token for all three services. Whether the app has the roles stays open on a person's machine: only look."""
    credential = Credential("token-1")
    app = Answers({})
    async with serve(app, lifespan="off") as url:
        found = await verdicts(patient(GATEWAY_STORE="azure", credential=credential, **by_identity(url)), "storage")

    assert [*((f"storage.{service}", "pass") for service in SERVICES), ("storage.roles", "could not tell")] == found
    assert [] == [asked for asked in app.asked if not asked.startswith("GET ")]
    assert ({"https://storage.azure.com/.default"}, {"Bearer token-1"}) == (set(credential.scopes), app.authorizations)


# ---------------------------------------------------------------------------------------------------------- a file


async def test_a_file_that_will_be_made_passes_and_is_not_made(tmp_path: Path) -> None:
    """Nor is its folder."""
    path = tmp_path / "data" / "gateway.db"

    found = await one(patient(GATEWAY_STORE=f"sqlite:{path}"), "storage")

    assert ("pass", f"{path} is made at the first start", "") == found
    assert not path.parent.exists()


@pytest.mark.parametrize("what", ["file", "folder"])
async def test_a_place_that_cannot_be_written_fails(tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write everywhere, so the system's answer is the test's."""
    path = tmp_path / "gateway.db"
    path.write_bytes(b"")
    refused = path if what == "file" else tmp_path
    monkeypatch.setattr(os, "access", lambda asked, _: Path(asked) != refused)

    assert "fail" == (await one(patient(GATEWAY_STORE=f"sqlite:{path}"), "storage"))[0]


def give_rights(path: Path, mode: int) -> None:
    path.chmod(mode)


@pytest.mark.skipif(os.name != "posix", reason="Windows gives a file the rights of its folder")
@pytest.mark.parametrize("which", ["gateway.db", "gateway.db-wal"])
async def test_a_file_that_others_may_read_fails(tmp_path: Path, which: str) -> None:
    """It holds every mail; an older version made it so, or somebody opened it."""
    path = tmp_path / "gateway.db"
    path.touch(0o600)
    (tmp_path / which).touch()
    give_rights(tmp_path / which, 0o640)

    found = await one(patient(GATEWAY_STORE=f"sqlite:{path}"), "storage")

    said = f"other users of this machine may read {tmp_path / which}"
    assert ("fail", said, f"chmod 600 {tmp_path / which}") == found


@pytest.mark.skipif(os.name != "posix", reason="Windows gives a file the rights of its folder")
@pytest.mark.parametrize(("mode", "verdict"), [(0o777, "fail"), (0o1777, "pass"), (0o755, "pass")])
async def test_a_folder_in_which_everybody_may_replace_the_file_fails(tmp_path: Path, mode: int, verdict: str) -> None:
    """A sticky one, as /tmp is, lets nobody touch what is somebody else's."""
    (tmp_path / "gateway.db").touch(0o600)
    give_rights(tmp_path, mode)

    assert verdict == (await one(patient(GATEWAY_STORE=f"sqlite:{tmp_path / 'gateway.db'}"), "storage"))[0]
