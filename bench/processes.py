"""The server that is measured: a real `mentha serve` process, its CPU time and its memory, PostgreSQL left out."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
KEY = "key-of-the-bench-only"
READY = b"Mentha serves the Julep Agents API at "
START_S_MAX = 60.0
STOP_S_MAX = 30.0
# Settings of whoever runs the bench must not change what is measured.
FOREIGN = ("MENTHA_", "DATABASE_URL", "OPENAI_", "ANTHROPIC_", "GEMINI_", "GROQ_", "OPENROUTER_", "MISTRAL_", "OLLAMA_", "VLLM_")


@dataclass(frozen=True, slots=True)
class Memory:
    """Sums over the tree, in MB of 10^6 bytes. `pss` counts a page that n processes share as 1/n of it; None where it is not known."""

    rss: float
    pss: float | None


@dataclass(frozen=True, slots=True)
class Server:
    """A running server.

    Attributes:
        started_s: from the start of the process to the line that says that it serves.
    """

    pid: int
    port: int
    started_s: float

    def cpu_s(self) -> float:
        """User and system time of the whole tree so far, without PostgreSQL."""
        return sum(sum(process.cpu_times()[:2]) for process in self._tree())

    def memory(self) -> Memory:
        """What the whole tree holds now, without PostgreSQL."""
        infos = [process.memory_full_info() for process in self._tree()]
        pss = [info.pss for info in infos if hasattr(info, "pss")]
        return Memory(sum(info.rss for info in infos) / 1e6, sum(pss) / 1e6 if pss else None)

    def _tree(self) -> list[psutil.Process]:
        root = psutil.Process(self.pid)
        return [root, *(child for child in root.children(recursive=True) if not child.name().startswith(("postgres", "pg_")))]


@contextmanager
def serving(home: Path, environ: dict[str, str], *, module: str = "mentha") -> Iterator[Server]:
    """`mentha serve` with an embedded PostgreSQL in `home`, fsync on; stopped at the end. Its log goes to a file, as in production.

    Args:
        module: what `python -m` runs; it must take the arguments of `mentha`.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    settings = {"MENTHA_HOME": str(home), "MENTHA_API_KEY": KEY, "MENTHA_LOG_FORMAT": "json", "PYTHONUNBUFFERED": "1"}
    began = time.perf_counter()
    log = home.parent / "server.log"
    with log.open("ab") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", module, "serve", "--port", "0"],
            cwd=ROOT,
            env={**clean, **settings, **environ},
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
    try:
        port = _port(process, log)
        yield Server(process.pid, port, time.perf_counter() - began)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _port(process: subprocess.Popen, log: Path) -> int:
    # The process ends by itself where it can't start, which ends its output.
    for line in process.stdout:
        if READY in line:
            return int(line.rsplit(b":", 1)[1])
    raise RuntimeError("the server did not start:\n" + log.read_text()[-3_000:])
