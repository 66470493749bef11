"""OpenAI's Responses: what a request may hold, and which items. Answers are written by `chat/responses/` and described here.

What OpenAI's API has and this one does not is refused by its name (`check`), never ignored: a client must not believe that it was done.

Source: the types of the official `openai` SDK 3.54, as of November 2026.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StringConstraints, ValidationError

from mentha.core.errors import BadRequest, FieldInvalid
from mentha.core.json import JsonObject, JsonValue
from mentha.wire.chat import PARTS_IN_ALL_MAX, PARTS_MAX, Bias, image_url, too_many_parts
from mentha.wire.common import Wire
from mentha.wire.tools import TOOLS_MAX

ITEMS_MAX = 10_000
METADATA_KEYS_MAX = 16
TYPE_CHARS_SHOWN_MAX = 64
INSTRUCTIONS_CHARS_MAX = 1_000_000
# Accepted and of no effect: hints to OpenAI's own service.
HINTS = (
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "service_tier",
    "stream_options",
)
# What of an answer is there in any case, or never.
INCLUDED = ("reasoning.encrypted_content", "message.input_image.image_url")

MetadataKey = Annotated[str, StringConstraints(max_length=64)]
MetadataValue = Annotated[str, StringConstraints(max_length=512)]
Metadata = Annotated[dict[MetadataKey, MetadataValue], Field(max_length=METADATA_KEYS_MAX)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_-]+$")]


class FunctionTool(Wire):
    """A function that the client runs."""

    type: Literal["function"]
    name: Name
    description: str | None = Field(None, max_length=16_000)
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class TextFormat(Wire):
    """Plain text, any JSON object, or JSON after a schema."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str | None = Field(None, max_length=64)
    description: str | None = None
    # Its name in OpenAI's API, which is a method of pydantic's models.
    json_schema: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None


class TextConfig(Wire):
    """The form of the text."""

    format: TextFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class Reasoning(Wire):
    """How much a reasoning model thinks."""

    effort: str | None = Field(None, max_length=20)
    summary: Any = None
    generate_summary: Any = None


class ConversationRef(Wire):
    """A conversation by its id."""

    id: str


class CreateResponse(Wire):
    """A request for a response."""

    input: str | Annotated[list[dict[str, Any]], Field(max_length=ITEMS_MAX)] = Field(
        default=[], description="Text, or items: messages, function calls, their outputs"
    )
    model: str | None = Field(None, max_length=255, description="A model, or `agent:` and the id or canonical name of an agent")
    instructions: Annotated[str, StringConstraints(max_length=INSTRUCTIONS_CHARS_MAX)] | None = Field(
        None, description="The system message, said as it is; an agent's own stands before it"
    )
    previous_response_id: str | None = None
    conversation: str | ConversationRef | None = None
    store: StrictBool | None = None
    background: StrictBool | None = None
    stream: StrictBool | None = None
    metadata: Metadata | None = None
    max_output_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    logit_bias: dict[str, Bias] | None = None
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None
    text: TextConfig | None = None
    reasoning: Reasoning | None = None
    tools: Annotated[list[dict[str, Any]], Field(max_length=TOOLS_MAX)] | None = None
    tool_choice: Any = None
    parallel_tool_calls: StrictBool | None = None
    truncation: Literal["auto", "disabled"] | None = None
    # Refused by name, where they are there.
    include: list[str] | None = None
    prompt: Any = None
    max_tool_calls: Any = None
    context_management: Any = None
    moderation: Any = None
    top_logprobs: int | None = None
    n: int | None = None


class ResponseObject(BaseModel):
    """A response, as OpenAI's API has it; `mentha` holds what only this server tells of it."""

    model_config = ConfigDict(extra="allow")

    id: str
    object: Literal["response"] = "response"
    created_at: int
    status: Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
    model: str
    output: list[dict[str, Any]]
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


class ItemList(BaseModel):
    """A page of items."""

    object: Literal["list"] = "list"
    data: list[dict[str, Any]]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedResponse(BaseModel):
    """That a response is gone."""

    id: str
    object: Literal["response"] = "response"
    deleted: bool = True


class TextPart(Wire):
    """Text, of whoever."""

    type: Literal["input_text", "output_text", "text"]
    text: str


class RefusalPart(Wire):
    """What an assistant said in the place of an answer."""

    type: Literal["refusal"]
    refusal: str


class ImagePart(Wire):
    """An image by its URL, or as a data URL."""

    type: Literal["input_image"]
    image_url: Annotated[str, Field(min_length=1), AfterValidator(image_url)]
    detail: Literal["auto", "low", "high"] | None = "auto"


class MessageItem(Wire):
    """A message."""

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: str | Annotated[list[dict[str, Any]], Field(max_length=PARTS_MAX)]


class FunctionCallItem(Wire):
    """A call that a model made."""

    type: Literal["function_call"]
    call_id: str = Field(min_length=1, max_length=256)
    name: str = Field(min_length=1, max_length=256)
    arguments: str


class FunctionOutputItem(Wire):
    """What a call gave."""

    type: Literal["function_call_output"]
    call_id: str = Field(min_length=1, max_length=256)
    output: str | Annotated[list[dict[str, Any]], Field(max_length=PARTS_MAX)]


Item = MessageItem | FunctionCallItem | FunctionOutputItem
_ITEMS: dict[str, type[Item]] = {"message": MessageItem, "function_call": FunctionCallItem, "function_call_output": FunctionOutputItem}
_PARTS: dict[str, type[Wire]] = {
    "input_text": TextPart,
    "output_text": TextPart,
    "text": TextPart,
    "refusal": RefusalPart,
    "input_image": ImagePart,
}


def items(given: str | list[JsonObject], where: str = "input") -> list[Item]:
    """The items of a request, checked.

    Raises:
        BadRequest: an item of a type that is not supported.
        FieldInvalid: an item with wrong fields, or more than `PARTS_IN_ALL_MAX` parts in all of them.
    """
    if isinstance(given, str):
        return [MessageItem(role="user", content=given)]
    if too_many_parts(item.get(name) for item in given for name in ("content", "output")):
        raise FieldInvalid(f"at most {PARTS_IN_ALL_MAX:,} parts in all items together", loc=("body", where), kind="too_long")
    return [_item(item, (where, place)) for place, item in enumerate(given)]


def parts(content: str | list[JsonObject], where: tuple[str | int, ...]) -> list[Any]:
    """The parts of a message, checked: of text, refusals and images.

    Raises:
        BadRequest: a part of a type that is not supported.
        FieldInvalid: a part with wrong fields.
    """
    if isinstance(content, str):
        return [TextPart(type="text", text=content)]
    return [_part(part, (*where, "content", place)) for place, part in enumerate(content)]


def tools(given: list[JsonObject] | None) -> list[FunctionTool]:
    """The tools of a request: functions.

    Raises:
        BadRequest: a tool of another type.
        FieldInvalid: a function with wrong fields.
    """
    found = list[FunctionTool]()
    for place, tool in enumerate(given or ()):
        if tool.get("type") != "function":
            raise unsupported(
                f"tools[{place}].type", f"tools of type '{_shown(tool.get('type'))}'", "give the tool to an agent of your own"
            )
        found.append(_checked(FunctionTool, tool, ("tools", place)))
    return found


def tool_choice(given: JsonValue) -> str | None:
    """`auto`, `none`, `required`, or the name of a function with a colon before it.

    Raises:
        BadRequest: another choice.
    """
    if given is None or given in ("auto", "none", "required"):
        return given
    if isinstance(given, dict) and given.get("type") == "function" and isinstance(given.get("name"), str):
        return f":{given['name']}"
    kind = given.get("type") if isinstance(given, dict) else given
    raise unsupported("tool_choice", f"a tool_choice of '{_shown(kind)}'")


def check(body: CreateResponse) -> None:
    """Refuse what is not supported, or goes against itself.

    Raises:
        BadRequest: with the name of the field.
    """
    _check_unsupported(body)
    if body.previous_response_id and body.conversation:
        raise BadRequest("previous_response_id and conversation can't be used together", fix="send one of them")
    if body.background and body.stream:
        raise unsupported("stream", "a stream of a background response", "ask for its state with GET /responses/{id}")
    if body.background and body.store is False:
        raise BadRequest("a background response has to be stored", fix="leave `store` out")
    if not body.input:
        raise BadRequest("`input` is empty", fix="send text or items")


def _check_unsupported(body: CreateResponse) -> None:
    for name in ("prompt", "max_tool_calls", "context_management", "moderation", "top_logprobs"):
        if getattr(body, name):
            raise unsupported(name, f"`{name}`")
    for value in body.include or ():
        if value not in INCLUDED:
            raise unsupported("include", f"`{_shown(value)}` in include")
    if body.n not in (None, 1):
        raise unsupported("n", "more than one answer")
    if body.reasoning and (body.reasoning.summary or body.reasoning.generate_summary):
        raise unsupported("reasoning.summary", "summaries of reasoning")


def unsupported(param: str, what: str, fix: str | None = None) -> BadRequest:
    """The error for what OpenAI's API has and this one does not."""
    return BadRequest(f"{param}: {what} is not supported by this server", fix=fix or f"leave {param.partition('[')[0]} out")


def _item(given: JsonObject, where: tuple[str | int, ...]) -> Item:
    kind = given.get("type") or ("message" if "role" in given else None)
    if not isinstance(kind, str) or kind not in _ITEMS:
        raise unsupported(f"{where[0]}[{where[1]}]", f"an item of type '{_shown(kind)}'")
    return _checked(_ITEMS[kind], given, where)


def _part(given: JsonObject, where: tuple[str | int, ...]) -> Any:
    kind = given.get("type")
    if not isinstance(kind, str) or kind not in _PARTS:
        raise unsupported(f"{where[0]}[{where[1]}]", f"content of type '{_shown(kind)}'")
    if kind == "input_image" and given.get("file_id"):
        raise unsupported(f"{where[0]}[{where[1]}]", "an image by file_id", "send it as image_url")
    return _checked(_PARTS[kind], given, where)


def _shown(kind: JsonValue) -> str:
    return str(kind)[:TYPE_CHARS_SHOWN_MAX]


def _checked(kind: type[Any], given: JsonObject, where: tuple[str | int, ...]) -> Any:
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        raise FieldInvalid(fault["msg"], loc=("body", *where, *fault["loc"]), kind=fault["type"]) from None
