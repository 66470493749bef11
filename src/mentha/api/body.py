"""Bodies: read once with a size limit by the middleware, parsed here for who has a key, with limits, and free of NUL characters."""

import codecs
import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from mentha.api.deps import tenant
from mentha.core.errors import MenthaError
from mentha.core.json import JsonInvalid, JsonValue, loads_hostile, refuse_many_values


class BodyRequest(Request):
    """A request whose JSON is parsed with our limits."""

    async def json(self) -> JsonValue:
        """The body as JSON.

        Raises:
            json.JSONDecodeError: it is none, is nested too deeply, or has too many values; the framework makes a 422 of it.
        """
        # Some libraries write a mark of the byte order before UTF-8; the original took it too.
        raw = (await self.body()).removeprefix(codecs.BOM_UTF8)
        try:
            refuse_many_values(raw)
            return loads_hostile(raw, depth_max_levels=self.app.state.runtime.settings.json_depth_max_levels)
        except JsonInvalid as error:
            raise json.JSONDecodeError(str(error), "", error.position) from None

    def explain(self, error: Exception) -> None:
        """Add to an error what is known of its place in the body."""


class Route(APIRoute):
    """A route that reads its body by `BodyRequest`, or by a class of its own."""

    request_class: type[BodyRequest] = BodyRequest

    def __init__(self, *args: Any, **options: Any) -> None:
        # A body counts as JSON where its type is not said. The application's own setting does not reach routes of a router.
        super().__init__(*args, **(options | {"strict_content_type": False}))
        self._asks_for_key = self.body_field is not None and _asks_for_key(self.dependant)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the framework's handler."""
        handle = super().get_route_handler()

        async def with_limits(request: Request) -> Response:
            own = self.request_class(request.scope, request.receive)
            try:
                if self._asks_for_key:
                    # The framework parses the body first, and nobody without a key may have it do so. Whether the key has
                    # used up what it may is looked at once, with the tenant.
                    await request.app.state.runtime.identity.caller(request.headers)
                return await handle(own)
            except HTTPException as error:
                # The framework takes whatever goes wrong while it reads for a body that can't be parsed.
                if isinstance(error.__cause__, MenthaError):
                    raise error.__cause__ from None
                raise
            except (RequestValidationError, MenthaError) as error:
                own.explain(error)
                raise

        return with_limits


def _asks_for_key(dependant: Dependant) -> bool:
    return dependant.call is tenant or any(_asks_for_key(each) for each in dependant.dependencies)
