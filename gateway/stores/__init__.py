"""SOCKET 3, stores: where messages survive; one module per storage, all keeping `gateway.ledger.Store`.

To add one: write `gateway/stores/<name>.py`, open it in wiring.py, and add a fixture to `tests/stores/conftest.py`:
the conformance suite then runs against it.
"""
