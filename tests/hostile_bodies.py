"""Which hostile bodies each door has to bear; the tests and `python -m bench hostile` share the table."""

from __future__ import annotations

from collections.abc import Iterator

from tests.hostile_fields import ALERT_BODIES, NATIVE_BODIES, REPORT_BODIES
from tests.hostile_shapes import FORM_BODIES, HEADS, JSON_BODIES, Hostile

DOORS: dict[str, list[Hostile]] = {
    "form": [*JSON_BODIES, *FORM_BODIES],
    "webhook": [*JSON_BODIES, *FORM_BODIES, *ALERT_BODIES],
    "native": [*JSON_BODIES, *FORM_BODIES, *NATIVE_BODIES],
    "queue": [*JSON_BODIES, *NATIVE_BODIES],
    "reports": [*JSON_BODIES, *REPORT_BODIES],
    "inbox": NATIVE_BODIES,
    "head": HEADS,
}
"""Each door and what is thrown at it."""


def cases() -> Iterator[tuple[str, Hostile]]:
    """Every door with each of its bodies."""
    for door, bodies in DOORS.items():
        for body in bodies:
            yield door, body
