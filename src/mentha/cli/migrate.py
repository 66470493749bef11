"""`mentha migrate`."""

import asyncio
from typing import Annotated

import typer

from mentha.cli.common import ConfigFile, Home, run, settings_of
from mentha.core.config import Settings
from mentha.server import database
from mentha.store import migrate as migrations


def migrate(
    check: Annotated[bool, typer.Option("--check", help="Only say what is missing; exit 1 where something is.")] = False,
    home: Home = None,
    config: ConfigFile = None,
) -> None:
    """Bring the database's schema up to date."""
    settings = settings_of(config, home=home)
    pending = run(lambda: _migrate(settings, check=check))
    if check and pending:
        raise typer.Exit(1)


async def _migrate(settings: Settings, *, check: bool) -> int:
    place = await database.find(settings)
    try:
        done = await (migrations.pending(place.direct_dsn) if check else migrations.migrate(place.direct_dsn))
    finally:
        await asyncio.to_thread(place.release)
    for migration in done:
        print(f"{'missing' if check else 'applied'}  {migration.version:04}  {migration.name}")
    if not done:
        print("the schema is up to date")
    return len(done)
