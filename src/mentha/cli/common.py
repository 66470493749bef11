"""What the commands share: settings from all sources, a database to work on, and errors as one line on the terminal."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
import uvloop

from mentha.core import config
from mentha.core.config import Settings
from mentha.core.errors import MenthaError
from mentha.observe import log
from mentha.server import database
from mentha.store.pool import Database

ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="Settings file (TOML); default: $MENTHA_CONFIG, else mentha.toml in the home.")
]
Home = Annotated[Path | None, typer.Option("--home", help="Data folder; default: $MENTHA_HOME, else the platform's.")]

EXIT_OPERATOR = 2
T = TypeVar("T")


def settings_of(file: Path | None = None, **flags: Any) -> Settings:
    """Settings from file, environment and `flags`; an error ends the program with a line that says what to do."""
    try:
        return config.load(environ=os.environ, flags=flags, file=file)
    except MenthaError as error:
        fail(error)


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine on uvloop; errors that are the operator's to mend end the program with one line."""
    # Read when numpy is loaded: the local embedder's matrices are small, and more threads would only take the cores from everything else.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        return uvloop.run(work())
    except MenthaError as error:
        fail(error)
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise typer.Exit(130) from None


def fail(error: MenthaError) -> NoReturn:
    """Print an error and how to mend it, and end the program."""
    print(f"mentha: {error.message}", file=sys.stderr)
    if error.fix:
        print(f"        {error.fix}", file=sys.stderr)
    raise typer.Exit(EXIT_OPERATOR)


@contextmanager
def logged(settings: Settings) -> Generator[None]:
    """Write what happens to standard error, as the settings ask for it."""
    fmt = settings.log_format if settings.log_format != "auto" else "text" if sys.stderr.isatty() else "json"
    uninstall = log.install(fmt=fmt, level=settings.log_level, stream=sys.stderr)
    try:
        yield
    finally:
        uninstall()


@asynccontextmanager
async def opened(settings: Settings) -> AsyncGenerator[Database]:
    """A database with its schema up to date; an embedded one is started where no server runs it, and left as it was found."""
    place = await database.find(settings)
    try:
        await database.prepare_schema(place, settings)
        connected = await database.connect(place, settings)
        try:
            yield connected
        finally:
            await connected.close()
    finally:
        await asyncio.to_thread(place.release)
