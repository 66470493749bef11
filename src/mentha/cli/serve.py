"""`mentha serve`."""

import sys
from typing import Annotated

import typer

from mentha.cli.common import ConfigFile, Home, logged, run, settings_of
from mentha.server import first_key
from mentha.server import serve as serving
from mentha.server.runtime import Runtime

SNIPPET = """
  Mentha serves the Julep Agents API at {address}

  A key was made for you. It is shown only now; `mentha keys create` makes others.

      {key}

  Try it (pip install julep):

      from julep import Julep
      client = Julep(api_key="{key}", base_url="{address}")
      agent = client.agents.create(name="Mia", model="{model}")
      session = client.sessions.create(agent=agent.id)
      answer = client.sessions.chat(session.id, messages=[{{"role": "user", "content": "Hello!"}}])
      print(answer.choices[0].message.content)
"""
SERVING = "  Mentha serves the Julep Agents API at {address}"
KEPT = "  A key was made; it is in {path}"


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes any free one.")] = None,
    migrate: Annotated[
        bool | None, typer.Option("--migrate/--no-migrate", help="Bring the schema up to date first, or refuse an old one.")
    ] = None,
    worker: Annotated[
        bool | None, typer.Option("--worker/--no-worker", help="Do background work too, or leave it to `mentha worker`.")
    ] = None,
    home: Home = None,
    config: ConfigFile = None,
) -> None:
    """Serve the API. Stops on SIGTERM or Ctrl-C, after the running requests."""
    settings = settings_of(config, host=host, port=port, migrate=migrate, worker=worker, home=home)
    with logged(settings):
        run(lambda: serving.serve(settings, ready=_ready))


def _ready(runtime: Runtime, address: str) -> None:
    if not first_key.is_loopback(runtime.settings.host):
        print(f"  Others can reach this server at {runtime.settings.host}: put TLS in front of it.", file=sys.stderr)
    if runtime.made_key is None:
        print(SERVING.format(address=address), flush=True)
        return
    if sys.stdout.isatty():
        model = runtime.settings.default_model or ("gpt-4o-mini" if "openai" in runtime.settings.providers else "mentha/echo")
        print(SNIPPET.format(address=address, key=runtime.made_key.key, model=model), flush=True)
        return
    # A log may be read by others: the key goes to a file.
    try:
        print(KEPT.format(path=first_key.write_file(runtime.settings.home, runtime.made_key.key)))
    except OSError as error:
        print(f"  The key that was made can't be kept in {runtime.settings.home} ({error.strerror}).")
        print("  Make one with `mentha keys create`.")
    print(SERVING.format(address=address), flush=True)
