"""What each provider's API accepts: Mentha's chat options in, the provider's options and warnings out; and its models' windows. Pure.

An option that an endpoint refuses or ignores is left out *with a warning*, so that the caller learns of it and the turn still runs.
Which endpoint it is, its address tells: a proxy or a local server behind `OPENAI_BASE_URL` is not OpenAI.

Sources: each vendor's reference of its chat endpoint and its page on OpenAI compatibility, read in November 2026; for Gemini, which has
no list, the refusals that its users report (`Unknown name "seed": Cannot find field`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from mentha.core.json import JsonObject, JsonValue
from mentha.providers.routing import LOCAL_PROVIDERS
from mentha.providers.types import Options, Route

# Options that go through as they are, where a profile does not say otherwise.
PLAIN = (
    "temperature",
    "top_p",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "length_penalty",
    "min_p",
    "logit_bias",
)
# No part of OpenAI's API: servers that are strict about unknown fields refuse them.
EXTENSIONS = frozenset({"repetition_penalty", "length_penalty", "min_p"})
PENALTIES = frozenset({"frequency_penalty", "presence_penalty"})
# In Mentha's API a seed of -1 means: no seed.
NO_SEED = -1
# The name that OpenAI's API demands of a schema, for callers that send only the schema.
SCHEMA_NAME = "response"


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of endpoint.

    Attributes:
        title: as it stands in warnings.
        dropped: options that it refuses or ignores.
        renamed: its own names for options.
        reasoning: names of models, by pattern, that take `dropped_by_reasoning` for an error.
    """

    title: str
    dropped: frozenset[str] = frozenset()
    renamed: tuple[tuple[str, str], ...] = ()
    temperature_max: float | None = None
    reasoning: re.Pattern[str] | None = None
    dropped_by_reasoning: frozenset[str] = frozenset()


GENERIC = Profile("this provider")
OPENAI = Profile(
    "OpenAI",
    dropped=EXTENSIONS,
    renamed=(("max_tokens", "max_completion_tokens"),),
    reasoning=re.compile(r"o[134](-|$)"),
    dropped_by_reasoning=PENALTIES | {"temperature", "top_p", "logit_bias", "stop"},
)
ANTHROPIC = Profile(
    "Anthropic's OpenAI-compatible endpoint",
    dropped=EXTENSIONS | PENALTIES | {"logit_bias", "seed", "response_format"},
    temperature_max=1.0,
)
GEMINI = Profile("Gemini's OpenAI-compatible endpoint", dropped=EXTENSIONS | PENALTIES | {"logit_bias", "seed"})
GROQ = Profile("Groq", dropped=EXTENSIONS | {"logit_bias"})
MISTRAL = Profile("Mistral", dropped=EXTENSIONS | {"logit_bias"}, renamed=(("seed", "random_seed"),))
OPENROUTER = Profile("OpenRouter", dropped=frozenset({"length_penalty"}))
OLLAMA = Profile("Ollama's OpenAI-compatible endpoint", dropped=EXTENSIONS | {"logit_bias"})

BY_HOST = {
    "api.openai.com": OPENAI,
    "api.anthropic.com": ANTHROPIC,
    "generativelanguage.googleapis.com": GEMINI,
    "api.groq.com": GROQ,
    "api.mistral.ai": MISTRAL,
    "openrouter.ai": OPENROUTER,
}
# Servers that run anywhere, so that only the operator's name for them tells what they are.
BY_NAME = {"ollama": OLLAMA}

# Tokens that one request can make use of, by the beginning of a model's name; the longest beginning counts. Where a vendor limits what goes
# in to less than the whole window, that limit stands here; where models with one beginning differ, the smallest. A name that is not here
# has no known window. Source: each vendor's page of models, as of the date above. `model_windows` in the settings wins.
WINDOWS: dict[str, int] = {
    "gpt-3.5-turbo": 16_385,
    "gpt-4": 8_192,
    "gpt-4-32k": 32_768,
    "gpt-4-turbo": 128_000,
    "gpt-4-1106": 128_000,
    "gpt-4-0125": 128_000,
    "gpt-4o": 128_000,
    "chatgpt-4o": 128_000,
    "gpt-4.1": 1_047_576,
    "gpt-5": 272_000,
    "gpt-5-chat": 128_000,
    "gpt-oss-": 131_072,
    "o1": 200_000,
    "o1-mini": 128_000,
    "o1-preview": 128_000,
    "o3": 200_000,
    "o4-mini": 200_000,
    "claude-": 200_000,
    "claude-2.0": 100_000,
    "claude-instant": 100_000,
    "gemini-1.5-flash": 1_048_576,
    "gemini-1.5-pro": 2_097_152,
    "gemini-2.": 1_048_576,
    "gemini-3": 1_048_576,
    "gemini-pro-1.5": 2_097_152,
    "mistral-large": 131_072,
    "mistral-medium": 131_072,
    "mistral-small": 131_072,
    "mistral-small-24": 32_768,
    "ministral-": 131_072,
    "pixtral-": 131_072,
    "codestral-": 131_072,
    "codestral-2405": 32_768,
    "open-mistral-nemo": 131_072,
    "open-mistral-7b": 32_768,
    "open-mixtral-8x7b": 32_768,
    "open-mixtral-8x22b": 65_536,
    "mixtral-8x7b": 32_768,
    "llama3-": 8_192,
    "llama-3-": 8_192,
    "llama-3.1-": 131_072,
    "llama-3.3-": 131_072,
    "gemma2-": 8_192,
    "gemma-2-": 8_192,
    "deepseek-chat": 65_536,
    "deepseek-reasoner": 65_536,
}
_WINDOW = re.compile("|".join(re.escape(name) for name in sorted(WINDOWS, key=len, reverse=True)))


def profile(route: Route) -> Profile:
    """What the endpoint of `route` is known to accept."""
    host = urlsplit(route.base_url).hostname or ""
    # OpenAI's regional endpoints are subdomains: eu.api.openai.com.
    if host.endswith(".api.openai.com"):
        return OPENAI
    return BY_HOST.get(host) or BY_NAME.get(route.provider, GENERIC)


def options(route: Route, given: JsonObject) -> Options:
    """The body's options for this provider, and a warning for each one that was left out or changed.

    Args:
        given: Mentha's chat options, unset ones absent or `None`; names that are no options are passed over. `n` is never sent.
    """
    target = profile(route)
    body = _shaped(given)
    warnings: list[str] = []
    dropped = target.dropped
    if target.reasoning and target.reasoning.match(route.model):
        dropped = dropped | target.dropped_by_reasoning
    for name in [name for name in body if name in dropped]:
        del body[name]
        warnings.append(f"`{name}` was not sent: {target.title} does not accept it for the model `{route.model}`")
    if target.temperature_max is not None and body.get("temperature", 0) > target.temperature_max:
        body["temperature"] = target.temperature_max
        warnings.append(f"`temperature` was lowered to {target.temperature_max}: {target.title} takes no higher one")
    for ours, theirs in target.renamed:
        if ours in body:
            body[theirs] = body.pop(ours)
    return Options(body, warnings)


def window(route: Route, known: Mapping[str, int]) -> int | None:
    """How many tokens the model of `route` takes, question and answer together; None where that is not known.

    Args:
        known: the operator's own, by a name that requests use, by `provider/model`, or by the name that is sent.
    """
    for name in (route.requested, f"{route.provider}/{route.model}", route.model):
        if name in known:
            return known[name]
    # What a server on the operator's machine takes is set there, mostly to far less than the model could.
    found = None if route.provider in LOCAL_PROVIDERS else _WINDOW.match(route.model.rpartition("/")[2])
    return WINDOWS[found[0]] if found else None


def _shaped(given: JsonObject) -> JsonObject:
    """The options as OpenAI's API writes them, in a fixed order, unset and empty ones absent."""
    body: JsonObject = {name: given[name] for name in PLAIN if given.get(name) is not None}
    if not body.get("logit_bias", True):
        del body["logit_bias"]
    if given.get("stop"):
        body["stop"] = given["stop"]
    if given.get("seed") not in (None, NO_SEED):
        body["seed"] = given["seed"]
    if given.get("max_tokens") is not None:
        body["max_tokens"] = given["max_tokens"]
    response_format = _response_format(given.get("response_format"))
    if response_format is not None:
        body["response_format"] = response_format
    if given.get("tools"):
        body["tools"] = given["tools"]
        # Without tools, OpenAI and others take a choice for an error.
        if given.get("tool_choice") is not None:
            body["tool_choice"] = _tool_choice(given["tool_choice"])
    return body


def _response_format(value: JsonValue) -> JsonObject | None:
    """`text` is everybody's default and is left out; a bare schema is wrapped and named."""
    if not isinstance(value, dict) or value.get("type") in (None, "text"):
        return None
    if value["type"] != "json_schema":
        return value
    schema = value.get("json_schema") or {}
    if not isinstance(schema.get("schema"), dict):
        return {"type": "json_schema", "json_schema": {"name": SCHEMA_NAME, "schema": schema}}
    return {"type": "json_schema", "json_schema": {"name": SCHEMA_NAME, **schema}}


def _tool_choice(value: JsonValue) -> JsonValue:
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        return {"type": "function", "function": {"name": value["function"].get("name")}}
    return value
