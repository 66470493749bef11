"""The embedded PostgreSQL with real processes: made, shared, killed, revived, and refused with a message that helps."""

import asyncio
import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import psutil
import pytest

from mentha.core.errors import ConfigInvalid
from mentha.observe import subscribe, unsubscribe
from mentha.observe.events import DatabaseLocaleWeak, DatabaseLost, DatabaseRestartFailed, DatabaseStarted, DatabaseStopped, Event
from mentha.store import cluster, embedded
from tests.support.talk import postmasters

IS_ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not IS_ROOT, reason="only root has to run PostgreSQL as another account")
DEADLINE_S = 30.0

# A server process as far as the database is concerned: acquires, says so, and releases when its input ends.
HOLDER = """
import json, sys
from pathlib import Path
from mentha.observe import subscribe
from mentha.store import embedded
def tell(event):
    print(json.dumps({"began": getattr(event, "began", None), "left": getattr(event, "left_running", None)}), flush=True)
subscribe(tell)
server = embedded.acquire(Path(sys.argv[1]), fsync=False)
print(json.dumps({"pid": server.pid}), flush=True)
sys.stdin.read()
server.release()
"""


class Holder:
    def __init__(self, home: Path) -> None:
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ, text=True
        )

    def line(self) -> dict[str, object]:
        assert self.process.stdout
        return json.loads(self.process.stdout.readline())

    def release(self) -> dict[str, object]:
        assert self.process.stdin
        self.process.stdin.close()
        said = self.line()
        assert self.process.wait(DEADLINE_S) == 0
        return said

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(DEADLINE_S)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()


@pytest.fixture
def holders() -> Iterator[Callable[[Path], Holder]]:
    made: list[Holder] = []

    def start(home: Path) -> Holder:
        made.append(Holder(home))
        return made[-1]

    yield start
    for holder in made:
        holder.kill()


@pytest.fixture(scope="module")
def ground() -> Iterator[Path]:
    """A folder that every account can pass through, unlike pytest's own when root runs it."""
    folder = Path(tempfile.mkdtemp(prefix="mentha-test-")).resolve()
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def made(ground: Path) -> Path:
    """A home folder with a complete, stopped database."""
    embedded.acquire(ground / "made", fsync=False).release()
    return ground / "made"


@pytest.fixture(autouse=True)
def nothing_left(ground: Path) -> Iterator[None]:
    yield
    left = postmasters(ground)
    for process in left:
        process.send_signal(signal.SIGQUIT)
    psutil.wait_procs(left, DEADLINE_S)
    assert left == []


@pytest.fixture
def events() -> Iterator[list[Event]]:
    seen: list[Event] = []
    subscribe(seen.append)
    yield seen
    unsubscribe(seen.append)


def runs(pid: object) -> bool:
    """Whether it runs; one that ended and waits for its parent to look does not."""
    try:
        return psutil.Process(int(str(pid))).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(condition: Callable[[], object]) -> None:
    until_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < until_s, "it did not come true in time"
        time.sleep(0.005)


def query(dsn: str, sql: str) -> list[tuple[object, ...]]:
    async def run() -> list[tuple[object, ...]]:
        connection = await asyncpg.connect(dsn)
        try:
            return [tuple(row) for row in await connection.fetch(sql)]
        finally:
            await connection.close()

    return asyncio.run(run())


def kill_postmaster(server: embedded.EmbeddedServer) -> None:
    os.kill(server.pid, signal.SIGKILL)
    wait_until(lambda: not server.alive())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_acquire_new_home_makes_database_and_release_stops_it(ground: Path, events: list[Event]) -> None:
    server = embedded.acquire(ground / "new")
    try:
        assert {("vector",), ("pg_trgm",), ("unaccent",)} <= set(query(server.dsn, "SELECT extname FROM pg_extension"))
        assert query(server.dsn, "SELECT current_setting('data_checksums'), current_setting('fsync')") == [("on", "on")]
        assert query(server.dsn, "SELECT similarity('молоко', 'молока') > 0.3") == [(True,)]
    finally:
        server.release()
        server.release()
    assert not runs(server.pid)
    assert [type(event) for event in events] == [DatabaseStarted, DatabaseStopped]


def test_home_made_by_acquire_is_closed_to_others(made: Path) -> None:
    assert mode(made) == (0o710 if IS_ROOT else 0o700)
    assert [mode(made / name) for name in ("pg", "s", "pg.password", "pg.log")] == [0o700, 0o700, 0o600, 0o600]


def test_repr_of_server_hides_password(made: Path) -> None:
    server = embedded.acquire(made, fsync=False)
    try:
        assert str(urlsplit(server.dsn).password) not in repr(server)
    finally:
        server.release()


def test_acquire_made_home_finds_rows_of_the_last_run(made: Path) -> None:
    server = embedded.acquire(made, fsync=False)
    query(server.dsn, "CREATE TABLE kept AS SELECT 7 AS number")
    server.release()
    server = embedded.acquire(made, fsync=False)
    try:
        assert query(server.dsn, "SELECT number FROM kept") == [(7,)]
    finally:
        server.release()


def test_two_processes_share_one_server_and_the_last_stops_it(made: Path, holders: Callable[[Path], Holder]) -> None:
    first, second = holders(made), holders(made)
    assert {first.line()["began"], second.line()["began"]} == {True, False}
    pid = first.line()["pid"]
    assert second.line()["pid"] == pid
    assert first.release()["left"] is True
    assert runs(pid)
    assert second.release()["left"] is False
    wait_until(lambda: not runs(pid))


def test_server_left_over_by_killed_process_is_joined_and_stopped_by_the_next(made: Path, holders: Callable[[Path], Holder]) -> None:
    killed = holders(made)
    killed.line()
    pid = killed.line()["pid"]
    killed.kill()
    server = embedded.acquire(made, fsync=False)
    assert server.pid == pid
    server.release()
    assert not server.alive()


def test_revive_after_killed_postmaster_brings_committed_rows_back(made: Path) -> None:
    server = embedded.acquire(made)
    try:
        query(server.dsn, "CREATE TABLE survivor AS SELECT 1 AS number")
        kill_postmaster(server)
        assert server.revive() is True
        assert server.revive() is False
        assert query(server.dsn, "SELECT number FROM survivor") == [(1,)]
    finally:
        server.release()
    assert server.revive() is False


def test_revive_after_socket_was_deleted_starts_again(made: Path) -> None:
    server = embedded.acquire(made, fsync=False)
    try:
        (Path(parse_qs(urlsplit(server.dsn).query)["host"][0]) / ".s.PGSQL.5432").unlink()
        assert not server.alive()
        assert server.revive() is True
        assert query(server.dsn, "SELECT 1") == [(1,)]
    finally:
        server.release()


def test_revive_with_stale_pid_of_another_living_process_starts_again(made: Path) -> None:
    server = embedded.acquire(made, fsync=False)
    owner = server.folder.stat()
    identity = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if IS_ROOT else {}
    other = subprocess.Popen(["sleep", "60"], **identity)  # pyright: ignore[reportArgumentType, reportCallIssue]  # keyword table
    try:
        kill_postmaster(server)
        pid_file = server.folder / "postmaster.pid"
        _, _, rest = pid_file.read_text().partition("\n")
        pid_file.write_text(f"{other.pid}\n{rest}")
        assert server.revive() is True
        assert server.alive()
    finally:
        server.release()
        other.kill()
        other.wait()


def test_keep_alive_starts_a_killed_server_again_and_tells(made: Path, events: list[Event]) -> None:
    server = embedded.acquire(made, fsync=False)
    killed = server.pid

    async def watch() -> None:
        watching = asyncio.create_task(embedded.keep_alive(server, every_s=0.01))
        os.kill(killed, signal.SIGKILL)
        async with asyncio.timeout(DEADLINE_S):
            while server.pid == killed or not server.alive():
                await asyncio.sleep(0.01)
        watching.cancel()
        await asyncio.wait([watching])

    try:
        asyncio.run(watch())
        assert query(server.dsn, "SELECT 1") == [(1,)]
    finally:
        server.release()
    assert DatabaseLost(exit_code=-signal.SIGKILL) in events


def test_keep_alive_tells_failed_attempts_and_goes_on(made: Path, events: list[Event]) -> None:
    server = embedded.acquire(made, fsync=False)
    conf = server.folder / "postgresql.conf"
    kept = conf.read_text()

    async def watch() -> None:
        watching = asyncio.create_task(embedded.keep_alive(server, every_s=0.01))
        async with asyncio.timeout(DEADLINE_S):
            while not any(isinstance(event, DatabaseRestartFailed) for event in events):
                await asyncio.sleep(0.01)
            conf.write_text(kept)
            while not server.alive():
                await asyncio.sleep(0.01)
        watching.cancel()
        await asyncio.wait([watching])

    try:
        conf.write_text(f"{kept}\nno_such_setting = 1\n")
        os.kill(server.pid, signal.SIGKILL)
        asyncio.run(watch())
    finally:
        conf.write_text(kept)
        server.release()


def test_database_blind_to_cyrillic_is_told(ground: Path, events: list[Event], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_locale_options", lambda _major: ["--locale=C"])
    embedded.acquire(ground / "blind", fsync=False).release()
    assert DatabaseLocaleWeak(likeness=0.0) in events


def test_acquire_after_kill_during_initdb_makes_a_whole_database(ground: Path, holders: Callable[[Path], Holder]) -> None:
    home = ground / "interrupted"
    killed = holders(home)
    wait_until((home / "pg.new" / "base").exists)
    killed.kill()
    assert not (home / "pg").exists()
    server = embedded.acquire(home, fsync=False)
    try:
        assert query(server.dsn, "SELECT similarity('abc', 'abd') > 0") == [(True,)]
    finally:
        server.release()
    assert not (home / "pg.new").exists()


def test_app_role_owns_its_database_and_nothing_else(made: Path) -> None:
    server = embedded.acquire(made, fsync=False)
    try:
        rights = "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls FROM pg_roles WHERE rolname = current_user"
        assert query(server.dsn, rights) == [(False, False, False, False, False)]
        for forbidden in ("SELECT pg_read_file('/etc/passwd')", "CREATE DATABASE more", "COPY (SELECT 1) TO PROGRAM 'true'"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                query(server.dsn, forbidden)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            query(server.dsn.replace("/mentha?", "/postgres?"), "SELECT 1")
    finally:
        server.release()


def test_login_as_superuser_or_without_password_is_refused(made: Path) -> None:
    server = embedded.acquire(made, fsync=False)
    password = str(urlsplit(server.dsn).password)
    try:
        for who in (f"postgres:{password}", "postgres:", "mentha:wrong"):
            with pytest.raises(asyncpg.InvalidPasswordError):
                query(server.dsn.replace(f"mentha:{password}", who), "SELECT 1")
    finally:
        server.release()


def test_as_superuser_is_refused_while_the_server_runs(made: Path) -> None:
    server = embedded.acquire(made, fsync=False)
    try:
        with pytest.raises(ConfigInvalid, match="stopped"):
            embedded.as_superuser(made, ["SELECT 1"])
    finally:
        server.release()
    embedded.as_superuser(made, [f"COMMENT ON DATABASE {cluster.DATABASE} IS 'reached'"])
    with pytest.raises(ConfigInvalid, match="does not exist"):
        embedded.as_superuser(made, ["SELECT * FROM missing"])


def test_home_with_long_name_or_comma_gets_a_short_socket_folder(ground: Path, made: Path) -> None:
    home = ground / "long" / ("a,b" * 30) / ("n" * 60)
    home.parent.mkdir(parents=True)
    shutil.copytree(made, home, symlinks=True)
    own(made, home)
    server = embedded.acquire(home, fsync=False)
    socket_folder = Path(parse_qs(urlsplit(server.dsn).query)["host"][0])
    try:
        assert not socket_folder.is_relative_to(home)
        assert mode(socket_folder) == 0o700
        assert query(server.dsn, "SELECT 1") == [(1,)]
    finally:
        server.release()
        shutil.rmtree(socket_folder)


def test_socket_folder_of_somebody_else_is_refused(made: Path) -> None:
    (made / "s").chmod(0o777)
    try:
        with pytest.raises(ConfigInvalid, match="no folder of ours alone"):
            embedded.acquire(made, fsync=False)
    finally:
        (made / "s").chmod(0o700)


def test_lost_password_file_is_made_anew(made: Path) -> None:
    before = (made / "pg.password").read_text()
    (made / "pg.password").unlink()
    server = embedded.acquire(made, fsync=False)
    try:
        assert query(server.dsn, "SELECT 1") == [(1,)]
        assert (made / "pg.password").read_text() != before
    finally:
        server.release()


def test_wrong_password_file_is_told(made: Path) -> None:
    kept = (made / "pg.password").read_text()
    (made / "pg.password").write_text("wrong\n")
    try:
        with pytest.raises(ConfigInvalid, match=r"pg\.password is not the database's"):
            embedded.acquire(made, fsync=False)
    finally:
        (made / "pg.password").write_text(kept)


def test_server_without_fsync_is_replaced_for_one_who_wants_it(made: Path, holders: Callable[[Path], Holder]) -> None:
    careless = holders(made)
    careless.line()
    careless.line()
    careless.kill()
    server = embedded.acquire(made, fsync=True)
    try:
        assert query(server.dsn, "SELECT current_setting('fsync')") == [("on",)]
    finally:
        server.release()


def test_log_that_grew_is_set_aside_at_start(made: Path) -> None:
    with (made / "pg.log").open("ab") as log:
        log.truncate(embedded.LOG_BYTES_MAX + 1)
    embedded.acquire(made, fsync=False).release()
    assert (made / "pg.log").stat().st_size < embedded.LOG_BYTES_MAX < (made / "pg.log.1").stat().st_size


def test_pg_bin_with_other_programs_is_used(made: Path) -> None:
    package = embedded._packaged()
    assert package
    server = embedded.acquire(made, pg_bin=package / "pginstall" / "bin", fsync=False)
    server.release()


def test_wrong_pg_bin_is_told(ground: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"`initdb`.*MENTHA_PG_BIN.*DATABASE_URL"):
        embedded.acquire(ground / "refused", pg_bin=ground / "nowhere")


def test_missing_package_is_told(ground: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_packaged", lambda: None)
    with pytest.raises(ConfigInvalid, match="DATABASE_URL"):
        embedded.acquire(ground / "refused")


def test_data_of_another_major_version_is_told(made: Path) -> None:
    version = made / "pg" / "PG_VERSION"
    kept = version.read_text()
    version.write_text("14\n")
    try:
        with pytest.raises(ConfigInvalid, match=r"made by PostgreSQL 14.*MENTHA_PG_BIN"):
            embedded.acquire(made, fsync=False)
    finally:
        version.write_text(kept)


def test_home_that_is_a_file_is_told(ground: Path) -> None:
    (ground / "file").touch()
    with pytest.raises(ConfigInvalid, match="MENTHA_HOME"):
        embedded.acquire(ground / "file")


def test_setting_that_postgresql_refuses_is_told_with_its_words(made: Path) -> None:
    conf = made / "pg" / "postgresql.conf"
    kept = conf.read_text()
    conf.write_text(f"{kept}\nno_such_setting = 1\n")
    try:
        with pytest.raises(ConfigInvalid, match="no_such_setting"):
            embedded.acquire(made, fsync=False)
    finally:
        conf.write_text(kept)


@pytest.mark.skipif(IS_ROOT, reason="root may write everywhere")
def test_home_in_a_folder_without_rights_is_told(ground: Path) -> None:
    closed = ground / "closed"
    closed.mkdir(mode=0o500)
    with pytest.raises(ConfigInvalid, match="Permission denied.*MENTHA_HOME"):
        embedded.acquire(closed / "home")


@as_root
def test_root_without_an_account_is_told(ground: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "ACCOUNTS", ("no-such-account",))
    with pytest.raises(ConfigInvalid, match="refuses to run as root.*DATABASE_URL"):
        embedded.acquire(ground / "rootless")


@as_root
def test_root_with_unreachable_home_and_programs_runs_copies_elsewhere(ground: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed, elsewhere = ground / "closed", ground / "elsewhere"
    closed.mkdir(mode=0o700)
    elsewhere.mkdir(mode=0o755)
    elsewhere.chmod(0o755)
    package = embedded._packaged()
    assert package
    shutil.copytree(package, closed / package.name, ignore=shutil.ignore_patterns("include", "pgxs", "pgbench", "pg_*"))
    shutil.copytree(package.with_name(f"{package.name}.libs"), closed / f"{package.name}.libs")
    shutil.copytree(package / "pginstall" / "lib", closed / package.name / "pginstall" / "lib", dirs_exist_ok=True)
    shutil.copytree(package / "pginstall" / "share", closed / package.name / "pginstall" / "share", dirs_exist_ok=True)
    monkeypatch.setattr(embedded, "_packaged", lambda: closed / package.name)
    monkeypatch.setattr(cluster, "FALLBACK_PARENTS", (elsewhere,))
    home = closed / "deep" / "home"
    server = embedded.acquire(home, fsync=False)
    try:
        assert query(server.dsn, "SELECT similarity('abc', 'abd') > 0") == [(True,)]
        assert server.folder.is_relative_to(elsewhere)
        assert psutil.Process(server.pid).username() in {pwd.getpwnam(name).pw_name for name in ("postgres", "nobody")}
        assert psutil.Process(server.pid).exe().startswith(f"{elsewhere}/")
        assert mode(closed) == 0o700
    finally:
        server.release()
    embedded.acquire(home, fsync=False).release()
    shutil.rmtree(server.folder.parent)
    with pytest.raises(ConfigInvalid, match="empty or gone"):
        embedded.acquire(home, fsync=False)


def own(source: Path, target: Path) -> None:
    """Give each file in `target` the owner of its original."""
    for path in (source, *source.rglob("*")):
        owner = path.lstat()
        os.chown(target / path.relative_to(source), owner.st_uid, owner.st_gid, follow_symlinks=False)
