"""The documents as a whole: what they name exists, what they link is there, what they claim is so."""

from __future__ import annotations

import re
import shlex
import tomllib

import pytest
import yaml

import gateway
from gateway import cli, wiring
from gateway.errors import ConfigurationError
from gateway.message import DEADLINES
from gateway.settings import Settings
from gateway.sources import KINDS
from gateway.transports import TRANSPORTS
from tests.documents import ROOT, Document, documents

README = documents()["README.md"]
CONFIGURATION = documents()["docs/configuration.md"]
FOLDERS = ("gateway", "tests", "bench", "docs")
BLOCKS = {"sh", "text", "yaml", "json", "python", "powershell", "csharp", "html", "js", "kql"}
"""The languages that tests/test_docs_samples.py, tests/browser and tests/test_observability.py know what to do with."""


# ------------------------------------------------------------------------------------------------- what there is


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_of_source_has_a_page(kind: str) -> None:
    """Which the configuration's page and the README link."""
    assert f"docs/sources/{kind}.md" in documents()
    assert f"sources/{kind}.md" in CONFIGURATION.links
    assert f"docs/sources/{kind}.md" in README.links
    assert f"`{kind}`" in CONFIGURATION.table("sources")["kind"][0]


def test_every_transport_is_documented() -> None:
    """Those that are there as such, those to come as such."""
    row = CONFIGURATION.table("senders")["transport"][0]

    assert [] == [name for name in DEADLINES if f"`{name}`" not in row]
    for name in DEADLINES:
        assert ("not there yet" not in row.partition(f"`{name}`")[2].partition(",")[0]) == (name in TRANSPORTS), name


async def test_the_readme_says_what_there_is_and_what_is_to_come() -> None:
    """Microsoft Graph and the store on Azure move from one column to the other when they are there."""
    rows = [line.strip("| ").split(" | ") for line in README.section("What there is today").splitlines() if "|" in line]
    there, coming = ({row[0]: row[index] for row in rows[2:]} for index in (1, 2))
    try:
        await wiring.open_store(Settings(store="azure"))
        azure = True
    except ConfigurationError as error:
        azure = "not there yet" not in str(error)

    assert ("graph" in TRANSPORTS) == ("Graph" in there["ways out"]) == ("Graph" not in coming["ways out"])
    assert azure == ("Azure" in there["storage"]) == ("Azure" not in coming["storage"])


def test_every_module_has_a_room_in_the_architecture() -> None:
    """Folders count as one."""
    rooms = " ".join(row[0] for row in documents()["docs/architecture.md"].rows("The rooms"))
    names = [
        f"{path.name}/" if path.is_dir() else path.name
        for path in (ROOT / "gateway").iterdir()
        if path.suffix == ".py" or (path.is_dir() and path.name != "__pycache__")
    ]

    assert [] == [name for name in names if f"`{name}`" not in rooms and not name.startswith("__")]


def test_every_command_in_a_document_is_one() -> None:
    """`make …` is in the Makefile, `python -m gateway …` is understood, other modules exist."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    parser = cli._parser()
    texts = [
        line
        for document in documents().values()
        for line in [*document.words, *"\n".join(block.text for block in document.blocks).splitlines()]
    ]
    for text in texts:
        if match := re.fullmatch(r"make ([a-z]+).*", text):
            assert match[1] in targets, text
        if match := re.fullmatch(r"(?:\S*/)?python -m gateway (.+)", text):
            parser.parse_args(shlex.split(match[1].replace("[FILE]", "").partition(" > ")[0]))
        if match := re.match(r"(?:\S*/)?python -m ((?:tests|bench)[\w.]*)", text):
            folder = ROOT / match[1].replace(".", "/")
            assert (folder / "__main__.py").exists() or folder.with_suffix(".py").exists(), text


# -------------------------------------------------------------------------------------------------- the files


def test_the_readme_is_short_and_found_by_the_errors_people_search_for() -> None:
    """At most 150 lines; both messages, word for word."""
    assert len(README.text.splitlines()) <= 150
    assert "535 5.7.139 Authentication unsuccessful, basic authentication is disabled" in README.text
    assert "550 5.7.30 Basic authentication is not supported for Client Submission." in README.text


@pytest.mark.parametrize("document", documents().values(), ids=str)
def test_links_lead_somewhere(document: Document) -> None:
    """To a file of the repository, to a heading in it, or to https."""
    for link in document.links:
        path, _, fragment = link.partition("#")
        if link.startswith("https://"):
            continue
        target = (ROOT / document.name).parent / path if path else ROOT / document.name
        assert target.exists(), link
        if fragment:
            assert fragment in documents()[str(target.resolve().relative_to(ROOT))].anchors, link


@pytest.mark.parametrize("document", documents().values(), ids=str)
def test_files_that_are_named_exist(document: Document) -> None:
    """A name in backticks that looks like one of our files is one; a bare one may lie in any folder."""
    files = [str(path.relative_to(ROOT)) for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    for word in document.words:
        if re.fullmatch(rf"(?:{'|'.join(FOLDERS)})/[\w./-]*|[\w/]+\.py", word):
            known = (ROOT / word).exists() or any(file.endswith(f"/{word.rstrip('/')}") for file in files)
            assert known, word


@pytest.mark.parametrize("document", documents().values(), ids=str)
def test_every_block_is_one_the_tests_know(document: Document) -> None:
    """A block in another language, or an indented one, would be run by nobody."""
    assert 2 * len(document.blocks) == len(re.findall(r"^\s*```", document.text, re.MULTILINE))
    assert {block.language for block in document.blocks} <= BLOCKS


def test_every_page_is_reached_from_the_readme() -> None:
    """By links, over any number of steps."""
    reached, wanted = set(), ["README.md"]
    while wanted:
        name = wanted.pop()
        reached.add(name)
        for link in documents()[name].links:
            target = ((ROOT / name).parent / link.partition("#")[0]).resolve()
            found = str(target.relative_to(ROOT)) if target.is_relative_to(ROOT) else ""
            if found in documents().keys() - reached:
                wanted.append(found)

    assert reached == documents().keys()


def test_the_version_is_in_the_changelog() -> None:
    """As a release, or as the one being made."""
    text = documents()["CHANGELOG.md"].text

    assert re.search(r"^## \[Unreleased\]$", text, re.MULTILINE)
    assert re.search(
        rf"^## \[{re.escape(gateway.__version__)}\] - \d{{4}}-\d\d-\d\d$|version, {gateway.__version__},",
        text,
        re.MULTILINE,
    )


def test_every_file_says_the_same_python() -> None:
    """What Azure runs, and the oldest one that is kept working."""
    newest = (ROOT / ".python-version").read_text("utf-8").strip()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    oldest = project["project"]["requires-python"].removeprefix(">=")
    workflow = yaml.safe_load((ROOT / ".github/workflows/check.yml").read_text("utf-8"))
    makefile = (ROOT / "Makefile").read_text("utf-8")

    assert f"sys.exit(sys.version_info < ({newest.replace('.', ', ')}))'; \\\n" in makefile
    assert "then $(PIP) -r requirements-dev.txt -r requirements.txt;" in makefile
    assert {newest, oldest} == set(workflow["jobs"]["test"]["strategy"]["matrix"]["python"])
    assert [oldest, f"py{oldest.replace('.', '')}"] == [
        project["tool"]["mypy"]["python_version"],
        project["tool"]["ruff"]["target-version"],
    ]
    assert f"python{newest} " in makefile
    assert f"Python {oldest} or newer" in README.text
    assert f"from {newest} (what Azure runs) down to {oldest}" in " ".join(documents()["CONTRIBUTING.md"].text.split())
