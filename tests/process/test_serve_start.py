"""The first start, the key that it makes, and starts that are refused."""

import asyncio
import os
import pty
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest

from mentha.auth import keys
from tests.support.server import ServerProcess, clean_environ, running
from tests.support.talk import DEADLINE_S, mentha, postmasters, talking


@contextmanager
def started(home: Path, dsn: str | None = None, **environ: str) -> Iterator[ServerProcess]:
    """A server without a key of the operator's."""
    database = {"DATABASE_URL": dsn} if dsn else {}
    server = ServerProcess({"MENTHA_HOME": str(home), **database, **environ})
    try:
        yield server.start()
    finally:
        server.stop()


def works(url: str, key: str) -> bool:
    answer = httpx2.get(f"{url}/agents", headers={"X-Auth-Key": key}, trust_env=False, timeout=DEADLINE_S)
    assert answer.status_code in (200, 403)
    return answer.status_code == 200


def test_first_start_without_a_terminal_keeps_the_key_in_a_file_and_nowhere_else(home: Path) -> None:
    with started(home) as server:
        file = home / "api-key"
        key = file.read_text().strip()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert works(server.url, key)
        assert not works(server.url, key[:-1])
        told = "".join([*server.told, *server.log])
    assert str(file) in told
    assert key not in told
    # The database is stopped, so all that it keeps is in its files by now.
    holders = [path for path in home.rglob("*") if path.is_file() and key.encode() in path.read_bytes()]
    assert holders == [file]


async def test_key_is_stored_only_as_a_hash(tmp_path: Path, database_dsn: str) -> None:
    with started(tmp_path, database_dsn) as server:
        key = (tmp_path / "api-key").read_text().strip()
        assert works(server.url, key)
    everything = await dump(database_dsn)
    # The first characters are kept, so that people can tell keys apart.
    assert key[keys.HINT_CHARS :] not in everything
    assert key.encode()[keys.HINT_CHARS :].hex() not in everything
    assert keys.digest(key).hex() in everything


def test_second_start_makes_no_other_key(tmp_path: Path, database_dsn: str) -> None:
    with started(tmp_path, database_dsn):
        key = (tmp_path / "api-key").read_text().strip()
    (tmp_path / "api-key").unlink()
    with started(tmp_path, database_dsn) as server:
        assert not (tmp_path / "api-key").exists()
        assert works(server.url, key)


async def test_first_start_on_a_terminal_shows_the_key_once_with_an_example(tmp_path: Path, database_dsn: str) -> None:
    shown = await on_a_terminal(tmp_path, database_dsn)
    (key,) = {word for word in shown.split() if word.startswith("mk_")}
    assert "from julep import Julep" in shown
    assert not (tmp_path / "api-key").exists()
    assert key not in await on_a_terminal(tmp_path, database_dsn)


@pytest.mark.parametrize(
    ("environ", "because"),
    [
        ({"MENTHA_HOST": "0.0.0.0", "MENTHA_API_KEY": "short-0123456789"}, "MENTHA_API_KEY"),
        ({"MENTHA_JWT_SECRET": "short-0123456789"}, "MENTHA_JWT_SECRET"),
        ({"MENTHA_PORT": "short-0123456789"}, "MENTHA_PORT"),
        ({"MENTHA_PROVIDERS": '{"x": {"base_url": "http://x", "api_kee": "short-0123456789"}}'}, "providers.x.api_kee"),
        ({"MENTHA_MODEL_ALIASES": "short-0123456789"}, "MENTHA_MODEL_ALIASES"),
        ({"MENTHA_CONFIG": "/nowhere.toml"}, "/nowhere.toml"),
    ],
)
def test_start_with_a_wrong_setting_is_refused_in_one_line_that_names_it(home: Path, environ: dict[str, str], because: str) -> None:
    ended = mentha("serve", home=home, **environ)
    assert (ended.returncode, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("mentha: ")
    assert because in line
    assert "short-0123456789" not in line
    assert not home.exists()


def test_start_on_a_port_in_use_is_refused_in_one_line_and_starts_no_database(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = mentha("serve", "--port", str(port), home=home)
    assert (ended.returncode, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert f"127.0.0.1:{port}" in line
    assert "--port" in line
    assert not home.exists()


def test_start_with_a_short_key_on_loopback_is_accepted(tmp_path: Path, database_dsn: str) -> None:
    with started(tmp_path, database_dsn, MENTHA_API_KEY="k") as server:
        assert works(server.url, "k")


def test_start_on_all_addresses_warns_that_others_can_reach_it(tmp_path: Path, database_dsn: str) -> None:
    with started(tmp_path, database_dsn, MENTHA_HOST="0.0.0.0", MENTHA_API_KEY="long-enough-0123456789") as server:
        assert server.wait_for_log("put TLS in front")


async def test_start_with_another_home_uses_another_database(home: Path) -> None:
    with running(home=home) as one, running(home=home.with_name("other")) as other:
        assert len(postmasters(home)) == len(postmasters(home.with_name("other"))) == 1
        async with talking(one.url) as client, talking(other.url) as elsewhere:
            (await client.post("/users", json={"name": "Ann"})).raise_for_status()
            assert (await elsewhere.get("/users")).json() == {"items": []}


async def dump(dsn: str) -> str:
    """Every row of every table as text."""
    connection: Any = await asyncpg.connect(dsn)
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        rows = [row for table in tables for row in await connection.fetch(f"SELECT x::text FROM {table['tablename']} x")]
    finally:
        await connection.close()
    return "\n".join(row["x"] for row in rows)


async def on_a_terminal(home: Path, dsn: str) -> str:
    """What a server shows on a terminal until it serves."""
    ours, theirs = pty.openpty()
    environ = {**clean_environ(), "MENTHA_HOME": str(home), "DATABASE_URL": dsn}
    command = [sys.executable, "-m", "mentha", "serve", "--port", "0"]
    process = subprocess.Popen(command, env=environ, stdout=theirs, stderr=subprocess.DEVNULL)
    os.close(theirs)
    shown = b""
    try:
        # All is shown in one write; a terminal ends its lines with both characters.
        while not shown.endswith(b"\n"):
            shown += await asyncio.wait_for(asyncio.to_thread(os.read, ours, 100_000), DEADLINE_S)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(DEADLINE_S)
        os.close(ours)
    return shown.decode()
