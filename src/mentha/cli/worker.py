"""`mentha worker`."""

from mentha.cli.common import ConfigFile, Home, logged, run, settings_of
from mentha.server import worker as working

WORKING = "  Mentha does background work"


def worker(home: Home = None, config: ConfigFile = None) -> None:
    """Do background work without serving the API. Stops on SIGTERM or Ctrl-C, after the running jobs."""
    settings = settings_of(config, home=home)
    with logged(settings):
        run(lambda: working.work(settings, ready=lambda: print(WORKING, flush=True)))
