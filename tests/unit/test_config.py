"""Settings: sources, their order, their faults, and how they are shown."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mentha.cli.config_text import MASK, dump, example, masked_address
from mentha.core import config
from mentha.core.config import Settings
from mentha.core.errors import ConfigInvalid


def test_settings_without_sources_are_the_defaults(tmp_path: Path) -> None:
    settings = config.load(environ={"MENTHA_HOME": str(tmp_path)})
    assert (settings.host, settings.port, settings.database_url) == ("127.0.0.1", 8080, None)


def test_settings_from_all_sources_follow_their_order(tmp_path: Path) -> None:
    (tmp_path / "mentha.toml").write_text("port = 1\nhost = '1.1.1.1'\nlog_level = 'debug'\n")
    settings = config.load(
        environ={"MENTHA_HOME": str(tmp_path), "MENTHA_PORT": "2", "MENTHA_HOST": "2.2.2.2"}, flags={"port": 3, "host": None}
    )
    assert (settings.port, settings.host, settings.log_level) == (3, "2.2.2.2", "debug")


def test_settings_once_loaded_are_frozen(tmp_path: Path) -> None:
    settings = config.load(environ={"MENTHA_HOME": str(tmp_path)})
    with pytest.raises(ValidationError):
        settings.port = 1  # type: ignore[misc]


def test_database_url_by_its_common_name_is_read(tmp_path: Path) -> None:
    settings = config.load(environ={"MENTHA_HOME": str(tmp_path), "DATABASE_URL": "postgresql://x/y"})
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == "postgresql://x/y"


def test_setting_with_several_values_is_read_from_a_line_or_a_list(tmp_path: Path) -> None:
    home = {"MENTHA_HOME": str(tmp_path)}
    by_environment = config.load(environ={**home, "MENTHA_OUTBOUND_ALLOW": "a.corp:80, 10.0.0.0/8  [::1]:80,"})
    assert by_environment.outbound_allow == ("a.corp:80", "10.0.0.0/8", "[::1]:80")
    (tmp_path / "mentha.toml").write_text("outbound_allow = ['a.corp']\n")
    assert config.load(environ=home).outbound_allow == ("a.corp",)


def test_known_provider_with_a_key_joins_the_table(tmp_path: Path) -> None:
    settings = config.load(environ={"MENTHA_HOME": str(tmp_path), "GROQ_API_KEY": "k", "OLLAMA_BASE_URL": "http://there/v1"})
    assert set(settings.providers) == {"groq", "ollama"}
    assert settings.providers["ollama"].base_url == "http://there/v1"
    assert settings.providers["ollama"].api_key is None


def test_provider_of_the_file_wins_over_the_environment(tmp_path: Path) -> None:
    (tmp_path / "mentha.toml").write_text("[providers.openai]\nbase_url = 'http://mine/v1'\n")
    settings = config.load(environ={"MENTHA_HOME": str(tmp_path), "OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://other/v1"})
    assert settings.providers["openai"].base_url == "http://mine/v1"
    assert settings.providers["openai"].api_key is not None


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"MENTHA_PORT": "lots"}, "MENTHA_PORT"),
        ({"MENTHA_PROVIDERS": "{"}, "MENTHA_PROVIDERS"),
        ({"MENTHA_CONFIG": "/nowhere/mentha.toml"}, "/nowhere/mentha.toml"),
        ({"MENTHA_TURN_TIMEOUT_S": "0"}, "MENTHA_TURN_TIMEOUT_S"),
    ],
)
def test_wrong_source_is_named(tmp_path: Path, environ: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigInvalid, match=told):
        config.load(environ={"MENTHA_HOME": str(tmp_path), **environ})


def test_unknown_setting_in_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "mentha.toml").write_text("prot = 1\n")
    with pytest.raises(ConfigInvalid, match="prot"):
        config.load(environ={"MENTHA_HOME": str(tmp_path)})


def test_fault_never_tells_the_value_of_a_secret(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        config.load(environ={"MENTHA_HOME": str(tmp_path), "MENTHA_PROVIDERS": '{"x": {"api_key": "sk-hidden"}}'})
    assert "sk-hidden" not in str(caught.value)


def test_example_uncommented_is_a_valid_file_of_defaults(tmp_path: Path) -> None:
    lines = [line.removeprefix("# ") for line in example(Settings).splitlines() if line.startswith("# ") and " = " in line]
    settable = [
        line for line in lines if not line.endswith('= ""') and not line.startswith(("home", "base_url", "api_key", "prefixes", "models ="))
    ]
    given = tomllib.loads("\n".join(settable))
    assert config.load(environ={"MENTHA_HOME": str(tmp_path)}, flags=given) == config.load(environ={"MENTHA_HOME": str(tmp_path)})


def test_dump_masks_every_secret_and_stays_valid(tmp_path: Path) -> None:
    secrets = ("s3cret-db", "s3cret-key", "s3cret-jwt", "s3cret-provider")
    environ = {
        "MENTHA_HOME": str(tmp_path),
        "DATABASE_URL": "postgresql://me:s3cret-db@there:5432/db?sslmode=require",
        "MENTHA_API_KEY": "s3cret-key",
        "MENTHA_JWT_SECRET": "s3cret-jwt",
        "OPENAI_API_KEY": "s3cret-provider",
    }
    text = dump(config.load(environ=environ))
    assert not [secret for secret in secrets if secret in text]
    assert tomllib.loads(text)["database_url"] == f"postgresql://me:{MASK}@there:5432/db?sslmode=require"


@given(st.text(alphabet=st.characters(codec="ascii", exclude_characters="/?#[]@:&%\\", categories=["L", "N", "P"]), min_size=6))
def test_address_with_any_password_is_shown_without_it(password: str) -> None:
    shown = masked_address(f"postgresql://u:{password}@h/d?password={password}")
    assert password not in shown.replace(MASK, "") or password in "postgresql"
