"""Keys that everybody knows open nothing but a gateway on one's own machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway import guard, keys, wiring
from gateway.doctor.patient import admit
from gateway.errors import ConfigurationError
from gateway.guard import Access
from gateway.keys import hash_key
from gateway.settings import Settings
from tests.gateway_process import ROOT, SAMPLE
from tests.test_config import run
from tests.test_house import files

AT_HOME = "localhost:7071"
ON_AZURE = "gateway.azurewebsites.net"

FIELDS = {"sources.alertmanager.keys[0]", "sources.app.keys[0]", "admin.keys[0]"}
"""Where the sample configuration has its keys."""


def refused(environment: str, access: Access | None = None, config: Path = SAMPLE) -> set[str]:
    """The fields of a configuration that are refused."""
    try:
        wiring.check(Settings(config=str(config), environment=environment), {}, access)
    except ConfigurationError as error:
        return {problem.field for problem in error.problems if "`python -m gateway keys new NAME`" in problem.message}
    return set()


@pytest.mark.parametrize("environment", ["local", "test", "staging", "production"])
@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "::1", "0.0.0.0", "10.1.2.3"])
@pytest.mark.parametrize("opened", [False, True])
def test_a_listener_takes_the_samples_keys_on_this_machine_only(environment: str, address: str, opened: bool) -> None:
    """In `local` and `test`; opened to others on purpose, in `local` only."""
    here = address in {"127.0.0.1", "localhost", "::1"}
    taken = (here and environment in {"local", "test"}) or (opened and environment == "local")

    access = guard.listener(address, (), environment, opened=opened)

    assert (set() if taken else FIELDS) == refused(environment, access)


@pytest.mark.parametrize("environment", ["local", "test", "staging", "production"])
@pytest.mark.parametrize("name", ["", AT_HOME, ON_AZURE, "localhost.evil.example", "a b"])
def test_the_functions_host_takes_them_on_a_developers_machine_only(environment: str, name: str) -> None:
    """Core Tools says localhost, Azure the app's own name; `test` is not local."""
    access = guard.behind_functions(environment, {"WEBSITE_HOSTNAME": name} if name else {})
    taken = environment == "local" and name in {"", AT_HOME}

    assert not access.keyless
    assert (set() if taken else FIELDS) == refused(environment, access)


async def test_a_gateway_behind_functions_is_not_built_with_them(tmp_path: Path) -> None:
    """Whether all of it is checked at the start or not."""
    settings = Settings(config=str(SAMPLE), store=f"sqlite:{tmp_path / 'g.db'}", environment="test")
    for checked in (True, False):
        with pytest.raises(ConfigurationError, match=r"sources\.app\.keys\[0\]: is that of example-key-app"):
            await wiring.build(settings, {}, checked=checked)
    assert not (tmp_path / "g.db").exists()


@pytest.mark.parametrize("environment", ["local", "test", "staging", "production"])
def test_check_refuses_them_where_the_environment_says_so(environment: str) -> None:
    """With line and field, as any other mistake."""
    result = run("check", GATEWAY_ENVIRONMENT=environment)

    assert (0 if environment in {"local", "test"} else 1) == result.returncode
    if result.returncode:
        found = [line.split(": ")[:2] for line in result.stderr.splitlines()]
        assert FIELDS == {field for _, field in found}
        assert all(re.fullmatch(r"gateway\.yaml:[1-9]\d*", place) for place, _ in found)


def test_the_doctor_refuses_them_for_a_deployed_app() -> None:
    """Whatever its environment is called, but for settings of Core Tools."""
    for environment, taken in (("test", False), ("staging", False), ("local", True)):
        patient = admit({}, config=str(SAMPLE), app_settings=f'{{"GATEWAY_ENVIRONMENT": "{environment}"}}')

        assert (set() if taken else FIELDS) == {problem.field for problem in patient.problems}


@pytest.mark.parametrize(
    ("key", "name"),
    [("example-key-app", "crm"), ("example-key-admin", "crm"), ("example-key-shop", "shop"), ("example-key-crm", "x")],
)
def test_a_key_is_known_whichever_source_it_opens(key: str, name: str, tmp_path: Path) -> None:
    """Copied from another source, or made up by the sample's habit; from the environment and as second of two, too."""
    file = tmp_path / "gateway.yaml"
    text = (
        "senders: {a: {transport: capture, address: a@example.com}}\n"
        f"sources: {{{name}: {{kind: native, sender: a, allow: ['*'], keys: ['{hash_key('own')}', '${{env:KEY}}']}}}}\n"
    )
    file.write_text(text, "utf-8")
    with pytest.raises(ConfigurationError, match=rf"sources\.{name}\.keys\[1\]"):
        wiring.check(Settings(config=str(file), environment="production"), {"KEY": hash_key(key)})
    wiring.check(Settings(config=str(file), environment="production"), {"KEY": hash_key("example-key")})


def test_every_key_and_hash_that_the_repository_shows_is_known() -> None:
    """Whoever copies a sample with its key must hear of it."""
    known = keys.samples([])
    shown = [name for name in files() if name.endswith((".md", ".yaml", ".yml", ".json", ".example", ".http"))]
    text = "".join((ROOT / name).read_text("utf-8") for name in shown if not name.startswith("tests/"))

    assert set(re.findall(r"sha256:[0-9a-f]{64}", text)) <= known.keys()
    assert set(re.findall(rf"{keys.SAMPLE}[a-z0-9-]+", text)) <= set(known.values())
    assert re.findall(r"sha256:[0-9a-f]{64}", text)
