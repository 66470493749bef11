"""The command `mentha`. One file a command; this one lists them."""

import typer

from mentha.cli import config, doctor, keys, migrate, reindex, secrets, serve, tenants, worker

app = typer.Typer(
    name="mentha",
    help="A self-hosted server for stateful AI agents that speaks the Julep Agents API.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("serve")(serve.serve)
app.command("worker")(worker.worker)
app.command("migrate")(migrate.migrate)
app.command("reindex")(reindex.reindex)
app.command("config")(config.config)
app.command("doctor")(doctor.doctor)
app.add_typer(keys.app, name="keys")
app.add_typer(tenants.app, name="tenants")
app.add_typer(secrets.app, name="secrets")


def main() -> None:
    """Run the command line."""
    app()
