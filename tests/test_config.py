"""gateway.yaml: every mistake at once, with file, line, field and remedy."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import jsonschema
import pytest
import yaml

from gateway import configfile
from gateway.address import Address
from gateway.config import Config
from gateway.errors import ConfigurationError

ROOT = Path(__file__).parent.parent
KINDS = {"form", "native", "alertmanager"}
HASH = "sha256:" + "0" * 64

GOOD = f"""\
senders:
  noreply:
    {{transport: acs, address: DoNotReply@notify.contoso.com, name: Contoso, rate: acs-custom, fallback: helpdesk}}
  helpdesk: {{transport: graph, address: helpdesk@contoso.com, mode: draft}}
recipients:
  ops: [ops@contoso.com, oncall@contoso.com]
sources:
  contact:
    kind: form
    origins: [https://www.contoso.com]
    sender: noreply
    to: [info@contoso.com]
    reply_to: "{{{{ fields.email }}}}"
  alertmanager-prod:
    kind: alertmanager
    keys: ["${{env:ALERTMANAGER_KEY_HASH}}"]
    sender: noreply
    routes:
      - match: {{severity: critical}}
        to: ops
        priority: high
      - to: [alerts@contoso.com]
        group: {{by: [alertname], wait: 30s, interval: 5m, repeat: 4h}}
  crm:
    kind: native
    keys: ["{HASH}"]
    sender: helpdesk
    allow: ["*@contoso.com"]
"""
"""The design's own example."""


def parse(text: str, **environ: str) -> Config:
    return configfile.parse(text, "gateway.yaml", {"ALERTMANAGER_KEY_HASH": HASH, **environ}, KINDS)


def mistakes(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as error:
        parse(text)
    return [str(problem) for problem in error.value.problems]


def test_the_designs_example_is_understood() -> None:
    """Senders, recipients by name, routes, durations and a variable."""
    config = parse(GOOD)

    assert (HASH,) == config.sources["alertmanager-prod"].keys
    assert [Address(email="ops@contoso.com"), Address(email="oncall@contoso.com")] == list(config.addresses(("ops",)))
    group = config.sources["alertmanager-prod"].routes[1].group
    assert group
    assert timedelta(minutes=5) == group.interval


def test_what_this_version_does_not_do_yet_is_said() -> None:
    """Nobody may rely on a setting that is only read."""
    warned = [warning.partition(":")[0] for warning in configfile.warnings(parse(GOOD))]

    assert warned == ["sources.alertmanager-prod.routes[1].group"]


def test_the_sample_configuration_has_no_mistakes() -> None:
    """`make run` works out of the box, without any variable."""
    config = configfile.load(ROOT / "gateway.yaml", {}, KINDS)

    assert {"form", "alertmanager", "native"} == {source.kind for source in config.sources.values()}
    assert {"capture"} == {sender.transport for sender in config.senders.values()}


SENDERS = {
    "a chain": (
        ["acs, fallback: b", "graph, fallback: c", "capture"],
        ["2: senders.a.fallback: b has a fallback of its own; there is only one step"],
    ),
    "a circle": (
        ["acs, fallback: b", "graph, fallback: a"],
        [
            "2: senders.a.fallback: b has a fallback of its own; there is only one step",
            "3: senders.b.fallback: a has a fallback of its own; there is only one step",
        ],
    ),
    "one account, by a connection string and by identity": (
        [
            'acs, connection_string: "endpoint=https://x.communication.azure.com/;accesskey=eA==", fallback: b',
            "acs, endpoint: https://X.communication.azure.com",
        ],
        ["2: senders.a.fallback: b sends through the same account, so that it would fail with it"],
    ),
    "itself": (["acs, fallback: a"], ["2: senders.a.fallback: must be another sender"]),
    "two quotas": (
        ["acs, rate: acs-managed", "acs, rate: acs-custom", "acs", "graph, rate: acs-custom"],
        ["3: senders.b.rate: is another one than a's, which sends through the same account; write one of them"],
    ),
    "two accounts": (["acs, fallback: b, rate: acs-managed", "acs, endpoint: x.communication.azure.com"], []),
}


@pytest.mark.parametrize("case", SENDERS)
def test_senders_fit_together(case: str) -> None:
    """A fallback is one step to another account, and an account has one quota."""
    senders, expected = SENDERS[case]
    lines = [
        f"  {name}: {{address: {name}@b.c, transport: {rest}}}" for name, rest in zip("abcd", senders, strict=False)
    ]
    text = "\n".join(["senders:", *lines, "sources:", "  x: {kind: form, sender: a, origins: ['*'], to: [a@b.c]}"])
    found = [] if not expected else mistakes(text)
    assert [problem.removeprefix("gateway.yaml:") for problem in found] == expected
    assert expected or parse(text).senders["a"]


def test_all_mistakes_are_shown_at_once_with_their_lines() -> None:
    """One run of `check` is enough to mend a file."""
    text = """\
senders:
  noreply: {transport: smtp, address: "foo"}
  second: {transport: acs, address: a@b.c, fallback: third, bogus: 1}
recipients:
  broken: [nope]
sources:
  a:
    kind: form
    kind: grafana
    sender: nobody
    origins: ["www.example.com"]
    to: [broken, unknown]
  b:
    kind: native
    sender: second
    keys: ["${env:NOT_SET}"]
    allow: ["*"]
    reply_to: "{{ foo"
    routes:
      - match: {bogus: 1, severity: "/(/"}
        group: {wait: 30x}
  c:
    kind: alertmanager
    keys: [secret]
    sender: second
    to: [x@example.com]
    routes: [{match: {severity: critical}}]
extra: 1
"""
    found = mistakes(text)

    assert [
        "2: senders.noreply.address",
        "2: senders.noreply.transport",
        "3: senders.second.bogus",
        "5: recipients.broken",
        "9: sources.a.kind",
        "10: sources.a.sender",
        "11: sources.a.origins[0]",
        "12: sources.a.to[1]",
        "16: sources.b.keys[0]",
        "18: sources.b.reply_to",
        "20: sources.b.routes[0].match.severity[0]",
        "21: sources.b.routes[0].group.wait",
        "24: sources.c.keys[0]",
        "28: extra",
    ] == [":".join(line.split(":")[1:3]) for line in found]


@pytest.mark.parametrize(
    ("change", "field", "remedy"),
    [
        (("sender: helpdesk", "sender: nobody"), "sources.crm.sender", "there are helpdesk, noreply"),
        (('    allow: ["*@contoso.com"]\n', ""), "sources.crm.allow", '["*"] for anyone'),
        ((f'    keys: ["{HASH}"]\n', ""), "sources.crm.keys", "python -m gateway keys new NAME"),
        (("    origins: [https://www.contoso.com]\n", ""), "sources.contact.origins", "https://www.example.com"),
        (("https://www.contoso.com", '"https://"'), "sources.contact.origins[0]", "write the page's scheme and host"),
        (("https://www.contoso.com", '"https://me@www.contoso.com"'), "sources.contact.origins[0]", "without a path"),
        (("https://www.contoso.com", '"https://www.contoso.com:99999"'), "sources.contact.origins[0]", "and its port"),
        (("https://www.contoso.com", "https://www.contoso.com/form"), "sources.contact.origins[0]", "without a path"),
        (("*@contoso.com", "contoso.com"), "sources.crm.allow[0]", "write user@example.com, *@example.com"),
        (("*@contoso.com", "*@*contosö.com"), "sources.crm.allow[0]", "put a dot between"),
        (("[info@contoso.com]", "[info@xn--a.com]"), "sources.contact.to[0]", "IDNA 2008 does not allow"),
        (("    to: [info@contoso.com]\n", ""), "sources.contact.to", "who gets the mail"),
        (("      - to: [alerts@contoso.com]\n", "      - match: {state: firing}\n        to: ops\n"),
         "sources.alertmanager-prod.routes[1].match", "the last route must have no match"),
        (("kind: form", "kind: grafana"), "sources.contact.kind", "known are alertmanager, form, native"),
        (("[alerts@contoso.com]", "[alerts]"), "sources.alertmanager-prod.routes[1].to[0]", "there are ops"),
        (("  crm:", "  Crm:"), "sources.Crm", "use a-z"),
        (("  crm:", "  queue:"), "sources.queue", "choose another name"),
        (("wait: 30s", "wait: 3651d"), "sources.alertmanager-prod.routes[1].group.wait", "at most 3650d"),
        (("wait: 30s", f"wait: {'9' * 5000}d"), "sources.alertmanager-prod.routes[1].group.wait", "at most 3650d"),
        (("wait: 30s", "wait: soon"), "sources.alertmanager-prod.routes[1].group.wait", "write 30s"),
        (("severity: critical", "colour: red"), "sources.alertmanager-prod.routes[0]", "use severity, state"),
        (("    kind: native\n", "    kind: native\n    require_origin: true\n"), "sources.crm.require_origin", "form"),
    ],
)  # fmt: skip
def test_each_mistake_names_its_field_and_the_remedy(change: tuple[str, str], field: str, remedy: str) -> None:
    """An administrator can mend it without the documentation."""
    assert change[0] in GOOD

    found = mistakes(GOOD.replace(*change))

    assert any(field in line and remedy in line for line in found), found


def test_a_key_may_serve_several_sources_but_only_one_native() -> None:
    """The native door finds the source by the key alone."""
    second = GOOD + f'  crm2:\n    kind: native\n    keys: ["{HASH}"]\n    sender: helpdesk\n    allow: ["*"]\n'

    assert any("a key may serve only one native source" in line for line in mistakes(second))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a",
        "senders: [",
        "a: b: c",
        "\tx",
        "senders: &a {x: *a}",
        "&a [*a]",
        "{" * 5000,
        "x",
        "senders: 1\nsources: 2",
    ],
)
def test_what_is_no_configuration_at_all_is_said_and_never_crashes(text: str) -> None:
    """Broken YAML, self-reference and endless nesting end in a sentence."""
    assert mistakes(text)


@pytest.mark.parametrize(
    ("limit", "field", "remedy"),
    [
        ("5", "sources.crm.limit", "Limit"),
        ("on", "sources.crm.limit", "Limit"),
        ("{minute: 5}", "sources.crm.limit.minute", "is unknown"),
        ("{source: {hour: 0}}", "sources.crm.limit.source.hour", "a whole number from 1, or off"),
        ("{source: {hour: 5.5}}", "sources.crm.limit.source.hour", "a whole number from 1, or off"),
        ("{address: {minute: on}}", "sources.crm.limit.address.minute", "a whole number from 1, or off"),
        ("off\ntrusted_proxies: [proxy.example.com]", "trusted_proxies[0]", "write 203.0.113.7"),
        ("off\ntrusted_proxies: [10.0.0.1/8]", "trusted_proxies[0]", "write 203.0.113.7"),
        ("off\ntrusted_proxies: ['::/0']", "trusted_proxies[0]", "name the proxies"),
    ],
)
def test_a_limit_and_a_proxy_that_cannot_be_meant_are_mistakes(limit: str, field: str, remedy: str) -> None:
    """They end in a sentence that says what can."""
    found = mistakes(f"{GOOD}    limit: {limit}\n")

    assert [line for line in found if f": {field}: " in line and remedy in line] == found


def test_keys_beside_origins_are_pointed_out() -> None:
    """Whoever adds keys in order to close a form has not closed it to its pages."""
    both = GOOD.replace("    kind: form\n", f'    kind: form\n    keys: ["{HASH}"]\n')

    (warning,) = set(configfile.warnings(parse(both))) - set(configfile.warnings(parse(GOOD)))

    assert (
        warning
        == "sources.contact.keys: pages of its `origins` need no key; remove `origins` to close the form to them"
    )


def test_a_missing_file_is_said_by_name() -> None:
    """The first mistake people make; it says how a file is named, here and on Azure."""
    with pytest.raises(
        ConfigurationError, match=r"nowhere\.yaml:0: \(file\): No such file.* --config, .* GATEWAY_CONFIG"
    ):
        configfile.load(Path("nowhere.yaml"), {}, KINDS)


def test_the_checked_in_schema_is_the_models_and_takes_the_samples() -> None:
    """Editors complete gateway.yaml from it, so it must neither lag nor refuse what we accept."""
    schema = json.loads((ROOT / "gateway.schema.json").read_text("utf-8"))

    assert Config.model_json_schema() == {key: value for key, value in schema.items() if key != "$schema"}
    for text in (GOOD, (ROOT / "gateway.yaml").read_text("utf-8")):
        jsonschema.validate(yaml.safe_load(text), schema, cls=jsonschema.Draft202012Validator)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"senders": {}, "sources": {}, "bogus": 1}, schema)


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_check_answers_with_its_exit_status(tmp_path: Path) -> None:
    """0 for a sound file, 1 with every mistake on stderr."""
    broken = tmp_path / "broken.yaml"
    broken.write_text("senders: {}\nsources: {}\nbogus: 1\n", "utf-8")

    assert (0, "gateway.yaml: 3 sources, 1 senders, no mistakes\n") == (run("check").returncode, run("check").stdout)
    result = run("check", str(broken))
    assert 1 == result.returncode
    assert [f"{broken}:1: senders", f"{broken}:2: sources", f"{broken}:3: bogus"] == [
        ":".join(line.split(":")[:3]) for line in result.stderr.splitlines()
    ]


def test_a_new_key_is_random_and_its_hash_opens_the_door() -> None:
    """What other tools rely on: name, key and hash as JSON."""
    first, second = (json.loads(run("keys", "new", "crm", "--json").stdout) for _ in range(2))

    assert {"name", "key", "hash"} == first.keys()
    assert first["key"] != second["key"]
    assert len(first["key"]) >= 43
    assert run("keys", "new", "crm").stdout.count("sha256:") == 1


def test_a_wrong_environment_variable_is_named() -> None:
    """The variable, and what it may be."""
    result = run("check", GATEWAY_ENVIRONMENT="prod")

    assert (1, "environment:0: GATEWAY_ENVIRONMENT: must be one of local, test, staging, production\n") == (
        result.returncode,
        result.stderr,
    )
