"""Who has had little lately: a share of a window for each source, and only the busiest are remembered."""

from __future__ import annotations

from gateway.pacing.lately import MOST_SOURCES, Lately

WINDOW, EACH = 3_600, 360


def test_a_source_has_had_little_until_its_share_is_used_up_and_again_after_the_window() -> None:
    """Ten of them at once; then one for each tenth of the window that goes by, and others are not touched."""
    lately = Lately()
    for _ in range(10):
        assert lately.little("form", 0, EACH, WINDOW)
        lately.add("form", 0, EACH, WINDOW)
    assert [lately.little("form", now, EACH, WINDOW) for now in (0, 359, 360)] == [False, False, True]
    assert lately.little("alerts", 0, EACH, WINDOW)


def test_a_flood_is_forgiven_after_two_windows() -> None:
    """However many it sent."""
    lately = Lately()
    for _ in range(1_000):
        lately.add("form", 0, EACH, WINDOW)
    assert not lately.little("form", WINDOW, EACH, WINDOW)
    assert lately.little("form", WINDOW + EACH, EACH, WINDOW)


def test_only_the_busiest_and_whoever_came_last_are_remembered() -> None:
    """And nobody whose messages do not count any more."""
    lately = Lately()
    for number in range(400):
        for _ in range(number % 50 + 1):
            lately.add(f"source{number}", 0, 1, WINDOW)
    assert len(lately.until) == MOST_SOURCES
    assert min(lately.until.values()) >= 26
    lately.add("late", 1_000, EACH, WINDOW)
    assert lately.until == {"late": 1_000 + EACH}
