"""`mentha secrets`."""

import sys
from typing import Annotated

import typer

from mentha.cli.common import ConfigFile, Home, opened, run, settings_of
from mentha.cli.table import show
from mentha.core.config import Settings
from mentha.server import encryption
from mentha.server.encryption import Forgotten, Rotation
from mentha.store import encryption_keys

app = typer.Typer(help="Tenants' secrets: what they are encrypted with. No command shows a value.", no_args_is_help=True)


@app.command(name="list")
def list_(home: Home = None, config: ConfigFile = None) -> None:
    """List all secrets by name, with the fingerprint of the key that each is encrypted with."""
    settings = settings_of(config, home=home)
    rows = run(lambda: _list(settings))
    show(
        ("id", "tenant", "name", "key", "changed"),
        [(str(r.id), r.tenant, r.name, r.key_id, f"{r.updated_at:%Y-%m-%d %H:%M}") for r in rows],
    )


@app.command()
def rotate(home: Home = None, config: ConfigFile = None) -> None:
    """Encrypt all secrets with a new key, while servers run: MENTHA_ENCRYPTION_KEY, or with the embedded database one that is made now."""
    settings = settings_of(config, home=home)
    done = run(lambda: _rotate(settings))
    print(f"{done.secrets} secrets were encrypted anew; all have the key {done.key_id} now")


@app.command()
def forget(yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False, home: Home = None, config: ConfigFile = None) -> None:
    """Delete every tenant's secrets, those in tools too, for who has lost the key: then servers start again, with a new one.

    Nothing brings them back.
    """
    settings = settings_of(config, home=home)
    if not yes:
        typer.confirm("Delete the secrets of all tenants, and those that stand in their tools?", abort=True)
    done = run(lambda: _forget(settings))
    print(f"deleted {done.secrets} secrets")
    if done.tools:
        print(f"{done.tools} tools had secrets of their own: their calls fail until their owners send these tools again")


async def _list(settings: Settings) -> list[encryption_keys.Listed]:
    async with opened(settings) as database, database.connection() as connection:
        return await encryption_keys.list_(connection)


async def _rotate(settings: Settings) -> Rotation:
    async with opened(settings) as database:
        return await encryption.rotate(settings, database, told=_tell)


async def _forget(settings: Settings) -> Forgotten:
    async with opened(settings) as database:
        return await encryption.forget(database)


def _tell(moved: int) -> None:
    if sys.stderr.isatty():
        print(f"  {moved} secrets", file=sys.stderr, flush=True)
