"""Tools of type `system`: calls of this API itself. One table, `CALLS`, of those that make sense, with what each takes.

Source: section 5.3 of the tasks' spec for the combinations; names of arguments as in the API's paths and bodies.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple
from uuid import UUID

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from mentha.core.json import JsonObject
from mentha.wire.common import LIST_LIMIT_MAX, Wire
from mentha.wire.schemas import Schema, choice, either, flag, integer, many, mapping, number, text

SystemResource = Literal["agent", "user", "task", "execution", "doc", "session", "job"]
SystemSubresource = Literal["tool", "doc", "execution", "transition"]
SystemOperation = Literal[
    "create", "update", "patch", "create_or_update", "embed", "change_status", "search", "chat", "history", "delete", "get", "list"
]
# Arguments may be given flat, or inside of one of these.
NESTING = ("data", "search_params")


class SystemCall(NamedTuple):
    """What a call does, in words for a model, and the names of what it takes (see `FIELDS`)."""

    text: str
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


def _id(what: str) -> Schema:
    return text(f"The id of the {what}", format="uuid")


FIELDS: dict[str, Schema] = {
    **{f"{what}_id": _id(what) for what in ("agent", "user", "session", "doc", "task", "execution", "tool", "job")},
    "about": text("What there is to know about it"),
    "agent": _id("agent"),
    "agents": many(_id("agent"), "The ids of the agents"),
    "alpha": number("How much meaning counts against words", minimum=0, maximum=1),
    "api_call": mapping("What a tool of this type calls"),
    "canonical_name": text("A unique name of letters, digits and underscores"),
    "confidence": number("How alike a document must be at least", minimum=-1, maximum=1),
    "content": either("The text, or several", text("A text"), many(text("A text"), "Texts")),
    "context_overflow": choice("What to do with a history that is too long", "truncate", "adaptive"),
    "default_settings": mapping("Settings of every turn, like temperature"),
    "description": text("What it is"),
    "direction": choice("The order", "asc", "desc"),
    "function": mapping("What a tool of this type takes"),
    "input": mapping("What to start with, or to go on with"),
    "input_schema": mapping("JSON Schema of its input"),
    "instructions": either("How to behave", text("An instruction"), many(text("An instruction"), "Instructions")),
    "integration": mapping("What a tool of this type calls"),
    "lang": text("The language, like en-US"),
    "limit": integer("How many at most", minimum=1, maximum=LIST_LIMIT_MAX),
    "main": many(mapping("A step"), "The steps"),
    "max_tokens": integer("How long the answer may be, in tokens", minimum=1),
    "messages": many(
        {
            "type": "object",
            "properties": {
                "role": choice("Who says it", "user", "assistant", "system", "tool"),
                # Null beside calls of tools.
                "content": either("What is said", text("The text"), many(mapping("A part"), "Texts and images"), {"type": "null"}),
            },
            "required": ["role"],
        },
        "The new messages",
    ),
    "metadata": mapping("Any members"),
    "metadata_filter": mapping("Only what has these members in its metadata"),
    "mmr_strength": number("How varied the results are", minimum=0, maximum=1),
    "model": text("The model"),
    "name": text("The name"),
    "offset": integer("How many to leave out", minimum=0),
    "project": text("The project"),
    "reason": text("Why"),
    "recall": flag("Whether to look into the documents"),
    "save": flag("Whether to store the messages"),
    "situation": text("The situation of the conversation"),
    "sort_by": choice("What to sort by", "created_at", "updated_at"),
    "status": choice("The new state", "queued", "starting", "running", "awaiting_input", "succeeded", "failed", "cancelled"),
    "system": mapping("What a tool of this type calls"),
    "system_template": text("The template of the system message"),
    "text": text("What to look for"),
    "texts": either("The text, or several", text("A text"), many(text("A text"), "Texts")),
    "title": text("The title"),
    "token_budget": integer("How long the context may be, in tokens", minimum=1),
    "tools": many(mapping("A tool"), "Tools"),
    "type": choice("The type", "function", "integration", "system", "api_call"),
    "user": _id("user"),
    "users": many(_id("user"), "The ids of the users"),
    "vector": many(number("A number"), "What to look for, as a vector of the server's embedder; `text` is enough"),
}
# Arguments whose name means something else in the one call.
_NAMED: dict[str, dict[str, str]] = {"doc.embed": {"text": "texts"}}

_PAGE = ("limit", "offset", "sort_by", "direction")
_FILTERED = (*_PAGE, "metadata_filter")
_AGENT = ("about", "model", "instructions", "canonical_name", "project", "metadata", "default_settings")
_USER = ("about", "metadata", "project")
_SESSION = ("situation", "metadata", "system_template", "token_budget", "context_overflow")
_PEOPLE = ("agent", "agents", "user", "users")
_TASK = ("description", "input_schema", "tools", "metadata")
_TOOL = ("description", "function", "integration", "system", "api_call")
_SEARCH = ("limit", "lang", "metadata_filter", "confidence", "alpha", "mmr_strength", "vector")


def _documents(owner: str) -> dict[str, SystemCall]:
    return {
        f"{owner}.doc.create": SystemCall(f"Give the {owner} a document", (f"{owner}_id", "title", "content"), ("metadata",)),
        f"{owner}.doc.get": SystemCall(f"Get a document of the {owner}", (f"{owner}_id", "doc_id")),
        f"{owner}.doc.list": SystemCall(f"List the documents of the {owner}", (f"{owner}_id",), _FILTERED),
        f"{owner}.doc.search": SystemCall(f"Search the documents of the {owner}", (f"{owner}_id",), ("text", *_SEARCH)),
        f"{owner}.doc.delete": SystemCall(f"Delete a document of the {owner}", (f"{owner}_id", "doc_id")),
    }


CALLS: dict[str, SystemCall] = {
    "agent.create": SystemCall("Create an agent", ("name",), _AGENT),
    "agent.get": SystemCall("Get an agent", ("agent_id",)),
    "agent.list": SystemCall("List agents", (), _FILTERED),
    "agent.update": SystemCall("Replace an agent", ("agent_id", "name"), _AGENT),
    "agent.patch": SystemCall("Change some fields of an agent", ("agent_id",), ("name", *_AGENT)),
    "agent.create_or_update": SystemCall("Create an agent under an id, or replace it", ("agent_id", "name"), _AGENT),
    "agent.delete": SystemCall("Delete an agent", ("agent_id",)),
    "agent.tool.create": SystemCall("Give the agent a tool", ("agent_id", "name", "type"), _TOOL),
    "agent.tool.get": SystemCall("Get a tool of the agent", ("agent_id", "tool_id")),
    "agent.tool.list": SystemCall("List the tools of the agent", ("agent_id",), _PAGE),
    "agent.tool.update": SystemCall("Replace a tool of the agent", ("agent_id", "tool_id", "name", "type"), _TOOL),
    "agent.tool.patch": SystemCall("Change some fields of a tool of the agent", ("agent_id", "tool_id"), ("name", "type", *_TOOL)),
    "agent.tool.delete": SystemCall("Take a tool from the agent", ("agent_id", "tool_id")),
    **_documents("agent"),
    "user.create": SystemCall("Create a user", (), ("name", *_USER)),
    "user.get": SystemCall("Get a user", ("user_id",)),
    "user.list": SystemCall("List users", (), _FILTERED),
    "user.update": SystemCall("Replace a user", ("user_id",), ("name", *_USER)),
    "user.patch": SystemCall("Change some fields of a user", ("user_id",), ("name", *_USER)),
    "user.create_or_update": SystemCall("Create a user under an id, or replace it", ("user_id",), ("name", *_USER)),
    "user.delete": SystemCall("Delete a user", ("user_id",)),
    **_documents("user"),
    "session.create": SystemCall("Start a session", (), (*_PEOPLE, *_SESSION)),
    "session.get": SystemCall("Get a session", ("session_id",)),
    "session.list": SystemCall("List sessions", (), _FILTERED),
    "session.update": SystemCall("Replace the settings of a session", ("session_id",), (*_PEOPLE, *_SESSION)),
    "session.patch": SystemCall("Change some settings of a session", ("session_id",), _SESSION),
    "session.create_or_update": SystemCall("Start a session under an id, or replace it", ("session_id",), (*_PEOPLE, *_SESSION)),
    "session.delete": SystemCall("Delete a session", ("session_id",)),
    "session.chat": SystemCall(
        "Say something in a session and get the answer", ("session_id", "messages"), ("agent", "model", "max_tokens", "recall", "save")
    ),
    "session.history": SystemCall("Get the messages of a session", ("session_id",), ("limit", "offset")),
    "task.create": SystemCall("Give an agent a task", ("agent_id", "name", "main"), _TASK),
    "task.get": SystemCall("Get a task", ("task_id",)),
    "task.list": SystemCall("List the tasks of an agent", ("agent_id",), _FILTERED),
    "task.update": SystemCall("Replace a task", ("agent_id", "task_id", "name", "main"), _TASK),
    "task.patch": SystemCall("Change some fields of a task", ("agent_id", "task_id"), ("name", "main", *_TASK)),
    "task.create_or_update": SystemCall("Create a task under an id, or replace it", ("agent_id", "task_id", "name", "main"), _TASK),
    "task.delete": SystemCall("Delete a task", ("task_id",), ("agent_id",)),
    "task.execution.create": SystemCall("Run a task", ("task_id",), ("input", "metadata")),
    "task.execution.list": SystemCall("List the runs of a task", ("task_id",), _PAGE),
    "execution.create": SystemCall("Run a task", ("task_id",), ("input", "metadata")),
    "execution.get": SystemCall("Look at a run of a task", ("execution_id",)),
    "execution.list": SystemCall("List the runs of a task", ("task_id",), _PAGE),
    "execution.change_status": SystemCall("Go on with a run of a task, or stop it", ("execution_id", "status"), ("input", "reason")),
    "execution.transition.list": SystemCall("List the steps of a run of a task", ("execution_id",), _PAGE),
    "doc.get": SystemCall("Get a document", ("doc_id",)),
    "doc.embed": SystemCall("Turn texts into vectors", ("text",)),
    "job.get": SystemCall("Look at a job", ("job_id",)),
}


def call_name(spec: Mapping[str, Any]) -> str:
    """The name of a call in `CALLS`, like `agent.doc.search`."""
    parts = (spec["resource"], spec.get("subresource"), spec["operation"])
    return ".".join(part for part in parts if part)


def schema_of(name: str) -> Schema:
    """JSON Schema of what a call takes."""
    call, named = CALLS[name], _NAMED.get(name, {})
    properties = {each: FIELDS[named.get(each, each)] for each in (*call.required, *call.optional)}
    return {"type": "object", "properties": properties, **({"required": list(call.required)} if call.required else {})}


def presets_of(spec: Mapping[str, Any]) -> JsonObject:
    """The arguments that every call of a tool has, flat: `resource_id` is the id of its resource."""
    given: JsonObject = dict(spec.get("arguments") or {})
    for name in NESTING:
        inner = given.pop(name, None)
        given |= inner if isinstance(inner, dict) else {}
    resource_id = spec.get("resource_id")
    return {**given, f"{spec['resource']}_id": str(resource_id)} if resource_id else given


class SystemDef(Wire):
    """A call of this API."""

    resource: SystemResource = Field(description="What to work on")
    operation: SystemOperation = Field(description="What to do with it")
    resource_id: UUID | None = Field(None, description="The id of what to work on; the model gives it otherwise")
    subresource: SystemSubresource | None = Field(None, description="What of it to work on")
    arguments: dict[str, Any] | None = Field(None, description="Arguments that every call has; the model gives the others")

    @model_validator(mode="after")
    def _exists(self) -> "SystemDef":
        name = call_name({"resource": self.resource, "subresource": self.subresource, "operation": self.operation})
        if name not in CALLS:
            there = ", ".join(each for each in CALLS if each.startswith(f"{self.resource}."))
            raise PydanticCustomError("system_call", "There is no call '{name}'; there are: {there}", {"name": name, "there": there})
        return self
