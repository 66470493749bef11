"""OpenAI's chat completions and models over HTTP: a plain way to the configured providers."""

from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.responses import Response, StreamingResponse

from mentha.api.body import Route
from mentha.api.deps import RuntimeOf, TenantId
from mentha.api.errors import to_body, unexpected_body
from mentha.api.responses import errors
from mentha.core.errors import MenthaError, NotFound
from mentha.core.json import JsonObject, dumps
from mentha.wire.gateway import ChatCompletion, ChatCompletionRequest, Model, ModelList

router = APIRouter(tags=["gateway"], route_class=Route)

STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
CustomKey = Annotated[str | None, Header(max_length=4_096, description="A provider's key for this request only")]


@router.post(
    "/chat/completions",
    response_model=ChatCompletion,
    responses=errors(400, 422, 429, 502, 504) | {200: {"content": {"text/event-stream": {}}}},
)
async def create_chat_completion(
    body: ChatCompletionRequest, request: Request, tenant: TenantId, runtime: RuntimeOf, x_custom_api_key: CustomKey = None
) -> Response:
    """Ask a model as its provider does, without session or agent"""
    own_keys = None if x_custom_api_key else await runtime.secrets.provider_keys(tenant)
    route = runtime.providers.route(body.model, custom_key=x_custom_api_key, own_keys=own_keys)
    # As it was sent: fields that are not known here are the provider's.
    sent: JsonObject = await request.json()
    if not body.stream:
        return Response(await runtime.gateway.whole(tenant, route, sent), media_type="application/json")
    events = runtime.gateway.stream(tenant, route, sent)
    # An error before the first byte keeps its status.
    first = await anext(events)
    return StreamingResponse(_told(first, events), media_type="text/event-stream", headers=STREAM_HEADERS)


@router.get("/models", responses=errors(400))
async def list_models(tenant: TenantId, runtime: RuntimeOf, x_custom_api_key: CustomKey = None) -> ModelList:
    """List the models of all configured providers, in the form of OpenAI's API"""
    return ModelList(data=await _models(runtime, tenant, x_custom_api_key))


@router.get("/models/{model:path}", responses=errors(400, 404))
async def get_model(model: str, tenant: TenantId, runtime: RuntimeOf, x_custom_api_key: CustomKey = None) -> Model:
    """Get a model"""
    for known in await _models(runtime, tenant, x_custom_api_key):
        if known.id == model:
            return known
    raise NotFound("Model not found")


async def _models(runtime: Any, tenant: Any, custom_key: str | None) -> list[Model]:
    own_keys = None if custom_key else await runtime.secrets.provider_keys(tenant)
    names: list[str] = await runtime.providers.list_models(custom_key=custom_key, own_keys=own_keys)
    return [Model(id=name, owned_by=name.partition("/")[0] if "/" in name else "default") for name in names]


async def _told(first: bytes, events: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """The events of a stream, and at its end the error that it broke off with."""
    try:
        yield first
        async for event in events:
            yield event
    except MenthaError as error:
        yield _error(to_body(error))
    except Exception as error:  # noqa: BLE001 - the status is sent already: the fault is logged, and told by the last event
        yield _error(unexpected_body(error, "/chat/completions"))
    finally:
        # What the client leaves unread is recorded now, not when the generator is collected.
        await events.aclose()


def _error(body: JsonObject) -> bytes:
    return b"data: " + dumps(body) + b"\n\n"
