"""`mentha keys`."""

from typing import Annotated

import typer

from mentha.auth import keys as api_keys
from mentha.cli.common import ConfigFile, Home, opened, run, settings_of
from mentha.cli.table import show
from mentha.core.config import Settings
from mentha.store import api_keys as stored
from mentha.store import tenants
from mentha.store.api_keys import Limits

app = typer.Typer(help="Keys of tenants.", no_args_is_help=True)

Requests = Annotated[int | None, typer.Option("--requests-per-minute", min=1, help="Most requests a minute; no limit where left out.")]
Tokens = Annotated[
    int | None, typer.Option("--tokens-per-day", min=1, help="Most tokens of models in a day of UTC; no limit where left out.")
]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What you call the key.")] = "",
    tenant: Annotated[str, typer.Option(help="Whose key: a tenant's name or id.")] = "default",
    requests: Requests = None,
    tokens: Tokens = None,
    home: Home = None,
    config: ConfigFile = None,
) -> None:
    """Make a key and print it; it is stored only as a hash and can't be shown again."""
    settings = settings_of(config, home=home)
    print(run(lambda: _create(settings, name, tenant, Limits(requests, tokens))))


@app.command(name="list")
def list_(home: Home = None, config: ConfigFile = None) -> None:
    """List all keys, by their first characters."""
    settings = settings_of(config, home=home)
    rows = run(lambda: _list(settings))
    columns = ("id", "tenant", "name", "begins", "created", "revoked", "requests/min", "tokens/day")
    show(
        columns,
        [
            (
                str(r.id),
                r.tenant,
                r.name,
                r.hint,
                f"{r.created_at:%Y-%m-%d %H:%M}",
                f"{r.revoked_at:%Y-%m-%d %H:%M}" if r.revoked_at else "",
                str(r.limits.requests_per_minute_max or ""),
                str(r.limits.tokens_per_day_max or ""),
            )
            for r in rows
        ],
    )


@app.command()
def limit(
    key_id: Annotated[str, typer.Argument(help="The key's id, or its beginning.")],
    requests: Requests = None,
    tokens: Tokens = None,
    home: Home = None,
    config: ConfigFile = None,
) -> None:
    """Set what a key may use, in place of its limits until now; servers know within 5 seconds."""
    settings = settings_of(config, home=home)
    print(f"limited {run(lambda: _limit(settings, key_id, Limits(requests, tokens)))}")


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id, or its beginning.")], home: Home = None, config: ConfigFile = None
) -> None:
    """Revoke a key; servers refuse it within 5 seconds."""
    settings = settings_of(config, home=home)
    print(f"revoked {run(lambda: _revoke(settings, key_id))}")


async def _create(settings: Settings, name: str, tenant: str, limits: Limits) -> str:
    key = api_keys.new_key()
    async with opened(settings) as database, database.transaction() as tx:
        owner = await tenants.resolve(tx, tenant)
        await stored.create(tx, owner, name=name, digest=api_keys.digest(key), hint=api_keys.hint(key), limits=limits)
    return key


async def _list(settings: Settings) -> list[stored.KeyRow]:
    async with opened(settings) as database, database.connection() as connection:
        return await stored.list_(connection)


async def _limit(settings: Settings, key_id: str, limits: Limits) -> str:
    async with opened(settings) as database, database.transaction() as tx:
        return str(await stored.limit(tx, key_id, limits))


async def _revoke(settings: Settings, key_id: str) -> str:
    async with opened(settings) as database, database.transaction() as tx:
        return str(await stored.revoke(tx, key_id))
