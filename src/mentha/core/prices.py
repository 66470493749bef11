"""What models cost, in US dollars for a million tokens: a table of list prices, and the price of one call. Pure.

Prices change: the table is what vendors' pages listed for their own endpoints, without discounts for caches and batches, when it was
written. `model_prices` in the settings wins. A model that is in neither has no known price: a wrong figure would be worse than none.
"""

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

MILLION = 1_000_000
# Providers that run on the operator's machine bill nothing by the token.
FREE_PROVIDERS = frozenset({"mentha", "ollama", "vllm"})


# US dollars for a million tokens: of the prompt, of the answer.
Price = tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]]

# Name → (input, output). Dated and `-latest` forms of a name have its price; any other longer name is another model.
PRICES: dict[str, Price] = {
    "gpt-3.5-turbo": (0.50, 1.50),
    "gpt-4": (30.00, 60.00),
    "gpt-4-turbo": (10.00, 30.00),
    "gpt-4o": (2.50, 10.00),
    "gpt-4o-mini": (0.15, 0.60),
    "gpt-4.1": (2.00, 8.00),
    "gpt-4.1-mini": (0.40, 1.60),
    "gpt-4.1-nano": (0.10, 0.40),
    "gpt-5": (1.25, 10.00),
    "gpt-5-mini": (0.25, 2.00),
    "gpt-5-nano": (0.05, 0.40),
    "o1": (15.00, 60.00),
    "o3": (2.00, 8.00),
    "o3-mini": (1.10, 4.40),
    "o4-mini": (1.10, 4.40),
    "text-embedding-3-small": (0.02, 0.0),
    "text-embedding-3-large": (0.13, 0.0),
    "text-embedding-ada-002": (0.10, 0.0),
    "claude-3-haiku": (0.25, 1.25),
    "claude-3-opus": (15.00, 75.00),
    "claude-3-sonnet": (3.00, 15.00),
    "claude-3-5-haiku": (0.80, 4.00),
    "claude-3-5-sonnet": (3.00, 15.00),
    "claude-3-7-sonnet": (3.00, 15.00),
    "claude-sonnet-4": (3.00, 15.00),
    "claude-sonnet-4-5": (3.00, 15.00),
    "claude-opus-4": (15.00, 75.00),
    "claude-opus-4-1": (15.00, 75.00),
    "claude-haiku-4-5": (1.00, 5.00),
    "gemini-1.5-flash": (0.075, 0.30),
    "gemini-1.5-pro": (1.25, 5.00),
    "gemini-2.0-flash": (0.10, 0.40),
    "gemini-2.5-flash": (0.30, 2.50),
    "gemini-2.5-flash-lite": (0.10, 0.40),
    "gemini-2.5-pro": (1.25, 10.00),
    "mistral-large": (2.00, 6.00),
    "mistral-small": (0.10, 0.30),
    "codestral": (0.30, 0.90),
    "ministral-8b": (0.10, 0.10),
    "llama-3.1-8b-instant": (0.05, 0.08),
    "llama-3.3-70b-versatile": (0.59, 0.79),
}
# How vendors mark a version of the same model: -2024-08-06, -20241022, -0125, -001, -latest.
_VERSION = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8}|\d{6}|\d{3,4}|latest)\Z")


def price_of(provider: str, model: str, requested: str, own: Mapping[str, Price]) -> Price | None:
    """The price of a model; None where it is not known.

    Args:
        provider: its name in the settings.
        model: the name as it was sent to the provider.
        requested: the name as the agent or the request has it.
        own: the operator's prices, by any of these names or by `provider/model`. They win.
    """
    for name in (requested, f"{provider}/{model}", model):
        if name in own:
            return own[name]
    if provider in FREE_PROVIDERS:
        return 0.0, 0.0
    name = model.rpartition("/")[2]
    return PRICES.get(name) or PRICES.get(_VERSION.sub("", name))


def cost(price: Price | None, prompt_tokens: int, completion_tokens: int) -> float | None:
    """US dollars for a call; None where the price is not known."""
    if price is None:
        return None
    return (price[0] * prompt_tokens + price[1] * completion_tokens) / MILLION
