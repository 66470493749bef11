"""`mentha worker` with one more kind of job, as a program: `python -m tests.support.worker_main LEASE_S`. See `tests/support/worker.py`."""

import asyncio
import os
import sys

from mentha.cli.common import logged, run, settings_of
from mentha.server import worker
from mentha.server.runtime import Runtime
from mentha.store.queue import Job
from tests.support.worker import KIND

BEGIN = "INSERT INTO marks (job, pid, what) VALUES ($1, $2, 'begun')"
END = "INSERT INTO marks (job, pid, what) SELECT $1, $2, 'ended' WHERE EXISTS (SELECT FROM gates WHERE pid = $2)"
LOOK_S = 0.05


async def hold(runtime: Runtime, job: Job) -> None:
    """Mark the begin, and then the end as soon as this process's gate is open."""
    async with runtime.database.connection() as connection:
        await connection.execute(BEGIN, job.id, os.getpid())
    while True:
        async with runtime.database.connection() as connection:
            if await connection.execute(END, job.id, os.getpid()) == "INSERT 0 1":
                return
        await asyncio.sleep(LOOK_S)


if __name__ == "__main__":
    settings = settings_of()
    with logged(settings):
        run(lambda: worker.work(settings, ready=lambda: None, handlers={KIND: hold}, lease_s=float(sys.argv[1])))
