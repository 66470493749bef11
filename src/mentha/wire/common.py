"""What every resource shares: names, metadata, paging, answers to deletions.

Optional fields that Mentha adds to the published API are marked `x-mentha` (see `ours`). Unknown fields of a body are ignored, booleans are
strict, and an absent field of a PATCH is told from a null one by `model_fields_set`.
"""

from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from mentha.core import lazy

LIST_LIMIT_MAX = 1_000
LIST_LIMIT_DEFAULT = 100
OFFSET_MAX = 2**31 - 1
METADATA_FILTER_LEAVES_MAX = 64
TEXT_16K_CHARS_MAX = 16_000


class Wire(BaseModel):
    """The base of all shapes."""

    model_config = ConfigDict(extra="ignore")


def read_only(**extra: Any) -> dict[str, Any]:
    """Schema marks of a field that only the server writes."""
    return {"readOnly": True, **extra}


def ours() -> dict[str, Any]:
    """Schema marks of a field that the published contract lacks."""
    return {"x-mentha": True}


# Source of both patterns: the contract's Common.canonicalName and Common.validPythonIdentifier.
CANONICAL_NAME = r"^[a-zA-Z][a-zA-Z0-9_]*$"
CanonicalName = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=CANONICAL_NAME)]
DisplayName = Annotated[str, StringConstraints(min_length=1, max_length=255)]


def _object_or_empty(value: Any) -> Any:
    return {} if value is None else value


# The API takes null for metadata and answers `{}`.
Metadata = Annotated[dict[str, Any] | None, BeforeValidator(_object_or_empty)]


@lru_cache(maxsize=1)
def _safe_unicode() -> Any:
    # Source: the contract's Common.identifierSafeUnicode. Only a regex engine with Unicode properties can say it.
    return lazy.load("regex").compile(
        r"[\p{L}\p{Nl}\p{Pattern_Syntax}\p{Pattern_White_Space}]+[\p{ID_Start}\p{Mn}\p{Mc}\p{Nd}\p{Pc}\p{Pattern_Syntax}\p{Pattern_White_Space}]*"
    )


def _check_safe_unicode(value: str) -> str:
    # Plain ASCII is by far the usual case: no regex for it.
    plain = value.isascii() and value.isprintable() and value[:1] not in tuple("_0123456789") and value
    if not plain and not _safe_unicode().fullmatch(value):
        raise PydanticCustomError(
            "unsafe_unicode", "Must begin with a letter or punctuation, and hold only letters, digits, marks, punctuation and spaces"
        )
    return value


SafeUnicode = Annotated[str, StringConstraints(max_length=120), AfterValidator(_check_safe_unicode)]

SortBy = Literal["created_at", "updated_at"]
Direction = Literal["asc", "desc"]


class Page(Wire):
    """How to list: which slice, in which order, filtered by what.

    Attributes:
        limit: rows, 1 to 1000.
        offset: rows skipped.
        metadata_filter: a jsonpath predicate made by `wire/filters.py`, or None for no filter.
        project: canonical name of a project, or None for all.
    """

    limit: int = LIST_LIMIT_DEFAULT
    offset: int = 0
    sort_by: SortBy = "created_at"
    direction: Direction = "desc"
    metadata_filter: str | None = None
    project: str | None = None


class ResourceDeletedResponse(Wire):
    """What every deletion answers."""

    id: UUID = Field(description="ID of the deleted resource")
    deleted_at: datetime = Field(description="When it was deleted", json_schema_extra=read_only())
    jobs: list[UUID] = Field(default=[], description="Jobs started by this deletion", json_schema_extra=read_only())
