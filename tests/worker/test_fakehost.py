"""The host for tests keeps the real host's rules: each was seen with host 4.1037 or is read in its source."""

from __future__ import annotations

import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
import yarl

from tests.worker.process import HostProcess, running
from tests.worker.worker import AVAILABLE, NEEDS

pytestmark = [
    pytest.mark.skipif(not AVAILABLE, reason=NEEDS),
    pytest.mark.asyncio(loop_scope="module"),
]

APP = textwrap.dedent(
    """
    import json

    import azure.functions as func

    app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


    @app.route("boom", methods=["GET"])
    async def Boom(req: func.HttpRequest) -> func.HttpResponse:
        raise ValueError("secret")


    @app.route("{*path}")
    async def catchall(req: func.HttpRequest) -> func.HttpResponse:
        seen = {
            "url": req.url, "params": dict(req.params), "headers": dict(req.headers),
            "route": dict(req.route_params), "body": req.get_body().decode(),
        }
        return func.HttpResponse(json.dumps(seen), headers={"x-Kind": "all", "Set-Cookie": "a=b%20c; Path=/"})


    @app.route("admin-like/{name}", auth_level=func.AuthLevel.FUNCTION)
    async def before(req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse("never")


    @app.route("bytes")
    async def broken(req: func.HttpRequest) -> func.HttpResponse:
        return b"no HttpResponse"


    @app.route("keyed")
    async def keyed(req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse("keyed")


    @app.route("off")
    async def a_function_switched_off(req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse("off")


    @app.route("latin")
    async def a_header_beyond_ascii(req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse("never", headers={"x": "\\xe9"})
    """
)


def folder_with(folder: Path, app: str, host_json: str = '{"version": "2.0"}') -> Path:
    """A function app in a folder."""
    folder.mkdir(exist_ok=True)
    (folder / "function_app.py").write_text(app, "utf-8")
    (folder / "host.json").write_text(host_json, "utf-8")
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[HostProcess]:
    """An app of several functions in a process of its own."""
    folder = folder_with(tmp_path_factory.mktemp("app"), APP)
    off = {"AzureWebJobs.a_function_switched_off.Disabled": "true"}
    async with running(folder, folder / "log", off) as process:
        yield process


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(host: HostProcess) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of that app."""
    async with aiohttp.ClientSession(host.url) as session:
        yield session


def path(text: str) -> yarl.URL:
    """A path as it is written."""
    return yarl.URL(text, encoded=True)


async def test_the_first_function_by_name_that_matches_wins(client: aiohttp.ClientSession) -> None:
    """A catch-all swallows what comes after it in the alphabet, however special; the default prefix is `api`."""
    assert (await client.get("/api/keyed")).headers["x-kind"] == "all"
    assert (await client.get("/api/boom")).status == 500
    assert (await client.get("/keyed")).status == 404


async def test_an_unlisted_method_is_not_405(client: aiohttp.ClientSession) -> None:
    """The next function that matches gets it."""
    assert (await client.post("/api/boom")).headers["x-kind"] == "all"


async def test_paths_are_matched_without_case_and_with_a_trailing_slash(client: aiohttp.ClientSession) -> None:
    """Both reach the function that fails."""
    assert (await client.get("/API/Boom/")).status == 500


async def test_a_failed_invocation_is_an_empty_500(client: aiohttp.ClientSession, host: HostProcess) -> None:
    """And so is a value that is no HttpResponse, or a header that Kestrel refuses."""
    for name in ("boom", "bytes", "latin"):
        response = await client.get(f"/api/{name}")

        assert (response.status, await response.read()) == (500, b"")


async def test_a_function_key_is_asked_for_and_a_disabled_function_is_not_there(client: aiohttp.ClientSession) -> None:
    """Nobody has a key here."""
    assert (await client.get("/api/admin-like/x")).status == 401
    assert (await client.get("/api/off")).headers["x-kind"] == "all"


async def test_the_hosts_own_paths_never_reach_a_function(client: aiohttp.ClientSession) -> None:
    """Whatever the prefix."""
    for own in ("/admin/host/status", "/admin/functions", "/runtime/webhooks/x"):
        assert (await client.get(own)).status == 401


async def test_a_request_arrives_as_the_host_passes_it_on(client: aiohttp.ClientSession) -> None:
    """Query keys without a value are gone from params, repeats joined; dots collapsed, %2F kept, escapes renewed."""
    url = path("/api/a/../b%2Fc/d%20%C3%A9%41?x=1&X=2&empty=&y=%20")
    headers = [("x-twice", "1"), ("x-twice", "2"), ("Cookie", "a=1"), ("Cookie", "b=2")]

    seen = await (await client.post(url, data=b"body", headers=headers)).json(content_type=None)

    assert seen["url"].endswith("/api/b%2Fc/d%20%C3%A9A?x=1&X=2&empty=&y=%20")
    assert seen["params"] == {"x": "1,2", "y": " "}
    assert (seen["headers"]["x-twice"], seen["headers"]["cookie"]) == ("1,2", "a=1,b=2")
    assert seen["route"] == {"path": "b%2Fc/d éA"}
    assert seen["body"] == "body"


async def test_the_root_has_no_route_parameter(client: aiohttp.ClientSession) -> None:
    """It is left out, not empty."""
    assert (await (await client.get("/api")).json(content_type=None))["route"] == {}


async def test_a_chunked_body_is_lost(client: aiohttp.ClientSession) -> None:
    """azure-functions-host issue 4926."""

    async def chunks() -> AsyncIterator[bytes]:
        yield b"body"

    assert (await (await client.post("/api/x", data=chunks())).json(content_type=None))["body"] == ""


async def test_what_kestrel_refuses_is_400(client: aiohttp.ClientSession) -> None:
    """A null character in the path."""
    assert (await client.get(path("/api/%00"))).status == 400


async def test_cookies_are_written_anew(client: aiohttp.ClientSession) -> None:
    """The value escaped once more, an empty domain added."""
    assert (await client.get("/api/x")).headers["set-cookie"] == "a=b%2520c; domain=; path=/"


async def test_an_app_that_cannot_be_imported_is_404_everywhere(tmp_path: Path, client: aiohttp.ClientSession) -> None:
    """The reason is in the log only."""
    folder = folder_with(tmp_path / "app", 'raise KeyError("GATEWAY_CONFIG")')
    async with running(folder, tmp_path / "log", {}) as broken:
        assert (await client.get(f"{broken.url}/api/x")).status == 404
        assert "GATEWAY_CONFIG" in broken.log


async def test_a_host_json_that_cannot_be_read_is_503_everywhere(tmp_path: Path, client: aiohttp.ClientSession) -> None:
    """And the process stays."""
    folder = folder_with(tmp_path / "app", APP, '{"version": "2.0", "extensions": {"queues": {"batchSize": 64}}}')
    async with running(folder, tmp_path / "log", {}) as broken:
        assert (await client.get(f"{broken.url}/api/x")).status == 503
        assert broken.process.returncode is None
