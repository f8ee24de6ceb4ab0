"""The API's description at /docs and /openapi.json: a browser's request comes in, a page without anything of others
goes out. Outside production only, and with the key that captured mail needs.

    page.html   the page                        start.js    starts Swagger UI on it

Open this when the page does not show, or to take a newer Swagger UI. Its script reads the keys that people type, and
locally it has the inbox's origin: so it comes from a package that requirements-host.txt pins, is run only if it is the
file that was looked at, and may fetch nothing from anywhere else. Azure Functions does not install it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from gateway import web
from gateway.captured import CapturedMail
from gateway.errors import Rejected

FOLDER = Path(__file__).parent

PACKAGE = "fastapi_swagger"
"""Has Swagger UI's own files, of the same day as its releases; nothing of its Python is run."""

INTEGRITY = {
    "swagger-ui-bundle.js": "sha384-9Td7MKiIr2S83E1kZyyVi8KdJw/S8CpAvu0llLyMeg0xq/hDGiZJfVn0fV4llCmK",
    "swagger-ui.css": "sha384-4c3vsE5f+trhFyHrFrLM1fFGUn531NIaC7dcqEWIJdoRQJ5CkJbSuSCwXLpaS1KF",
}
"""What the two files of Swagger UI 5.34.0 are; a browser takes no others (https://www.w3.org/TR/SRI/)."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-DNS-Prefetch-Control": "off",
}
_TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html"}


class ApiDocs:
    """The page, what it loads, and the description it shows."""

    def __init__(self, app: FastAPI, mail: CapturedMail) -> None:
        """`app` is described; `mail` knows who may look."""
        self._app = app
        self._mail = mail

    def add_to(self, app: FastAPI) -> None:
        """Register the routes; the description does not describe itself."""
        routes: dict[str, Callable[..., Any]] = {
            "/docs": self.page,
            "/docs/{name}": self.file,
            "/openapi.json": self.description,
        }
        for path, handler in routes.items():
            app.api_route(path, methods=["GET", "HEAD"], include_in_schema=False)(handler)

    async def page(self, request: Request) -> Response:
        """The page to try the API."""
        self._mail.check(request)
        if _package() is None:
            what = "This page needs the package fastapi-swagger of requirements-host.txt, which is not installed here"
            raise Rejected(404, "not_found", f"{what}, as on Azure Functions. /openapi.json describes the same.")
        content = (FOLDER / "page.html").read_text("utf-8")
        for name, hash in INTEGRITY.items():
            content = content.replace(f"[{name}]", hash)
        return Response(content, headers=_HEADERS, media_type="text/html")

    async def file(self, request: Request) -> Response:
        """A script or a style of the page; everybody has them."""
        name = request.path_params["name"]
        folder = FOLDER if name == "start.js" else _package() if name in INTEGRITY else None
        if folder is None:
            raise Rejected(404, "not_found", "The API's page has no file of this name.")
        return Response(_content(folder / name), media_type=_TYPES[Path(name).suffix])

    async def description(self, request: Request) -> Response:
        """OpenAPI, for programs."""
        self._mail.check(request)
        return web.answer(self._app.openapi())


def available() -> bool:
    """Whether there is a page to link to."""
    return _package() is not None


@cache
def _package() -> Path | None:
    """Where Swagger UI's files are; importing the package would import what it is built from."""
    found = find_spec(PACKAGE)
    places = found.submodule_search_locations if found else None
    return Path(places[0]) / "resources" if places else None


@cache
def _content(path: Path) -> bytes:
    return path.read_bytes()
