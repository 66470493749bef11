"""`mentha doctor`: one line for each thing that can be wrong, with what to do about it."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import typer

from mentha.cli.common import ConfigFile, Home, run
from mentha.core import config as settings_module
from mentha.core.config import Settings
from mentha.core.errors import MenthaError, Unavailable
from mentha.providers.service import Providers
from mentha.server import database, encryption, first_key
from mentha.server.database import Place
from mentha.store import migrate

DISK_FREE_BYTES_MIN = 500_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One checked thing."""

    name: str
    ok: bool
    text: str


def doctor(home: Home = None, config: ConfigFile = None) -> None:
    """Check settings, database and providers; exit 1 where something is wrong."""
    try:
        settings = settings_module.load(environ=os.environ, flags={"home": home}, file=config)
        first_key.check(settings)
        encryption.check(settings)
    except MenthaError as error:
        _print(Finding("settings", False, error.message))
        raise typer.Exit(1) from None
    if not run(lambda: _check(settings)):
        raise typer.Exit(1)


async def _check(settings: Settings) -> bool:
    well = True
    async for finding in _findings(settings):
        _print(finding)
        well = well and finding.ok
    return well


async def _findings(settings: Settings) -> AsyncIterator[Finding]:
    yield Finding("settings", True, f"valid; data in {settings.home}")
    yield _disk(settings)
    yield await _database(settings)
    async for finding in _providers(settings):
        yield finding


def _disk(settings: Settings) -> Finding:
    folder: Path = settings.home
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    text = f"{free / 1e9:.1f} GB free" + ("" if free >= DISK_FREE_BYTES_MIN else ": make room, the database stops when it is full")
    return Finding("disk", free >= DISK_FREE_BYTES_MIN, text)


async def _database(settings: Settings) -> Finding:
    kind = "external" if settings.database_url else "embedded"
    place: Place | None = None
    try:
        place = await database.find(settings)
        missing = await migrate.pending(place.direct_dsn)
    except MenthaError as error:
        is_silent = isinstance(error, Unavailable) and settings.database_url is not None
        return Finding("database", False, f"{kind}: {database.DOES_NOT_ANSWER if is_silent else error.message}")
    finally:
        if place is not None:
            await asyncio.to_thread(place.release)
    state = f"schema lacks {len(missing)} migrations; `mentha serve` or `mentha migrate` applies them" if missing else "schema up to date"
    return Finding("database", True, f"{kind} PostgreSQL answers; {state}")


async def _providers(settings: Settings) -> AsyncIterator[Finding]:
    if not settings.providers:
        yield Finding("providers", True, "none is configured: only the model mentha/echo answers; set OPENAI_API_KEY or the like")
        return
    providers = Providers(settings)
    try:
        for check in await providers.check():
            yield Finding(f"provider {check.name}", check.ok, check.detail)
    finally:
        await providers.close()


def _print(finding: Finding) -> None:
    print(f"{'ok   ' if finding.ok else 'WRONG'}  {finding.name:20}  {finding.text}", flush=True)
