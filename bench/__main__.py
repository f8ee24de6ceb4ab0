"""Every figure: no argument or one benchmark's name comes in, headings and tables go out (`make bench`).

A benchmark is a module of this folder with a `main` or a `run` that needs no argument; the first line of its docstring
is its heading. It is called as its module unless NAMES says otherwise. Each has a process of its own, since some pin
themselves to a core.
"""

from __future__ import annotations

import argparse
import inspect
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

FOLDER = Path(__file__).parent
NAMES = {"sending_graph": "graph"}
"""Names that are shorter than the module's."""


def benchmarks() -> dict[str, Callable[[], object]]:
    """Every benchmark by its name."""
    modules = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))
    found = {NAMES.get(module, module): _entry(module) for module in modules}
    return {name: entry for name, entry in found.items() if entry}


def _entry(name: str) -> Callable[[], object] | None:
    """What starts a module's benchmark; None for a helper."""
    module = import_module(f"bench.{name}")
    for word in ("main", "run"):
        entry: Callable[[], object] | None = getattr(module, word, None)
        if entry and inspect.isfunction(entry) and not inspect.signature(entry).parameters:
            return entry
    return None


def main() -> int:
    """Run one, or all; 1 when one of them failed."""
    found = benchmarks()
    parser = argparse.ArgumentParser(prog="python -m bench", description="The figures, as ratios inside one run.")
    parser.add_argument("name", nargs="?", choices=found, help="only this one")
    parser.add_argument("--full", action="store_true", help="at full size, where there is a short form (slow)")
    options = parser.parse_args()
    if options.name:
        found[options.name]()
        return 0
    failed = [name for name, entry in found.items() if not _alone(name, entry, "--full" if options.full else "")]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _alone(name: str, entry: Callable[[], object], size: str) -> bool:
    """Run one in a process of its own, below its heading; whether it ended well."""
    heading = (sys.modules[entry.__module__].__doc__ or name).partition("\n")[0]
    print(f"\n{name}\n{'=' * len(name)}\n{heading}\n", flush=True)
    command = [sys.executable, "-m", "bench", name, size]
    return subprocess.run([word for word in command if word], check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
