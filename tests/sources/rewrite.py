"""Write what the golden cases are now: `python -m tests.sources.rewrite [kind/case …]`, then review the difference."""

from __future__ import annotations

import sys

from tests.sources.cases import all_cases, as_text


def main(wanted: list[str]) -> None:
    """Rewrite the named cases, all of them when none is named."""
    for case in all_cases():
        text = as_text(case.result())
        if wanted and case.name not in wanted:
            continue
        if not case.expected.exists() or case.expected.read_text("utf-8") != text:
            case.expected.write_text(text, "utf-8")
            print(case.expected)


if __name__ == "__main__":
    main(sys.argv[1:])
