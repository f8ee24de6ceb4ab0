"""SOCKET 2, transports: one module per way out; a Message comes in, a Receipt or a TransportError goes out.

To add one: write `gateway/transports/<name>.py` with a class that keeps `gateway.message.Transport`, add a line to
TRANSPORTS and a fixture to `tests/transports/conftest.py`: the conformance suite then runs against it. Every way a
call can fail is a TransportError that carries the outcome: `no` only when the provider certainly did not accept.
"""

from __future__ import annotations

TRANSPORTS = ("acs", "capture", "graph")
"""The ways out there are; wiring.py builds each at its first use."""
