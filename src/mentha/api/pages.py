"""Pages about the API: its description, and a reader for it. Public; nothing of them comes from another host.

The reader is one page with its script and its style in `static/`. All its addresses are relative, so it works under `/`, under `/api` and
behind a proxy that adds a path of its own.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from fastapi import APIRouter, Request
from fastapi.responses import Response

from mentha import __version__
from mentha.core.errors import NotFound
from mentha.core.json import dumps

router = APIRouter(include_in_schema=False)

PAGE = "reference.html"
# What `static/` has, with the type of each: nothing else is looked for on disk.
ASSETS = {
    "reference.css": "text/css; charset=utf-8",
    "reference.js": "text/javascript; charset=utf-8",
    "dom.js": "text/javascript; charset=utf-8",
    "schema.js": "text/javascript; charset=utf-8",
    "request.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
# The page may load and ask nothing but this server, and nobody may frame it: it holds a key while somebody tries the API.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Asked again each time, and mostly answered by a 304: so a page never runs with the script of another version.
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    etag: str


@router.get("/")
async def get_root(request: Request) -> Response:
    """Say what this is; lead people, whose browsers ask for HTML, to the reference."""
    if "text/html" in request.headers.get("accept", ""):
        # Relative, and to what is below: it holds behind a proxy that adds a path of its own as well.
        return Response(status_code=307, headers={"Location": "docs", "Vary": "Accept"})
    about = {"name": "mentha", "version": __version__, "api": "Julep Agents API", "docs": "/docs", "openapi": "/openapi.json"}
    return Response(dumps(about), headers={"Vary": "Accept"}, media_type="application/json")


@router.get("/openapi.json")
async def get_openapi_json(request: Request) -> Response:
    """The description of the API."""
    return Response(dumps(request.app.openapi()), media_type="application/json")


@router.get("/docs")
@router.get("/swagger")
async def get_reference(request: Request) -> Response:
    """The reader of the description, for people."""
    return _answer(request, _file(PAGE), "text/html; charset=utf-8")


@router.get("/static/{name}")
async def get_asset(name: str, request: Request) -> Response:
    """Script, style and icon of the reader."""
    kind = ASSETS.get(name)
    if kind is None:
        raise NotFound("No such file")
    return _answer(request, _file(name), kind)


def _answer(request: Request, file: _File, kind: str) -> Response:
    headers = {**HEADERS, "ETag": file.etag}
    if request.headers.get("if-none-match") == file.etag:
        return Response(status_code=304, headers=headers)
    return Response(file.body, headers=headers, media_type=kind)


@lru_cache(maxsize=len(ASSETS) + 1)
def _file(name: str) -> _File:
    body = files("mentha.api").joinpath("static", name).read_bytes()
    return _File(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
