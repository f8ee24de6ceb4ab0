"""The live checks, run against fakes on 127.0.0.1 only: each switch of a fake has its own verdict."""
