"""Capture in particular: nobody gets the mail, and a duplicate shows."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from gateway.message import NotFound, Receipt, Status
from gateway.mime import build
from gateway.transports.capture import Capture
from tests.factories import NOW, make_attachment, make_message
from tests.transports.conftest import open_store
from tests.transports.ways import MemoryFence


async def test_a_captured_mail_keeps_its_time_and_every_byte(tmp_path: Path) -> None:
    """Also after the process that captured it has ended, so that its raw form stays the same."""
    message = make_message(attachments=(make_attachment(content=bytes(range(256)), content_id="x"),))
    store = await open_store(tmp_path / "gateway.db")
    await Capture(store, lambda: NOW + timedelta(minutes=1)).send(message, 1, MemoryFence())
    await store.close()
    store = await open_store(tmp_path / "gateway.db")
    kept = await store.captured(after="", since=None, limit=10)
    await store.close()
    assert [(one.at, one.message) for one in kept] == [(NOW + timedelta(minutes=1), message)]
    assert build(kept[0].message) == build(message)


async def test_a_mail_sent_twice_is_there_twice(tmp_path: Path) -> None:
    """The inbox must show what a provider would have done."""
    store = await open_store(tmp_path / "gateway.db")
    capture, message = Capture(store), make_message()
    for attempt in (1, 2):
        await capture.send(message, attempt, MemoryFence())
    kept = await store.captured(after="", since=None, limit=10)
    await store.close()
    assert [one.message.id for one in kept] == [message.id, message.id]


async def test_capture_says_captured_and_forgets_with_the_store(tmp_path: Path) -> None:
    """Its receipt is no "sent"; what was deleted from the inbox is not known any more."""
    store = await open_store(tmp_path / "gateway.db")
    capture, message = Capture(store), make_message()
    receipt = Receipt(status=Status.CAPTURED, provider_id=message.operation_id)
    assert await capture.send(message, 1, MemoryFence()) == receipt
    assert await capture.reconcile(message, MemoryFence()) == receipt
    await store.forget_captured()
    assert await capture.reconcile(message, MemoryFence()) == NotFound()
    await store.close()
