"""The files of the embedded PostgreSQL: where its data folder is, whose it is, which programs run it, and how it is made.

Used by `store/embedded.py` alone, always under the start lock that it holds. Invariants: `Cluster.data` exists only complete (it is made as
`pg.new` and renamed at the end), so a crash at any point leaves nothing that the next start does not repair; as root nothing is followed
or written inside a folder that another account could have prepared; nobody can log in as superuser, ever (`run_sql` needs the server to
be stopped, and needs the data folder's own account).
"""

import hashlib
import os
import pwd
import secrets
import shutil
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mentha.core.errors import ConfigInvalid
from mentha.store.programs import Account, Programs, last_words, run_as

ROLE = "mentha"
DATABASE = "mentha"
EXTENSIONS = ("vector", "pg_trgm", "unaccent")
PORT = 5432
SOCKET = f".s.PGSQL.{PORT}"
# The kernel's limit for the path of a Unix socket is 107 bytes on Linux and 103 on macOS.
SOCKET_BYTES_MAX = 100
# PostgreSQL refuses to run as root. These accounts are tried in this order; none is ever created.
ACCOUNTS = ("postgres", "nobody")
# Where root's data goes when that account can't get into the home folder (`/root` is closed to all others on most systems).
FALLBACK_PARENTS = (Path("/var/lib"), Path("/var/db"), Path("/opt"))
_HBA = "# Written by Mentha. Only the Unix socket, only by password; the superuser has none.\nlocal all all scram-sha-256\n"


@dataclass(frozen=True)
class Cluster:
    """One data folder and what belongs to it. `folder` is `home`, except for root where the account can't reach `home`."""

    home: Path
    folder: Path
    account: Account | None

    @property
    def data(self) -> Path:
        """PostgreSQL's data folder. It exists only when complete."""
        return self.folder / "pg"

    @property
    def password_file(self) -> Path:
        """The app role's password, 0600."""
        return self.home / "pg.password"


def make_home(home: Path) -> None:
    """Make the home folder where it does not exist: closed to all others, but root lets the server's account pass through it."""
    if home.is_dir():
        return
    home.parent.mkdir(parents=True, exist_ok=True)
    home.mkdir(mode=0o700)
    if os.geteuid() == 0:
        _let_pass(home, _unprivileged())


def locate(home: Path) -> Cluster:
    """Find the place of the data folder: `home`, or what the file `pg.place` in it says. Makes neither.

    Raises:
        ConfigInvalid: root has no account to run PostgreSQL as, or the recorded place is gone. The message says what to do.
    """
    record = home / "pg.place"
    folder = Path(record.read_text(encoding="utf-8").strip()) if record.exists() else home
    if folder != home and not (folder / "pg" / "PG_VERSION").exists():
        raise ConfigInvalid(
            f"the database of {home} is kept in {folder}, and that folder is empty or gone: bring it back; or, to begin with an empty "
            f"database, delete {record}; or set DATABASE_URL"
        )
    if os.geteuid() != 0:
        return Cluster(home, folder, None)
    account = _owner(folder / "pg") or _unprivileged()
    if folder == home and not (home / "pg").exists() and not _can_enter(account, home):
        folder = _fallback(home, account)
    return Cluster(home, folder, account)


def check_major(cluster: Cluster, programs: Programs) -> None:
    """Refuse data of another major version before PostgreSQL does, and say what can be done.

    Raises:
        ConfigInvalid: the data folder and the programs don't fit.
    """
    made_by = (cluster.data / "PG_VERSION").read_text(encoding="ascii").strip()
    if made_by != str(programs.major):
        raise ConfigInvalid(
            f"the data in {cluster.data} was made by PostgreSQL {made_by}, and the programs here are PostgreSQL {programs.version}: "
            f"set MENTHA_PG_BIN to a folder with PostgreSQL {made_by} and go on; or dump with it, move the data away, start anew and load"
        )


def create(cluster: Cluster, programs: Programs, *, lock: int, fsync: bool) -> None:
    """Make the data folder, the app's role and its database with the extensions. Complete or not at all.

    Args:
        lock: the descriptor of the start lock. The programs inherit it, so that the lock outlives a killed parent until they end too.
        fsync: False leaves the data to the operating system's cache; for tests.

    Raises:
        ConfigInvalid: a program failed (no space, no right, no such extension); the message has its last words.
    """
    fresh = cluster.folder / "pg.new"
    shutil.rmtree(fresh, ignore_errors=True)
    make_private(fresh, cluster.account)
    try:
        options = ["-U", "postgres", "-E", "UTF8", "--auth=reject", "--data-checksums", "--no-sync", *_locale_options(programs.major)]
        _run(cluster, [programs.bin / "initdb", "-D", fresh, *options], lock=lock)
        password = secrets.token_urlsafe(32)
        run_sql(cluster, programs, "template1", _setup(password), lock=lock, fresh=fresh)
        _overwrite(fresh / "pg_hba.conf", _HBA)
        if fsync:
            _run(cluster, [programs.bin / "initdb", "-D", fresh, "--sync-only"], lock=lock)
        write_secret(cluster.password_file, password)
        fresh.rename(cluster.data)
        _sync_folder(cluster.folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def renew_password(cluster: Cluster, programs: Programs, *, lock: int) -> None:
    """Give the app's role a new password because the file with the old one is gone. The server must be stopped."""
    password = secrets.token_urlsafe(32)
    run_sql(cluster, programs, "template1", [f"ALTER ROLE {ROLE} PASSWORD '{password}'"], lock=lock)
    write_secret(cluster.password_file, password)


def run_sql(
    cluster: Cluster, programs: Programs, database: str, statements: Sequence[str], *, lock: int, fresh: Path | None = None
) -> None:
    """Run statements as superuser in PostgreSQL's single-user mode; the server must be stopped. The first that fails ends it.

    Args:
        statements: one line each, without the `;`.
        fresh: a data folder in the making, in place of the cluster's; not synced to the disk.

    Raises:
        ConfigInvalid: a statement failed, or a server runs on the data folder.
    """
    # Without the last option PostgreSQL would repeat a failed statement, and with it a password, in its message.
    options = ["-c", "exit_on_error=true", "-c", "log_checkpoints=off", "-c", "log_min_error_statement=panic"]
    command = [programs.bin / "postgres", "--single", "-D", fresh or cluster.data, *(["-F"] if fresh else []), *options, database]
    _run(cluster, command, lock=lock, text="".join(f"{statement};\n" for statement in statements))


def record_place(cluster: Cluster) -> None:
    """Note in the home folder where the data is, when it is not in it. Done after the data exists: a place without data is an error."""
    record = cluster.home / "pg.place"
    if cluster.folder != cluster.home and not record.exists():
        write_secret(record, f"{cluster.folder}")


def socket_folder(cluster: Cluster) -> Path:
    """Make the folder of the Unix socket, 0700: `s` beside the data, or, where that path is too long, one under the runtime folder.

    Raises:
        ConfigInvalid: somebody else owns the folder.
    """
    folder = cluster.folder / "s"
    # Lists of folders (in PostgreSQL) and of hosts (in its drivers) are split at commas.
    if len(os.fsencode(folder / SOCKET)) > SOCKET_BYTES_MAX or set(',"') & set(str(folder)):
        runtime = Path(f"/run/user/{cluster.account.uid if cluster.account else os.geteuid()}")
        fallback = Path("/tmp")  # noqa: S108 - the folder of ours in it is checked for owner and mode
        folder = (runtime if os.access(runtime, os.W_OK | os.X_OK) else fallback) / _name(cluster.home)
    make_private(folder, cluster.account)
    return folder


def make_private(folder: Path, account: Account | None) -> None:
    """Make a folder that only the server's account can open, or check that it is one.

    Raises:
        ConfigInvalid: it belongs to somebody else, or is open to others.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    owner = account.uid if account else os.geteuid()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {owner, os.geteuid()} or found.st_mode & 0o077:
        raise ConfigInvalid(
            f"{folder} is no folder of ours alone (owner {found.st_uid}, mode {found.st_mode:o}): remove it, or choose another MENTHA_HOME"
        )
    if account and found.st_uid != owner:
        os.chown(folder, account.uid, account.gid, follow_symlinks=False)


def claim_stale_pid(data: Path, pid: int) -> None:
    """Replace the number in a stale `postmaster.pid` by ours, where it names a living process that is not PostgreSQL.

    Numbers repeat after a reboot, in containers above all, and PostgreSQL would refuse to start. It ignores its parent's number, and goes
    on to check the shared memory that the rest of the file names: that is why the file is not simply deleted.
    """
    path = data / "postmaster.pid"
    _, _, rest = path.read_text(encoding="utf-8").partition("\n")
    _overwrite(path, f"{pid}\n{rest}")


def write_secret(path: Path, text: str) -> None:
    """Write a 0600 file, complete or not at all, and on the disk when this returns."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(f"{text}\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
    _sync_folder(path.parent)


def _setup(password: str) -> list[str]:
    return [
        *(f"CREATE EXTENSION {name}" for name in EXTENSIONS),
        # From the template, so the new database has the extensions too; they belong to the superuser.
        f"CREATE ROLE {ROLE} LOGIN PASSWORD '{password}'",
        f"CREATE DATABASE {DATABASE} OWNER {ROLE}",
        f"REVOKE ALL ON DATABASE {DATABASE}, postgres, template1 FROM PUBLIC",
    ]


def _locale_options(major: int) -> list[str]:
    # Without the ctype, trigrams see no letters but ASCII ones.
    ctype = "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8"
    builtin = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if major >= 17 else []
    return [*builtin, "--locale=C", f"--lc-ctype={ctype}"]


def _run(cluster: Cluster, command: Sequence[str | Path], *, lock: int, text: str = "") -> None:
    ended = run_as(cluster.account, command, text=text, fds=(lock,))
    if ended.returncode != 0:
        why = last_words(ended.stderr)
        raise ConfigInvalid(f"`{Path(command[0]).name}` failed for {cluster.data}: {why}. Fix that and start again, or set DATABASE_URL")


def _unprivileged() -> Account:
    for name in ACCOUNTS:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(found.pw_uid, found.pw_gid)
    raise ConfigInvalid(
        f"PostgreSQL refuses to run as root, and no account {' or '.join(ACCOUNTS)} exists to run it: "
        "start Mentha as another user, or set DATABASE_URL"
    )


def _owner(data: Path) -> Account | None:
    """Whose the data is already, unless it is root's: then the server must run as that account, whatever it is."""
    try:
        found = data.stat()
    except FileNotFoundError:
        return None
    return Account(found.st_uid, found.st_gid) if found.st_uid else None


def _can_enter(account: Account, folder: Path) -> bool:
    # Tried, not computed: access lists, mounts and security modules have a say too.
    return run_as(account, ["/bin/sh", "-c", 'cd "$1"', "sh", folder]).returncode == 0


def _fallback(home: Path, account: Account) -> Path:
    for parent in FALLBACK_PARENTS:
        folder = parent / _name(home)
        if not parent.is_dir() or not _can_enter(account, parent):
            continue
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError:
            continue
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == 0:
            _let_pass(folder, account)
            return folder
    raise ConfigInvalid(
        f"the account that runs PostgreSQL in place of root (uid {account.uid}) can't get into {home}, and no folder can be made in "
        f"{', '.join(map(str, FALLBACK_PARENTS))}: set MENTHA_HOME to a folder that it can reach, or DATABASE_URL"
    )


def _let_pass(folder: Path, account: Account) -> None:
    # It may go through and not list or change: the folder stays root's, so root can rename and delete inside of it without being tricked.
    os.chown(folder, 0, account.gid)
    folder.chmod(0o710)


def _name(home: Path) -> str:
    return f"mentha-{hashlib.sha256(os.fsencode(home)).hexdigest()[:16]}"


def _overwrite(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW), "w", encoding="utf-8") as file:
        file.write(text)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
