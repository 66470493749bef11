"""`mentha reindex`."""

import sys
from typing import Annotated

import typer

from mentha.cli.common import ConfigFile, Home, logged, run, settings_of
from mentha.core.config import Settings
from mentha.recall import reindex as moving
from mentha.recall.reindex import Progress
from mentha.server.runtime import open_runtime


def reindex(
    to: Annotated[str | None, typer.Option("--to", help="The embedder to move to; default: the setting `embedder`.")] = None,
    home: Home = None,
    config: ConfigFile = None,
) -> None:
    """Make all vectors anew with another embedder. Servers may run meanwhile: they search with the old one until it is done."""
    settings = settings_of(config, home=home)
    with logged(settings.model_copy(update={"log_level": "warning"})):
        changed = run(lambda: _reindex(settings, to or settings.embedder))
    name = to or settings.embedder
    print(f"searches use the embedder {name} now" if changed else f"searches use the embedder {name} already")
    if to and to != settings.embedder:
        print(f"set MENTHA_EMBEDDER={to} (or `embedder` in the settings file) as well")


async def _reindex(settings: Settings, name: str) -> bool:
    async with open_runtime(settings, serves=False) as runtime:
        return await moving.reindex(runtime, name, _tell)


def _tell(progress: Progress) -> None:
    print(f"  {progress.stage}: {progress.docs} documents" if progress.docs else f"  {progress.stage}", file=sys.stderr, flush=True)
