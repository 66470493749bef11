"""`mentha tenants`."""

from typing import Annotated

import typer

from mentha.cli.common import ConfigFile, Home, opened, run, settings_of
from mentha.cli.table import show
from mentha.core.config import Settings
from mentha.core.errors import Conflict
from mentha.store import tenants
from mentha.store.tenants import DEFAULT_ID

app = typer.Typer(help="Tenants: each sees only what is its own.", no_args_is_help=True)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits, dots, dashes.")], home: Home = None, config: ConfigFile = None
) -> None:
    """Make a tenant and print its id; `mentha keys create --tenant NAME` gives it a key."""
    settings = settings_of(config, home=home)
    print(run(lambda: _create(settings, name)))


@app.command(name="list")
def list_(home: Home = None, config: ConfigFile = None) -> None:
    """List all tenants with the number of their keys in use."""
    settings = settings_of(config, home=home)
    rows = run(lambda: _list(settings))
    show(("id", "name", "created", "keys"), [(str(r.id), r.name, f"{r.created_at:%Y-%m-%d %H:%M}", str(r.keys)) for r in rows])


@app.command()
def delete(
    name: Annotated[str, typer.Argument(help="The tenant's name or id.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    home: Home = None,
    config: ConfigFile = None,
) -> None:
    """Delete a tenant with everything that it has. Nothing brings it back."""
    settings = settings_of(config, home=home)
    if not yes:
        typer.confirm(f"Delete the tenant '{name}' with all its agents, users, sessions and keys?", abort=True)
    run(lambda: _delete(settings, name))
    print(f"deleted {name}")


async def _create(settings: Settings, name: str) -> str:
    async with opened(settings) as database, database.transaction() as tx:
        return str(await tenants.create(tx, name))


async def _list(settings: Settings) -> list[tenants.TenantRow]:
    async with opened(settings) as database, database.connection() as connection:
        return await tenants.list_(connection)


async def _delete(settings: Settings, name: str) -> None:
    async with opened(settings) as database, database.transaction() as tx:
        tenant = await tenants.resolve(tx, name)
        if tenant == DEFAULT_ID:
            raise Conflict("the tenant 'default' can't be deleted")
        await tenants.delete(tx, tenant)
