"""Workers that run executions with the effects of tests, as a program that forks one for each line `spawn` that it reads: that is quick.

python -m tests.support.runs_main LEASE_S PAUSE_S DEATHS_MAX        answers each line with the worker's process id
"""

import os
import signal
import sys

import mentha.server.worker as working
from mentha.cli.common import logged, run, settings_of
from mentha.core import lazy
from mentha.core.config import Settings
from mentha.server import runtime
from mentha.workflow import runs
from tests.support.runs import StandIn


def main() -> None:
    """Fork workers until there are no more lines."""
    settings, lease_s = settings_of(), float(sys.argv[1])
    runs.DEATH_PAUSE_S, runs.DEATHS_MAX = float(sys.argv[2]), int(sys.argv[3])
    runtime.effects.Effects = lambda parts: StandIn(parts.database)  # type: ignore[assignment,misc]  # has what is needed of them
    lazy.load("pgqueuer")
    # Children are not waited for.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _work(settings, lease_s)
        print(pid, flush=True)


def _work(settings: Settings, lease_s: float) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        with logged(settings):
            run(lambda: working.work(settings, ready=lambda: None, lease_s=lease_s))
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
