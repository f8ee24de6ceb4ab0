"""docs/observability.md: its tables are the code's, its queries understand the lines that are really written."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.telemetry import ALLOWED, describe
from tests.documents import Block, documents
from tests.events import PASSED_ON, events, passed_on
from tests.infra import kql

PAGE = documents()["docs/observability.md"]
QUERIES = [block for block in PAGE.blocks if block.language == "kql"]
FILTERS = [block for block in PAGE.blocks if block.text.startswith("jq ")]
SAMPLE = next(json.loads(block.text) for block in PAGE.blocks if block.language == "json")
DELIVERY = {"notification", "message", "source", "sender", "transport", "attempt", "operation", "seconds"}


def test_every_event_is_in_the_table_and_nothing_else() -> None:
    """A word that nobody explains is of no use at night."""
    assert events() == PAGE.table("Events").keys()


def test_a_package_that_cannot_be_imported_is_named_with_the_python_that_runs() -> None:
    """Wherever it happens: most likely it was built for another one."""
    error = ModuleNotFoundError("the text may quote anything", name="pydantic_core._pydantic_core")

    assert describe(error) == f"ModuleNotFoundError of pydantic_core._pydantic_core in {sys.implementation.cache_tag}"


def test_every_word_is_found_in_the_code() -> None:
    """A call whose word is computed must be known to the test above."""
    assert PASSED_ON == passed_on()


def test_every_fact_is_in_the_table_and_nothing_else() -> None:
    """The trace is no argument of log()."""
    assert ALLOWED | {"trace"} == PAGE.table("Facts").keys()


def test_the_events_name_only_facts_that_there_are() -> None:
    """In words, with or without those of a delivery."""
    for event, (levels, facts, _) in PAGE.table("Events").items():
        named = set(re.findall(r"\w+", facts.replace("the delivery's", "")))

        assert set() == named - ALLOWED - {"or"}, event
        assert {"info", "warning", "error"} >= set(levels.split(", ")), event


def test_the_sample_is_a_line_of_a_delivery() -> None:
    """With everything that the page says such a line has."""
    assert {"at", "level", "event", "trace"} | DELIVERY == SAMPLE.keys()


@pytest.mark.parametrize("block", QUERIES, ids=str)
def test_a_query_finds_a_line(block: Block) -> None:
    """As Application Insights has it."""
    message = json.dumps({name: value for name, value in SAMPLE.items() if name not in {"at", "level"}})
    row = {"timestamp": datetime(2026, 11, 25, tzinfo=UTC), "message": message, "severityLevel": 1}

    assert len(kql.run(block.text, [row, row | {"message": "Executing 'Functions.outbox'"}])) == 1


@pytest.mark.parametrize("block", FILTERS, ids=str)
def test_a_jq_filter_runs(block: Block, tmp_path: Path) -> None:
    """Each finds one of these lines, or counts them."""
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed (apt-get install jq)")
    other = {"at": SAMPLE["at"], "level": "error", "event": "store_unavailable", "error": "StoreUnavailable"}
    (tmp_path / "gateway.log").write_text(f"{json.dumps(SAMPLE)}\n{json.dumps(other)}\n", "utf-8")

    done = subprocess.run(["bash", "-c", block.text], cwd=tmp_path, capture_output=True, text=True, check=True)

    expected = {
        "uniq": "      1 store_unavailable\n      1 sent\n",
        "level": "store_unavailable",
        "select": SAMPLE["message"],
    }
    word = next(word for word in expected if word in block.text)
    assert expected[word] in done.stdout
