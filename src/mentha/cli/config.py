"""`mentha config`."""

from typing import Annotated

import typer

from mentha.cli.common import ConfigFile, Home, settings_of
from mentha.cli.config_text import dump, example
from mentha.core.config import Settings


def config(
    example_: Annotated[bool, typer.Option("--example", help="A settings file with every setting, its default and what it does.")] = False,
    dump_: Annotated[bool, typer.Option("--dump", help="The settings in force, from all sources; secrets are masked.")] = False,
    home: Home = None,
    file: ConfigFile = None,
) -> None:
    """Show settings: all there are (--example), or those in force (--dump)."""
    if example_ == dump_:
        raise typer.BadParameter("take one of --example and --dump")
    print(example(Settings) if example_ else dump(settings_of(file, home=home)), end="")
