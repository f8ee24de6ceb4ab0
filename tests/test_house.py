"""The house rules that a machine can count: size, docstrings, imports, exceptions from the checkers, pins, paths.

`python -m tests.test_house` prints the figures.
"""

from __future__ import annotations

import ast
import io
import re
import statistics
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from importlib.metadata import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.documents import ROOT

LONGEST_MODULE = 400
LONGEST_TEST_MODULE = 450
"""A list of sentences may be longer than a room."""

LONGEST_FUNCTION = 50
MEDIAN_FUNCTION = 7
USUAL_FUNCTION = 20
"""Nine functions of ten are not longer."""

EXCEPTIONS = 10
"""`noqa` and `type: ignore` in the whole project."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Module(NamedTuple):
    """One Python file."""

    name: str
    text: str
    tree: ast.Module

    def __str__(self) -> str:
        """Its path from the root."""
        return self.name


@cache
def files() -> list[str]:
    """Every text file of the project, by its path from the root: what git knows, and what is new and not ignored."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("needs git and a checkout")
    return [name for name in sorted(set(listed.stdout.splitlines())) if (ROOT / name).is_file()]


@cache
def modules() -> list[Module]:
    """Every Python file."""
    texts = {name: (ROOT / name).read_text("utf-8") for name in files() if name.endswith(".py")}
    return [Module(name, text, ast.parse(text)) for name, text in texts.items()]


def product() -> list[Module]:
    """The modules that run at a user's."""
    return [module for module in modules() if module.name.startswith(("gateway/", "function_app"))]


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def code_lines(module: Module, function: Function) -> int:
    """Lines of a function's body that are neither empty, nor a comment, nor its docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    if not body:
        return 0
    lines = module.text.splitlines()[body[0].lineno - 1 : function.end_lineno]
    return sum(1 for line in lines if line.strip() and not line.strip().startswith("#"))


def sizes(chosen: list[Module]) -> dict[str, int]:
    """Each function's code lines, by where it stands."""
    return {
        f"{module.name}:{function.lineno} {function.name}": code_lines(module, function)
        for module in chosen
        for function in functions(module.tree)
    }


def comments(module: Module) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))


# ---------------------------------------------------------------------------------------------------------- size


def test_no_module_is_longer_than_one_can_read() -> None:
    """A room has one page; a file of tests may have a little more."""
    counts = {module.name: len(module.text.splitlines()) for module in modules()}
    limits = {name: LONGEST_TEST_MODULE if name.startswith("tests/") else LONGEST_MODULE for name in counts}

    assert {} == {name: count for name, count in counts.items() if count > limits[name]}


def test_no_function_is_longer_than_one_can_read() -> None:
    """Tests too."""
    assert {} == {where: count for where, count in sizes(modules()).items() if count > LONGEST_FUNCTION}


def test_functions_are_short() -> None:
    """Half of them very, nine of ten still."""
    counts = list(sizes(product()).values())

    assert statistics.median(counts) <= MEDIAN_FUNCTION
    assert statistics.quantiles(counts, n=10)[-1] <= USUAL_FUNCTION


# ---------------------------------------------------------------------------------------------------- docstrings


def test_every_module_class_and_public_function_has_a_docstring() -> None:
    """Those of the product and of the benchmarks; protocols and nested functions by the same rule."""
    missing = [
        f"{module.name}:{getattr(node, 'lineno', 1)}"
        for module in modules()
        if not module.name.startswith("tests/")
        for node in documentable(module.tree)
        if not ast.get_docstring(node)
    ]

    assert [] == missing


def documentable(tree: ast.Module) -> Iterator[ast.Module | ast.ClassDef | Function]:
    """The module, and every class, function and method in it that others may use."""
    yield tree
    holders: list[ast.Module | ast.ClassDef] = [tree]
    while holders:
        for node in holders.pop().body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                holders.append(node)
                yield node
            elif isinstance(node, Function) and not node.name.startswith("_"):
                yield node


def test_every_modules_docstring_begins_with_one_line() -> None:
    """What comes in and what goes out, in a sentence that fits; of every file, tests too."""
    missing = [module.name for module in modules() if len((ast.get_docstring(module.tree) or "").split("\n")[0]) < 10]

    assert [] == missing


def test_every_test_has_a_sentence() -> None:
    """Which says what holds, and ends like one."""
    silent = [
        f"{module.name}:{function.lineno} {function.name}"
        for module in modules()
        if module.name.startswith("tests/")
        for function in functions(module.tree)
        if function.name.startswith("test_")
        and not re.search(r"[.?!…:)]$", (ast.get_docstring(function) or "").strip().split("\n\n")[0])
    ]

    assert [] == silent


# ------------------------------------------------------------------------------------------------------- imports


def test_only_the_switchboard_knows_azure_functions() -> None:
    """Everything else also runs where that package is not installed."""
    knowing = [module.name for module in product() if "azure.functions" in imports(module.tree)]

    assert ["function_app.py"] == knowing


def test_the_ends_alone_know_azures_clients() -> None:
    """Transports, the store on Azure, and wiring; each inside a function or for types, never at import."""
    ends = ("gateway/transports/", "gateway/stores/azure", "gateway/wiring.py", "function_app.py")
    foreign = [
        module.name
        for module in product()
        if not module.name.startswith(ends) and any(name.partition(".")[0] == "azure" for name in imports(module.tree))
    ]

    assert [] == foreign


def loaded(code: str, *, of: set[str]) -> set[str]:
    """Which of these packages a fresh interpreter has loaded after running `code`."""
    script = f"{code}\nimport sys\nprint(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    names = set(done.stdout.split())
    return {package for package in of if package in names}


HEAVY = {"fastapi", "starlette", "uvicorn", "aiohttp", "jinja2", "pydantic", "azure.communication", "azure.identity"}


@pytest.mark.skipif(find_spec("azure.functions") is None, reason="azure-functions needs Python 3.13")
def test_importing_the_switchboard_loads_nothing_heavy() -> None:
    """The Functions worker waits for it at every cold start."""
    assert set() == loaded("import function_app", of=HEAVY)


def test_delivering_loads_no_web_framework(tmp_path: Path) -> None:
    """A queue worker pays for neither the HTTP side nor a transport before it needs one."""
    build = (
        "import asyncio\n"
        "from gateway import wiring\n"
        "from gateway.settings import Settings\n"
        f"settings = Settings(store='sqlite:{tmp_path / 'g.db'}', environment='local')\n"
        "async def main():\n"
        "    await (await wiring.build(settings, {})).close()\n"
        "asyncio.run(main())"
    )

    assert set() == loaded(build, of=HEAVY - {"pydantic", "jinja2"})


# ------------------------------------------------------------------------------------------------------ exceptions


def test_few_lines_are_excepted_from_the_checkers_and_each_says_why() -> None:
    """`# noqa: CODE  # reason`; without either it is a mistake that was swept away."""
    excepted = [
        (f"{module.name}:{line}", comment)
        for module in modules()
        for line, comment in comments(module)
        if re.match(r"#\s*(?:noqa|type:\s*ignore)", comment)
    ]
    unexplained = [
        where
        for where, comment in excepted
        if not re.fullmatch(r"# (?:noqa: [A-Z]+\d+|type: ignore\[[a-z-]+\])(?:  #| -) .{8,}", comment)
    ]

    assert [] == unexplained
    assert len(excepted) <= EXCEPTIONS, [where for where, _ in excepted]


# ------------------------------------------------------------------------------------------------- the other files


@pytest.mark.parametrize("name", [f"requirements{end}.txt" for end in ("", "-core", "-host", "-otel", "-dev")])
def test_requirements_are_pinned_and_name_no_address(name: str) -> None:
    """One exact version each, from whatever registry the machine uses."""
    lines = [line for line in (ROOT / name).read_text("utf-8").splitlines() if line and not line.startswith("#")]
    pin = re.compile(r"-r requirements[a-z-]*\.txt|[\w.-]+(?:\[[\w,]+\])?==[\w.]+(?: ; [\w \"'.<>=!]+)?")

    assert lines
    assert [] == [line for line in lines if not pin.fullmatch(line)]


def test_a_build_on_the_wrong_python_fails_instead_of_installing_half() -> None:
    """No marker leaves a package out: what needs 3.13 is asked for on any Python, Microsoft's two pinned ones first."""
    azure, core = ((ROOT / f"requirements{end}.txt").read_text("utf-8") for end in ("", "-core"))
    asked = [line for line in azure.splitlines() if line and not line.startswith("#")]

    assert "-r requirements-core.txt" == asked[0]
    assert [] == [line for line in [*asked, *core.splitlines()] if ";" in line and not line.startswith("#")]
    assert ["azure-functions", "azure-functions-runtime"] == [line.partition("==")[0] for line in asked[1:3]]
    if sys.version_info >= (3, 13):
        assert {">=3.13"} == {metadata(name.partition("==")[0])["Requires-Python"].split(",")[0] for name in asked[1:3]}


def test_no_file_holds_both_sides_of_a_merge() -> None:
    """A document shows them to whoever reads it, and no other check minds."""
    marks = re.compile(r"^(<<<<<<<|>>>>>>>)( |$)", re.MULTILINE)
    texts = {name: (ROOT / name).read_bytes().decode("utf-8", "replace") for name in files()}

    assert [] == [name for name, text in texts.items() if marks.search(text)]


def test_no_file_names_a_place_of_one_machine() -> None:
    """A home, a checkout or a package registry belongs to one machine; the project runs on any."""
    homes = r"(?<![\w./])/(?:home|Users|root|work)/\w|[A-Z]:\\Users\\"
    place = re.compile(homes + r"|\b(?:p[y]pi|n[p]mjs)\.org|python[h]osted")
    texts = {name: (ROOT / name).read_bytes().decode("utf-8", "replace") for name in files()}

    assert [] == [name for name, text in texts.items() if place.search(text)]


def report() -> None:
    """Print the figures."""
    for title, chosen in (("product", product()), ("all", modules())):
        counts = list(sizes(chosen).values())
        lines = [len(module.text.splitlines()) for module in chosen]
        for what, numbers in (("modules", lines), ("functions", counts)):
            ninth = statistics.quantiles(numbers, n=10)[-1]
            median = statistics.median(numbers)
            print(
                f"{title}: {len(numbers)} {what}, lines: median {median:.0f}, p90 {ninth:.0f}, longest {max(numbers)}"
            )


if __name__ == "__main__":
    report()
