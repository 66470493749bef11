"""Mentha's options as each provider takes them."""

import pytest

from mentha.core.config import KNOWN_PROVIDERS
from mentha.providers import profiles
from mentha.providers.types import Options, Route

EVERYTHING = {
    "stop": ["END"],
    "seed": 7,
    "max_tokens": 100,
    "logit_bias": {"50256": -100},
    "response_format": {"type": "json_object"},
    "temperature": 0.5,
    "top_p": 0.9,
    "frequency_penalty": 0.1,
    "presence_penalty": 0.2,
    "repetition_penalty": 1.1,
    "length_penalty": 1.2,
    "min_p": 0.05,
}


def options(given: dict[str, object], provider: str = "own", *, base_url: str | None = None, model: str = "m") -> Options:
    return profiles.options(Route(provider, base_url or KNOWN_PROVIDERS.get(provider, "http://host/v1"), model, model), given)


def dropped(made: Options) -> set[str]:
    return {warning.split("`")[1] for warning in made.warnings}


def test_options_for_an_unknown_endpoint_go_through_unchanged() -> None:
    made = options(EVERYTHING)
    assert made == Options(EVERYTHING, [])


def test_options_for_openai_rename_max_tokens_and_drop_extensions_with_a_warning_each() -> None:
    made = options(EVERYTHING, "openai", model="gpt-4o")
    assert made.body["max_completion_tokens"] == 100
    assert "max_tokens" not in made.body
    assert dropped(made) == {"repetition_penalty", "length_penalty", "min_p"}
    assert not dropped(made) & set(made.body)


@pytest.mark.parametrize("model", ["o1", "o3-mini", "o4-mini"])
def test_options_for_openais_reasoning_models_drop_sampling(model: str) -> None:
    assert {"temperature", "top_p", "frequency_penalty", "presence_penalty", "logit_bias", "stop"} <= dropped(
        options(EVERYTHING, "openai", model=model)
    )


def test_options_for_a_server_behind_openais_name_are_not_openais() -> None:
    made = options(EVERYTHING, "openai", base_url="http://localhost:4000/v1")
    assert made.body["max_tokens"] == 100
    assert made.warnings == []


def test_options_for_a_regional_openai_address_are_openais() -> None:
    assert "max_completion_tokens" in options({"max_tokens": 5}, base_url="https://eu.api.openai.com/v1").body


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        (
            "anthropic",
            {
                "repetition_penalty",
                "length_penalty",
                "min_p",
                "frequency_penalty",
                "presence_penalty",
                "logit_bias",
                "seed",
                "response_format",
            },
        ),
        ("gemini", {"repetition_penalty", "length_penalty", "min_p", "frequency_penalty", "presence_penalty", "logit_bias", "seed"}),
        ("groq", {"repetition_penalty", "length_penalty", "min_p", "logit_bias"}),
        ("mistral", {"repetition_penalty", "length_penalty", "min_p", "logit_bias"}),
        ("openrouter", {"length_penalty"}),
        ("ollama", {"repetition_penalty", "length_penalty", "min_p", "logit_bias"}),
        ("vllm", set()),
    ],
)
def test_options_that_a_provider_refuses_are_dropped_with_a_warning_and_no_others(provider: str, expected: set[str]) -> None:
    made = options(EVERYTHING, provider)
    assert dropped(made) == expected
    assert not expected & set(made.body)


def test_options_for_mistral_name_the_seed_as_mistral_does() -> None:
    assert options({"seed": 3}, "mistral").body == {"random_seed": 3}


def test_options_for_anthropic_lower_a_temperature_above_one_with_a_warning() -> None:
    made = options({"temperature": 1.5}, "anthropic")
    assert made.body == {"temperature": 1.0}
    assert len(made.warnings) == 1


@pytest.mark.parametrize(
    "given",
    [
        {"seed": -1},
        {"seed": None},
        {"stop": []},
        {"stop": None},
        {"logit_bias": {}},
        {"response_format": {"type": "text"}},
        {"response_format": None},
        {"tools": []},
        {"tools": None, "tool_choice": "auto"},
        {"temperature": None, "max_tokens": None},
        {"n": 3},
        {"metadata": {"a": 1}, "messages": [], "model": "m"},
    ],
)
def test_options_that_say_nothing_are_left_out(given: dict[str, object]) -> None:
    assert options(given) == Options({}, [])


def test_options_with_zero_values_are_kept() -> None:
    given = {"seed": 0, "temperature": 0, "top_p": 0.0}
    assert options(given).body == given


def test_options_with_a_bare_schema_wrap_and_name_it() -> None:
    bare = {"type": "object", "properties": {"a": {"type": "string"}}}
    made = options({"response_format": {"type": "json_schema", "json_schema": bare}})
    assert made.body["response_format"] == {"type": "json_schema", "json_schema": {"name": "response", "schema": bare}}


def test_options_with_a_named_schema_keep_it() -> None:
    named = {"type": "json_schema", "json_schema": {"name": "mine", "strict": True, "schema": {"type": "object"}}}
    assert options({"response_format": named}).body["response_format"] == named


def test_options_with_an_unnamed_wrapped_schema_name_it() -> None:
    made = options({"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}})
    assert made.body["response_format"]["json_schema"] == {"name": "response", "schema": {"type": "object"}}


def test_options_with_a_function_as_tool_choice_give_it_openais_shape() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    made = options({"tools": tools, "tool_choice": {"function": {"name": "f"}}})
    assert made.body == {"tools": tools, "tool_choice": {"type": "function", "function": {"name": "f"}}}


@pytest.mark.parametrize("choice", ["auto", "none", "required"])
def test_options_with_a_word_as_tool_choice_keep_it(choice: str) -> None:
    assert options({"tools": [{"type": "function"}], "tool_choice": choice}).body["tool_choice"] == choice


def test_options_leave_their_input_alone() -> None:
    given = {"max_tokens": 5, "min_p": 0.5, "logit_bias": {}}
    options(given, "openai")
    assert given == {"max_tokens": 5, "min_p": 0.5, "logit_bias": {}}


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("gpt-4", 8_192),
        ("gpt-4-turbo-2024-04-09", 128_000),
        ("gpt-4o-mini", 128_000),
        ("gpt-4.1-nano", 1_047_576),
        ("o3-mini", 200_000),
        ("anthropic/claude-3.5-sonnet", 200_000),
        ("meta-llama/llama-3.1-70b-instruct", 131_072),
        ("mistral-small-2409", 32_768),
        ("somebodys-model", None),
    ],
)
def test_window_of_a_well_known_model_is_that_of_the_longest_beginning_of_its_name(model: str, tokens: int | None) -> None:
    assert profiles.window(Route("openai", "https://api.openai.com/v1", model, model), {}) == tokens


@pytest.mark.parametrize("name", ["asked-for", "openrouter/sent", "sent"])
def test_window_that_the_operator_gives_wins_under_each_of_the_models_names(name: str) -> None:
    route = Route("openrouter", "https://openrouter.ai/api/v1", "sent", "asked-for")
    assert profiles.window(route, {name: 5_000}) == 5_000


def test_window_of_a_local_server_is_known_from_the_operator_alone() -> None:
    route = Route("ollama", "http://localhost:11434/v1", "llama-3.1-8b", "ollama/llama-3.1-8b")
    assert profiles.window(route, {}) is None
    assert profiles.window(route, {"ollama/llama-3.1-8b": 8_192}) == 8_192
