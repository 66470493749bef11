"""The web application: routers, handlers of errors, and the layers around them."""

from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from mentha.api import absent, agents, chat, health, jobs, openapi, pages, projects, sessions, tools, users
from mentha.api import errors as rendered
from mentha.api.middleware import Edge
from mentha.core.errors import MenthaError

CORS_MAX_AGE_S = 3_600
# `pages` before `absent`, whose `/docs/{id}` is a document; the more exact path of a resource before the more general one.
ROUTERS = (health, pages, agents, tools, users, projects, chat, sessions, jobs, absent)


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
    app.state.runtime = runtime
    for module in ROUTERS:
        app.include_router(module.router)
    app.openapi = lambda: openapi.describe(app)
    app.add_exception_handler(MenthaError, rendered.on_mentha_error)
    app.add_exception_handler(RequestValidationError, rendered.on_validation_error)
    app.add_exception_handler(HTTPException, rendered.on_http_error)
    app.add_exception_handler(Exception, rendered.on_unexpected)
    # Nothing authenticates by cookie, so letting any origin in gives nobody anything.
    app.add_middleware(
        CORSMiddleware,
        allow_origin_regex=".*",
        allow_methods=["*"],
        allow_headers=["*"],
        allow_credentials=True,
        expose_headers=["*"],
        max_age=CORS_MAX_AGE_S,
    )
    return Edge(app, body_bytes_max=runtime.settings.body_bytes_max)
