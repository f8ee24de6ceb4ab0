"""Our client for Azure Storage next to Microsoft's: the same signatures, and each reads what the other wrote."""

from __future__ import annotations

import asyncio
import base64
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from azure.core.credentials import AccessToken, AzureNamedKeyCredential
from azure.core.exceptions import HttpResponseError
from azure.data.tables.aio import TableClient
from azure.storage.blob.aio import ContainerClient
from azure.storage.queue.aio import QueueClient

from gateway.errors import StoreUnavailable
from gateway.message import Priority
from gateway.settings import Settings
from gateway.stores import azure_rest
from gateway.stores.azure import AzureStore
from gateway.stores.azure_account import Account, account
from gateway.stores.azure_auth import Identity, SharedKey
from gateway.stores.azure_blobs import Blobs
from gateway.stores.azure_queues import Queues
from gateway.stores.azure_rest import Request, Rest
from gateway.stores.azure_tables import Conflict, Table, insert, merge
from tests.azurite import Azurite
from tests.factories import NOW, make_entry, make_message
from tests.servers import wire
from tests.servers.serve import Receive, Scope, Send, serve

HOSTILE = "a b+c%d'e&f=g,h;ü"


class Recorder:
    """A server that refuses everything and keeps what it was sent."""

    def __init__(self, *statuses: int) -> None:
        """Answers these, and then the last one for ever."""
        self.statuses = list(statuses)
        self.requests: list[wire.Request] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        self.requests.append(await wire.read(scope, receive))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        await wire.answer(send, status, b"{}" if status < 300 else b"")


# ------------------------------------------------------------------------------------------------------ signatures


async def _tables(url: str) -> None:
    credential = AzureNamedKeyCredential("contoso", base64.b64encode(b"example").decode())
    async with TableClient(f"{url}/contoso", "gateway", credential=credential, retry_total=0) as client:
        for work in (
            client.create_entity({"PartitionKey": "p", "RowKey": "r|1", "x": 1}),
            client.get_entity("p", "r|1"),
            client.delete_entity("p", "r|1"),
            client.submit_transaction([("create", {"PartitionKey": "p", "RowKey": "r"})]),
        ):
            with pytest.raises(HttpResponseError):
                await work


async def _queues(url: str) -> None:
    credential = {"account_name": "contoso", "account_key": base64.b64encode(b"example").decode()}
    async with QueueClient(f"{url}/contoso", "outbox", credential=credential, retry_total=0) as client:
        for work in (
            client.send_message("text", time_to_live=-1, visibility_timeout=5),
            client.get_queue_properties(),
            client.create_queue(metadata={"b": "2", "a": "1"}),
        ):
            with pytest.raises(HttpResponseError):
                await work


async def _blobs(url: str) -> None:
    credential = {"account_name": "contoso", "account_key": base64.b64encode(b"example").decode()}
    async with ContainerClient(f"{url}/contoso", "payloads", credential=credential, retry_total=0) as client:
        blob = client.get_blob_client("a/ü b")
        for work in (
            blob.upload_blob(b"content", overwrite=False, metadata={"write": "1"}),
            blob.upload_blob(b"", overwrite=True),
            blob.get_blob_properties(),
            blob.delete_blob(),
        ):
            with pytest.raises(HttpResponseError):
                await work
        with pytest.raises(HttpResponseError):
            [_ async for _ in client.list_blob_names(name_starts_with="a &b=")]


@pytest.mark.parametrize(
    ("service", "talk"), [("table", _tables), ("queue", _queues), ("blob", _blobs)], ids=["table", "queue", "blob"]
)
async def test_we_sign_as_microsofts_client_does(service: str, talk: Callable[[str], Any]) -> None:
    """Every request of the SDK, signed again by us."""
    recorder = Recorder(403)
    async with serve(recorder, lifespan="off") as url:
        await talk(url)
        key = SharedKey(Account("contoso", {}, b"example"))
        ours = [
            await key.sign(service, request.method, url + request.target, request.headers)
            for request in recorder.requests
        ]

    assert len(ours) >= 3
    assert ours == [request.headers["authorization"] for request in recorder.requests]


class FakeCredential:
    """A credential whose tokens are counted."""

    def __init__(self) -> None:
        """None yet."""
        self.asked: list[tuple[str, ...]] = []
        self.closed = False

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        """The next one."""
        self.asked.append(scopes)
        return AccessToken(f"token-{len(self.asked)}", 2**33)

    async def close(self) -> None:
        """Remembered."""
        self.closed = True


def by_identity(url: str, credential: Any) -> Rest:
    """A client that signs with tokens."""
    named = Account("contoso", dict.fromkeys(("table", "queue", "blob"), url))
    return Rest(named, Identity(named, credential))


async def test_a_token_is_fetched_once_and_again_when_it_is_refused() -> None:
    """Twenty requests, one token; a 401 is one more try with a new one."""
    credential, recorder = FakeCredential(), Recorder(200)
    async with serve(recorder, lifespan="off") as url:
        rest = by_identity(url, credential)
        await asyncio.gather(*(rest.send(Request("queue", "GET", "/x")) for _ in range(20)))
        recorder.statuses = [401, 200]
        again = await rest.send(Request("table", "GET", "/x"))
        await rest.close()

    assert again.status == 200
    assert credential.asked == [("https://storage.azure.com/.default",)] * 2
    assert [request.headers["authorization"] for request in recorder.requests] == ["Bearer token-1"] * 21 + [
        "Bearer token-2"
    ]
    assert {request.headers["x-ms-version"] for request in recorder.requests} == {"2020-12-06"}
    assert credential.closed is True


async def test_no_token_is_no_store() -> None:
    """Nothing leaves, and nobody is told that it was stored."""

    class Broken(FakeCredential):
        async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
            raise ValueError(scopes)

    rest = by_identity("http://127.0.0.1:9", Broken())

    with pytest.raises(StoreUnavailable, match="no token"):
        await rest.send(Request("queue", "GET", "/x"))
    await rest.close()


async def test_a_wrong_key_is_said_at_once(azurite: Azurite) -> None:
    """A refusal is no fault that passes."""
    settings = Settings(storage=azurite.account().replace("ZXhhbXBsZQ==", "d3Jvbmc="))
    store = await AzureStore.open(settings)
    message = make_message()

    with pytest.raises(StoreUnavailable, match="403"):
        await store.add(make_entry(message), [message], NOW)
    await store.close()


# ------------------------------------------------------------------------------------------------------- patience


async def test_storage_that_is_not_there_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four tries, with growing pauses, within the total."""
    monkeypatch.setattr(azure_rest, "PAUSE_SECONDS", 0.01)
    recorder = Recorder(503)
    async with serve(recorder, lifespan="off") as url:
        rest = by_identity(url, FakeCredential())
        with pytest.raises(StoreUnavailable, match="failed 4 times, last 503"):
            await rest.send(Request("table", "GET", "/x"))
        await rest.close()
        with pytest.raises(StoreUnavailable, match="closed"):
            await rest.send(Request("table", "GET", "/x"))

    assert len(recorder.requests) == 4


async def test_the_total_ends_the_tries() -> None:
    """Whatever the pauses would be."""
    recorder = Recorder(503)
    async with serve(recorder, lifespan="off") as url:
        rest = by_identity(url, FakeCredential())
        with pytest.raises(StoreUnavailable, match="failed 1 times"):
            await rest.send(Request("table", "GET", "/x"), total=0.04)
        await rest.close()


# ------------------------------------------------------------------------------------- what the others can read


async def test_microsofts_clients_read_what_we_wrote(azurite: Azurite) -> None:
    """Rows, doorbells and blobs, by any tool people look into a storage account with."""
    storage = azurite.account()
    store = await AzureStore.open(Settings(storage=storage))
    message = make_message()
    await store.add(make_entry(message), [message], NOW)
    await store.put(HOSTILE, b"content")
    await store.close()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        async with TableClient.from_connection_string(storage, "gateway") as table:
            found = [entity async for entity in table.list_entities()]
        async with QueueClient.from_connection_string(storage, "outbox") as queue:
            rung = [item.content for item in await queue.peek_messages(5)]
        async with ContainerClient.from_connection_string(storage, "payloads") as payloads:
            names = [name async for name in payloads.list_blob_names()]

    assert len(found) == 4
    assert [entity["status"] for entity in found if "status" in entity] == ["queued"]
    assert rung == [message.id]
    assert len(names) == 1


async def test_a_large_list_comes_in_pages(azurite: Azurite) -> None:
    """1,000 rows and 5,000 blobs are the service's most; we ask for the rest."""
    rest = Rest(account(Settings(storage=azurite.account())))
    table = Table(rest, "pages")
    for start in range(0, 1100, 100):
        await table.change("p", [insert(f"r{number:04d}", {"v": 1}) for number in range(start, start + 100)])

    found = await table.rows("p", "r", "s")
    some = await table.first("p", "r0500", "s", 700)
    await rest.close()

    assert [row["RowKey"] for row in found] == [f"r{number:04d}" for number in range(1100)]
    assert [row["RowKey"] for row in some] == [f"r{number:04d}" for number in range(500, 1100)]


async def test_a_transaction_is_all_or_nothing(azurite: Azurite) -> None:
    """And says which condition did not hold."""
    rest = Rest(account(Settings(storage=azurite.account())))
    table = Table(rest, "gateway")
    etag = await table.change("p", [insert("a", {"text": HOSTILE}), insert("b", {"text": ""})])
    await table.change("p", [merge("a", {"n": 1})])

    for changes in (
        [insert("c", {}), insert("b", {})],
        [insert("c", {}), merge("a", {"n": 2}, etag)],
        [insert("c", {}), merge("nobody", {"n": 2})],
    ):
        with pytest.raises(Conflict):
            await table.change("p", changes)

    found = await table.rows("p", " ", "~")
    await rest.close()
    assert [(row["RowKey"], row["text"], row.get("n")) for row in found] == [("a", HOSTILE, 1), ("b", "", None)]


async def test_doorbells_are_hidden_until_their_time_and_deleted_by_who_took_them(azurite: Azurite) -> None:
    """A deletion with an old receipt is nobody's worry."""
    rest = Rest(account(Settings(storage=azurite.account())))
    queues = Queues(rest)
    before = (await queues.take("outbox", 32, 60), await queues.length("outbox"))
    await queues.put("outbox", "now-1")
    await queues.put("outbox", "later-1", 3600)

    taken = await queues.take("outbox", 32, 60)
    again = await queues.take("outbox", 32, 60)
    await queues.delete("outbox", taken[0])
    await queues.delete("outbox", taken[0])
    length = await queues.length("outbox")
    await rest.close()

    assert before == ([], 0)
    assert [item.text for item in taken] == ["now-1"]
    assert (again, length) == ([], 1)


async def test_blobs_are_listed_by_prefix_and_deleted_twice(azurite: Azurite) -> None:
    """A second deletion finds nothing to do."""
    rest = Rest(account(Settings(storage=azurite.account())))
    blobs = Blobs(rest, "payloads")
    later = NOW.replace(year=2100)
    before = await blobs.old(later)
    for name in ("a/1 &x", "a/2", "b/1"):
        await blobs.put(name, b"content")

    found = await blobs.old(later, "a/")
    await blobs.delete("a/2")
    await blobs.delete("a/2")

    assert (before, found) == ([], ["a/1 &x", "a/2"])
    assert await blobs.old(later, "a/") == ["a/1 &x"]
    assert await blobs.old(NOW.replace(year=2000)) == []
    await rest.close()


def test_priorities_have_queues() -> None:
    """Each its own."""
    from gateway.stores.azure_bell import QUEUES

    assert {Priority.HIGH: "outbox-high", Priority.NORMAL: "outbox"} == QUEUES
