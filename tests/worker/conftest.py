"""The real worker with our function_app.py, once per process, and a host in front of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from gateway import asgi
from tests.worker.process import ROOT
from tests.worker.worker import Worker


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def worker() -> AsyncIterator[Worker]:
    """The worker has indexed our function_app.py."""
    started = await Worker(ROOT).start()
    yield started
    started.stop()


Behind = Callable[[asgi.App], asgi.Bridge]


@pytest.fixture
def behind(monkeypatch: pytest.MonkeyPatch) -> Behind:
    """Put an application of the test behind function_app.py's bridge."""

    def put(app: asgi.App) -> asgi.Bridge:
        async def factory() -> asgi.App:
            return app

        bridge = asgi.Bridge(factory)
        monkeypatch.setattr(asgi, "BRIDGE", bridge)
        return bridge

    return put
