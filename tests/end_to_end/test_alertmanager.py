"""Debian's Alertmanager, configured as docs/sources/alertmanager.md says, fires, groups and resolves against us."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from tests import tools
from tests.end_to_end.test_kill import free_port
from tests.gateway_process import GatewayProcess, running_gateway

RULES = """\
route:
  receiver: gateway
  group_by: [alertname]
  group_wait: 1s
  group_interval: 2s
  repeat_interval: 1h
receivers:
  - name: gateway
    webhook_configs:
      - url: URL/v1/webhooks/alertmanager
        send_resolved: true
        http_config:
          authorization: {credentials: example-key-alertmanager}
"""


@contextmanager
def running_alertmanager(folder: Path, gateway: GatewayProcess) -> Iterator[str]:
    """Alertmanager for the length of a block, its API's address comes out."""
    config = folder / "alertmanager.yml"
    config.write_text(RULES.replace("URL", gateway.url), "utf-8")
    port = free_port()
    process = subprocess.Popen(
        [
            tools.alertmanager(),
            f"--config.file={config}",
            f"--storage.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        within(15, lambda: reachable(f"{url}/-/ready"))
        yield url
    finally:
        process.terminate()
        process.wait(10)


def reachable(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False


def within(seconds: float, look: Callable[[], Any]) -> Any:
    """What `look` finds, as soon as it finds something."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
    return found


def alert(instance: str, severity: str, ends: datetime) -> dict[str, Any]:
    return {
        "labels": {"alertname": "DiskFull", "instance": instance, "severity": severity},
        "annotations": {"summary": f"Disk of {instance} is full"},
        "startsAt": (datetime.now(UTC) - timedelta(minutes=1)).isoformat(),
        "endsAt": ends.isoformat(),
    }


def push(url: str, *alerts: dict[str, Any]) -> None:
    assert requests.post(f"{url}/api/v2/alerts", json=list(alerts), timeout=5).ok


def mails(gateway: GatewayProcess, count: int) -> list[Any]:
    def look() -> list[Any]:
        items = requests.get(f"{gateway.url}/v1/captured", timeout=5).json()["items"]
        return list(items) if len(items) >= count else []

    return list(within(20, look))


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    """A gateway with the sample configuration."""
    with running_gateway(store=tmp_path / "gateway.db") as gateway:
        yield gateway


def test_alertmanager_fires_groups_and_resolves(tmp_path: Path, gateway: GatewayProcess) -> None:
    """Two alerts of one name are one mail to those on call; their end is another, recognisable at a glance."""
    with running_alertmanager(tmp_path, gateway) as url:
        later = datetime.now(UTC) + timedelta(hours=1)
        push(url, alert("web-1", "critical", later), alert("web-2", "critical", later))
        (fired,) = mails(gateway, 1)
        past = datetime.now(UTC) - timedelta(seconds=1)
        push(url, alert("web-1", "critical", past), alert("web-2", "critical", past))
        resolved = mails(gateway, 2)[1]

    assert ["ops@example.com", "oncall@example.com"] == fired["to"]
    assert ("[CRITICAL]", "(+1)") == (fired["subject"].split()[0], fired["subject"].split()[-1])
    assert "DiskFull" in fired["subject"]
    assert "Disk of web-1 is full" in fired["text"]
    assert "Disk of web-2 is full" in fired["html"]
    assert resolved["subject"].startswith("[RESOLVED] DiskFull")
