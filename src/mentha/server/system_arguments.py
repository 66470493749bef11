"""Arguments of calls of this API by tools: read like requests, refused in words for a model; and answers as JSON."""

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, Field, ValidationError
from pydantic_core import PydanticCustomError

from mentha.core.json import JsonObject, JsonValue
from mentha.tools.calls import ToolFailed
from mentha.tools.system import Caller
from mentha.wire import filters
from mentha.wire.common import LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX, OFFSET_MAX, Direction, Page, SortBy, Wire

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")
FAULTS_MAX = 10
# Keys of calls have it and keys of clients can't: they come as headers, whose text is Latin-1.
CALL_KEY_MARK = "→"


class Listed(Wire):
    """How to list, as arguments say it."""

    limit: int = Field(LIST_LIMIT_DEFAULT, ge=1)
    offset: int = Field(0, ge=0, le=OFFSET_MAX)
    sort_by: SortBy = "created_at"
    direction: Direction = "desc"
    metadata_filter: dict[str, Any] | None = None
    project: str | None = None


def id_of(given: JsonObject, name: str) -> UUID:
    """An id among the arguments.

    Raises:
        ToolFailed: it is none.
    """
    try:
        return UUID(str(given.get(name)))
    except ValueError:
        raise ToolFailed(f"`{name}` must be a UUID") from None


def key_of_call(caller: Caller) -> str | None:
    """The idempotency key of what a call starts; None where nobody would make it again."""
    return f"{CALL_KEY_MARK}{caller.key}" if caller.key else None


def page_of(given: JsonObject) -> Page:
    """How to list.

    Raises:
        ToolFailed: an argument is not what it should be.
    """
    wanted = checked(Listed, {name: value for name, value in given.items() if value is not None})
    wanted_of = wanted.metadata_filter or {}
    predicate = valid(lambda: filters.to_jsonpath(wanted_of))
    limit = min(wanted.limit, LIST_LIMIT_MAX)
    return Page(
        limit=limit,
        offset=wanted.offset,
        sort_by=wanted.sort_by,
        direction=wanted.direction,
        metadata_filter=predicate,
        project=wanted.project,
    )


def checked(model: type[M], given: JsonObject) -> M:
    """The arguments in the shape of a request.

    Raises:
        ToolFailed: they do not fit it; the message says where, without the values.
    """
    return valid(lambda: model.model_validate(given))


def valid(make: Callable[[], T]) -> T:
    """What `make` gives.

    Raises:
        ToolFailed: the arguments do not fit; the message says where, without the values.
    """
    try:
        return make()
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False, include_context=False)[:FAULTS_MAX]
        told = "; ".join(f"`{'.'.join(str(part) for part in fault['loc'])}`: {fault['msg']}" for fault in faults)
        raise ToolFailed(f"the arguments are not right: {told}") from None
    except PydanticCustomError as error:
        raise ToolFailed(f"the arguments are not right: {error.message()}") from None


def shown(value: Any) -> JsonValue:
    """An answer as JSON."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    return [shown(item) for item in value] if isinstance(value, list) else value
