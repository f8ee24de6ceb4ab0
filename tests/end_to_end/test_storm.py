"""The storm in its short form: nothing is lost and nothing is sent twice, with kills and a provider that fails."""

from __future__ import annotations

from pathlib import Path

from tests.end_to_end.storm import Storm


async def test_a_storm_through_kills_and_a_failing_provider_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """300 notifications, eight kills, four workers, a fifth of all calls to the provider going wrong."""
    outcome = await Storm(tmp_path, count=300, kills=8, pause=0.5).run()

    assert 300 == len(outcome.accepted)
    assert 8 == outcome.kills
    assert 6 <= len(outcome.faults), outcome
    assert ([], [], []) == (outcome.lost, outcome.twice, outcome.doubled), outcome
    assert {"sent"} == outcome.statuses.keys(), outcome
