"""The Functions side under Microsoft's real worker code: a host for tests, and the tests that run in it."""
