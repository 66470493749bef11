"""Health, readiness and metrics: public, and without a word about tenants."""

import asyncio

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from mentha import __version__
from mentha.api.deps import RuntimeOf
from mentha.core.errors import MenthaError

router = APIRouter(tags=["health"])

CHECK_S = 2.0
# The original's four services; in Mentha they are parts of one process, so they are as well as it is.
IN_PROCESS = ("temporal", "litellm", "integration_service")


@router.get("/healthz", responses={503: {"description": "The database is away"}})
async def check_health(runtime: RuntimeOf) -> JSONResponse:
    """Whether the server and its database work"""
    if await _database_answers(runtime):
        return JSONResponse({"postgres": "ok", **dict.fromkeys(IN_PROCESS, "ok"), "mentha": "ok", "version": __version__})
    headers = {"x-should-retry": "false", "Retry-After": "1"}
    return JSONResponse({"postgres": "error", **dict.fromkeys(IN_PROCESS, "ok"), "mentha": "ok", "version": __version__}, 503, headers)


@router.get("/readyz", responses={503: {"description": "Not ready: the database is away, or the server is stopping"}})
async def check_ready(runtime: RuntimeOf) -> JSONResponse:
    """Whether to send this process requests now"""
    ready = not runtime.turns.draining and await _database_answers(runtime)
    return JSONResponse({"ready": ready}, 200 if ready else 503, {} if ready else {"Retry-After": "1", "x-should-retry": "false"})


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def get_metrics(runtime: RuntimeOf) -> Response:
    """Figures for Prometheus"""
    return Response(runtime.metrics.render(), media_type=runtime.metrics.content_type)


async def _database_answers(runtime: RuntimeOf) -> bool:
    try:
        async with asyncio.timeout(CHECK_S), runtime.database.connection() as connection:
            return await connection.fetchval("SELECT 1") == 1
    except (MenthaError, TimeoutError):
        return False
