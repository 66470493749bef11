"""A real `mentha serve` process for tests: started on a free port, stopped whatever happens."""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

KEY = "test-key-of-the-default-tenant"
READY = "Mentha serves the Julep Agents API at "
START_LIMIT_S = 60
STOP_LIMIT_S = 40


class ServerProcess:
    """One server process. Use `running`; `start` and `kill` are for tests that crash it.

    Attributes:
        url: its address, after `start`.
        log: every line of its standard error so far.
        told: every line of its standard output until it accepted requests.
    """

    def __init__(self, environ: Mapping[str, str], *arguments: str) -> None:
        self._environ = {**clean_environ(), "PYTHONUNBUFFERED": "1", "MENTHA_LOG_FORMAT": "json", **environ}
        self._arguments = arguments
        self.process: subprocess.Popen[str] | None = None
        self.url = ""
        self.log: list[str] = []
        self._logged = threading.Condition()
        self.told: list[str] = []

    @property
    def pid(self) -> int:
        """The process id while it runs."""
        if self.process is None:
            raise RuntimeError("the server was not started")
        return self.process.pid

    def start(self, *, port: int = 0) -> "ServerProcess":
        """Start it and wait until it accepts requests; fails with its log where it does not."""
        command = [sys.executable, "-m", "mentha", "serve", "--port", str(port), *self._arguments]
        self.process = subprocess.Popen(command, env=self._environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=_read, args=(self.process.stdout, lines.put), daemon=True).start()
        self.follow(self.process.stderr)
        deadline = time.monotonic() + START_LIMIT_S
        while True:
            line = lines.get(timeout=max(0.1, deadline - time.monotonic()))
            if line is None:
                self.process.wait(5)
                raise RuntimeError(f"the server ended with {self.process.returncode}:\n" + "".join(self.log[-40:]))
            self.told.append(line)
            if READY in line:
                self.url = line.split(READY, 1)[1].strip()
                return self

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.url.rsplit(":", 1)[1])

    def stop(self) -> int:
        """SIGTERM, wait, and return the exit code; 0 where it was not running."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError("the server did not stop:\n" + "".join(self.log[-40:])) from None

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)

    def follow(self, log: IO[str] | None) -> None:
        """Keep the lines of its standard error."""
        threading.Thread(target=_read, args=(log, self._keep), daemon=True).start()

    def _keep(self, line: str | None) -> None:
        with self._logged:
            if line is not None:
                self.log.append(line)
            self._logged.notify_all()

    def wait_for_log(self, text: str, *, limit_s: float = STOP_LIMIT_S) -> bool:
        """Wait for a log line with `text` in it; False where none comes in time."""
        with self._logged:
            return self._logged.wait_for(lambda: any(text in line for line in self.log), limit_s)


@contextmanager
def running(
    *arguments: str, home: Path, dsn: str | None = None, environ: Mapping[str, str] | None = None, **settings: str
) -> Iterator[ServerProcess]:
    """A server with the key `KEY` and these settings (`template_timeout_s="1"`), stopped at the end.

    Args:
        dsn: an external database; None for an embedded one in `home`.
        environ: more variables of the environment, like those of providers.
    """
    ours = {"MENTHA_HOME": str(home), "MENTHA_API_KEY": KEY, **{f"MENTHA_{name.upper()}": value for name, value in settings.items()}}
    if dsn is not None:
        ours["DATABASE_URL"] = dsn
    server = ServerProcess({**ours, **(environ or {})}, *arguments)
    try:
        yield server.start()
    finally:
        server.stop()


def clean_environ() -> dict[str, str]:
    """The environment without anything that settings are read from."""
    ours = ("MENTHA_", "DATABASE_URL", "OPENAI_", "ANTHROPIC_", "GEMINI_", "GROQ_", "OPENROUTER_", "MISTRAL_", "OLLAMA_", "VLLM_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def _read(stream: IO[str] | None, keep: Callable[[str | None], object]) -> None:
    if stream is not None:
        with stream:
            for line in stream:
                keep(line)
    keep(None)
