"""The web application: routers, handlers of errors, and the layers around them."""

import logging
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from mentha.api import (
    agents,
    chat,
    conversations,
    docs,
    executions,
    files,
    gateway,
    health,
    jobs,
    openai_responses,
    openapi,
    pages,
    projects,
    schedules,
    secrets,
    sessions,
    tasks,
    tools,
    transitions,
    usage,
    users,
)
from mentha.api import errors as rendered
from mentha.api.middleware import Edge
from mentha.core.errors import MenthaError

CORS_MAX_AGE_S = 3_600
# `pages` before `docs`, whose `/docs/{id}` is a document; the more exact path of a resource before the more general one. Otherwise the
# most asked for come first: the framework tries the patterns one after another.
ROUTERS = (
    chat,
    sessions,
    executions,
    transitions,
    agents,
    users,
    tools,
    tasks,
    schedules,
    projects,
    openai_responses,
    conversations,
    gateway,
    files,
    secrets,
    jobs,
    usage,
    health,
    pages,
    docs,
)


def build(runtime: Any) -> Edge:
    """The ASGI application for a runtime."""
    app = FastAPI(
        title="Mentha",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        separate_input_output_schemas=False,
        strict_content_type=False,
        # Observations of ours tell the same (observe/): measuring twice would cost every request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    # It warns of a missing validator of e-mail addresses, which this API has none of.
    logging.getLogger("fastapi").setLevel(logging.ERROR)
    app.state.runtime = runtime
    for module in ROUTERS:
        # The routes themselves, not `include_router`: that finds the route of each request twice, through a level of wrappers.
        app.router.routes.extend(module.router.routes)
    # Not a part of the Julep API, so not of its description.
    app.router.routes.append(Route(runtime.mcp.path, runtime.mcp))
    app.openapi = lambda: openapi.describe(app)
    app.add_exception_handler(MenthaError, rendered.on_mentha_error)
    app.add_exception_handler(RequestValidationError, rendered.on_validation_error)
    app.add_exception_handler(HTTPException, rendered.on_http_error)
    app.add_exception_handler(Exception, rendered.on_unexpected)
    # Nothing authenticates by cookie, so letting any origin in gives nobody anything.
    app.add_middleware(
        _Cors,
        allow_origin_regex=".*",
        allow_methods=["*"],
        allow_headers=["*"],
        allow_credentials=True,
        expose_headers=["*"],
        max_age=CORS_MAX_AGE_S,
    )
    settings = runtime.settings
    return Edge(
        app,
        body_bytes_max=settings.body_bytes_max,
        small_body_bytes_max=settings.small_body_bytes_max,
        file_bytes_max=settings.file_bytes_max,
    )


class _Cors(CORSMiddleware):
    """Only browsers name an origin: everyone else's requests pass by. `Edge` tells caches about it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if any(name == b"origin" for name, _ in scope["headers"]):
            await super().__call__(scope, receive, send)
        else:
            await self.app(scope, receive, send)
