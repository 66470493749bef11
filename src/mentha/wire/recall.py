"""Recall options of a session: three modes, one shape each, chosen by `mode`, or without it by the best match of keys.

Source: the published page of `POST /sessions` for names, bounds and defaults; ruling 2 for the choice and for merging.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, StrictBool, Tag
from pydantic_core import PydanticCustomError

from mentha.core.json import JsonObject
from mentha.wire.common import Wire
from mentha.wire.filters import MetadataFilter

# Source: the grammar of language tags (BCP 47), as far as a check of form goes.
_LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,8}")


def _check_language(value: str) -> str:
    if not _LANGUAGE_TAG.fullmatch(value):
        raise PydanticCustomError("language_tag", "Must be a language tag like 'en' or 'en-US'")
    return value


# A validator and not a pattern: the published schema says no more than "string".
LanguageTag = Annotated[str, AfterValidator(_check_language)]


class _Search(Wire):
    limit: int = Field(10, ge=1, le=50)
    lang: LanguageTag = "en-US"
    metadata_filter: MetadataFilter = {}
    num_search_messages: int = Field(4, ge=1, le=50)
    max_query_length: int = Field(1000, ge=100, le=10000)
    include_embeddings: StrictBool = True


class VectorDocSearch(_Search):  # noqa: D101 - the published schema has no description
    mode: Literal["vector"] = "vector"
    confidence: float = Field(0.5, ge=-1, le=1)
    mmr_strength: float = Field(0.5, ge=0, lt=1)


class TextOnlyDocSearch(_Search):  # noqa: D101 - the published schema has no description
    mode: Literal["text"] = "text"
    trigram_similarity_threshold: Annotated[float, Field(ge=0, le=1)] | None = None


class HybridDocSearch(_Search):  # noqa: D101 - the published schema has no description
    mode: Literal["hybrid"] = "hybrid"
    confidence: float = Field(0.5, ge=-1, le=1)
    alpha: float = Field(0.5, ge=0, le=1)
    mmr_strength: float = Field(0.5, ge=0, lt=1)
    trigram_similarity_threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    k_multiplier: int = Field(7, ge=0)


SHAPES: dict[str, type[VectorDocSearch] | type[TextOnlyDocSearch] | type[HybridDocSearch]] = {
    "vector": VectorDocSearch,
    "text": TextOnlyDocSearch,
    "hybrid": HybridDocSearch,
}


def best_mode(given: JsonObject, *, current: str | None = None) -> str | None:
    """The mode that `given` means.

    Args:
        given: options as a client sent them.
        current: the mode that is stored; it wins a tie, so that a PATCH of shared keys keeps it.

    Returns:
        `given["mode"]` where it is there (None when no such mode exists), else the mode whose shape has most of the keys; vector wins ties.
    """
    if "mode" in given:
        return given["mode"] if isinstance(given["mode"], str) and given["mode"] in SHAPES else None
    known = {mode: sum(key in shape.model_fields for key in given) for mode, shape in SHAPES.items()}
    best = max(known.values())
    if current in known and known[current] == best:
        return current
    return next(mode for mode, count in known.items() if count == best)


def merge(stored: JsonObject | None, given: JsonObject) -> JsonObject:
    """What a PATCH makes of stored options: the same mode merges keys, another one replaces all.

    Raises:
        pydantic.ValidationError: the merged options break a bound of their mode.
    """
    current = (stored or {}).get("mode")
    mode = best_mode(given, current=current) or "vector"
    kept = stored if stored and mode == current else {}
    return SHAPES[mode].model_validate({**kept, **given, "mode": mode}).model_dump(mode="json")


def _tag(value: Any) -> str | None:
    if isinstance(value, dict):
        mode = best_mode(value)
        return f"~{mode}" if mode else None
    mode = getattr(value, "mode", None)
    return f"~{mode}" if mode else None


# A tag that begins with `~` never shows: `api/errors.py` leaves it out of the path to a fault.
RecallOptions = Annotated[
    Annotated[VectorDocSearch, Tag("~vector")] | Annotated[TextOnlyDocSearch, Tag("~text")] | Annotated[HybridDocSearch, Tag("~hybrid")],
    Discriminator(
        _tag, custom_error_type="recall_mode", custom_error_message="Must be an object whose mode is 'vector', 'text' or 'hybrid'"
    ),
]
