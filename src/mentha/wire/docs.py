"""Documents and searches in them.

Source: the contract's `Docs.*`; section 5 of the behaviour spec for what is optional; there `content` is always answered as a list.
"""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Discriminator, Field, StrictBool, StringConstraints, Tag, model_validator
from pydantic_core import PydanticCustomError

from mentha.wire.common import Metadata, ResourceDeletedResponse, Wire, ours, read_only
from mentha.wire.filters import MetadataFilter
from mentha.wire.jobs import JobState
from mentha.wire.recall import LanguageTag

CONTENT_CHARS_MAX = 30_000
CONTENT_PARTS_MAX = 1_000
VECTOR_DIMENSIONS_MAX = 4_000
EMBED_TEXTS_MAX = 100
EMBED_CHARS_MAX = 30_000
SEARCH_TEXT_CHARS_MAX = 10_000
INSTRUCTION_CHARS_MAX = 2_000

Title = Annotated[str, StringConstraints(max_length=800)]
ContentPart = Annotated[str, StringConstraints(max_length=CONTENT_CHARS_MAX)]
Instruction = Annotated[str, StringConstraints(max_length=INSTRUCTION_CHARS_MAX)]


def _content_tag(value: Any) -> str | None:
    return "~text" if isinstance(value, str) else "~parts" if isinstance(value, list) else None


Content = Annotated[
    Annotated[ContentPart, Tag("~text")] | Annotated[list[ContentPart], Field(min_length=1, max_length=CONTENT_PARTS_MAX), Tag("~parts")],
    Discriminator(_content_tag, custom_error_type="content_type", custom_error_message="Must be a string or a list of strings"),
]


class Doc(Wire):
    """A document of an agent or a user."""

    id: UUID = Field(json_schema_extra=read_only())
    created_at: datetime = Field(json_schema_extra=read_only())
    updated_at: datetime = Field(json_schema_extra=ours())
    title: str = Field(description="Title describing what this document contains")
    content: list[str] = Field(description="Contents of the document")
    metadata: Metadata = None
    embeddings: list[list[float]] | None = Field(
        None, description="One vector for each piece of the text, once all are made", json_schema_extra=read_only()
    )
    modality: str = Field("text", json_schema_extra=read_only())
    language: str = Field(description="Language of the document", json_schema_extra=read_only())
    embedding_model: str | None = Field(None, description="Embedding model used for the document", json_schema_extra=read_only())
    embedding_dimensions: int | None = Field(None, description="Dimensions of the embedding model", json_schema_extra=read_only())
    embedding_status: JobState = Field("pending", description="`succeeded` once vectors are there for search", json_schema_extra=ours())
    embed_instruction: str | None = Field(None, json_schema_extra=ours())
    jobs: list[UUID] = Field(default=[], description="The job that makes the vectors", json_schema_extra=ours())


class CreateDocRequest(Wire):
    """Payload for creating a doc. Each string has at most 30,000 characters; long ones are cut into pieces."""

    title: Title
    content: Content
    metadata: Metadata = Field(default_factory=dict)
    embed_instruction: Instruction | None = Field(None, description="Put before each piece when its vector is made")
    language: LanguageTag | None = Field(None, description="Language tag; found out from the text by default", json_schema_extra=ours())


class CreateDocFromFileRequest(Wire):
    """Payload for making a doc of a file: of its text, or of what can be read out of a PDF."""

    file_id: UUID = Field(json_schema_extra=ours())
    title: Title | None = Field(None, description="By default the name of the file")
    metadata: Metadata = Field(default_factory=dict)
    embed_instruction: Instruction | None = Field(None, description="Put before each piece when its vector is made")
    language: LanguageTag | None = Field(None, description="Language tag; found out from the text by default", json_schema_extra=ours())


def _source_tag(value: Any) -> str:
    is_file = "file_id" in value and "content" not in value if isinstance(value, dict) else isinstance(value, CreateDocFromFileRequest)
    return "~file" if is_file else "~content"


NewDocRequest = Annotated[
    Annotated[CreateDocRequest, Tag("~content")] | Annotated[CreateDocFromFileRequest, Tag("~file")], Discriminator(_source_tag)
]


class UpdateDocRequest(CreateDocRequest):
    """Payload for replacing a doc."""


class PatchDocRequest(Wire):
    """Payload for changing some fields of a doc. Metadata is merged."""

    title: Title | None = None
    content: Content | None = None
    metadata: Metadata = None
    embed_instruction: Instruction | None = None
    language: LanguageTag | None = None

    @model_validator(mode="after")
    def _no_nulls(self) -> "PatchDocRequest":
        for name in ("title", "content"):
            if name in self.model_fields_set and getattr(self, name) is None:
                raise PydanticCustomError("null_field", "`{name}` can't be null: leave it out to keep it", {"name": name})
        return self


class DocPage(Wire):
    """A page of docs."""

    items: list[Doc]


class BulkDeleteDocsRequest(Wire):
    """Which docs to delete: those that the filter matches, or all. Neither of them deletes nothing."""

    metadata_filter: MetadataFilter = {}
    delete_all: StrictBool = False


class DocsDeletedResponse(Wire):
    """What was deleted."""

    items: list[ResourceDeletedResponse]


class _Search(Wire):
    limit: int = Field(10, ge=1, le=50)
    metadata_filter: MetadataFilter = {}
    include_embeddings: StrictBool = True


_Lang = Annotated[LanguageTag, Field(description="Language of the query")]
_SearchText = Annotated[str, StringConstraints(max_length=SEARCH_TEXT_CHARS_MAX)]
_Vector = Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=1, max_length=VECTOR_DIMENSIONS_MAX)]


class TextOnlyDocSearchRequest(_Search):
    """Search by words."""

    mode: Literal["text"] = Field("text", json_schema_extra=ours())
    text: _SearchText
    lang: _Lang = "en-US"
    trigram_similarity_threshold: Annotated[float, Field(ge=0, le=1)] | None = None


class VectorDocSearchRequest(_Search):
    """Search by meaning: by a vector of the client's, or with `mode` "vector" by the vector of `text`."""

    mode: Literal["vector"] = Field("vector", json_schema_extra=ours())
    vector: _Vector | None = None
    text: _SearchText | None = Field(None, json_schema_extra=ours())
    confidence: float = Field(0.5, ge=-1, le=1)
    mmr_strength: float = Field(0.5, ge=0, lt=1)

    @model_validator(mode="after")
    def _one_query(self) -> "VectorDocSearchRequest":
        if self.vector is None and self.text is None:
            raise PydanticCustomError("missing_query", "Give `text`, `vector` or both")
        return self


class HybridDocSearchRequest(_Search):
    """Search by words and by meaning. Without a `vector`, that of `text` is made (then say `mode` "hybrid")."""

    mode: Literal["hybrid"] = Field("hybrid", json_schema_extra=ours())
    text: _SearchText
    vector: _Vector | None = None
    lang: _Lang = "en-US"
    confidence: float = Field(0.5, ge=-1, le=1)
    alpha: float = Field(0.5, ge=0, le=1, description="0: words alone; 1: meaning alone")
    mmr_strength: float = Field(0.5, ge=0, lt=1)
    k_multiplier: int = Field(5, ge=1, le=10)
    trigram_similarity_threshold: Annotated[float, Field(ge=0, le=1)] | None = None


def _search_tag(value: Any) -> str | None:
    if not isinstance(value, dict):
        mode = getattr(value, "mode", None)
        return f"~{mode}" if mode else None
    if "mode" in value:
        return f"~{value['mode']}" if value["mode"] in ("text", "vector", "hybrid") else None
    if value.get("vector") is None:
        return "~text" if value.get("text") is not None else "~vector"
    return "~hybrid" if value.get("text") is not None else "~vector"


DocSearchRequest = Annotated[
    Annotated[TextOnlyDocSearchRequest, Tag("~text")]
    | Annotated[VectorDocSearchRequest, Tag("~vector")]
    | Annotated[HybridDocSearchRequest, Tag("~hybrid")],
    Discriminator(
        _search_tag, custom_error_type="search_mode", custom_error_message="Must be an object whose mode is 'text', 'vector' or 'hybrid'"
    ),
]


class DocOwner(Wire):
    """Whose document it is."""

    id: UUID
    role: Literal["user", "agent"]


class Snippet(Wire):
    """The piece of the document that was found."""

    index: int
    content: str
    embedding: list[float] | None = None


class DocReference(Wire):
    """A piece of a document that a search found."""

    owner: DocOwner
    id: UUID = Field(json_schema_extra=read_only())
    title: str | None = None
    metadata: Metadata = None
    snippet: Snippet
    distance: float | None = Field(
        None, description="The lower, the better. Vector: the cosine distance, 0 to 2. Text and hybrid: 1 less the score"
    )
    score: float | None = Field(
        None,
        description="The higher, the better. Vector: the confidence, -1 to 1. Text and hybrid: 0 to 1",
        json_schema_extra=ours(),
    )


class DocSearchResponse(Wire):
    """What a search found, best first."""

    docs: list[DocReference]
    time: float = Field(gt=0, description="The time taken to search in seconds")
    warnings: list[str] = Field(default=[], description="What was asked for and could not be done", json_schema_extra=ours())


def _texts_tag(value: Any) -> str | None:
    return "~text" if isinstance(value, str) else "~texts" if isinstance(value, list) else None


_EmbedText = Annotated[str, StringConstraints(max_length=EMBED_CHARS_MAX)]


class EmbedQueryRequest(Wire):
    """Texts to embed."""

    text: Annotated[
        Annotated[_EmbedText, Tag("~text")] | Annotated[list[_EmbedText], Field(min_length=1, max_length=EMBED_TEXTS_MAX), Tag("~texts")],
        Discriminator(_texts_tag, custom_error_type="text_type", custom_error_message="Must be a string or a list of strings"),
    ]
    embed_instruction: Instruction = Field("", description="Put before each text")


class EmbedQueryResponse(Wire):
    """One vector for each text."""

    vectors: list[list[float]]
