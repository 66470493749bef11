"""Which provider serves a name: the table of rules, without any I/O."""

import pytest
from pydantic import SecretStr

from mentha.core.config import ProviderSettings, Settings
from mentha.core.errors import ConfigInvalid, ProviderKeyInvalid, ProviderRefused
from mentha.providers import routing
from mentha.providers.types import Route


def entry(name: str = "host", *, key: str | None = None, **over: object) -> ProviderSettings:
    return ProviderSettings(base_url=f"https://{name}/v1", api_key=SecretStr(key) if key else None, **over)


def settings(*names: str, **over: object) -> Settings:
    providers = {name: entry(name, key=f"key-of-{name}") for name in names}
    return Settings(**{"providers": providers, **over})


def target(made: Route) -> tuple[str, str]:
    return made.provider, made.model


@pytest.mark.parametrize(
    ("configured", "model", "expected"),
    [
        (("openai",), "gpt-5-mini", ("openai", "gpt-5-mini")),
        (("openai",), "anything", ("openai", "anything")),
        (("openai", "anthropic"), "claude-sonnet-4-5", ("anthropic", "claude-sonnet-4-5")),
        (("openai",), "claude-sonnet-4-5", ("openai", "claude-sonnet-4-5")),
        (("openai", "gemini"), "gemini-2.5-pro", ("gemini", "gemini-2.5-pro")),
        (("openai", "mistral"), "mistral-large-latest", ("mistral", "mistral-large-latest")),
        (("anthropic", "openai"), "o3-mini", ("openai", "o3-mini")),
        (("openai", "groq"), "groq/llama-3.3-70b", ("groq", "llama-3.3-70b")),
        (("openai", "openrouter"), "openrouter/anthropic/claude-3.5-haiku", ("openrouter", "anthropic/claude-3.5-haiku")),
        (("openrouter",), "anthropic/claude-3.5-haiku", ("openrouter", "anthropic/claude-3.5-haiku")),
        (("openai",), "meta-llama/Llama-3.1-8B", ("openai", "meta-llama/Llama-3.1-8B")),
        (("openai", "groq"), "groq/", ("openai", "groq/")),
        (("ollama",), "qwen3:8b", ("ollama", "qwen3:8b")),
        (("openai", "anthropic"), "claude-3.5-sonnet", ("anthropic", "claude-3-5-sonnet-20241022")),
        (("openrouter",), "claude-3.5-sonnet", ("openrouter", "anthropic/claude-3.5-sonnet")),
        (("openai",), "claude-3.5-sonnet", ("openai", "claude-3.5-sonnet")),
        (("openai", "gemini"), "gemini-1.5-pro", ("gemini", "gemini-1.5-pro")),
        (("openai", "gemini"), "gemini/gemini-1.5-pro", ("gemini", "gemini-1.5-pro")),
        (("openai",), "mentha/echo", ("mentha", "mentha/echo")),
        ((), "mentha/echo", ("mentha", "mentha/echo")),
    ],
)
def test_route_by_the_rules_picks_provider_and_name(configured: tuple[str, ...], model: str, expected: tuple[str, str]) -> None:
    assert target(routing.route(settings(*configured), model)) == expected


def test_route_carries_the_key_and_address_of_its_provider_and_the_name_asked_for() -> None:
    made = routing.route(settings("openai", "groq"), "groq/llama")
    assert made.base_url == "https://groq/v1"
    assert made.api_key is not None
    assert made.api_key.get_secret_value() == "key-of-groq"
    assert made.requested == "groq/llama"


def test_route_with_an_operators_alias_wins_over_the_shipped_one() -> None:
    made = routing.route(settings("openai", "anthropic", model_aliases={"claude-3.5-sonnet": "openai/gpt-5"}), "claude-3.5-sonnet")
    assert target(made) == ("openai", "gpt-5")


def test_route_with_an_alias_to_a_bare_name_goes_on_by_the_other_rules() -> None:
    assert target(routing.route(settings("openai", "anthropic", model_aliases={"best": "claude-x"}), "best")) == ("anthropic", "claude-x")


def test_route_with_an_alias_to_echo_is_echo() -> None:
    assert target(routing.route(settings("openai", model_aliases={"demo": "mentha/echo"}), "demo")) == ("mentha", "mentha/echo")


def test_route_with_an_operators_prefix_wins_over_the_known_one() -> None:
    providers = {"openai": entry("openai"), "own": entry("own", prefixes=("gpt-oss", "qwen"))}
    made = routing.route(Settings(providers=providers), "gpt-oss-120b")
    assert target(made) == ("own", "gpt-oss-120b")


def test_route_with_a_default_provider_sends_unclaimed_names_there() -> None:
    assert target(routing.route(settings("openai", "own", default_provider="own"), "anything")) == ("own", "anything")


def test_route_without_providers_is_refused_and_says_what_to_set() -> None:
    with pytest.raises(ProviderRefused, match="no provider serves the model `claude-x`") as caught:
        routing.route(settings(), "claude-x")
    assert caught.value.status == 400
    assert "ANTHROPIC_API_KEY" in str(caught.value.fix)
    assert "mentha/echo" in caught.value.message


def test_route_without_a_default_lists_what_is_served() -> None:
    providers = {"one": entry("one", models=("small", "large")), "two": entry("two")}
    with pytest.raises(ProviderRefused, match=r"`one/…`, `two/…` and `mentha/echo`; listed models: large, small"):
        routing.route(Settings(providers=providers), "unknown")


def test_route_never_falls_back_to_echo() -> None:
    with pytest.raises(ProviderRefused):
        routing.route(settings(), "gpt-5")


def test_route_of_a_very_long_name_shows_its_beginning_only() -> None:
    with pytest.raises(ProviderRefused) as caught:
        routing.route(settings(), "x" * 5_000)
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    ("configured", "model", "expected"),
    [
        ((), "gpt-5", "https://api.openai.com/v1"),
        ((), "claude-x", "https://api.anthropic.com/v1"),
        ((), "openrouter/a/b", "https://openrouter.ai/api/v1"),
        ((), "claude-3.5-sonnet", "https://api.anthropic.com/v1"),
        (("openai",), "gpt-5", "https://openai/v1"),
        (("openai",), "anything", "https://openai/v1"),
    ],
)
def test_route_with_a_custom_key_reaches_the_provider_of_the_name(configured: tuple[str, ...], model: str, expected: str) -> None:
    made = routing.route(settings(*configured), model, custom_key="sk-callers-own")
    assert made.base_url == expected
    assert made.api_key == SecretStr("sk-callers-own")


@pytest.mark.parametrize("model", ["ollama/qwen3", "vllm/x", "unknown"])
def test_route_with_a_custom_key_reaches_no_local_port(model: str) -> None:
    with pytest.raises(ProviderRefused):
        routing.route(settings(), model, custom_key="sk-callers-own")


@pytest.mark.parametrize("key", ["", "  ", "\n"])
def test_route_with_a_blank_custom_key_uses_the_operators(key: str) -> None:
    assert routing.route(settings("openai"), "gpt-5", custom_key=key).api_key == SecretStr("key-of-openai")


@pytest.mark.parametrize("key", ["a b", "a\r\nx-evil: 1", "schlüssel", "k" * 5_000, "a\x00b"])
def test_route_with_a_key_that_would_break_a_header_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ProviderKeyInvalid) as caught:
        routing.route(settings("openai"), "gpt-5", custom_key=key)
    assert key not in caught.value.message


def test_route_strips_the_line_end_of_a_key_from_a_file() -> None:
    made = routing.route(Settings(providers={"openai": entry(key="sk-abc\n")}), "gpt-5")
    assert made.api_key == SecretStr("sk-abc")


def test_route_shows_no_key_in_its_repr() -> None:
    assert "key-of-openai" not in repr(routing.route(settings("openai"), "gpt-5"))


@pytest.mark.parametrize(
    ("providers", "over"),
    [
        ({"mentha": entry()}, {}),
        ({"a/b": entry()}, {}),
        ({"own": ProviderSettings(base_url="ftp://host")}, {}),
        ({"own": entry()}, {"default_provider": "other"}),
    ],
)
def test_validate_with_a_wrong_table_is_config_invalid(providers: dict[str, ProviderSettings], over: dict[str, str]) -> None:
    with pytest.raises(ConfigInvalid):
        routing.validate(Settings(providers=providers, **over))


def test_shipped_aliases_point_to_known_providers() -> None:
    heads = {target.partition("/")[0] for targets in routing.SHIPPED_ALIASES.values() for target in targets}
    assert heads <= set(routing.KNOWN_PROVIDERS)


# --- keys of tenants


def keys_of(**keys: str) -> dict[str, SecretStr]:
    return {provider: SecretStr(key) for provider, key in keys.items()}


def key_used(made: Route) -> str | None:
    return made.api_key.get_secret_value() if made.api_key else None


def test_own_key_of_the_tenant_goes_before_the_operators_and_after_the_requests() -> None:
    configured, own = settings("openai", "groq"), keys_of(openai="sk-own")
    assert key_used(routing.route(configured, "gpt-x", own_keys=own)) == "sk-own"
    assert key_used(routing.route(configured, "gpt-x", custom_key="sk-custom", own_keys=own)) == "sk-custom"
    assert key_used(routing.route(configured, "groq/llama", own_keys=own)) == "key-of-groq"
    assert key_used(routing.route(configured, "gpt-x", own_keys={})) == "key-of-openai"


def test_own_key_reaches_its_known_provider_where_the_operator_configured_none() -> None:
    made = routing.route(settings("groq"), "claude-sonnet-4-5", own_keys=keys_of(anthropic="sk-own"))
    assert (made.provider, made.base_url, key_used(made)) == ("anthropic", "https://api.anthropic.com/v1", "sk-own")
    assert target(routing.route(settings("groq"), "claude-3.5-sonnet", own_keys=keys_of(anthropic="sk-own")))[0] == "anthropic"
    # For other providers nothing changes.
    assert target(routing.route(settings("groq"), "gpt-x", own_keys=keys_of(anthropic="sk-own"))) == ("groq", "gpt-x")
    with pytest.raises(ProviderRefused):
        routing.route(settings(), "gpt-x", own_keys=keys_of(anthropic="sk-own"))


def test_own_key_never_opens_the_local_ports_of_the_server() -> None:
    with pytest.raises(ProviderRefused):
        routing.route(settings(), "ollama/llama", own_keys=keys_of(ollama="sk-own"))
    assert target(routing.route(settings("ollama"), "ollama/llama", own_keys=keys_of(ollama="sk-own"))) == ("ollama", "llama")


def test_own_key_that_can_be_no_key_is_refused_by_the_name_of_its_secret() -> None:
    with pytest.raises(ProviderKeyInvalid, match="the secret `OPENAI_API_KEY`") as caught:
        routing.route(settings("openai"), "gpt-x", own_keys=keys_of(openai="sk-own\r\nX-Evil: 1"))
    assert "sk-own" not in caught.value.message


def test_names_of_key_secrets_are_those_of_the_variables() -> None:
    names = routing.key_names(settings("openai", "my-cluster", "ollama"))
    assert {name: names[name] for name in ("openai", "anthropic", "my-cluster", "ollama")} == {
        "openai": "OPENAI_API_KEY",
        "anthropic": "ANTHROPIC_API_KEY",
        "my-cluster": "MY_CLUSTER_API_KEY",
        "ollama": "OLLAMA_API_KEY",
    }
    assert "vllm" not in names
