"""Packages that cannot be imported: an exception comes in, the log's line that says why goes out.

A package that was built for another Python installs without a word and fails at its first import, which the Functions
host answers with an empty 500. Whoever sees a gateway that cannot start looks here. Nothing but the standard library is
imported, so that this much always works.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.errors import ConfigurationError, Problem
from gateway.telemetry import ERROR, log


@contextmanager
def complete() -> Iterator[None]:
    """An import inside that fails is explained, and raised as the mistake in the deployment that it is."""
    try:
        yield
    except ImportError as error:
        raise explained(error) from None


def explained(error: Exception) -> Exception:
    """The error to go on with; each mistake of a configuration, or of what was installed, is a line of the log."""
    wrong = ConfigurationError([_problem(error)]) if isinstance(error, ImportError) else error
    for problem in wrong.problems if isinstance(wrong, ConfigurationError) else ():
        log("configuration_invalid", ERROR, problem=str(problem))
    return wrong


def _problem(error: ImportError) -> Problem:
    """With the Python that runs: the error's own text names a file at most, and never what it was built for."""
    python = f"Python {sys.version} ({sys.implementation.cache_tag})"
    remedy = "deploy again, and look for the version of Python in the build's log (docs/deploy.md)"
    return Problem("requirements.txt", 0, error.name or "?", f"cannot be imported by {python}; {remedy}")
