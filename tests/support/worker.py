"""Processes that do background work, for tests that kill them: each job of the kind `hold` runs until the test opens its process's gate."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.support.server import ServerProcess
from tests.support.talk import until

KIND = "hold"
TABLES = "CREATE TABLE marks (job bigint, pid integer, what text); CREATE TABLE gates (pid integer)"


class WorkerProcess(ServerProcess):
    """A process that runs `tests/support/worker_main.py`."""

    def start(self, *, port: int = 0) -> "WorkerProcess":
        """Start it and wait until it takes jobs."""
        command = [sys.executable, "-m", "tests.support.worker_main", *self._arguments]
        self.process = subprocess.Popen(command, env=self._environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.follow(self.process.stderr)
        if not self.wait_for_log('"worker started"'):
            raise RuntimeError("the worker did not start:\n" + "".join(self.log[-40:]))
        return self


class Workers:
    """Starts workers on one database, and sees and decides how far their jobs get, over a connection of the test's own."""

    def __init__(self, stack: ExitStack, environ: Mapping[str, str], lease_s: float) -> None:
        self._stack = stack
        self._environ = environ
        self._lease_s = lease_s

    def start(self, **settings: str) -> WorkerProcess:
        """One more worker, with these settings."""
        more = {f"MENTHA_{name.upper()}": value for name, value in settings.items()}
        worker = WorkerProcess({**self._environ, **more}, str(self._lease_s))
        self._stack.callback(worker.kill)
        return worker.start()


@contextmanager
def workers(home: Path, *, dsn: str | None, lease_s: float) -> Iterator[Workers]:
    """Workers with `home`, killed at the end.

    Args:
        dsn: an external database; None for the embedded one in `home`.
        lease_s: how long a dead worker keeps its jobs.
    """
    environ = {"MENTHA_HOME": str(home)} if dsn is None else {"MENTHA_HOME": str(home), "DATABASE_URL": dsn}
    with ExitStack() as stack:
        yield Workers(stack, environ, lease_s)


async def marked(database: Any, worker: WorkerProcess, what: str, *, count: int = 1) -> None:
    """Return once the worker has begun, or ended, so many jobs."""
    sql = "SELECT count(*) >= $3 FROM marks WHERE pid = $1 AND what = $2"
    await until(lambda: database.fetchval(sql, worker.pid, what, count))


async def open_gate(database: Any, worker: WorkerProcess) -> None:
    """Let the jobs of this worker end."""
    await database.execute("INSERT INTO gates VALUES ($1)", worker.pid)
