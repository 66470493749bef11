"""The command `mentha`. One file a command; this one lists them.

A command's file is imported when it is asked for: most commands need a small part of what `serve` needs, and start in a third of the time.
"""

import gc
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated

import typer

from mentha import __version__

# Each is the module of its name. One with an `app` has commands of its own.
COMMANDS = ("serve", "worker", "migrate", "reindex", "config", "doctor", "keys", "tenants", "secrets")


def build(names: Sequence[str] = COMMANDS) -> typer.Typer:
    """The command line with these commands."""
    app = typer.Typer(
        name="mentha",
        help="A self-hosted server for stateful AI agents that speaks the Julep Agents API.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    # With a single command, typer would take its name for an argument.
    app.callback()(_top)
    for name in names:
        module = import_module(f"mentha.cli.{name}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name)
        else:
            app.command(name)(getattr(module, name))
    return app


def main() -> None:
    """Run the command line."""
    asked = next(iter(sys.argv[1:]), None)
    # What is imported stays: looking for garbage in it is a twentieth of the start.
    gc.disable()
    commands = build([asked] if asked in COMMANDS else COMMANDS)
    gc.enable()
    commands()


def _show_version(asked: bool) -> None:
    if asked:
        print(f"mentha {__version__}")
        raise typer.Exit


def _top(
    *, version: Annotated[bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)] = False
) -> None:
    del version  # what it does is done before
