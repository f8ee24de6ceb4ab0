"""The suppression list over a real port: what is on it, page by page, and how an address leaves it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from gateway.clock import wall_clock
from gateway.suppressions import Suppressions
from tests.conftest import KEYS, Reply, Running

ADMIN = {"x-api-key": KEYS["admin"]}


async def listed(gateway: Running, *addresses: str) -> None:
    """Addresses on the list, for a day."""
    for address in addresses:
        day = timedelta(days=1)
        await Suppressions(gateway.gateway.store).add(address, "hard_bounce", wall_clock(), day)


async def call(gateway: Running, method: str, key: str | None = KEYS["admin"], **query: str) -> Reply:
    headers = {"x-api-key": key} if key else {}
    return await gateway.call(method, "/v1/suppressions", headers=headers, params=query)


async def everything(gateway: Running, limit: str) -> list[Any]:
    """Every address, by pages of this size."""
    found: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await call(gateway, "GET", limit=limit, cursor=cursor)).json
        assert len(page["items"]) <= int(limit)
        found += [item["address"] for item in page["items"]]
        cursor = page["next"]
    return found


async def test_an_item_has_the_contracts_fields(gateway: Running) -> None:
    """The address in lower case, why, since when and until when."""
    await listed(gateway, "Nobody@Example.com")

    (item,) = (await call(gateway, "GET")).json["items"]

    assert ["address", "reason", "at", "expires"] == list(item)
    assert ("nobody@example.com", "hard_bounce") == (item["address"], item["reason"])


@pytest.mark.parametrize("limit", ["1", "2", "1000"])
async def test_the_list_is_paged_in_the_order_of_the_addresses(gateway: Running, limit: str) -> None:
    """None is missing, none twice, whatever the page's size."""
    await listed(gateway, "c@example.com", "a@example.com", "b+tag@example.com")

    assert ["a@example.com", "b+tag@example.com", "c@example.com"] == await everything(gateway, limit)


@pytest.mark.parametrize("query", ["Nobody%2Btag%40example.com", "nobody+tag@example.com"])
async def test_an_address_leaves_the_list(gateway: Running, query: str) -> None:
    """204, then 404; its plus sign may stand in the URL as it is."""
    await listed(gateway, "nobody+tag@example.com")
    path = f"/v1/suppressions?address={query}"

    first, second = [await gateway.call("DELETE", path, headers=ADMIN) for _ in range(2)]

    assert [204, 404] == [first.status, second.status]
    assert [] == await everything(gateway, "10")


async def test_no_address_at_all_is_422(gateway: Running) -> None:
    """The parameter and how it is written; the list is not emptied."""
    await listed(gateway, "nobody@example.com")

    reply = await call(gateway, "DELETE")

    assert (422, ["address"]) == (reply.status, list(reply.json["fields"]))
    assert ["nobody@example.com"] == await everything(gateway, "10")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_the_list_is_for_operators(gateway: Running, method: str) -> None:
    """It holds addresses: no key is 401, a source's key 403."""
    replies = [await call(gateway, method, key=key, address="a@example.com") for key in (None, KEYS["app"])]

    assert [401, 403] == [reply.status for reply in replies]


async def test_a_limit_that_means_nothing_is_422(gateway: Running) -> None:
    """As for the other lists; 0 counts as 1."""
    await listed(gateway, "a@example.com", "b@example.com")

    assert 422 == (await call(gateway, "GET", limit="many")).status
    assert 1 == len((await call(gateway, "GET", limit="0")).json["items"])


async def test_what_was_suppressed_is_sent_once_its_address_has_left_the_list(gateway: Running) -> None:
    """At once, where the same process delivers: remove the address, replay the notification."""
    await listed(gateway, "ops@example.com")
    id = (await gateway.send({"to": "ops@example.com", "subject": "Backup failed"})).json["id"]
    assert "suppressed" == (await gateway.status(id))["status"]

    await call(gateway, "DELETE", address="ops@example.com")
    reply = await gateway.call("POST", f"/v1/notifications/{id}/replay", headers=ADMIN)

    assert (202, "captured") == (reply.status, (await gateway.status(id))["status"])
    assert [["ops@example.com"]] == [mail["to"] for mail in await gateway.mails()]
