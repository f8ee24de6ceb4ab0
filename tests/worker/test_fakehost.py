"""The host for tests keeps the real host's rules: each was seen with host 4.1037 or is read in its source."""

from __future__ import annotations

import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tests.worker.caller import Caller
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
async def caller(host: HostProcess) -> AsyncIterator[Caller]:
    """Calls that app."""
    async with aiohttp.ClientSession() as session:
        yield Caller(session, host.url)


async def test_the_first_function_by_name_that_matches_wins(caller: Caller) -> None:
    """A catch-all swallows what comes after it in the alphabet, however special; the default prefix is `api`."""
    assert (await caller.get("/api/keyed")).headers["x-kind"] == "all"
    assert (await caller.get("/api/boom")).status == 500
    assert (await caller.get("/keyed")).status == 404


async def test_an_unlisted_method_is_not_405(caller: Caller) -> None:
    """The next function that matches gets it."""
    assert (await caller.post("/api/boom")).headers["x-kind"] == "all"


async def test_paths_are_matched_without_case_and_with_a_trailing_slash(caller: Caller) -> None:
    """Both reach the function that fails."""
    assert (await caller.get("/API/Boom/")).status == 500


async def test_a_failed_invocation_is_an_empty_500(caller: Caller, host: HostProcess) -> None:
    """And so is a value that is no HttpResponse, or a header that Kestrel refuses."""
    for name in ("boom", "bytes", "latin"):
        response = await caller.get(f"/api/{name}")

        assert (response.status, response.body) == (500, b"")


async def test_a_function_key_is_asked_for_and_a_disabled_function_is_not_there(caller: Caller) -> None:
    """Nobody has a key here."""
    assert (await caller.get("/api/admin-like/x")).status == 401
    assert (await caller.get("/api/off")).headers["x-kind"] == "all"


async def test_the_hosts_own_paths_never_reach_a_function(caller: Caller) -> None:
    """Whatever the prefix."""
    for own in ("/admin/host/status", "/admin/functions", "/runtime/webhooks/x"):
        assert (await caller.get(own)).status == 401


async def test_a_request_arrives_as_the_host_passes_it_on(caller: Caller) -> None:
    """Query keys without a value are gone from params, repeats joined; dots collapsed, %2F kept, escapes renewed."""
    path = "/api/a/../b%2Fc/d%20%C3%A9%41?x=1&X=2&empty=&y=%20"
    headers = [("x-twice", "1"), ("x-twice", "2"), ("Cookie", "a=1"), ("Cookie", "b=2")]

    seen = (await caller.post(path, data=b"body", headers=headers)).json()

    assert seen["url"].endswith("/api/b%2Fc/d%20%C3%A9A?x=1&X=2&empty=&y=%20")
    assert seen["params"] == {"x": "1,2", "y": " "}
    assert (seen["headers"]["x-twice"], seen["headers"]["cookie"]) == ("1,2", "a=1,b=2")
    assert seen["route"] == {"path": "b%2Fc/d éA"}
    assert seen["body"] == "body"


async def test_the_root_has_no_route_parameter(caller: Caller) -> None:
    """It is left out, not empty."""
    assert ((await caller.get("/api")).json())["route"] == {}


async def test_a_chunked_body_is_lost(caller: Caller) -> None:
    """azure-functions-host issue 4926."""

    async def chunks() -> AsyncIterator[bytes]:
        yield b"body"

    assert ((await caller.post("/api/x", data=chunks())).json())["body"] == ""


async def test_what_kestrel_refuses_is_400(caller: Caller) -> None:
    """A null character in the path."""
    assert (await caller.get("/api/%00")).status == 400


async def test_cookies_are_written_anew(caller: Caller) -> None:
    """The value escaped once more, an empty domain added."""
    assert (await caller.get("/api/x")).headers["set-cookie"] == "a=b%2520c; domain=; path=/"


async def test_an_app_that_cannot_be_imported_is_404_everywhere(tmp_path: Path) -> None:
    """The reason is in the log only."""
    folder = folder_with(tmp_path / "app", 'raise KeyError("GATEWAY_CONFIG")')
    async with running(folder, tmp_path / "log", {}) as broken, aiohttp.ClientSession() as session:
        assert (await Caller(session, broken.url).get("/api/x")).status == 404
        assert "GATEWAY_CONFIG" in broken.log


async def test_a_host_json_that_cannot_be_read_is_503_everywhere(tmp_path: Path) -> None:
    """And the process stays."""
    folder = folder_with(tmp_path / "app", APP, '{"version": "2.0", "extensions": {"queues": {"batchSize": 64}}}')
    async with running(folder, tmp_path / "log", {}) as broken, aiohttp.ClientSession() as session:
        assert (await Caller(session, broken.url).get("/api/x")).status == 503
        assert broken.process.returncode is None
