"""Chat: what a turn takes and gives. The request is checked here; the answer is written by `chat/answer.py` and described here.

Source: section 4.4 of the behaviour spec; the SDK's signature for what is required.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Discriminator, Field, StrictBool, Tag, field_validator, model_validator
from pydantic_core import PydanticCustomError

from mentha.wire.common import SafeUnicode, Wire, ours
from mentha.wire.docs import DocReference
from mentha.wire.entries import Role
from mentha.wire.files import URL_PREFIX
from mentha.wire.tools import TOOLS_MAX, CreateToolRequest

PARTS_MAX = 1_000
# Of all messages of a request together: a million small ones hold the server for ten seconds.
PARTS_IN_ALL_MAX = 10_000
MESSAGES_HARD_MAX = 100_000
FinishReason = Literal["stop", "length", "content_filter", "tool_calls"]


class TextPart(Wire):
    """Text."""

    type: Literal["text"] = "text"
    text: str


class ImageUrl(Wire):
    """Where an image is: a URL, a data URL with the image itself, or `mentha://files/ID`, for which `file_id` is short."""

    url: str = Field(min_length=1)
    detail: Literal["auto", "low", "high"] = "auto"

    @model_validator(mode="before")
    @classmethod
    def _of_file(cls, value: Any) -> Any:
        if isinstance(value, dict) and "url" not in value and isinstance(value.get("file_id"), str):
            return {**value, "url": URL_PREFIX + value["file_id"]}
        return value

    @field_validator("url")
    @classmethod
    def _names_a_file(cls, url: str) -> str:
        return image_url(url)


def image_url(url: str) -> str:
    """The URL of an image; where it names a file of ours, in the one form that this has.

    Raises:
        PydanticCustomError: what stands in the place of the file's id is none.
    """
    if not url.startswith(URL_PREFIX):
        return url
    try:
        return URL_PREFIX + str(UUID(url.removeprefix(URL_PREFIX)))
    except ValueError:
        raise PydanticCustomError("file_url", "Must be `mentha://files/` and the id of a file") from None


class ImagePart(Wire):
    """An image."""

    type: Literal["image_url"] = "image_url"
    image_url: ImageUrl


class NamedFile(Wire):
    """Which file."""

    file_id: UUID


class FilePart(Wire):
    """A file of the tenant's: text, a PDF whose text is read, or an image."""

    type: Literal["file"] = "file"
    file: NamedFile


class ImageSource(Wire):
    """An image in base64."""

    type: Literal["base64"] = "base64"
    media_type: str
    data: str


class ToolResultImage(Wire):
    """An image among the results of a tool."""

    type: Literal["image"] = "image"
    source: ImageSource


def _result_tag(value: Any) -> str | None:
    kind = value.get("type", "text") if isinstance(value, dict) else getattr(value, "type", None)
    return f"~{kind}" if kind in ("text", "image") else None


class ToolResultPart(Wire):
    """The result of a tool call, as a part of a message."""

    type: Literal["tool_result"] = "tool_result"
    tool_use_id: str
    content: list[
        Annotated[
            Annotated[TextPart, Tag("~text")] | Annotated[ToolResultImage, Tag("~image")],
            Discriminator(_result_tag, custom_error_type="part_type", custom_error_message="Must be a part of type 'text' or 'image'"),
        ]
    ] = Field(max_length=PARTS_MAX)


def _part_tag(value: Any) -> str | None:
    if isinstance(value, str):
        return "~string"
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    if kind is None and isinstance(value, dict):
        kind = next((name for name in ("text", "image_url", "file") if name in value), None)
    return f"~{kind}" if kind in ("text", "image_url", "file", "tool_result") else None


Part = Annotated[
    Annotated[str, Tag("~string")]
    | Annotated[TextPart, Tag("~text")]
    | Annotated[ImagePart, Tag("~image_url")]
    | Annotated[FilePart, Tag("~file")]
    | Annotated[ToolResultPart, Tag("~tool_result")],
    Discriminator(
        _part_tag,
        custom_error_type="part_type",
        custom_error_message="Must be a string or a part of type 'text', 'image_url', 'file' or 'tool_result'",
    ),
]


def _content_tag(value: Any) -> str | None:
    return "~text" if isinstance(value, str) else "~parts" if isinstance(value, list) else None


Content = Annotated[
    Annotated[str, Tag("~text")] | Annotated[list[Part], Field(max_length=PARTS_MAX), Tag("~parts")],
    Discriminator(_content_tag, custom_error_type="content_type", custom_error_message="Must be a string, a list of parts or null"),
]


class FunctionCall(Wire):
    """Which function to call, with its arguments as JSON text."""

    name: str = Field(min_length=1, max_length=256)
    arguments: str | None = None


class ToolCall(Wire):
    """A call that a model made."""

    id: str | None = None
    type: Literal["function"] = "function"
    function: FunctionCall


class Message(Wire):
    """One new message."""

    role: Role
    content: Content | None = None
    name: str | None = Field(None, max_length=256)
    tool_call_id: str | None = None
    tool_calls: list[ToolCall] | None = Field(None, max_length=TOOLS_MAX)

    @model_validator(mode="after")
    def _complete(self) -> "Message":
        if self.role == "tool" and not self.tool_call_id:
            raise PydanticCustomError(
                "missing_tool_call_id", "A message of role 'tool' needs the `tool_call_id` of the call that it answers"
            )
        if self.content is None and not self.tool_calls:
            raise PydanticCustomError(
                "missing_content", "A message needs `content`; only an assistant's message with `tool_calls` may do without"
            )
        return self


class NamedFunction(Wire):
    """A function's name."""

    name: str


class NamedToolChoice(Wire):
    """That the model must call this function."""

    function: NamedFunction


class SimpleResponseFormat(Wire):
    """Plain text, or any JSON object."""

    type: Literal["text", "json_object"] = "text"


class SchemaResponseFormat(Wire):
    """JSON after a schema."""

    type: Literal["json_schema"] = "json_schema"
    json_schema: dict[str, Any]


Bias = Annotated[float, Field(ge=-100, le=100)]


class ChatInput(Wire):
    """The request of a turn. A field that is left out takes its value from the agent's `default_settings`; a null overrides those."""

    messages: list[Message] = Field(min_length=1, max_length=MESSAGES_HARD_MAX)
    tools: list[CreateToolRequest] | None = Field(None, max_length=TOOLS_MAX, description="Offered beside the agent's own tools")
    tool_choice: Literal["auto", "none", "required"] | NamedToolChoice | None = None
    agent: UUID | None = Field(None, description="Which of the session's agents answers; the first by default")
    model: SafeUnicode | None = None
    stream: StrictBool = False
    stop: list[str] | None = Field(default=[], max_length=4)
    seed: int | None = Field(None, ge=-1, le=1000)
    max_tokens: int | None = Field(None, ge=1)
    logit_bias: dict[str, Bias] | None = None
    response_format: SimpleResponseFormat | SchemaResponseFormat | None = Field(None, discriminator="type")
    temperature: float | None = Field(None, ge=0, le=5)
    top_p: float | None = Field(None, ge=0, le=1)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    repetition_penalty: float | None = Field(None, ge=0, le=2)
    length_penalty: float | None = Field(None, ge=0, le=2)
    min_p: float | None = Field(None, ge=0, le=1)
    metadata: dict[str, Any] | None = Field(None, description="The variable `metadata` of templates; not stored")
    recall: StrictBool = True
    recall_tools: StrictBool = Field(True, description="Replay earlier tool calls and their results")
    save: StrictBool = Field(True, description="Store the new messages and the answer")
    remember: StrictBool = False
    auto_run_tools: StrictBool = False

    @field_validator("messages", mode="before")
    @classmethod
    def _few_parts(cls, messages: Any) -> Any:
        if isinstance(messages, list) and too_many_parts(message.get("content") for message in messages if isinstance(message, dict)):
            raise PydanticCustomError("too_long", "At most {most} parts in all messages together", {"most": PARTS_IN_ALL_MAX})
        return messages


def too_many_parts(contents: Iterable[Any]) -> bool:
    """Whether there are more parts in these contents of messages than a request may have, before any of them is checked."""
    return sum(len(content) for content in contents if isinstance(content, list)) > PARTS_IN_ALL_MAX


# The fields of `ChatInput` that go to the model's provider, under the same names.
OPTIONS = (
    "stop",
    "seed",
    "max_tokens",
    "logit_bias",
    "response_format",
    "temperature",
    "top_p",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "length_penalty",
    "min_p",
)


class CompletionUsage(Wire):
    """Tokens, as the provider counted them."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None


class AnswerMessage(Wire):
    """The model's message."""

    role: Role
    content: str | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    id: UUID | None = None
    created_at: datetime | None = None


class Choice(Wire):
    """The answer. There is always exactly one."""

    index: int = 0
    finish_reason: FinishReason
    logprobs: dict[str, Any] | None = None
    tool_calls: list[ToolCall] | None = None
    message: AnswerMessage


class ContextUse(Wire):
    """What of a history was sent, where the session has a `context_overflow`."""

    budget_tokens: int | None = Field(None, description="The most tokens of a prompt; null where the model's window is not known")
    estimated_tokens: int = Field(description="Tokens of this prompt, as the provider was expected to count them")
    left_out: int = Field(description="Older entries that were not sent and that no summary stands for yet")
    summarised: int = Field(description="Older entries that the summary in this prompt stands for")


class ChatResponse(Wire):
    """What a turn answers. With `stream`, events `data: {…}` of the same form, whose choices have a `delta` in place of the message."""

    id: UUID
    created_at: datetime
    usage: CompletionUsage | None = None
    jobs: list[UUID] = []
    docs: list[DocReference] = []
    choices: list[Choice]
    warnings: list[str] = Field(default=[], description="What was asked for and could not be done", json_schema_extra=ours())
    context: ContextUse | None = Field(
        None, description="What of the history was sent; in a stream in the last event", json_schema_extra=ours()
    )


class RenderResponse(Wire):
    """What a turn would send to the model."""

    messages: list[dict[str, Any]]
    docs: list[DocReference] = []
    tools: list[CreateToolRequest] | None = None
    tool_choice: Literal["auto", "none", "required"] | NamedToolChoice | None = None
    model: str | None = Field(None, description="The model that would be asked", json_schema_extra=ours())
    warnings: list[str] = Field(default=[], json_schema_extra=ours())
    context: ContextUse | None = Field(None, description="What of the history would be sent", json_schema_extra=ours())
