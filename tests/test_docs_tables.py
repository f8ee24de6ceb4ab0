"""The tables of the documents say all there is and nothing else: they are compared with the code they describe."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from gateway import configfile
from gateway.config import (
    _MATCH_KEYS,
    Admin,
    Bounds,
    Config,
    Files,
    Group,
    Rate,
    Retention,
    Route,
    Sender,
    Source,
    _duration,
)
from gateway.errors import Reason
from gateway.filetypes import ENDINGS, STARRED, TYPES
from gateway.looks import variables
from gateway.message import WORST_FIRST, Priority, Status
from gateway.notification import SEVERITY_WORDS, Notification, Severity, State
from gateway.settings import Environment, Settings
from gateway.sources import KINDS
from gateway.sources.form import CAPTCHAS, MOST_FIELDS, MOST_FILES, RESERVED
from gateway.sources.request import NativeAttachment, NativeRequest
from gateway.web import BODY_LIMIT
from tests.documents import ROOT, documents

README = documents()["README.md"]
CONFIGURATION = documents()["docs/configuration.md"]
HTTP = documents()["docs/http.md"]
STATES = documents()["docs/states.md"]
FORM = documents()["docs/sources/form.md"]
VARIABLES = [field.metadata["name"] for field in Settings.__dataclass_fields__.values()]
REFUSALS = {"Rejected", "_problem"}


def trees() -> Iterator[tuple[Path, ast.Module]]:
    """Every module of the gateway, parsed."""
    for path in sorted((ROOT / "gateway").rglob("*.py")):
        yield path, ast.parse(path.read_text("utf-8"))


def calls(*names: str) -> Iterator[ast.Call]:
    for _, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in names:
                yield node


def constants(nodes: list[ast.expr]) -> list[Any]:
    return [node.value for node in nodes if isinstance(node, ast.Constant)]


def sentences(enum: type[StrEnum]) -> dict[str, str]:
    """Each member's value and the docstring below it."""
    for _, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.name == enum.__name__:
                pairs = zip(node.body, node.body[1:], strict=False)
                return {
                    enum[first.targets[0].id].value: second.value.value
                    for first, second in pairs
                    if isinstance(first, ast.Assign)
                    and isinstance(first.targets[0], ast.Name)
                    and isinstance(second, ast.Expr)
                    and isinstance(second.value, ast.Constant)
                    and isinstance(second.value.value, str)
                }
    raise AssertionError(enum)


# ------------------------------------------------------------------------------------------------- configuration


def test_every_environment_variable_is_documented() -> None:
    """And none that the gateway does not read."""
    assert sorted(VARIABLES) == sorted(CONFIGURATION.table("Environment variables"))


def test_every_default_of_a_variable_is_the_documented_one() -> None:
    """An empty one is described in words."""
    rows = CONFIGURATION.table("Environment variables")
    defaults = {field.metadata["name"]: field.default for field in Settings.__dataclass_fields__.values()}

    for name, default in defaults.items():
        if default:
            assert f"`{default}`" in rows[name][1], name


def test_the_local_settings_sample_names_what_a_local_run_needs() -> None:
    """Ours, and the one storage account; credentials have no place in it."""
    text = (ROOT / "local.settings.sample.json").read_text("utf-8")

    assert [] == [name for name in VARIABLES if name.startswith("GATEWAY_") and f'"{name}"' not in text]
    assert '"AzureWebJobsStorage"' in text


@pytest.mark.parametrize(
    ("title", "model"),
    [
        ("senders", Sender),
        ("sources", Source),
        ("routes", Route),
        ("files", Files),
        ("group", Group),
        ("admin", Admin),
        ("retention", Retention),
        ("bounds", Bounds),
    ],
)
def test_every_field_of_the_configuration_is_documented(title: str, model: type[BaseModel]) -> None:
    """A row for each, and none for a field that is not there."""
    fields = [info.alias or name for name, info in model.model_fields.items()]

    assert sorted(fields) == sorted(CONFIGURATION.table(title))


def test_every_section_of_the_file_is_documented() -> None:
    """A heading for each, and the two fields of a rate."""
    for section in Config.model_fields.keys() - {"folder"}:
        assert CONFIGURATION.section(section)
    assert all(f"{name}: " in CONFIGURATION.table("senders")["rate"][0] for name in Rate.model_fields)


@pytest.mark.parametrize(("title", "model"), [("group", Group), ("retention", Retention)])
def test_every_default_duration_is_the_documented_one(title: str, model: type[BaseModel]) -> None:
    """`7d` in the table is seven days in the model."""
    durations = {name: info.default for name, info in model.model_fields.items() if isinstance(info.default, timedelta)}

    assert durations == {name: _duration(CONFIGURATION.table(title)[name][1].strip("`")) for name in durations}


def test_what_a_route_may_match_is_documented() -> None:
    """Every key of `match`."""
    assert [] == [key for key in (*_MATCH_KEYS, "label.NAME") if f"`{key}`" not in CONFIGURATION.section("routes")]


def test_what_a_template_may_use_is_documented() -> None:
    """Every variable that rendering gives to a template."""
    names = variables(Notification(source="x", kind="form", title="x"), "en")

    assert [] == [name for name in names if f"`{name}`" not in CONFIGURATION.section("templates")]


def test_what_is_only_read_so_far_is_said_as_often_as_the_gateway_warns() -> None:
    """A warning that is gone, because the thing is done, must leave the document too."""
    config = configfile.parse(
        (ROOT / "gateway.yaml").read_text("utf-8").replace("name: Example}", "name: Example, rate: unlimited}"),
        "gateway.yaml",
        {},
        KINDS.keys(),
    )
    sender = config.senders["noreply"].model_copy(update={"fallback": "noreply"})
    route = Route(group=Group())
    source = config.sources["alertmanager"].model_copy(update={"routes": (route,)})
    full = config.model_copy(update={"senders": {"noreply": sender}, "sources": {"alertmanager": source}})

    warned = sorted(
        warning.partition(":")[0].rpartition(".")[2].partition("[")[0] for warning in configfile.warnings(full)
    )

    assert warned == sorted(re.findall(r"^- `(\w+)`", CONFIGURATION.section("What is only read so far"), re.MULTILINE))


# ---------------------------------------------------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("title", "enum"),
    [
        ("Status of a message", Status),
        ("Reasons", Reason),
        ("State of a notification", State),
        ("Severity", Severity),
    ],
)
def test_every_word_has_its_sentence_from_the_code(title: str, enum: type[StrEnum]) -> None:
    """The same words and the same sentences in both."""
    documented = {word: cells[0] for word, cells in STATES.table(title).items() if word in set(enum)}

    assert set(enum) == set(documented)
    assert sentences(enum) == documented


@pytest.mark.parametrize(("title", "enum"), [("Priority", Priority), ("Environment", Environment)])
def test_every_small_word_is_documented(title: str, enum: type[StrEnum]) -> None:
    """Words whose code needs no sentence."""
    assert set(enum) == set(STATES.table(title))


def test_the_table_of_statuses_begins_with_the_worst() -> None:
    """As a notification shows the worst of its messages'."""
    assert list(WORST_FIRST) == list(STATES.table("Status of a message"))


def test_what_tools_call_their_severities_is_documented() -> None:
    """Every word, at the severity it stands for."""
    documented = {
        word: severity
        for severity, cells in STATES.table("Severity").items()
        for word in re.findall(r"`(\w+)`", cells[1])
    }

    assert {word: severity for word, severity in SEVERITY_WORDS.items() if word != severity} == documented


def test_every_event_of_the_history_is_documented() -> None:
    """The words stores and delivery write; a provider's yes, its reports and copies are written as their status."""
    written = {
        keyword.value.value
        for call in calls("Settlement", "Event", "Amendment")
        for keyword in call.keywords
        if keyword.arg == "event" and isinstance(keyword.value, ast.Constant)
    }
    written |= {value for call in calls("history_line", "line") for value in constants(call.args[1:2])}

    provider = {Status.SENT, Status.CAPTURED, Status.DELIVERED, Status.BOUNCED, Status.SUPPRESSED}

    assert written | provider | {Status.SKIPPED} == set(STATES.table("Events of the history"))


# ----------------------------------------------------------------------------------------------------------- HTTP


def test_every_problem_code_is_documented() -> None:
    """With the status it comes with, or as a dead letter's reason; a code nobody raises is not documented."""
    raised = {
        (str(found[0]), found[1])
        for call in calls(*REFUSALS)
        if len(found := constants(call.args[:2])) == 2 and isinstance(found[0], int)
    }
    rows = re.findall(r"^\| (\d{3}) \| `(\w+)` \| .{10,} \|$", HTTP.section("Errors"), re.MULTILINE)

    assert set() == set(rows) - raised
    assert (
        set() == {code for _, code in raised - set(rows)} - documents()["docs/queues.md"].table("Dead letters").keys()
    )
    assert len(rows) == len(set(rows))


def test_limits_are_the_documented_ones() -> None:
    """Numbers callers rely on."""
    form = documents()["docs/sources/form.md"].section("What is refused, and what is not")

    assert f"{BODY_LIMIT // 1024**2} MiB ({BODY_LIMIT:,} bytes)" in HTTP.text
    assert f"more than {MOST_FIELDS} fields" in form
    assert f"more than {MOST_FILES} files" in " ".join(form.split())


def test_every_type_of_a_file_is_documented() -> None:
    """With its endings, and whether a star stands for it."""
    tables = re.findall(r"\| types (in a star|only by name) \|.*\n\|-.*\n((?:\|.*\n)+)", FORM.section("Files"))
    rows = {how: dict(re.findall(r"^\| `(\S+)` \| (.*) \|$", text, re.MULTILINE)) for how, text in tables}

    assert rows.keys() == {"in a star", "only by name"}
    assert [sorted(rows["in a star"]), sorted(rows["only by name"])] == [sorted(STARRED), sorted(TYPES - STARRED)]
    assert {
        ending for row in rows.values() for cell in row.values() for ending in re.findall(r"`(\w+)`", cell)
    } == ENDINGS


def test_the_default_of_a_forms_files_is_the_documented_one() -> None:
    """Numbers and types."""
    told: dict[str, Any] = {name: cells[1].strip("`") for name, cells in CONFIGURATION.table("files").items()}

    assert Files.model_validate({**told, "types": told["types"].strip("[]").split(", ")}) == Files()


def test_every_field_of_our_own_json_is_documented() -> None:
    """A row for each, attachments too, and none for a field that is not there."""
    table = documents()["docs/sources/native.md"].table("Fields")

    assert NativeRequest.model_fields.keys() | NativeAttachment.model_fields.keys() == table.keys()


def test_every_reserved_field_of_a_form_is_documented() -> None:
    """Captchas' tokens are said of in one sentence."""
    assert set(documents()["docs/sources/form.md"].table("Fields with a meaning")) == RESERVED - CAPTCHAS
