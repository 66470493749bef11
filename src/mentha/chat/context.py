"""What a turn knows of its session. Pure; `load.py` fills it from the database."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from mentha.core.errors import BadRequest
from mentha.core.json import JsonObject


@dataclass(frozen=True, slots=True)
class Context:
    """A session as a turn sees it.

    Attributes:
        started_at: the database's clock when it was read.
        session: the session's fields, with `agent`, `agents`, `user`, `users` as ids.
        agent: the one that answers, with its `tools`.
        agents: all, in the order given.
        users: all, in the order given.
        history: comma-joined JSON messages, b"" for none, and where the context has to fit: then `fit.py` reads what can.
        history_count: how many they are.
        last_seq: the number of the session's last entry when it was read.
        open_calls: ids of tool calls at the end of the history that have no result yet.
        has_docs: whether one of the agents or users has documents.
        has_secrets: whether the tenant has any, among which may be keys of providers.
        fold_job: the job that folds the session, where one waits or runs.
        sources: which entries are replayed.
    """

    started_at: datetime
    session: JsonObject
    agent: JsonObject
    agents: list[JsonObject]
    users: list[JsonObject]
    history: bytes
    history_count: int
    last_seq: int
    open_calls: tuple[str, ...]
    has_docs: bool = False
    has_secrets: bool = False
    fold_job: UUID | None = None
    sources: tuple[str, ...] = ()


def active_agent(agents: list[JsonObject], wanted: UUID | None) -> JsonObject:
    """The agent that answers: the one asked for, else the first.

    Raises:
        BadRequest: none is left, or the wanted one is not among them.
    """
    if not agents:
        raise BadRequest(
            "this session has no agent any more", fix="give it one with PUT /sessions/{id} and `agent`, or start a new session"
        )
    if wanted is None:
        return agents[0]
    for agent in agents:
        if agent["id"] == str(wanted):
            return agent
    raise BadRequest("`agent` is not in this session", fix="name one of the session's agents, or leave `agent` out")


def open_calls(tail: list[JsonObject]) -> tuple[str, ...]:
    """Ids of the calls in the last messages of a history that no result answers, in order."""
    called = [str(call.get("id")) for message in tail if message["role"] == "assistant" for call in message.get("tool_calls") or ()]
    answered = {message.get("tool_call_id") for message in tail if message["role"] == "tool"}
    return tuple(call for call in called if call not in answered)
