"""The server process of the embedded PostgreSQL: started, read about, waited for, stopped.

Below `store/embedded.py`, which decides when. A postmaster is known by its number and by the data folder in its command line, so that a
number that was given to another process is never taken for it, let alone signalled.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mentha.core.errors import ConfigInvalid
from mentha.store import cluster as files
from mentha.store.cluster import PORT, SOCKET, Cluster
from mentha.store.programs import ENVIRONMENT, Programs

POLL_S = 0.01
READY_S_MAX = 300.0
FAST_STOP_S_MAX = 30.0
IMMEDIATE_STOP_S_MAX = 10.0
# Small: the server shares its machine with us. Whoever needs a tuned PostgreSQL gives DATABASE_URL.
_OPTIONS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "max_wal_size": "256MB",
    # No replication: only the superuser could use it, and nobody can log in as superuser.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "log_checkpoints": "off",
    # Without it, the log would quote values of rows that broke a constraint.
    "log_error_verbosity": "terse",
}
_NO_FSYNC = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
# Servers that this process started, by process id: only their parent can collect them, also after the `EmbeddedServer` is gone.
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Postmaster:
    """A server process as its `postmaster.pid` tells. `status` is `starting`, `ready` or `stopping`."""

    pid: int
    data: Path
    socket_folder: Path
    status: str


def clear_stale(data: Path, folder: Path) -> None:
    """Remove what would stop PostgreSQL from starting although nothing runs: numbers of processes that others have now."""
    (folder / SOCKET).unlink(missing_ok=True)
    (folder / f"{SOCKET}.lock").unlink(missing_ok=True)
    stale = _read(data)
    if stale and _exists(stale.pid):
        files.claim_stale_pid(data, os.getpid())


def launch(cluster: Cluster, programs: Programs, folder: Path, log: Path, *, fsync: bool) -> tuple[Postmaster | None, str]:
    """Start the postmaster and wait until it takes connections; else what it wrote to the log before it ended."""
    options = {**_OPTIONS, "unix_socket_directories": str(folder), **({} if fsync else _NO_FSYNC)}
    words = (word for name, value in options.items() for word in ("-c", f"{name}={value}"))
    account = cluster.account
    with os.fdopen(os.open(log, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600), "r+b", buffering=0) as output:
        start = output.seek(0, os.SEEK_END)
        child = subprocess.Popen(
            [programs.bin / "postgres", "-D", cluster.data, *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env=ENVIRONMENT,
            umask=0o077,
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
        for ended in [pid for pid, other in _children.items() if other.poll() is not None]:
            del _children[ended]
        _children[child.pid] = child
        ready = when_ready(Postmaster(child.pid, cluster.data, folder, "starting"))
        output.seek(start)
        return ready, "" if ready else output.read(100_000).decode(errors="replace")


def when_ready(postmaster: Postmaster) -> Postmaster | None:
    """Wait until the server takes connections, recovery included. None when it ended instead.

    Raises:
        ConfigInvalid: it takes longer than any wait should; it goes on starting.
    """

    def settled() -> bool:
        now = _read(postmaster.data)
        return bool(now and now.pid == postmaster.pid and now.status == "ready") or gone(postmaster)

    if not wait_until(settled, READY_S_MAX):
        raise ConfigInvalid(
            f"PostgreSQL has been starting for {READY_S_MAX:.0f} s on {postmaster.data} (recovering after a crash?): wait, then start again"
        )
    return None if gone(postmaster) else _read(postmaster.data)


def stop(postmaster: Postmaster) -> bool:
    """Stop the server: open transactions are rolled back, clients cut off. Returns whether it ended."""
    for how, limit_s in ((signal.SIGINT, FAST_STOP_S_MAX), (signal.SIGQUIT, IMMEDIATE_STOP_S_MAX)):
        with suppress(ProcessLookupError):
            os.kill(postmaster.pid, how)
        if wait_until(lambda: gone(postmaster), limit_s):
            return True
    return False


def running(data: Path) -> Postmaster | None:
    """The server that runs on a data folder, in whatever status; None where there is none."""
    found = _read(data)
    return found if found and not gone(found) else None


def gone(postmaster: Postmaster) -> bool:
    """Whether no process with that number is the postmaster of that data. Collects it where it was our child."""
    child = _children.get(postmaster.pid)
    if child and child.poll() is None:
        return False
    if not Path("/proc/self/cmdline").exists():
        return not _exists(postmaster.pid)
    try:
        # Readable for all, unlike the other files there. Empty for a process that ended and was not collected.
        words = Path(f"/proc/{postmaster.pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return True
    return os.fsencode(postmaster.data) not in words


def exit_code(postmaster: Postmaster) -> int | None:
    """How the server ended (a signal is negative); None when it runs, or when another process had started it."""
    child = _children.get(postmaster.pid)
    return child.poll() if child else None


def wait_until(condition: Callable[[], bool], limit_s: float) -> bool:
    """Poll until the condition holds; False when it does not within `limit_s` seconds. Blocks."""
    until_s = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > until_s:
            return False
        time.sleep(POLL_S)
    return True


def _read(data: Path) -> Postmaster | None:
    # Lines: number, data folder, start, port, socket folder, address, shared memory, status. Source: PostgreSQL's `utils/pidfile.h`.
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8").split("\n")
        status = lines[7].strip() if len(lines) > 7 else "starting"
        return Postmaster(int(lines[0]), data, Path(lines[4] if len(lines) > 4 else data), status)
    except (FileNotFoundError, ValueError):
        # No server; or one that is writing its file just now, which its caller looks at again.
        return None


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # Somebody else's, so it exists.
        pass
    return True
