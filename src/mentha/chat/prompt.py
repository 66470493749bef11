"""Third stage of a turn: what is sent to which model, with which options. Pure; templates are rendered between `draft` and `compose`.

draft(context, recalled, request) → Drafted ── its templates are rendered ──→ compose(drafted, texts) → Prompt
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mentha.chat import budget
from mentha.chat.budget import Fitted
from mentha.chat.context import Context
from mentha.chat.messages import drafts, templates_of, with_texts
from mentha.chat.recalled import Recalled
from mentha.core.errors import BadRequest, FieldInvalid
from mentha.core.json import JsonObject, dumps
from mentha.tools import offer
from mentha.tools.integrations.overrides import overridden
from mentha.tools.mcp import discovery
from mentha.tools.messages import Draft
from mentha.wire.chat import OPTIONS, ChatInput, NamedToolChoice
from mentha.wire.default_template import DEFAULT_SYSTEM_TEMPLATE
from mentha.wire.tools import plain, shown

_SESSION_HIDDEN = ("recall_options",)


@dataclass(frozen=True, slots=True)
class Drafted:
    """What a turn is about to send, before its templates are rendered.

    Attributes:
        model: the name asked for.
        options: settings for the model, by the names of `wire/chat.py`.
        tools: tools to offer, as create-tool objects; those of the agent are as stored, with their `id`. `variables["tools"]` has them as
            answers show them.
        tool_choice: as a provider takes it, None for its default.
        messages: the new messages.
        templates: the system template, then those of the messages, in order.
        variables: what templates can name.
        warnings: what was asked for and is not done.
        instructions: said after the system template, as they are.
    """

    model: str
    options: JsonObject
    tools: list[JsonObject]
    tool_choice: Any
    messages: list[Draft]
    templates: list[str]
    variables: JsonObject
    warnings: list[str]
    instructions: str = ""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a turn sends.

    Attributes:
        messages: the JSON array of all messages: system, history, new ones.
        new: the new messages, rendered.
        system: the rendered system message, blank for none.
        fitted: what of the history is sent, where the context has to fit.
    """

    drafted: Drafted
    messages: bytes
    new: list[Draft]
    system: str = ""
    fitted: Fitted | None = None


def draft(context: Context, recalled: Recalled, request: ChatInput, *, default_model: str | None, messages_max: int) -> Drafted:
    """Decide model, options, tools and messages.

    Raises:
        BadRequest: no model is named anywhere.
        FieldInvalid: too many messages, or `tool_choice` names a tool that is not offered.
    """
    if len(request.messages) > messages_max:
        raise FieldInvalid(f"at most {messages_max} messages in one request", loc=("body", "messages"), kind="too_long")
    settings, unknown = _settings(context.agent, request)
    model = settings.pop("model", None) or default_model
    if not model:
        raise BadRequest("no model is named", fix="set `model` in the agent or in this request, or the server's setting default_model")
    warnings = list[str]()
    tools = overridden(_tools(context.agent, request), [context.agent.get("metadata"), context.session.get("metadata")])
    new = drafts(request.messages, context.open_calls)
    templates = [_system_template(context)]
    if context.session["render_templates"]:
        templates += [text for message in new for text in templates_of(message)]
    return Drafted(
        model=model,
        options=settings,
        tools=tools,
        tool_choice=_tool_choice(request, tools, warnings),
        messages=new,
        templates=templates,
        variables={**_variables(context, request, model, settings, tools), "docs": recalled.for_templates},
        warnings=[*unknown, *warnings, *recalled.warnings, *_not_done(context, request)],
    )


def with_system(drafted: Drafted, instructions: str, *, alone: bool) -> Drafted:
    """The same with instructions of the request's own, and with messages that are no templates.

    Args:
        alone: without the system template.
    """
    return replace(drafted, templates=["" if alone else drafted.templates[0]], instructions=instructions)


def system_of(drafted: Drafted, rendered: str) -> str:
    """The system message: the rendered template and the instructions, as far as there are any."""
    return "\n\n".join(text for text in (rendered.strip(), drafted.instructions) if text) if drafted.instructions else rendered


def with_tools(drafted: Drafted, tools: list[JsonObject], missing: Sequence[str]) -> Drafted:
    """What is about to be sent with other tools: those of MCP servers in the place of the ones that stand for them.

    Args:
        missing: warnings of servers whose tools are not there.

    Raises:
        FieldInvalid: `tool_choice` names a tool that is not offered, although nothing is missing.
    """
    choice, warnings = drafted.tool_choice, list(missing)
    if isinstance(choice, dict):
        name = choice["function"]["name"]
        choice = discovery.choice_of(name, drafted.tools, tools)
        if choice is None and not missing:
            raise _unknown_tool(name)
        if choice is None:
            warnings.append(f"tool_choice has no effect: there is no tool '{name}' now")
    elif choice and not tools:
        choice = None
    variables = {**drafted.variables, "tools": [shown(tool) for tool in tools]}
    return replace(drafted, tools=tools, tool_choice=choice, variables=variables, warnings=[*drafted.warnings, *warnings])


def new_messages(drafted: Drafted, rendered: Sequence[str]) -> list[Draft]:
    """The new messages, rendered."""
    return _rendered(drafted.messages, rendered[1:]) if len(rendered) > 1 else drafted.messages


def compose(context: Context, drafted: Drafted, rendered: Sequence[str], fitted: Fitted | None = None) -> Prompt:
    """Put system message, history and new messages together; the history stays the bytes that it is.

    Args:
        fitted: what of the history is sent; None where all of it is.
    """
    new = new_messages(drafted, rendered)
    history = context.history if fitted is None else fitted.history
    return Prompt(drafted, _messages(rendered[0], history, new), new, rendered[0], fitted)


def extended(prompt: Prompt, more: bytes, tokens: int) -> Prompt:
    """A prompt that has to fit, with further messages at its end, those of rounds with tools: less of the history makes room for them.

    Args:
        prompt: as `compose` made it.
        more: all further messages so far, comma-joined JSON.
        tokens: how many these have, as `fit.count` counts them.

    Raises:
        BadRequest: not even what has to be sent fits.
    """
    if prompt.fitted is None:
        return replace(prompt, messages=prompt.messages[:-1] + b"," + more + b"]")
    fitted = budget.again(prompt.fitted, tokens)
    return replace(prompt, messages=_messages(prompt.system, fitted.history, prompt.new, more), fitted=fitted)


def body(model: str, prompt: Prompt, options: JsonObject, *, stream: bool) -> bytes:
    """The body of the request to the provider; `messages` goes in as the bytes that it is."""
    rest = dict(options)
    if stream:
        rest |= {"stream": True, "stream_options": {"include_usage": True}}
    return b'{"model":' + dumps(model) + b',"messages":' + prompt.messages + (b"," + dumps(rest)[1:] if rest else b"}")


def offered(drafted: Drafted) -> JsonObject:
    """Tools and choice as OpenAI's API has them; empty where there are none."""
    return offer.offered(drafted.tools, drafted.tool_choice)


def _settings(agent: JsonObject, request: ChatInput) -> tuple[JsonObject, list[str]]:
    """Model and options: the agent's model < its default settings < what the request says, an explicit null included."""
    defaults = agent["default_settings"] or {}
    merged: JsonObject = {"model": agent["model"] or None, **{key: value for key, value in defaults.items() if key in (*OPTIONS, "model")}}
    said = request.model_dump(mode="json", include=request.model_fields_set & {*OPTIONS, "model"})
    merged |= said
    unknown = [
        f"the agent's default_settings hold '{key}', which is no setting of a chat" for key in defaults if key not in (*OPTIONS, "model")
    ]
    return {key: value for key, value in merged.items() if value is not None}, unknown


def _tools(agent: JsonObject, request: ChatInput) -> list[JsonObject]:
    """The agent's tools, then the request's; of two with one name the agent's counts."""
    own = [
        {"id": t.get("id"), "name": t["name"], "type": t["type"], "description": t["description"], t["type"]: t["spec"]}
        for t in agent["tools"] or ()
    ]
    by_name: dict[str, JsonObject] = {}
    for tool in [*own, *(plain(tool) for tool in request.tools or ())]:
        by_name.setdefault(tool["name"], tool)
    return list(by_name.values())


def _tool_choice(request: ChatInput, tools: list[JsonObject], warnings: list[str]) -> Any:
    choice = request.tool_choice
    if choice is None:
        return None
    if isinstance(choice, NamedToolChoice):
        name = choice.function.name
        if name not in {tool["name"] for tool in tools} and not discovery.may_name(tools, name):
            raise _unknown_tool(name)
        return {"type": "function", "function": {"name": name}}
    if not tools:
        warnings.append("tool_choice has no effect: no tool is offered")
        return None
    return choice


def _unknown_tool(name: str) -> FieldInvalid:
    return FieldInvalid(f"no tool '{name}' is offered", loc=("body", "tool_choice", "function", "name"), kind="unknown_tool")


def _system_template(context: Context) -> str:
    chosen = context.session["system_template"]
    if chosen is None:
        chosen = context.agent["default_system_template"]
    return DEFAULT_SYSTEM_TEMPLATE if chosen is None else chosen


def _variables(context: Context, request: ChatInput, model: str, settings: JsonObject, tools: list[JsonObject]) -> JsonObject:
    agents = [{key: value for key, value in agent.items() if key != "tools"} for agent in context.agents]
    agent = next(each for each in agents if each["id"] == context.agent["id"])
    return {
        "session": {key: value for key, value in context.session.items() if key not in _SESSION_HIDDEN},
        "agent": agent,
        "current_agent": agent,
        "agents": agents,
        "user": context.users[0] if context.users else None,
        "users": context.users,
        "settings": {"model": model, **settings},
        "tools": [shown(tool) for tool in tools],
        "metadata": request.metadata or {},
    }


def _not_done(context: Context, request: ChatInput) -> list[str]:
    session = context.session
    asked = {
        "token_budget has no effect without context_overflow: the whole history is sent": (
            session["token_budget"] and session["context_overflow"] is None
        ),
        "remember does not act yet": request.remember,
    }
    return [text for text, is_asked in asked.items() if is_asked]


def _messages(system: str, history: bytes, new: Sequence[Draft], more: bytes = b"") -> bytes:
    first = [dumps({"role": "system", "content": system})] if system.strip() else []
    parts = [*first, history, *(dumps(draft.message) for draft in new), more]
    return b"[" + b",".join(part for part in parts if part) + b"]"


def _rendered(messages: Sequence[Draft], texts: Sequence[str]) -> list[Draft]:
    left = list(texts)
    done: list[Draft] = []
    for message in messages:
        count = len(templates_of(message))
        done.append(with_texts(message, left[:count]) if count else replace(message))
        left = left[count:]
    return done
