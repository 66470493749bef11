"""What calls of providers cost, as it is asked for and answered."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from mentha.wire.common import Wire

Group = Literal["day", "hour", "model", "provider", "kind", "agent", "session", "execution", "step", "key"]
Kind = Literal["chat", "response", "summary", "gateway", "step", "embedding"]
GROUPS_AT_ONCE_MAX = 4


class UsageSums(Wire):
    """Sums over calls."""

    requests: int = Field(description="Calls of providers")
    failed: int = Field(description="Those of them that had no answer")
    estimated: int = Field(description="Those whose tokens were counted here, because their provider told none")
    unpriced: int = Field(description="Answered calls whose price is not known; they are not in `cost`")
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cost: float = Field(description="US dollars, by the prices of the time of each call")


class UsageGroup(UsageSums):
    """Sums over the calls of one group; the fields that it was not grouped by are null."""

    day: str | None = None
    hour: str | None = None
    model: str | None = None
    provider: str | None = None
    kind: str | None = None
    agent_id: UUID | None = None
    session_id: UUID | None = None
    execution_id: UUID | None = None
    step: str | None = None
    key_id: UUID | None = None


class Usage(Wire):
    """What calls of providers cost in a span of time."""

    start: datetime
    end: datetime
    total: UsageSums
    groups: list[UsageGroup] = Field(description="At most 1,000: by time where that is a group, else the most expensive first")
