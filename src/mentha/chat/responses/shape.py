"""From a request for a response to the parts of a turn, and to the response as it is shown until it is complete. Pure."""

from dataclasses import dataclass
from uuid import UUID, uuid5

from mentha.chat.answer import Head
from mentha.chat.form import System
from mentha.chat.responses import items
from mentha.core.errors import NotFound
from mentha.core.ids import new_id
from mentha.core.json import JsonObject
from mentha.wire import responses as wire
from mentha.wire.chat import ChatInput, NamedFunction, NamedToolChoice
from mentha.wire.responses import CreateResponse, FunctionTool
from mentha.wire.tools import CreateToolRequest, FunctionDef

AGENT = "agent:"
# Beside `model`, the member of `metadata` that names the agent, so that `model` can name a model.
AGENT_KEY = "agent"


class _Function(FunctionDef):
    """A function whose arguments the provider is to hold to its schema."""

    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for a response, checked.

    Attributes:
        agent: the id or canonical name of an agent; None for the one that is made for this.
        ids: of the entries of the new messages.
        skeleton: the response as it is shown until it is complete.
    """

    agent: str | None
    chat: ChatInput
    system: System
    options: JsonObject
    ids: tuple[UUID, ...]
    input: list[JsonObject]
    skeleton: JsonObject
    previous: UUID | None
    conversation: UUID | None
    stored: bool
    background: bool
    streamed: bool
    overflow: str | None


def asked(body: CreateResponse, head: Head) -> Asked:
    """What a request asks for.

    Raises:
        BadRequest: something that is not supported, or goes against itself.
        FieldInvalid: an item or a tool with wrong fields.
        NotFound: the id of the previous response or of the conversation is none.
    """
    wire.check(body)
    agent, model = _agent(body)
    messages = items.messages_of(wire.items(body.input))
    ids = tuple(new_id() for _ in messages)
    functions = wire.tools(body.tools)
    given = [
        item for entry_id, message in zip(ids, messages, strict=True) for item in items.items_of(entry_id, message.model_dump(mode="json"))
    ]
    return Asked(
        agent=agent,
        chat=ChatInput.model_construct(
            _fields_set={"messages", "tools", "tool_choice", "stream", "save", "auto_run_tools", *_options(body, model)},
            messages=messages,
            tools=[_tool(function) for function in functions],
            tool_choice=_choice(wire.tool_choice(body.tool_choice)),
            stream=bool(body.stream),
            auto_run_tools=True,
            save=body.store is not False or body.conversation is not None,
            **_options(body, model),
        ),
        system=System(body.instructions or "", alone=agent is None),
        options=_sent_as_is(body, functions),
        ids=ids,
        input=given,
        skeleton=_skeleton(body, head, functions),
        previous=_id(body.previous_response_id, "Previous response"),
        conversation=_id(conversation_of(body), "Conversation"),
        stored=body.store is not False,
        background=bool(body.background),
        streamed=bool(body.stream),
        overflow="truncate" if body.truncation == "auto" else None,
    )


def made_agent(tenant: UUID) -> UUID:
    """The id of the agent of a tenant's requests that name none."""
    return uuid5(tenant, "mentha: the agent of responses")


def unstored_session(agent_id: UUID, overflow: str | None) -> UUID:
    """The id of the session of responses that are not stored: nothing is ever stored in it."""
    return uuid5(agent_id, f"mentha: responses that are not stored, {overflow}")


def conversation_of(body: CreateResponse) -> str | None:
    """The id of a request's conversation, as it was sent."""
    return body.conversation if isinstance(body.conversation, str | None) else body.conversation.id


def error_of(status: int, message: str) -> JsonObject:
    """The `error` of a response that failed; the codes are OpenAI's."""
    code = "rate_limit_exceeded" if status == 429 else "invalid_prompt" if status < 500 else "server_error"
    return {"code": code, "message": message}


def _id(shown: str | None, what: str) -> UUID | None:
    if shown is None:
        return None
    found = items.id_of(shown)
    if found is None:
        raise NotFound(f"{what} not found")
    return found


def _agent(body: CreateResponse) -> tuple[str | None, str | None]:
    """The agent that a request names, and the model."""
    model = body.model
    if model and model.startswith(AGENT):
        return model.removeprefix(AGENT), None
    return (body.metadata or {}).get(AGENT_KEY), model


def _options(body: CreateResponse, model: str | None) -> JsonObject:
    stop = [body.stop] if isinstance(body.stop, str) else body.stop
    options: JsonObject = {
        "model": model,
        "max_tokens": body.max_output_tokens,
        "temperature": body.temperature,
        "top_p": body.top_p,
        "frequency_penalty": body.frequency_penalty,
        "presence_penalty": body.presence_penalty,
        "logit_bias": body.logit_bias,
        "stop": stop,
        "response_format": _format(body),
    }
    return {name: value for name, value in options.items() if value is not None}


def _format(body: CreateResponse) -> JsonObject | None:
    form = body.text.format if body.text else None
    if form is None or form.type == "text":
        return None
    if form.type == "json_object":
        return {"type": "json_object"}
    schema = {"name": form.name, "description": form.description, "schema": form.json_schema or {}, "strict": form.strict}
    return {"type": "json_schema", "json_schema": {name: value for name, value in schema.items() if value is not None}}


def _sent_as_is(body: CreateResponse, functions: list[FunctionTool]) -> JsonObject:
    sent: JsonObject = {}
    if body.parallel_tool_calls is False and functions:
        sent["parallel_tool_calls"] = False
    if body.reasoning and body.reasoning.effort:
        sent["reasoning_effort"] = body.reasoning.effort
    if body.text and body.text.verbosity:
        sent["verbosity"] = body.text.verbosity
    return sent


def _tool(function: FunctionTool) -> CreateToolRequest:
    # Names of OpenAI's functions may be longer than those of an agent's tools, and have dashes: that was checked.
    return CreateToolRequest.model_construct(
        name=function.name,
        type="function",
        description=function.description,
        function=_Function(
            name=None, description=None, parameters=function.parameters or {"type": "object", "properties": {}}, strict=function.strict
        ),
    )


def _choice(choice: str | None) -> str | NamedToolChoice | None:
    return NamedToolChoice(function=NamedFunction(name=choice[1:])) if choice and choice.startswith(":") else choice


def _skeleton(body: CreateResponse, head: Head, functions: list[FunctionTool]) -> JsonObject:
    conversation = conversation_of(body)
    text = body.text.model_dump(by_alias=True, exclude_none=True) if body.text else {}
    return {
        "id": f"resp_{head.id.hex}",
        "object": "response",
        "created_at": int(head.created_at.timestamp()),
        "status": "in_progress",
        "background": bool(body.background),
        "error": None,
        "incomplete_details": None,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "max_tool_calls": None,
        "model": body.model or "",
        "output": [],
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": body.previous_response_id,
        "conversation": {"id": conversation} if conversation else None,
        "reasoning": {"effort": body.reasoning.effort if body.reasoning else None, "summary": None},
        "store": body.store is not False,
        "temperature": 1.0 if body.temperature is None else body.temperature,
        "text": {**text, "format": text.get("format") or {"type": "text"}},
        "tool_choice": body.tool_choice or "auto",
        "tools": [{"strict": None, "description": None, "parameters": None, **function.model_dump()} for function in functions],
        "top_logprobs": 0,
        "top_p": 1.0 if body.top_p is None else body.top_p,
        "truncation": body.truncation or "disabled",
        "usage": None,
        "user": None,
        "metadata": body.metadata or {},
        "mentha": {},
    }
