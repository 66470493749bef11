"""`python -m bench.probed serve`: the same server with a probe on its event loop, for the one part that asks how long the loop is held.

The probe is a timer that fires each millisecond. The longest time between two of its calls is how long everything else had to wait. It is
told on the clock, where other processes of the machine count as well, and in CPU time of the loop's thread, where they don't. A full
collection of garbage comes so seldom that a short run may not see one: so one is made at the end, and its time told.
SIGUSR1 starts a measurement; SIGUSR2 ends it and writes it to the file in `BENCH_PROBE_FILE`.
"""

import asyncio
import gc
import os
import signal
import time
from pathlib import Path

import orjson

from mentha import observe
from mentha.cli import main
from mentha.observe.events import Event, ServerStarted

EVERY_S = 0.001


class Probe:
    """Belongs to the loop that it is made in."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._walls: list[float] = []
        self._cpus: list[float] = []
        self._loop.add_signal_handler(signal.SIGUSR1, self._begin)
        self._loop.add_signal_handler(signal.SIGUSR2, self._end)

    def _begin(self) -> None:
        self._walls, self._cpus = [], []
        self._at = time.perf_counter(), time.thread_time()
        self._timer = self._loop.call_later(EVERY_S, self._tick)

    def _tick(self) -> None:
        now = time.perf_counter(), time.thread_time()
        self._walls.append(now[0] - self._at[0] - EVERY_S)
        self._cpus.append(now[1] - self._at[1])
        self._at = now
        self._timer = self._loop.call_later(EVERY_S, self._tick)

    def _end(self) -> None:
        self._timer.cancel()
        began = time.perf_counter()
        gc.collect()
        collected_ms = (time.perf_counter() - began) * 1e3
        walls, cpus = sorted(self._walls), sorted(self._cpus)
        at = int(len(walls) * 0.999)
        result = {
            "ticks": len(walls),
            "wall_ms": walls[-1] * 1e3,
            "wall_p999_ms": walls[at] * 1e3,
            "cpu_ms": cpus[-1] * 1e3,
            "gc_ms": collected_ms,
        }
        beside = self._file.with_suffix(".part")
        beside.write_bytes(orjson.dumps(result))
        beside.rename(self._file)


def _on_event(event: Event) -> None:
    if isinstance(event, ServerStarted):
        Probe(Path(os.environ["BENCH_PROBE_FILE"]))


if __name__ == "__main__":
    observe.subscribe(_on_event)
    main()
