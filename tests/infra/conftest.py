"""Tests here need the Bicep CLI, which no package manager of the usual ones has."""

from __future__ import annotations

import pytest

from tests import tools
from tests.infra.bicep import ABSENT


@pytest.fixture
def bicep() -> None:
    """The CLI is there, or the test is skipped, in CI too."""
    if tools.bicep() is None:
        pytest.skip(ABSENT)
