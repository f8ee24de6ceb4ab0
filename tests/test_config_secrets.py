"""What `${env:NAME}` stands for is in no problem of gateway.yaml: not whole, and not a piece of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway import wiring
from gateway.errors import ConfigurationError
from gateway.settings import Settings
from tests.conftest import with_hashes

FILE = """\
senders:
  noreply: {transport: capture, address: noreply@example.com, name: Example}
  other: {transport: graph, address: other@example.com, fallback: noreply}
recipients:
  ops: [ops@example.com]
sources:
  contact:
    kind: form
    origins: ["https://www.example.com"]
    sender: noreply
    to: [info@example.com]
    subject: "{{ title }}"
    reply_to: "{{ fields.email }}"
    template: default
    language: en
  tool:
    kind: alertmanager
    keys: [HASH-alertmanager]
    sender: noreply
    cc: [ops]
    routes:
      - match: {title: /disk/, severity: [critical]}
        to: ops
        group: {by: [alertname], wait: 30s}
      - {to: [alerts@example.com], sender: other, template: alert}
  app: {kind: native, keys: [HASH-app], sender: noreply, allow: ["*@example.com"]}
admin: {keys: [HASH-admin]}
retention: {bodies: 7d}
"""

PLACES = [
    "transport: capture",
    "address: noreply@example.com",
    "name: Example",
    "fallback: noreply",
    "[ops@example.com]",
    "kind: form",
    '["https://www.example.com"]',
    "sender: noreply",
    "to: [info@example.com]",
    'subject: "{{ title }}"',
    'reply_to: "{{ fields.email }}"',
    "template: default",
    "language: en",
    "keys: [HASH-alertmanager]",
    "cc: [ops]",
    "title: /disk/",
    "severity: [critical]",
    "to: ops",
    "wait: 30s",
    "to: [alerts@example.com]",
    "sender: other",
    "template: alert",
    'allow: ["*@example.com"]',
    "keys: [HASH-admin]",
    "bodies: 7d",
]

SECRETS = [
    "Hunter2TopSecret",
    "Hunter2 <TopSecret",
    "Hunter2@Top_Secret",
    "/Hunter2\\TopSecret(?P<TopSecret>/",
    "/(?P=TopSecret)Hunter2/",
    "{% Hunter2 %}{{ TopSecret }",
    "{{ x | Hunter2 }}{{ TopSecret() }}",
    "{{ 'Hunter2",
    "https://TopSecret:Hunter2@x",
    "Hunter2\\N{TopSecret}",
]

PIECE = re.compile("hunter|topsec|secret", re.IGNORECASE)


def problems(file: Path, place: str, value: str, environ: dict[str, str]) -> str:
    """Everything that is said of the file with `value` in this place, "" when it can be used."""
    key, colon, old = place.partition(": ") if ": " in place and not place.startswith("[") else ("", "", place)
    new = f'["{value}"]' if old.startswith("[") else f'"{value}"'
    text = FILE.replace(place, f"{key}{colon}{new}", 1)
    assert text != FILE
    file.write_text(with_hashes(text), "utf-8")
    try:
        wiring.check(Settings(config=str(file), environment="test"), environ)
    except ConfigurationError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("place", PLACES)
def test_no_problem_quotes_what_came_from_the_environment(place: str, tmp_path: Path) -> None:
    """In every field, alone and as a part of a longer text: the reference stands in its place, if anything does."""
    file = tmp_path / "gateway.yaml"
    for secret in SECRETS:
        for written in ("${env:MAIL}", "a ${env:MAIL} b", "/${env:MAIL}/", "${env:MAIL}@example.com"):
            said = problems(file, place, written, {"MAIL": secret})

            assert PIECE.search(said) is None, f"{written} with {secret}: {said}"


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("sender: noreply", "${env:MAIL}", "contact.sender: there is no sender ${env:MAIL}; there are noreply"),
        ("sender: other", "x${env:MAIL}", "sources.tool.routes[1].sender: there is no sender x${env:MAIL}; there are"),
        ("fallback: noreply", "${env:MAIL}", "senders.other.fallback: there is no sender ${env:MAIL}; there are"),
        ("cc: [ops]", "${env:MAIL}", "sources.tool.cc[0]: there is no recipients entry ${env:MAIL}; there are ops"),
        ("template: alert", "${env:MAIL}", "sources.tool.routes[1].template: there is no look ${env:MAIL}; there are"),
        ("keys: [HASH-admin]", "${env:MAIL}", "admin.keys[0]: must be the hash of a key, sha256: and 64"),
        ("bodies: 7d", "${env:MAIL}", "retention.bodies: is not a duration; write 30s, 5m, 4h or 7d"),
        ("address: noreply@example.com", "${env:MAIL}", "address: is not an e-mail address; write user@example.com"),
        ("title: /disk/", "/(${env:MAIL}/", "match.title[0]: cannot be used with what ${env:MAIL} holds"),
    ],
)
def test_the_remedy_is_said_all_the_same(place: str, value: str, said: str, tmp_path: Path) -> None:
    """Only what may be the secret is missing, and the names that there are stand there."""
    assert said in problems(tmp_path / "gateway.yaml", place, value, {"MAIL": "Hunter2\\qTopSecret"})


def test_a_folder_of_templates_is_named_by_its_reference(tmp_path: Path) -> None:
    """Its path stands before every mistake in one of its files, too."""
    (tmp_path / "topsecret" / "mine").mkdir(parents=True)
    (tmp_path / "topsecret" / "mine" / "html.jinja").write_text("{% oops %}", "utf-8")
    file = tmp_path / "gateway.yaml"
    text = FILE.replace("retention:", 'templates: "${env:LOOKS}"\nretention:')
    text = text.replace("template: default", "template: mine")
    file.write_text(with_hashes(text), "utf-8")
    said = []
    for folder in ("topsecret", "topsecret-2"):
        with pytest.raises(ConfigurationError) as caught:
            wiring.check(Settings(config=str(file), environment="test"), {"LOOKS": folder})
        said.append(str(caught.value))

    assert "${env:LOOKS}" in said[0]
    assert "oops" in said[0]
    assert "there is no folder" in said[1]
    assert [None, None] == [PIECE.search(one) for one in said]


@pytest.mark.parametrize("written", ["${env:LOOKS}", "a/${env:LOOKS}/b", "/${env:LOOKS}/", "${env:LOOKS}${env:LOOKS}"])
@pytest.mark.parametrize(
    "secret",
    [
        "https://hunter2:TopSecret@x/",
        "/hunter2//TopSecret/",
        "hunter2: TopSecret",
        "hunter2/./TopSecret",
        "hunter2" + "TopSecret" * 100,
    ],
)
def test_a_folder_that_can_be_none_is_not_quoted(written: str, secret: str, tmp_path: Path) -> None:
    """Neither as it is written nor as a path is, nor by an error of the system that nobody caught."""
    file = tmp_path / "gateway.yaml"
    file.write_text(with_hashes(FILE.replace("retention:", f'templates: "{written}"\nretention:')), "utf-8")

    with pytest.raises(ConfigurationError) as caught:
        wiring.check(Settings(config=str(file), environment="test"), {"LOOKS": secret})

    assert "templates: there is no folder" in str(caught.value)
    assert PIECE.search(str(caught.value)) is None, str(caught.value)


def test_a_look_that_is_not_there_is_not_quoted_up_to_a_colon(tmp_path: Path) -> None:
    """What is cut from a message is cut from what has no value in it any more."""
    said = problems(tmp_path / "gateway.yaml", "template: alert", "${env:MAIL}", {"MAIL": "hunter2: TopSecret"})

    assert "there is no look ${env:MAIL}" in said
    assert PIECE.search(said) is None, said


@pytest.mark.parametrize("field", ["endpoint", "connection_string"])
@pytest.mark.parametrize(
    "secret", ["https://[TopSecret]", "https://[hunter2", "endpoint=https://hunter2\u2100x/;accesskey=TopSecret"]
)
def test_an_endpoint_without_a_host_is_a_mistake_that_quotes_nothing(field: str, secret: str, tmp_path: Path) -> None:
    """What reads URLs refuses some with an error of its own, which has the value in it."""
    said = problems(
        tmp_path / "gateway.yaml",
        "transport: capture",
        f'acs", {field}: "${{env:MAIL}}',
        {"MAIL": secret},
    )

    assert f"senders.noreply.{field}: names no host" in said
    assert PIECE.search(said) is None, said
