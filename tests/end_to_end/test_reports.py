"""From a post to what the recipients' servers said: the fake ACS sends, Event Grid reports in every disorder."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from gateway.message import WORST_FIRST, Status
from tests.azurite import Azurite
from tests.conftest import KEYS, Start
from tests.end_to_end.test_azure_queues import WITH_ACS, Local, begin, left
from tests.servers.acs import KEY, FakeAcs
from tests.servers.acs_events import texts
from tests.servers.serve import serve

FATES = {
    "Delivered": Status.DELIVERED,
    "Bounced": Status.BOUNCED,
    "Suppressed": Status.SUPPRESSED,
    "Quarantined": Status.FAILED,
    "FilteredSpam": Status.FAILED,
    "Failed": Status.FAILED,
}
PEOPLE = [[f"{fate}-{number}@example.com" for fate in fates] for number, fates in enumerate(
    (*((fate,) for fate in FATES), ("Delivered", "Delivered"), ("Delivered", "Bounced"), tuple(FATES))
)]  # fmt: skip
"""Each mail's recipients; their addresses say what becomes of them."""


def fate(address: str) -> str:
    """The service's word."""
    return next(word for word in FATES if word.lower() == address.partition("-")[0].lower())


async def settled(local: Local, id: str, status: Status) -> Any:
    """A notification, once it stands there."""
    shown: Any = None
    for _ in range(500):
        path = f"/v1/notifications/{id}"
        shown = (await local.gateway.call("GET", path, headers={"x-api-key": KEYS["admin"]})).json
        if shown["status"] == status:
            return shown
        await asyncio.sleep(0.02)
    raise AssertionError(f"it does not stand at {status}: {shown}")


async def test_what_became_of_each_recipient_is_known_and_a_bounced_one_gets_no_more(
    azurite: Azurite, start: Start
) -> None:
    """Reports doubled, out of order, in both schemas, spellings and cases; then a second mail to everybody."""
    fake = FakeAcs()
    async with serve(fake) as url:
        environ = {"ACS_CONNECTION_STRING": f"endpoint={url}/;accesskey={KEY}"}
        local = await begin(azurite, start, WITH_ACS, **environ)
        ids = [
            (await local.gateway.send({"to": people, "subject": "x"}, key="tests-key-mailer")).json["id"]
            for people in PEOPLE
        ]
        await fake.until(lambda fake: len(fake.sent) == len(PEOPLE))
        for text in texts(fake.sent, fate):
            await local.put("delivery-reports", text)

        for id, people in zip(ids, PEOPLE, strict=True):
            worst = min((FATES[fate(address)] for address in people), key=WORST_FIRST.index)
            shown = await settled(local, id, worst)
            known = {each["email"]: each["status"] for each in shown["messages"][0]["recipients"]}
            assert {address.lower(): FATES[fate(address)] for address in people} == known
        assert 0 == await left(local, "delivery-reports")

        again = await local.gateway.send({"to": PEOPLE[-1], "subject": "again"}, key="tests-key-mailer")
        await settled(local, again.json["id"], Status.SUPPRESSED)

    sent = Counter(person["address"] for person in fake.sent[-1].payload["recipients"]["to"])
    assert Counter(address for address in PEOPLE[-1] if fate(address) not in {"Bounced", "Suppressed"}) == sent
    assert len(PEOPLE) + 1 == len(fake.sent)
