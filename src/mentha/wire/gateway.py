"""OpenAI's chat completions as they pass through to a provider: only what the gateway itself needs is looked at.

Source: the types of the official `openai` SDK 3.54.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from mentha.wire.chat import MESSAGES_HARD_MAX


class ChatCompletionRequest(BaseModel):
    """A chat request. Everything beside these fields goes to the provider as it is."""

    model_config = ConfigDict(extra="allow")

    model: str = Field(min_length=1, max_length=255)
    messages: list[dict[str, Any]] = Field(min_length=1, max_length=MESSAGES_HARD_MAX)
    stream: StrictBool | None = None
    stream_options: dict[str, Any] | None = None


class ChatCompletion(BaseModel):
    """The provider's answer, as it came."""

    model_config = ConfigDict(extra="allow")

    id: str
    object: Literal["chat.completion"] = "chat.completion"


class Model(BaseModel):
    """A model that can be asked."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str


class ModelList(BaseModel):
    """All models that can be asked."""

    object: Literal["list"] = "list"
    data: list[Model]
