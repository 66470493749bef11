"""The values that go in and out of this package. All frozen; none holds a connection."""

from dataclasses import dataclass
from typing import Literal

from pydantic import SecretStr

from mentha.core.json import JsonObject, JsonValue

FinishReason = Literal["stop", "length", "content_filter", "tool_calls"]

# The model that ships with Mentha, needs no key and calls nobody. It is used only where a request asks for it by this name.
ECHO_MODEL = "mentha/echo"
# The provider name of the above; no configured provider may have it.
ECHO_PROVIDER = "mentha"


@dataclass(frozen=True, slots=True)
class Route:
    """Where one request goes.

    Attributes:
        provider: the name in the settings' table, or `mentha` for the echo model.
        base_url: without a trailing slash; empty for the echo model.
        model: the name as it is sent to the provider.
        requested: the name as the agent or the request has it.
        api_key: `None` where the endpoint needs none.
    """

    provider: str
    base_url: str
    model: str
    requested: str
    api_key: SecretStr | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider counted them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer.

    Attributes:
        content: `None` where the model only called tools.
        tool_calls: `{id, type: "function", function: {name, arguments: "<json>"}}` each; every one has an id. Empty where there are none.
        finish_reason: `tool_calls` whenever there are tool calls and the provider said `stop`.
        model: the name that the provider reports, else the one that was sent.
    """

    role: str
    content: str | None
    tool_calls: list[JsonObject]
    finish_reason: FinishReason
    logprobs: JsonValue | None
    usage: Usage | None
    model: str


@dataclass(frozen=True, slots=True)
class Delta:
    """One piece of a streamed answer.

    Attributes:
        tool_calls: as in the provider's chunk; every entry has an `index`, also where the provider left it out.
        finish_reason: set in exactly one delta of a stream that ends well. The usage may come in that delta or in a later one.
    """

    content: str | None = None
    tool_calls: list[JsonObject] | None = None
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    model: str | None = None
    logprobs: JsonValue | None = None


@dataclass(frozen=True, slots=True)
class EmbedderCall:
    """One request to an endpoint of embeddings.

    Attributes:
        ok: whether there was an answer; without one there are no tokens.
        first: which of the texts that were given together its first one was.
        chars: of each of its texts, instruction included.
        tokens: as the provider counted them, or as they were counted here.
        estimated: they were counted here.
        cost: US dollars, None where the price is not known.
    """

    provider: str
    model: str
    ok: bool
    first: int
    chars: tuple[int, ...]
    tokens: int = 0
    estimated: bool = False
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """What to put in the body of a request beside `model`, `messages` and `stream`, and what was left out, in words for the caller."""

    body: JsonObject
    warnings: list[str]


@dataclass(frozen=True, slots=True)
class ProviderCheck:
    """The state of one provider, for `mentha doctor`. `detail` is one line and holds no key."""

    name: str
    ok: bool
    detail: str
