"""The samples in the documents do what they say: each is run, posted or parsed as its reader would.

sh with curl   run against the sample gateway.yaml; `Answer: …` behind it names the status of each call
json           behind `POST /v1/…` it is posted, behind `GET /v1/…` or an answer it is compared with the real one
yaml           gateway.yaml, or a part of it, or Alertmanager's own file
others         run in their own language; html and js in tests/browser/test_documents.py
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from gateway import configfile
from gateway.config import Config
from gateway.errors import ConfigurationError
from gateway.message import OPEN
from gateway.rendering import Renderer
from gateway.sources import KINDS
from tests import tools
from tests.documents import ROOT, Block, blocks, documents
from tests.gateway_process import GatewayProcess, running_gateway

KEYS = {"/v1/notifications": "example-key-app", "/v1/webhooks/alertmanager": "example-key-alertmanager"}
ADMIN = {"x-api-key": "example-key-admin"}
CURL = [block for block in blocks("sh") if re.search(r"^curl ", block.text, re.MULTILINE)]
JSON = blocks("json")
POSTED = [block for block in JSON if "`POST /v1/" in block.before]
SHOWN = [block for block in JSON if "`GET /v1/" in block.before]
ANSWERS = [block for block in JSON if block.before.startswith("Answer") and block not in SHOWN]
ELSEWHERE = {
    "docs/queues.md": "tests/end_to_end/test_azure_queues.py",
    "docs/functions-host.md": "tests/end_to_end/test_azure_queues.py",
    "docs/observability.md": "tests/test_observability.py",
}
"""Pages whose samples need a storage account, or a log, and where they are looked at."""
PREFACE = "curl() { command curl --silent --show-error --max-time 30 --write-out '%{stderr}<%{http_code}>' \"$@\"; }\n"
CHANGING = {"id", "notification", "created", "captured", "at", "message", "cursor"}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """What `make run` starts, for all samples that do not mind each other."""
    with running_gateway(store=tmp_path_factory.mktemp("samples") / "gateway.db", environment="local") as gateway:
        yield gateway


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[GatewayProcess]:
    """One of its own, which remembers nothing."""
    with running_gateway(store=tmp_path / "gateway.db", environment="local") as gateway:
        yield gateway


@pytest.fixture
def url(gateway: GatewayProcess) -> str:
    """The shared gateway's address, when all is delivered and no mail is left of it."""
    for status in OPEN:
        query = {"status": status, "limit": "1"}
        while requests.get(f"{gateway.url}/v1/notifications", query, headers=ADMIN, timeout=30).json()["items"]:
            time.sleep(0.02)
    requests.delete(f"{gateway.url}/v1/captured", timeout=30).raise_for_status()
    return gateway.url


def run_curl(block: Block, url: str) -> tuple[list[int], str]:
    """The status of each call in the block, and what was printed."""
    tools.curl()
    script = ["bash", "-c", PREFACE + block.at(url)]
    done = subprocess.run(script, capture_output=True, text=True, timeout=60, check=False)
    return [int(status) for status in re.findall(r"<(\d{3})>", done.stderr)], done.stdout


def mails(url: str, **query: str) -> list[Any]:
    """Captured mail, as soon as there is some that matches."""
    items = requests.get(f"{url}/v1/captured", {"wait": "20", "limit": "1000", **query}, timeout=30).json()["items"]
    return list(items)


# ---------------------------------------------------------------------------------------------------------- curl


@pytest.mark.parametrize("block", CURL, ids=str)
def test_a_curl_command_works_as_it_is(block: Block, gateway: GatewayProcess) -> None:
    """It gets the status that stands behind it."""
    answers = re.match(r"Answers?: (.*?)(?:[.:](?: |$)|$)", block.after)
    assert answers, "a curl block is followed by `Answer: …`"

    statuses, printed = run_curl(block, gateway.url)

    assert [int(status) for status in re.findall(r"`(\d{3})`", answers[1])] == statuses, printed


def test_the_readmes_first_block_for_the_gateway_makes_a_mail(url: str) -> None:
    """One command in a block of its own, and the mail is there."""
    first = next(block for block in CURL if block.file == "README.md" and "/v1/" in block.text)

    assert ([202], True) == (run_curl(first, url)[0], first.text.startswith("curl "))
    assert [["ops@example.com"]] == [mail["to"] for mail in mails(url)]


def test_the_sample_of_the_idempotency_key_sends_once(fresh: GatewayProcess) -> None:
    """Both calls get the same id, and there is one mail."""
    block = next(block for block in CURL if block.text.count("Idempotency-Key") == 2)

    statuses, printed = run_curl(block, fresh.url)

    assert [202, 202] == statuses
    assert 1 == len(set(re.findall(r'"id":"([^"]+)"', printed)))
    assert 1 == len(mails(fresh.url))


def test_the_sample_alert_is_a_mail_whose_subject_says_how_bad_it_is(url: str) -> None:
    """As the page says below it."""
    (block,) = [block for block in CURL if block.file == "docs/sources/alertmanager.md"]

    run_curl(block, url)

    (mail,) = mails(url)
    assert ["[CRITICAL] HighLatency", ["ops@example.com", "oncall@example.com"]] == [
        " ".join(mail["subject"].split()[:2]),
        mail["to"],
    ]


# --------------------------------------------------------------------------------------------------------- routes


def test_every_route_is_in_the_contract_and_no_document_names_another(gateway: GatewayProcess) -> None:
    """`METHOD /path`, as the OpenAPI document has it; the fakes' own routes begin with an underscore."""
    paths = requests.get(f"{gateway.url}/openapi.json", timeout=30).json()["paths"]
    routes = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    named = {name: [word.partition("?")[0] for word in document.words] for name, document in documents().items()}
    written = {
        word for words in named.values() for word in words if re.fullmatch(r"(?:GET|POST|PUT|DELETE) /[^_].*", word)
    }

    assert set() == routes - set(named["docs/http.md"])
    assert set() == written - routes


# ---------------------------------------------------------------------------------------------------------- json


def test_every_json_sample_is_looked_at() -> None:
    """By one of the tests below, or by one that names the page."""
    elsewhere = {block for block in JSON if block.file in ELSEWHERE}

    assert set(JSON) == {*POSTED, *SHOWN, *ANSWERS, *elsewhere}
    assert {page: page in (ROOT / test).read_text("utf-8") for page, test in ELSEWHERE.items()} == dict.fromkeys(
        ELSEWHERE, True
    )


@pytest.mark.parametrize("block", POSTED, ids=str)
def test_a_body_is_accepted(block: Block, url: str) -> None:
    """By the door that its introduction names."""
    (path,) = re.findall(r"`POST (/v1/[^`]+)`", block.before)

    answer = requests.post(
        url + path, block.text.encode(), headers={"Authorization": f"Bearer {KEYS[path]}"}, timeout=30
    )

    assert answer.status_code in {200, 202}, answer.text


@pytest.mark.parametrize("block", ANSWERS, ids=str)
def test_an_answer_is_the_real_one(block: Block, url: str) -> None:
    """That of the command before it; ids differ."""
    command = [curl for curl in CURL if curl.file == block.file and curl.line < block.line][-1]

    printed = run_curl(command, url)[1].replace("Unprocessable Entity", "Unprocessable Content")  # before Python 3.13

    assert steady(json.loads(block.text)) == steady(json.loads(printed[printed.index("{") :]))


@pytest.mark.parametrize("block", SHOWN, ids=str)
def test_what_can_be_read_has_the_fields_that_are_shown(block: Block, url: str) -> None:
    """The notification and the mail of the README's first command; ids and times differ."""
    run_curl(next(curl for curl in CURL if curl.file == "README.md"), url)
    (mail,) = mails(url)
    (path,) = set(re.findall(r"`GET (/v1/[^`]+)`", block.before))
    address = url + path.replace("{id}", mail["notification"])

    def read() -> Any:
        return requests.get(address, headers=ADMIN, timeout=30).json()

    value = read()
    while value.get("status") in {"queued", "sending"}:
        value = read()

    assert steady(json.loads(block.text)) == steady(value)


def steady(value: Any) -> Any:
    """The value without what differs from run to run; of a text that is cut in the sample, only its beginning."""
    if isinstance(value, dict):
        return {
            name: "…" if name in CHANGING else item[:15] if name == "html" else steady(item)
            for name, item in value.items()
        }
    return [steady(item) for item in value] if isinstance(value, list) else value


# ---------------------------------------------------------------------------------------------------------- yaml


ALERTMANAGERS = [block for block in blocks("yaml") if "receivers" in yaml.safe_load(block.text)]
OURS = [block for block in blocks("yaml") if block not in ALERTMANAGERS]


@pytest.mark.parametrize("block", OURS, ids=str)
def test_a_configuration_can_be_used(block: Block) -> None:
    """Whole or a part, completed with the sample's senders; no mistake in it, its templates compile."""
    written = yaml.safe_load(block.text)
    sample = (ROOT / "gateway.yaml").read_text("utf-8")
    missing = {name: value for name, value in yaml.safe_load(sample).items() if name not in written}
    text = block.text + (yaml.safe_dump(missing) if missing else "")
    environ = {name: f"sha256:{index:064x}" for index, name in enumerate(re.findall(r"\$\{env:(\w+)\}", text))}
    environ["MAIL_DOMAIN"] = "example.com"  # what infra/ sets

    try:
        config = configfile.parse(text, block.file, environ, KINDS.keys())
    except ConfigurationError as error:
        pytest.fail(str(error))

    assert written.keys() <= Config.model_fields.keys()
    assert [] == Renderer(config).problems()


@pytest.mark.parametrize("block", ALERTMANAGERS, ids=str)
def test_alertmanager_takes_its_configuration(block: Block, tmp_path: Path) -> None:
    """Its own tool checks it."""
    amtool = shutil.which("amtool") or tools.alertmanager().with_name("amtool")
    file = tmp_path / "alertmanager.yml"
    file.write_text(block.text, "utf-8")

    done = subprocess.run([amtool, "check-config", file], capture_output=True, text=True, timeout=30, check=False)

    assert 0 == done.returncode, done.stdout + done.stderr


def test_alertmanagers_sample_posts_where_the_sample_configuration_listens() -> None:
    """The URL and the key of both documents are those of gateway.yaml."""
    for block in ALERTMANAGERS:
        (hook,) = yaml.safe_load(block.text)["receivers"][0]["webhook_configs"]
        path = hook["url"].removeprefix("http://127.0.0.1:7071")
        assert KEYS[path] == hook["http_config"]["authorization"]["credentials"]


# ---------------------------------------------------------------------------------------------------- languages


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_a_python_sample_runs(block: Block, url: str) -> None:
    """With nothing but the standard library, and its mail is there."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", block.at(url)], capture_output=True, text=True, timeout=60, check=False
    )

    assert 0 == done.returncode, done.stderr
    assert 1 == len(mails(url))


def powershell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script as a file, in UTF-8 with a BOM as the page advises."""
    beside = ROOT.parent / "shared/tools/powershell/pwsh"
    program = shutil.which("pwsh") or (str(beside) if beside.exists() else "")
    if not program:
        pytest.skip("PowerShell is not installed (pwsh)")
    file = folder / "sample.ps1"
    file.write_text(script, "utf-8-sig")
    command = [program, "-NoProfile", "-NonInteractive", "-File", str(file)]
    environ = {**os.environ, "NO_COLOR": "1", "HOME": str(folder), "TMPDIR": str(folder)}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environ)


SENDING = [block for block in blocks("powershell") if block.file == "docs/sources/native.md"]


@pytest.mark.parametrize("block", SENDING, ids=str)
def test_a_powershell_sample_runs(block: Block, url: str, tmp_path: Path) -> None:
    """Umlauts and files arrive whole; a refusal ends it at once with the reason."""
    sent = powershell(block.at(url), tmp_path)
    refused = powershell(block.at(url).replace("ops@example.com", "ops@elsewhere.test"), tmp_path)

    assert 0 == sent.returncode, sent.stdout + sent.stderr
    (mail,) = mails(url)
    assert ("Datensicherung: Prüfung fehlgeschlagen", ["check.log"]) == (
        mail["subject"],
        [file["name"] for file in mail["attachments"]],
    )
    assert (1, True) == (refused.returncode, "recipient_not_allowed" in refused.stderr)


@pytest.mark.parametrize("block", blocks("csharp"), ids=str)
def test_a_csharp_sample_runs(block: Block, url: str, tmp_path: Path) -> None:
    """Compiled by the compiler that PowerShell brings along, as the body of a method."""
    usings = re.findall(r"^using [\w.]+;$", block.text, re.MULTILINE)
    body = re.sub(r"^using [\w.]+;$", "", block.at(url), flags=re.MULTILINE)
    program = "\n".join(
        [*usings, "public static class Sample { public static async System.Threading.Tasks.Task Run() {", body, "} }"]
    )

    done = powershell(f"$ErrorActionPreference = 'Stop'\nAdd-Type -TypeDefinition @'\n{program}\n'@\n{RUN}", tmp_path)

    assert 0 == done.returncode, done.stdout + done.stderr
    assert ["Amount: 99 €"] == [mail["text"].strip() for mail in mails(url)]


RUN = "[Sample]::Run().GetAwaiter().GetResult()"


def test_every_language_of_the_page_for_applications_is_tried() -> None:
    """The four that it promises."""
    languages = [block.language for block in documents()["docs/sources/native.md"].blocks]

    assert {"sh", "powershell", "python", "csharp"} <= set(languages)
