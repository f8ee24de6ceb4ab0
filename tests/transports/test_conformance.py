"""What every transport must do: a mail arrives once and whole, a failure says what may have happened, nothing leaks."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from gateway.address import Address
from gateway.errors import Outcome, TransportError
from gateway.message import DEADLINES, Message, NotFound, Priority, Receipt, Status
from tests.factories import make_attachment, make_message
from tests.transports.conftest import ASKING_FAULTS, FAULTS, WAYS
from tests.transports.ways import Arrived, MemoryFence, Way

every_way = pytest.mark.parametrize("way", WAYS, indirect=True)
every_way_that_answers = pytest.mark.parametrize("way", [way for way in WAYS if ASKING_FAULTS[way]], indirect=True)
every_fault = pytest.mark.parametrize(
    ("way", "fault"), [(way, fault) for way in WAYS for fault in FAULTS[way]], indirect=["way"]
)
every_asking_fault = pytest.mark.parametrize(
    ("way", "fault"), [(way, fault) for way in WAYS for fault in ASKING_FAULTS[way]], indirect=["way"]
)

CANARY = "canary-7d3f"
SECRET: dict[str, Any] = {
    "from_": Address(email=f"{CANARY}-from@example.com", name=f"{CANARY} from"),
    "to": (Address(email=f"{CANARY}-to@example.com", name=f"{CANARY} to"),),
    "bcc": (Address(email=f"{CANARY}-bcc@example.com"),),
    "reply_to": (Address(email=f"{CANARY}-reply@example.com"),),
    "subject": f"{CANARY} subject",
    "text": f"{CANARY} text",
    "html": f"<p>{CANARY} html</p>",
    "headers": {"X-Example": f"{CANARY} header"},
    "attachments": (make_attachment(name=f"{CANARY}.txt", content=CANARY.encode()),),
}
"""A mail whose every word must stay out of errors and log lines."""


async def asked(way: Way, message: Message, fence: MemoryFence) -> Receipt | NotFound | None:
    """What the question tells, once it is not too early; None when nobody can ever tell."""
    for _ in range(8):
        try:
            return await way.transport.reconcile(message, fence)
        except TransportError as error:
            if error.permanent or error.outcome is Outcome.NO:
                return None
        way.later()
    raise AssertionError("always too early")


@every_way
async def test_the_deadline_is_the_one_claims_are_made_for(way: Way, request: pytest.FixtureRequest) -> None:
    """A claim lasts twice as long, so both must come from one place."""
    assert way.transport.deadline == DEADLINES[request.node.callspec.params["way"].partition("-")[0]]


@every_way
async def test_one_submission_arrives_once(way: Way) -> None:
    """The receipt says how far it went and names the provider's own id."""
    message = make_message()
    receipt = await way.transport.send(message, 1, MemoryFence())
    assert receipt.status in (Status.SENT, Status.CAPTURED)
    assert receipt.provider_id == message.operation_id
    assert [arrived.subject for arrived in await way.truth()] == [message.subject]


@every_way
async def test_everything_of_a_mail_arrives(way: Way) -> None:
    """Umlauts, emoji, blind copies, reply addresses, files, inline images and the caller's own headers.

    Where there is room for one body only, it is the html.
    """
    message = make_message(
        to=(Address(email="ops@example.com", name="Größe, Ops"), Address(email="second@example.com")),
        cc=(Address(email="cc@example.com", name="日本"),),
        bcc=(Address(email="bcc@example.com"),),
        reply_to=(Address(email="jo@example.org", name='Jo "J"'),),
        subject="Überlauf 💥 auf web-1",
        text="Zeile 1\r\nZeile 2 \u202e💥",
        html='<p>Zeile</p><img src="cid:logo">',
        headers={"X-Ticket": "4711 ü"},
        attachments=(
            make_attachment(name="Prüfung 日本.pdf", content=bytes(range(256))),
            make_attachment(name="logo.png", content_type="image/png", content_id="logo", content=b"\x89PNG"),
        ),
    )
    await way.transport.send(message, 1, MemoryFence())
    assert await way.truth() == [
        Arrived(
            subject="Überlauf 💥 auf web-1",
            text="" if way.one_body else "Zeile 1\r\nZeile 2 \u202e💥",
            html='<p>Zeile</p><img src="cid:logo">',
            to=(("ops@example.com", "Größe, Ops"), ("second@example.com", "")),
            cc=(("cc@example.com", "日本"),),
            bcc=(("bcc@example.com", ""),),
            reply_to=(("jo@example.org", 'Jo "J"'),),
            attachments=(
                ("Prüfung 日本.pdf", "application/pdf", bytes(range(256)), ""),
                ("logo.png", "image/png", b"\x89PNG", "logo"),
            ),
            headers={"X-Ticket": "4711 ü"},
        )
    ]


@every_way
async def test_a_large_attachment_arrives(way: Way) -> None:
    """About the most there is room for in base64."""
    content = bytes(range(256)) * (way.large // 256)
    await way.transport.send(make_message(attachments=(make_attachment(content=content),)), 1, MemoryFence())
    assert [arrived.attachments[0][2] == content for arrived in await way.truth()] == [True]


@every_way
async def test_an_urgent_mail_arrives(way: Way) -> None:
    """How urgency is shown differs; that it arrives does not."""
    await way.transport.send(make_message(priority=Priority.HIGH), 1, MemoryFence())
    assert len(await way.truth()) == 1


@every_way
async def test_many_at_once_arrive_once_each(way: Way) -> None:
    """One client serves them all."""
    messages = [make_message(subject=f"Mail {number}") for number in range(40)]
    await asyncio.gather(*(way.transport.send(message, 1, MemoryFence()) for message in messages))
    assert sorted(arrived.subject for arrived in await way.truth()) == sorted(message.subject for message in messages)


@every_way_that_answers
async def test_what_was_accepted_is_found(way: Way) -> None:
    """Reconcile says the same as the submission did."""
    message, fence = make_message(), MemoryFence()
    receipt = await way.transport.send(message, 1, fence)
    assert await way.transport.reconcile(message, fence) == receipt


@every_way
async def test_what_was_never_sent_is_not_found(way: Way) -> None:
    """Also beside mails that were."""
    await way.transport.send(make_message(), 1, MemoryFence())
    assert await way.transport.reconcile(make_message(), MemoryFence()) == NotFound()


@every_fault
async def test_a_failed_submission_says_what_may_have_happened(way: Way, fault: str) -> None:
    """Always a TransportError; a no means that nothing went out; after a maybe the question tells the truth, or that
    nobody can tell.
    """
    message, fence = make_message(), MemoryFence()
    async with way.broken(fault):
        with pytest.raises(TransportError) as caught:
            await way.transport.send(message, 1, fence)
    arrived = len(await way.truth())
    if caught.value.outcome is Outcome.NO:
        assert arrived == 0
    elif (answer := await asked(way, message, fence)) is not None:
        assert (isinstance(answer, Receipt), arrived) in ((True, 1), (False, 0))


@every_fault
async def test_after_any_failure_a_mail_is_submitted_as_the_outcome_allows_and_arrives_once(
    way: Way, fault: str
) -> None:
    """The way the line goes: again after a no that is not for good, ask after a maybe, again when it is not known, and
    never again when nobody can know.
    """
    message, fence = make_message(), MemoryFence()
    async with way.broken(fault):
        with pytest.raises(TransportError) as caught:
            await way.transport.send(message, 1, fence)
    if caught.value.permanent:
        assert caught.value.outcome is Outcome.NO
        return
    known = await asked(way, message, fence) if caught.value.outcome is Outcome.MAYBE else NotFound()
    if known is None:
        assert len(await way.truth()) <= 1
        return
    if isinstance(known, NotFound):
        await way.transport.send(message, 2, fence)
    assert len(await way.truth()) == 1


@every_asking_fault
async def test_a_failed_question_is_no_answer(way: Way, fault: str) -> None:
    """Maybe stays maybe, and the next question is answered."""
    message, fence = make_message(), MemoryFence()
    await way.transport.send(message, 1, fence)
    async with way.broken(fault, asking=True):
        with pytest.raises(TransportError) as caught:
            await way.transport.reconcile(message, fence)
    assert (caught.value.outcome, caught.value.permanent) == (Outcome.MAYBE, False)
    assert isinstance(await way.transport.reconcile(message, fence), Receipt)


@every_fault
async def test_nothing_of_a_mail_is_in_an_error_or_a_log_line(
    way: Way, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even at DEBUG, not even where the SDK would log whole requests."""
    caplog.set_level(logging.DEBUG)
    message = make_message(**SECRET)
    async with way.broken(fault):
        with pytest.raises(TransportError) as caught:
            await way.transport.send(message, 1, MemoryFence())
    error = caught.value
    assert CANARY not in f"{error!s} {error!r} {error.code} {error.detail}"
    # The fake's own server may say what it was asked.
    lines = [line for line in caplog.text.splitlines() if not line.startswith("INFO     uvicorn.access:")]
    assert CANARY not in "\n".join(lines)


@every_way
async def test_closing_twice_is_closing_once(way: Way) -> None:
    """And a transport that was used again can be closed again."""
    await way.transport.send(make_message(), 1, MemoryFence())
    await way.transport.close()
    await way.transport.close()
    await way.transport.send(make_message(), 1, MemoryFence())
    await way.transport.close()
    assert len(await way.truth()) == 2
