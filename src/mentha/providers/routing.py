"""Which provider serves a model name. Pure: a table, some prefixes, no I/O.

The rules, in order; the first that claims the name wins:

1. the operator's `model_aliases`, then the shipped aliases (these only where their provider is configured);
2. `mentha/echo`;
3. `provider/model`, where that provider is configured; a slash after any other word is part of the name;
4. the operator's `prefixes`;
5. the prefixes below, where their provider is configured;
6. the default provider, with the name unchanged.

With a key of the caller's own (`X-Custom-Api-Key`), rules 1, 3 and 5 count the known providers as configured, and the key replaces the
operator's. A tenant's own key for one provider does the same for that one. The echo model answers only to its own name: a missing provider
must be seen, not papered over.
"""

import re
from collections.abc import Collection, Mapping

from pydantic import SecretStr

from mentha.core.config import KNOWN_PROVIDERS, ProviderSettings, Settings
from mentha.core.errors import ConfigInvalid, ProviderKeyInvalid, ProviderRefused
from mentha.providers.types import ECHO_MODEL, ECHO_PROVIDER, Route

# Names from Julep's catalogue that its docs and examples use, and where they are served; the first configured target wins.
# The dated names are what the vendors call these models; an operator moves an alias to a newer model with `model_aliases`.
SHIPPED_ALIASES: dict[str, tuple[str, ...]] = {
    "claude-3.5-sonnet": ("anthropic/claude-3-5-sonnet-20241022", "openrouter/anthropic/claude-3.5-sonnet"),
    "claude-3.5-sonnet-20240620": ("anthropic/claude-3-5-sonnet-20240620", "openrouter/anthropic/claude-3.5-sonnet-20240620"),
    "claude-3.5-sonnet-20241022": ("anthropic/claude-3-5-sonnet-20241022", "openrouter/anthropic/claude-3.5-sonnet"),
    "claude-3.5-haiku": ("anthropic/claude-3-5-haiku-20241022", "openrouter/anthropic/claude-3.5-haiku"),
    "claude-3-sonnet": ("anthropic/claude-3-sonnet-20240229", "openrouter/anthropic/claude-3-sonnet"),
    "claude-3-opus": ("anthropic/claude-3-opus-20240229", "openrouter/anthropic/claude-3-opus"),
    "claude-3-haiku": ("anthropic/claude-3-haiku-20240307", "openrouter/anthropic/claude-3-haiku"),
    "gemini-1.5-pro": ("gemini/gemini-1.5-pro", "openrouter/google/gemini-pro-1.5"),
    "gemini-1.5-flash": ("gemini/gemini-1.5-flash", "openrouter/google/gemini-flash-1.5"),
}

# Beginnings of names that one vendor alone uses.
KNOWN_PREFIXES: dict[str, tuple[str, ...]] = {
    "openai": ("gpt-", "chatgpt-", "o1", "o3", "o4"),
    "anthropic": ("claude-",),
    "gemini": ("gemini-",),
    "mistral": ("mistral-", "ministral-", "magistral-", "codestral-", "pixtral-", "devstral-", "open-mistral-", "open-mixtral-"),
}

# Providers of `KNOWN_PROVIDERS` that run on the operator's machine: there an address stands where others have a key.
LOCAL_PROVIDERS = ("ollama", "vllm")

MODEL_CHARS_SHOWN = 120
KEY_CHARS_MAX = 4_096
_NO_NAME = re.compile("[^A-Z0-9_]")


def route(settings: Settings, model: str, *, custom_key: str | None = None, own_keys: Mapping[str, SecretStr] | None = None) -> Route:
    """The provider, address and key for `model`.

    Args:
        model: as the agent or the request has it.
        custom_key: the caller's own provider key; blank counts as none.
        own_keys: the tenant's own keys by provider; they count where there is no `custom_key`.

    Raises:
        ProviderRefused: no rule claims the name. The message says what is served and which variable to set.
        ProviderKeyInvalid: the key has characters that cannot stand in an HTTP header.
    """
    key = _clean_custom_key(custom_key)
    known = _endpoints(settings, KNOWN_PROVIDERS if key else own_keys or ())
    name = _resolve_alias(settings, known, model)
    if name == ECHO_MODEL:
        return Route(ECHO_PROVIDER, "", ECHO_MODEL, model)
    provider, sent = _claim(settings, known, name)
    if provider is None:
        raise _unserved(settings, model)
    return _route(provider, known[provider], key or _own_key(own_keys or {}, provider), sent, model)


def to_provider(
    settings: Settings, provider: str, *, custom_key: str | None = None, own_keys: Mapping[str, SecretStr] | None = None
) -> Route:
    """The way to a provider itself, with no model; the keys follow the rules of `route`.

    Raises:
        ProviderRefused: it is not configured, and not a known one that the caller's key could reach.
        ProviderKeyInvalid: as for `route`.
    """
    key = _clean_custom_key(custom_key)
    known = _endpoints(settings, KNOWN_PROVIDERS if key else own_keys or ())
    if provider not in known:
        raise _unserved(settings, f"{provider}/")
    return _route(provider, known[provider], key or _own_key(own_keys or {}, provider), "", "")


def reached(settings: Settings, own_keys: Mapping[str, SecretStr]) -> list[str]:
    """The configured providers, then those known ones that a tenant reaches with keys of its own."""
    return list(dict.fromkeys((*settings.providers, *_endpoints(settings, own_keys))))


def default_provider(settings: Settings) -> str | None:
    """The provider of last resort: the one that is set, else `openai` where it is configured, else the only one there is.

    Raises:
        ConfigInvalid: `default_provider` names one that is not configured.
    """
    chosen = settings.default_provider
    if chosen:
        if chosen not in settings.providers:
            raise ConfigInvalid(
                f"`default_provider` is `{chosen}`, and no provider of that name is configured",
                fix=how_to_configure(chosen),
            )
        return chosen
    if "openai" in settings.providers:
        return "openai"
    return next(iter(settings.providers)) if len(settings.providers) == 1 else None


def how_to_configure(provider: str) -> str:
    """What an operator can do so that there is a provider of this name."""
    return f"set {_variable(provider)}" if provider in KNOWN_PROVIDERS else "add it to `providers` in the settings file"


def validate(settings: Settings) -> None:
    """Check what the table of providers alone cannot say of itself.

    Raises:
        ConfigInvalid: a provider has the reserved name, a name with a slash, or an address that is no HTTP URL; or the default is missing.
    """
    for name, entry in settings.providers.items():
        if name == ECHO_PROVIDER or "/" in name or not name:
            raise ConfigInvalid(f"a provider can't be named `{name}`", fix="choose a name without `/`, other than `mentha`")
        if not entry.base_url.startswith(("http://", "https://")):
            raise ConfigInvalid(f"`base_url` of the provider `{name}` is no http or https address", fix="write it like https://host/v1")
    default_provider(settings)


def key_name(provider: str) -> str:
    """The name of the variable, or of a tenant's secret, that holds the key for this provider."""
    return f"{_NO_NAME.sub('_', provider.upper())}_API_KEY"


def key_names(settings: Settings) -> dict[str, str]:
    """Provider → `key_name`, for all that a tenant's own key can be used with: the known public ones and the configured ones."""
    return {provider: key_name(provider) for provider in _endpoints(settings, KNOWN_PROVIDERS)}


def remedy(settings: Settings, model: str) -> str:
    """What an operator can do so that `model` is served: the variable that configures the provider which the name points to."""
    pointed = _points_to(model)
    if pointed and pointed not in settings.providers:
        return f"set {_variable(pointed)} to use {pointed}"
    if not settings.providers:
        return "set OPENAI_API_KEY (or OPENAI_BASE_URL for any compatible server), or use the model `mentha/echo`, which needs no provider"
    return "see `GET /agents/models` for the names that are served, or write the name as `provider/model`"


def shown(model: str) -> str:
    """`model` as it may stand in a message: shortened."""
    return model if len(model) <= MODEL_CHARS_SHOWN else f"{model[:MODEL_CHARS_SHOWN]}…"


def _route(provider: str, entry: ProviderSettings, key: str | None, sent: str, requested: str) -> Route:
    configured = entry.api_key.get_secret_value() if entry.api_key else None
    used = key or (_clean_key(configured, f"of the provider `{provider}`") if configured else None)
    return Route(provider, entry.base_url.rstrip("/"), sent, requested, SecretStr(used) if used else None)


def _endpoints(settings: Settings, reached: Collection[str]) -> Mapping[str, ProviderSettings]:
    """The configured providers, and of the others those known ones that are `reached` with a key of somebody else's."""
    if not reached:
        return settings.providers
    # A caller's key must not turn the server into a way to reach the local ports of its machine.
    public = {
        name: ProviderSettings(base_url=url, api_key=None, prefixes=(), models=())
        for name, url in KNOWN_PROVIDERS.items()
        if name in reached and name not in LOCAL_PROVIDERS
    }
    return {**public, **settings.providers}


def _resolve_alias(settings: Settings, known: Mapping[str, ProviderSettings], model: str) -> str:
    own = settings.model_aliases.get(model)
    if own is not None:
        return own
    return next((target for target in SHIPPED_ALIASES.get(model, ()) if target.partition("/")[0] in known), model)


def _claim(settings: Settings, known: Mapping[str, ProviderSettings], name: str) -> tuple[str | None, str]:
    head, slash, rest = name.partition("/")
    if slash and rest and head in known:
        return head, rest
    for provider, entry in settings.providers.items():
        if entry.prefixes and name.startswith(entry.prefixes):
            return provider, name
    for provider, prefixes in KNOWN_PREFIXES.items():
        if provider in known and name.startswith(prefixes):
            return provider, name
    return default_provider(settings), name


def _points_to(model: str) -> str | None:
    target = SHIPPED_ALIASES.get(model, (model,))[0]
    head, slash, _ = target.partition("/")
    if slash and head in KNOWN_PROVIDERS:
        return head
    return next((provider for provider, prefixes in KNOWN_PREFIXES.items() if target.startswith(prefixes)), None)


def _unserved(settings: Settings, model: str) -> ProviderRefused:
    if settings.providers:
        served = ", ".join(f"`{name}/…`" for name in sorted(settings.providers))
        listed = sorted({name for entry in settings.providers.values() for name in entry.models})[:50]
        models = f"; listed models: {', '.join(listed)}" if listed else ""
        served = f"served are {served} and `{ECHO_MODEL}`{models}"
    else:
        served = f"no provider is configured; served is only `{ECHO_MODEL}`"
    return ProviderRefused(f"no provider serves the model `{shown(model)}`: {served}", fix=remedy(settings, model), model=shown(model))


def _variable(provider: str) -> str:
    return f"{provider.upper()}_{'BASE_URL' if provider in LOCAL_PROVIDERS else 'API_KEY'}"


def _own_key(own_keys: Mapping[str, SecretStr], provider: str) -> str | None:
    key = own_keys.get(provider)
    return _clean_key(key.get_secret_value(), f"in the secret `{key_name(provider)}`") if key else None


def _clean_custom_key(key: str | None) -> str | None:
    return _clean_key(key, "in `X-Custom-Api-Key`") if key else None


def _clean_key(key: str, where: str) -> str | None:
    """Strip the line end that keys read from files have; refuse what would break, or forge, a header. Never shows the key."""
    stripped = key.strip()
    if len(stripped) > KEY_CHARS_MAX or any(not "!" <= char <= "~" for char in stripped):
        raise ProviderKeyInvalid(
            f"the key {where} is too long, or has characters that no key has",
            fix="check for blanks, line breaks and quotes around it",
        )
    return stripped or None
