"""The golden cases: `tests/payloads/<kind>/<case>.<ext>` comes in, what its source makes of it goes out as JSON.

`<case>.headers` beside it holds the request's headers, if they matter. The folder's name is the kind; `unmapped` asks
for the dump itself. A new case needs no code: put the payload there, run `python -m tests.sources.rewrite`, review.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway import sources
from gateway.errors import Rejected
from gateway.sources.unmapped import dump

PAYLOADS = Path(__file__).parent.parent / "payloads"
_NO_PAYLOAD = (".headers", ".expected.json", ".md")


@dataclass(frozen=True)
class Case:
    """One payload and its place."""

    kind: str
    payload: Path

    @property
    def name(self) -> str:
        """`form/html_multipart_files`, as pytest shows it."""
        return f"{self.kind}/{self.payload.stem}"

    @property
    def expected(self) -> Path:
        """Where the reviewed result stands."""
        return self.payload.with_suffix(".expected.json")

    @property
    def headers(self) -> dict[str, str]:
        """The request's headers by lower-case name; a request line above them is skipped."""
        file = self.payload.with_suffix(".headers")
        lines = file.read_text("utf-8").splitlines() if file.exists() else []
        pairs = [line.partition(":") for line in lines if ":" in line.split(" ")[0]]
        return {name.lower(): value.strip() for name, _, value in pairs}

    def result(self) -> Any:
        """What the source makes of it: notifications without their defaults, or the refusal."""
        body = self.payload.read_bytes()
        try:
            if self.kind == "unmapped":
                found = [dump(body, self.headers, "example", "alertmanager")]
            else:
                found = sources.read(self.kind, body, self.headers, "example")
        except Rejected as refusal:
            said = {"status": refusal.status, "code": refusal.code, "detail": refusal.detail, "fields": refusal.fields}
            return {"rejected": said}
        return [notification.model_dump(mode="json", exclude_defaults=True) for notification in found]


def all_cases() -> list[Case]:
    """Every payload there is."""
    files = sorted(file for file in PAYLOADS.glob("*/*") if not file.name.endswith(_NO_PAYLOAD))
    return [Case(file.parent.name, file) for file in files]


def as_text(result: Any) -> str:
    """A result as its expected file has it."""
    return json.dumps(result, indent=2, ensure_ascii=False) + "\n"
