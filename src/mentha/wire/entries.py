"""Entries: the stored messages of a session."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from mentha.wire.common import Wire, read_only

Role = Literal["user", "assistant", "system", "tool"]
Source = Literal["api_request", "api_response", "tool_request", "tool_response", "internal", "summarizer", "meta"]

SOURCES: tuple[Source, ...] = ("api_request", "api_response", "tool_request", "tool_response", "internal", "summarizer", "meta")
# Without the parameter `sources`, tool traffic stays hidden, as the original had it.
SOURCES_DEFAULT: tuple[Source, ...] = ("api_request", "api_response")


class Entry(Wire):
    """One stored message."""

    id: UUID = Field(json_schema_extra=read_only())
    role: Role
    name: str | None = None
    content: list[dict[str, Any]] = Field(description="Parts; plain text is one part of type text")
    source: Source
    tokenizer: str
    token_count: int
    model: str
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    created_at: datetime = Field(json_schema_extra=read_only())
    timestamp: datetime = Field(description="The time that this entry refers to")


class Relation(Wire):
    """That one entry stands for, or comes from, another one."""

    head: UUID
    relation: str
    tail: UUID


class History(Wire):
    """The entries of a session in the order in which they were stored."""

    entries: list[Entry]
    relations: list[Relation]
    session_id: UUID = Field(json_schema_extra=read_only())
    created_at: datetime = Field(json_schema_extra=read_only())
