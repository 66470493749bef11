"""What a service is set up with: what the tool says, then secrets of the tenant, then settings of the operator. Pure.

The operator's keys go to the service's own address alone, and to no account but the operator's: a tool that names a server or an account
gets none of them.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from mentha.core.config import INTEGRATION_KEYS, Settings
from mentha.core.json import JsonObject, JsonValue
from mentha.tools.calls import ToolFailed
from mentha.tools.hidden import texts_of_all
from mentha.wire import masks
from mentha.wire.integrations import PROVIDERS
from mentha.wire.schemas import faults, known

# What chooses where a key is sent, or which account it opens.
PLACES = frozenset(
    {"server_url", "server", "url_params", "api_url", "connect_url", "host", "port", "algolia_application_id", "cloudinary_cloud_name"}
)


class Ready(NamedTuple):
    """A complete setup, and the texts in it that must not be shown."""

    setup: JsonObject
    hidden: list[str]


def names_of(provider: str, given: JsonObject) -> dict[str, str]:
    """The names that secrets may have for what the setup lacks, each with its field."""
    return {name: field for name, (owner, field) in INTEGRATION_KEYS.items() if owner == provider and given.get(field) is None}


def complete(provider: str, given: JsonObject, secrets: Mapping[str, str], settings: Settings) -> Ready:
    """The setup with all that it lacks.

    Args:
        secrets: of the tenant, by name; others than those of `names_of` are not looked at.

    Raises:
        ToolFailed: something is still missing, or is not of its form. The message names the field and never a value.
    """
    schema = PROVIDERS[provider].setup
    lacking = names_of(provider, given)
    own = {field: secrets[name] for name, field in lacking.items() if name in secrets}
    setup = {**_operators(provider, {**own, **known(schema, given)}, settings), **own, **known(schema, given)}
    properties = schema.get("properties", {})
    setup = {name: _typed(properties.get(name), value) for name, value in setup.items()}
    for fault in faults(schema, setup):
        raise _incomplete(provider, str(fault.loc[0]), fault.message)
    return Ready(setup, texts_of_all(value for name, value in setup.items() if masks.is_secret(name)))


def fields_of_key(provider: str) -> str:
    """The fields of a setup to look at when a service does not accept what it was given, for a message."""
    properties = PROVIDERS[provider].setup.get("properties", {})
    return ", ".join(f"`{name}`" for name in properties if masks.is_secret(name)) or "the keys"


def _operators(provider: str, given: JsonObject, settings: Settings) -> JsonObject:
    if given.keys() & PLACES or (provider == "google_sheets" and not given.get("use_julep_service")):
        return {}
    return {name: value.get_secret_value() for name, value in settings.integration_setups.get(provider, {}).items()}


def _typed(schema: Any, value: JsonValue) -> JsonValue:
    """A secret and a setting are texts, also where the setup has a number."""
    if isinstance(value, str) and isinstance(schema, dict) and schema.get("type") == "integer" and value.isdecimal():
        return int(value[:9])
    return value


def _incomplete(provider: str, field: str, message: str) -> ToolFailed:
    names = [f"a secret named `{name}`" for name, (owner, each) in INTEGRATION_KEYS.items() if (owner, each) == (provider, field)]
    where = " or ".join([f"the field `{field}` in the tool's `setup`", *names])
    return ToolFailed(f"`{provider}` is not set up: {where} is missing or wrong ({message})")
