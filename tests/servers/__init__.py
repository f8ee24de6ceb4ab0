"""Fake providers on real ports; each follows the provider's contract and keeps a sent log that is the only truth."""
