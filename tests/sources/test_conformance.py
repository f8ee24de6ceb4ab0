"""Every golden payload becomes exactly what was reviewed; tests/payloads/README.md says where each comes from."""

from __future__ import annotations

import json

import pytest

from gateway.notification import Notification
from gateway.sources import KINDS
from tests.sources.cases import PAYLOADS, Case, all_cases

CASES = all_cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_payload_becomes_what_was_reviewed(case: Case) -> None:
    """After a wanted change: `python -m tests.sources.rewrite`, and read the difference."""
    expected = json.loads(case.expected.read_text("utf-8"))

    assert expected == case.result()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_same_payload_becomes_the_same_every_time(case: Case) -> None:
    """No clock and no chance: a retry must be recognised by what it becomes."""
    assert case.result() == case.result()


def test_every_kind_has_cases() -> None:
    """A parser without golden payloads is not done."""
    assert {*KINDS, "unmapped"} == {case.kind for case in CASES}


def test_every_expected_file_belongs_to_a_payload() -> None:
    """A case that lost its payload would be tested no more."""
    assert {case.expected for case in CASES} == set(PAYLOADS.glob("*/*.expected.json"))


def test_every_payload_names_its_source() -> None:
    """Whether it was captured or written by hand decides what it proves."""
    readme = (PAYLOADS / "README.md").read_text("utf-8")

    assert [] == [case.name for case in CASES if f"`{case.payload.name}`" not in readme]


def test_what_was_reviewed_is_a_notification() -> None:
    """An expected file that no Notification could be would never be noticed otherwise."""
    for case in CASES:
        expected = json.loads(case.expected.read_text("utf-8"))
        for item in expected if isinstance(expected, list) else []:
            assert item == Notification.model_validate_json(json.dumps(item)).model_dump(
                mode="json", exclude_defaults=True
            )
