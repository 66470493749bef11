"""OpenAI's Conversations: a session under another name.

Source: the types of the official `openai` SDK 3.54.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from mentha.wire.common import Wire
from mentha.wire.responses import Metadata

# Of one request, as OpenAI's API has it.
ITEMS_AT_ONCE_MAX = 20


class CreateConversation(Wire):
    """A request for a conversation."""

    items: Annotated[list[dict[str, Any]], Field(max_length=ITEMS_AT_ONCE_MAX)] | None = None
    metadata: Metadata | None = None


class UpdateConversation(Wire):
    """A request to replace the metadata of a conversation."""

    metadata: Metadata | None


class CreateItems(Wire):
    """Items to put at the end of a conversation."""

    items: list[dict[str, Any]] = Field(min_length=1, max_length=ITEMS_AT_ONCE_MAX)


class Conversation(BaseModel):
    """A conversation."""

    id: str
    object: Literal["conversation"] = "conversation"
    created_at: int
    metadata: dict[str, Any]


class DeletedConversation(BaseModel):
    """That a conversation is gone."""

    id: str
    object: Literal["conversation.deleted"] = "conversation.deleted"
    deleted: bool = True
