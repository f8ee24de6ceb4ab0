"""What Event Grid says of mails that were sent: the fake's log comes in, texts of queue messages go out, in no order.

As the service does it and its documents disagree: one event for each recipient, at least once, in either schema, with
either spelling and either case, plain or as base64, among events that say nothing of delivery.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from random import Random
from typing import Any

DELIVERY = "Microsoft.Communication.EmailDeliveryReportReceived"
ENGAGEMENT = "Microsoft.Communication.EmailEngagementTrackingReportReceived"
TOPIC = "/subscriptions/0/resourceGroups/example/providers/Microsoft.Communication/communicationServices/example"


def texts(
    sent: Iterable[tuple[str, Mapping[str, Any]]], fate: Callable[[str], str] = lambda _: "Delivered", seed: int = 1
) -> list[str]:
    """Messages for the queue; `fate` is the service's word for an address."""
    chance = Random(seed)
    found = [
        _encoded(_event(operation, payload, address, word, chance), chance)
        for operation, payload in sent
        for address in _recipients(payload)
        for word in ("Expanded", *[fate(address)] * chance.choice((1, 1, 2)))
    ]
    found += [_encoded(_event(operation, payload, "", "click", chance), chance) for operation, payload in sent]
    chance.shuffle(found)
    return found


def _recipients(payload: Mapping[str, Any]) -> Iterator[str]:
    for people in payload["recipients"].values():
        yield from (person["address"] for person in people)


def _event(operation: str, payload: Mapping[str, Any], address: str, word: str, chance: Random) -> dict[str, Any]:
    sender, at = payload["senderAddress"], _now()
    time = f"deliveryAttemptTime{chance.choice(('Stamp', 'stamp'))}"
    data = {"sender": sender, "messageId": operation, "internetMessageId": f"<{operation}@example.com>"}
    if address:
        said = chance.choice((word, word.lower()))
        data |= {"recipient": chance.choice((address, address.upper())), "status": said, time: at}
        data |= chance.choice(({}, {"deliveryStatusDetails": {"statusMessage": f"for {address}"}}))
    else:
        data |= {"engagementType": word, "userActionTimestamp": at}
    kind = DELIVERY if address else ENGAGEMENT
    common = {"id": str(chance.getrandbits(64)), "subject": f"sender/{sender}/message/{operation}", "data": data}
    if chance.random() < 0.5:
        return {**common, "specversion": "1.0", "source": TOPIC, "type": kind, "time": at}
    return {**common, "topic": TOPIC, "eventType": kind, "eventTime": at, "dataVersion": "1.0"}


def _now() -> str:
    """As .NET writes it, with a tenth of a microsecond."""
    return datetime.now(UTC).isoformat().replace("+00:00", "5+00:00")


def _encoded(event: dict[str, Any], chance: Random) -> str:
    text = json.dumps(chance.choice((event, [event])))
    return base64.b64encode(text.encode()).decode() if chance.random() < 0.5 else text
