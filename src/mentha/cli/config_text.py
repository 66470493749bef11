"""Settings as TOML: an example with all of them, and those in force with every secret masked. Pure."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from pydantic import SecretStr

from mentha.core.config import ALIASES, ProviderSettings, Settings
from mentha.core.json import dumps

MASK = "********"
_PASSWORD_PARAMETER = re.compile(r"(password=)[^&]*", re.IGNORECASE)


def example(kind: type[Settings]) -> str:
    """A settings file in which every setting stands as a comment: its meaning, its name in the environment, its default."""
    lines = ["# Mentha's settings. Each line shows the default; remove the # to change it.", ""]
    for name, field in kind.model_fields.items():
        if name == "providers":
            continue
        also = f", {ALIASES[name]}" if name in ALIASES else ""
        default = field.get_default(call_default_factory=True)
        lines += [
            f"# {field.description}",
            f"# Environment: MENTHA_{name.upper()}{also}",
            f"# {name} = {_example_value(name, default)}",
            "",
        ]
    lines += [f"# {kind.model_fields['providers'].description}", "# [providers.my-server]"]
    for name, field in ProviderSettings.model_fields.items():
        lines.append(f"# {name} = {'[]' if name in ('prefixes', 'models') else dumps('').decode()}  # {field.description}")
    return "\n".join(lines) + "\n"


def dump(settings: Settings) -> str:
    """The settings in force as TOML. Keys and secrets are masked, the password inside of an address too."""
    lines: list[str] = []
    for name in type(settings).model_fields:
        if name != "providers":
            value = getattr(settings, name)
            lines.append(f"# {name} is not set" if value is None else f"{name} = {_masked(name, value)}")
    for name, provider in settings.providers.items():
        lines += ["", f"[providers.{dumps(name).decode()}]"]
        for field in type(provider).model_fields:
            value = getattr(provider, field)
            if value is not None:
                lines.append(f"{field} = {_masked(field, value)}")
    return "\n".join(lines) + "\n"


def masked_address(address: str) -> str:
    """An address without its password; user, host and the rest stay."""
    try:
        parts = urlsplit(address)
        password = parts.password
    except ValueError:
        return MASK
    place = parts.netloc if password is None else f"{parts.username or ''}:{MASK}@{parts.netloc.rpartition('@')[2]}"
    return urlunsplit(parts._replace(netloc=place, query=_PASSWORD_PARAMETER.sub(rf"\1{MASK}", parts.query)))


def _masked(name: str, value: Any) -> str:
    if isinstance(value, SecretStr):
        return _toml(masked_address(value.get_secret_value()) if name.startswith("database_url") else MASK)
    return _toml(masked_address(value) if name == "base_url" else value)


def _example_value(name: str, default: Any) -> str:
    if name == "home":
        return '"…"  # the platform\'s folder for data'
    return '""' if default is None else _toml(default)


def _toml(value: Any) -> str:
    if isinstance(value, SecretStr):
        return dumps(MASK).decode()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{dumps(key).decode()} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    # JSON's strings, numbers and booleans are TOML's.
    return dumps(str(value) if isinstance(value, Path) else value).decode()
