"""The API's page: who may see it, and that it is made of files that were looked at."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from gateway import apidocs
from tests.conftest import KEYS, Running, Start
from tests.gateway_process import ROOT

ADMIN = {"x-api-key": KEYS["admin"]}
PAGES = ["/docs", "/openapi.json"]
FILES = ["/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/docs/start.js"]


@pytest.mark.parametrize("path", [*PAGES, *FILES])
async def test_production_has_no_such_page(start: Start, path: str) -> None:
    """Not even for an operator: what it describes stands in the documents."""
    production = await start(GATEWAY_ENVIRONMENT="production")

    assert (404, "not_found") == (await production.call("GET", path, headers=ADMIN)).code


@pytest.mark.parametrize("path", PAGES)
async def test_where_captured_mail_needs_a_key_the_page_does(start: Start, path: str) -> None:
    """The challenge makes a browser ask; a source's key is not enough."""
    staging = await start(GATEWAY_ENVIRONMENT="staging")
    asked, source, operator = [
        await staging.call("GET", path, headers=headers) for headers in ({}, {"x-api-key": KEYS["app"]}, ADMIN)
    ]

    assert [401, 403, 200] == [asked.status, source.status, operator.status]
    assert asked.headers["WWW-Authenticate"].startswith("Basic ")


async def test_the_page_has_nothing_of_others_and_says_so(gateway: Running) -> None:
    """Every address on it is its own, and its policy lets nothing else in."""
    page = await gateway.call("GET", "/docs")
    text = page.body.decode()

    assert "text/html; charset=utf-8" == page.headers["Content-Type"]
    assert {"data:,", *FILES} == set(re.findall(r'(?:src|href)="([^"]*)"', text))
    assert "http" not in text
    policy = dict(part.split(None, 1) for part in page.headers["Content-Security-Policy"].split("; "))
    assert ("'none'", "'self'", "'none'") == (policy["default-src"], policy["script-src"], policy["frame-ancestors"])
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    for path in FILES:
        reply = await gateway.call("GET", path)
        assert (200, "nosniff") == (reply.status, reply.headers["X-Content-Type-Options"])
        assert reply.headers["Content-Type"].startswith("text/css" if path.endswith("css") else "text/javascript")


async def test_the_page_offers_a_key_where_one_may_be_needed(gateway: Running) -> None:
    """An operator tries captured mail with it; on one's own machine none is needed, and health never needs one."""
    paths = (await gateway.call("GET", "/openapi.json")).json["paths"]
    needs = {path: route["get"].get("security") for path, route in paths.items() if "get" in route}

    assert {} in needs["/v1/captured"]
    assert {"bearer": []} in needs["/v1/captured/{id}/raw"]
    assert {} not in needs["/v1/notifications"]
    assert needs["/health/live"] is None


async def test_the_page_takes_only_the_files_that_were_looked_at(gateway: Running) -> None:
    """A newer package needs its hashes here: a browser runs no other script beside a field for keys."""
    text = (await gateway.call("GET", "/docs")).body.decode()
    for name in apidocs.INTEGRITY:
        content = (await gateway.call("GET", f"/docs/{name}")).body
        hash = "sha384-" + base64.b64encode(hashlib.sha384(content).digest()).decode()

        assert f'/docs/{name}" integrity="{hash}"' in text


@pytest.mark.parametrize("name", ["__init__.py", "page.html", "..%2fpyproject.toml", "start.js.map", "%2fetc%2fpasswd"])
async def test_no_other_file_is_served(gateway: Running, name: str) -> None:
    """Whatever the path is."""
    assert 404 == (await gateway.call("GET", f"/docs/{name}")).status


async def test_without_the_package_the_page_says_what_is_missing(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Azure, where it would be dead weight at every start; the description is there all the same."""
    linked = b'href="/docs"'
    assert linked in (await (await start()).call("GET", "/")).body
    missing: None = None
    monkeypatch.setattr(apidocs, "_package", lambda: missing)
    gateway = await start()

    assert linked not in (await gateway.call("GET", "/")).body
    page = await gateway.call("GET", "/docs")

    assert (404, "not_found") == page.code
    assert "requirements-host.txt" in page.json["detail"]
    assert 404 == (await gateway.call("GET", FILES[0])).status
    assert 200 == (await gateway.call("GET", "/openapi.json")).status


ELSEWHERE = re.compile(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//|@import|url\(["']?(?:https?:)?//""")


def test_no_page_of_the_gateway_names_a_place_elsewhere() -> None:
    """Neither a script, a style nor a picture of somebody else's server."""
    pages = [path for path in (ROOT / "gateway").rglob("*") if path.suffix in {".html", ".js", ".css"}]

    assert len(pages) > 5
    assert [] == [path.name for path in pages if ELSEWHERE.search(path.read_text("utf-8"))]
