"""Serving: bind, start, listen, and on a signal let running requests end before everything stops."""

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Callable, Generator

import uvicorn

from mentha import __version__, observe
from mentha.core import lazy
from mentha.core.config import Settings
from mentha.core.errors import ConfigInvalid
from mentha.observe.events import ServerStarted, ServerStopped, ServerStopping
from mentha.server import app, signals
from mentha.server.runtime import Runtime, open_runtime
from mentha.server.web import HttpProtocol
from mentha.server.worker import HANDLERS, Worker

BACKLOG = 2_048
HEADERS_WAIT_S = 30
LAST_WORDS_S = 0.5


class _Server(uvicorn.Server):
    """The web server without its own handling of signals: ours waits for turns as well."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


async def serve(settings: Settings, *, ready: Callable[[Runtime, str], None]) -> None:
    """Serve until SIGTERM or SIGINT; a second signal cuts running requests off.

    Args:
        ready: called once with the runtime and the server's address, when it accepts requests.

    Raises:
        ConfigInvalid: something is wrong that the operator can mend, an address in use among it.
        Unavailable: an external database can't be reached.
    """
    began = time.perf_counter()
    with _bind(settings) as listener:
        signals.end_task()
        address = _address(listener, settings)
        async with open_runtime(settings) as runtime, Worker(runtime, handlers=HANDLERS) as worker:
            server = _Server(_config(runtime))
            stopping = _Stopping(runtime, server, worker)
            signals.call(stopping.on_signal)
            task = asyncio.create_task(server.serve(sockets=[listener]))
            # The web server has no signal for having started.
            while not server.started and not task.done():  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            database = "external" if settings.database_url else "embedded"
            observe.emit(ServerStarted(address=address, version=__version__, database=database, took_s=time.perf_counter() - began))
            lazy.keep()
            ready(runtime, address)
            if settings.worker:
                worker.start()
            await task
            worker.stop()
            await worker.ended()
            observe.emit(ServerStopped(cut_off=await stopping.finished()))


class _Stopping:
    """What a signal sets off."""

    def __init__(self, runtime: Runtime, server: _Server, worker: Worker) -> None:
        self._runtime = runtime
        self._server = server
        self._worker = worker
        self._drain: asyncio.Task[int] | None = None

    async def finished(self) -> int:
        """How many turns were cut off."""
        return await self._drain if self._drain else 0

    def on_signal(self, number: signal.Signals, again: bool) -> None:
        """Let turns and jobs end, or at the second signal cut them off."""
        if again:
            self._runtime.turns.cut_off()
            self._worker.cut_off()
            # The turns that were cut off say so to their clients first.
            asyncio.get_running_loop().call_later(LAST_WORDS_S, setattr, self._server, "force_exit", True)
            return
        grace_s = self._runtime.settings.shutdown_grace_s
        observe.emit(ServerStopping(signal=number.name, running=self._runtime.turns.count, grace_s=grace_s))
        self._drain = asyncio.create_task(self._runtime.turns.drain(grace_s))
        self._worker.stop()
        self._runtime.watch.close()
        self._server.should_exit = True


def _config(runtime: Runtime) -> uvicorn.Config:
    grace_s = runtime.settings.shutdown_grace_s
    return uvicorn.Config(
        app.build(runtime),
        loop="none",
        http=HttpProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=HEADERS_WAIT_S,
        # A little longer than the turns get, so that a turn that was cut off can still say so.
        timeout_graceful_shutdown=int(grace_s) + 2,
    )


def _bind(settings: Settings) -> socket.socket:
    """Listen before anything starts, so that an address in use costs nothing."""
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(BACKLOG)
    except OSError as error:
        raise ConfigInvalid(
            f"can't listen on {settings.host}:{settings.port}: {error.strerror or error}; choose another with --host or --port"
        ) from None
    return listener


def _address(listener: socket.socket, settings: Settings) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{listener.getsockname()[1]}"
