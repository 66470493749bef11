"""Pages about the API: its description, and readers for it. Public; nothing of them comes from another host."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from mentha import __version__

router = APIRouter(include_in_schema=False)


@router.get("/")
async def get_root() -> JSONResponse:
    """Say what this is, to somebody who opens the address in a browser."""
    return JSONResponse({"name": "mentha", "version": __version__, "api": "Julep Agents API", "docs": "/docs", "openapi": "/openapi.json"})


@router.get("/openapi.json")
async def get_openapi_json(request: Request) -> Response:
    """The description of the API."""
    return JSONResponse(request.app.openapi())
