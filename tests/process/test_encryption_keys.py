"""The key for secrets in real processes: made with the embedded database, checked at start, changed while servers serve, `kill -9` amid that."""

import asyncio
import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from mentha.auth.vault import fingerprint, parse_key
from mentha.core.ids import new_id
from tests.support import wild_server
from tests.support.databases import KEEPS_WAITING
from tests.support.model_server import ModelServerHandle, text, tool_calls
from tests.support.server import ServerProcess, clean_environ, running
from tests.support.talk import DEADLINE_S, Client, mentha, new_session, say, talking, until
from tests.support.vaults import KEY, KEY_TEXT, OTHER_KEY, OTHER_KEY_TEXT, make_vault

VALUE = "hunter2-is-the-value"
BOTH = {"MENTHA_ENCRYPTION_KEY": OTHER_KEY_TEXT, "MENTHA_ENCRYPTION_KEY_PREVIOUS": KEY_TEXT}
# More than two batches of the rotation.
COUNT = 250


async def put(client: Client, name: str, value: str) -> str:
    return (await client.post("/secrets", json={"name": name, "value": value})).raise_for_status().json()["id"]


def keys_sent(models: ModelServerHandle) -> list[str]:
    return [request.headers["authorization"] for request in models.requests if request.path.endswith("/chat/completions")]


async def key_ids(dsn: str) -> dict[str, int]:
    """How many secrets have which key."""
    connection: Any = await asyncpg.connect(dsn)
    try:
        return {row["key_id"]: row["count"] for row in await connection.fetch("SELECT key_id, count(*) FROM secrets GROUP BY key_id")}
    finally:
        await connection.close()


async def test_embedded_database_keeps_its_key_in_a_file_and_everything_else_without_it(
    home: Path, models: ModelServerHandle, provider: dict[str, str]
) -> None:
    with running(home=home, environ=provider) as server:
        file = home / "encryption-key"
        text = file.read_text().strip()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        async with talking(server.url) as client:
            await put(client, "OPENAI_API_KEY", "sk-of-the-tenant")
            await put(client, "token", VALUE)
            assert (await say(client, await new_session(client), "hi")).status_code == 201
        assert fingerprint(parse_key(text)) in "".join(server.log)
        listing = mentha("secrets", "list", home=home)
    assert fingerprint(parse_key(text)) in listing.stdout
    told = "".join([*server.told, *server.log, listing.stdout, listing.stderr])
    assert not [word for word in (text, VALUE, "sk-of-the-tenant") if word in told]
    # The database is stopped, so all that it keeps is in its files by now: the log of PostgreSQL is among them.
    for path in (path for path in home.rglob("*") if path.is_file() and path != file):
        data = path.read_bytes()
        assert not [word for word in (text, VALUE, "sk-of-the-tenant") if word.encode() in data], path
    with running(home=home, environ=provider) as server:
        async with talking(server.url) as client:
            assert (await say(client, await new_session(client), "hi")).status_code == 201
    assert keys_sent(models) == ["Bearer sk-of-the-tenant"] * 2


async def test_start_without_the_file_of_the_key_is_refused_until_the_secrets_are_given_up(
    home: Path, models: ModelServerHandle, provider: dict[str, str]
) -> None:
    with running(home=home, environ=provider) as server:
        async with talking(server.url) as client:
            await put(client, "token", VALUE)
            session = await acting(client, "http://127.0.0.1:1/")
    (home / "encryption-key").unlink()
    ended = mentha("serve", home=home)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert str(home / "encryption-key") in ended.stderr
    assert "mentha secrets forget" in ended.stderr
    assert not (home / "encryption-key").exists()
    assert mentha("secrets", "forget", home=home).returncode == 1  # nobody said yes
    forgotten = mentha("secrets", "forget", "--yes", home=home)
    told = "deleted 1 secrets\n1 tools had secrets of their own: their calls fail until their owners send these tools again\n"
    assert (forgotten.returncode, forgotten.stdout) == (0, told)
    with running(home=home, environ=provider) as server:
        async with talking(server.url) as client:
            assert (await client.get("/secrets")).json() == []
            await put(client, "token", VALUE)
            models.script("gpt-x", tool_calls([("call", {})]), text("done"))
            assert (await say(client, session, "hi")).status_code == 201
        assert "given up together with its key" in result_of(models)["error"]
        # The tool that is left does not hold up the next key.
        assert mentha("secrets", "rotate", home=home).returncode == 0


async def test_external_database_without_a_key_serves_everything_but_secrets(tmp_path: Path, database_dsn: str) -> None:
    with running(home=tmp_path, dsn=database_dsn) as server:
        async with talking(server.url) as client:
            assert (await say(client, await new_session(client, model="mentha/echo"), "hi")).status_code == 201
            assert (await client.get("/secrets")).json() == []
            refused = await client.post("/secrets", json={"name": "token", "value": VALUE})
            assert (refused.status_code, refused.json()["error"]["reason"]) == (503, "secrets_unavailable")
            assert "MENTHA_ENCRYPTION_KEY" in refused.json()["error"]["fix"]
            assert refused.headers["x-should-retry"] == "false"
        assert not (tmp_path / "encryption-key").exists()


async def test_server_with_another_key_than_the_database_does_not_start(tmp_path: Path, database_dsn: str) -> None:
    with running(home=tmp_path, dsn=database_dsn, encryption_key=KEY_TEXT) as server:
        for key in ({"MENTHA_ENCRYPTION_KEY": OTHER_KEY_TEXT}, {}):
            ended = mentha("serve", "--port", "0", home=tmp_path, dsn=database_dsn, **key)
            assert (ended.returncode, ended.stdout) == (2, "")
            assert fingerprint(KEY) in ended.stderr
            assert "MENTHA_ENCRYPTION_KEY" in ended.stderr
            assert OTHER_KEY_TEXT not in ended.stderr
        async with talking(server.url) as client:
            await put(client, "token", VALUE)


@pytest.mark.parametrize("command", ["serve", "doctor"])
def test_setting_that_is_no_key_is_refused_before_anything_starts(home: Path, command: str) -> None:
    ended = mentha(command, home=home, MENTHA_ENCRYPTION_KEY="not-a-key-0123456789")
    assert ended.returncode in (1, 2)
    assert "MENTHA_ENCRYPTION_KEY" in ended.stderr + ended.stdout
    assert "not-a-key" not in ended.stderr + ended.stdout
    assert not home.exists()


async def test_dump_of_settings_masks_both_keys(tmp_path: Path) -> None:
    ended = mentha("config", "--dump", home=tmp_path, **BOTH)
    assert ended.returncode == 0
    assert not [text for text in (KEY_TEXT, OTHER_KEY_TEXT) if text in ended.stdout]


async def test_key_of_the_embedded_database_is_changed_by_one_command_while_its_server_serves(
    home: Path, models: ModelServerHandle, provider: dict[str, str]
) -> None:
    with running(home=home, environ=provider) as server:
        async with talking(server.url) as client:
            secret = await put(client, "OPENAI_API_KEY", "sk-of-the-tenant")
            session = await new_session(client)
            before = (home / "encryption-key").read_text()
            rotated = await asyncio.to_thread(mentha, "secrets", "rotate", home=home)
            assert (rotated.returncode, rotated.stderr) == (0, "")
            after = (home / "encryption-key").read_text()
            assert rotated.stdout == f"1 secrets were encrypted anew; all have the key {fingerprint(parse_key(after))} now\n"
            assert after != before
            # The same server reads with the new key and writes with it.
            assert (await say(client, session, "hi")).status_code == 201
            replaced = await client.put(f"/secrets/{secret}", json={"name": "OPENAI_API_KEY", "value": "sk-new-of-the-tenant"})
            assert replaced.status_code == 200
        assert keys_sent(models) == ["Bearer sk-of-the-tenant"]
        assert len(mentha("secrets", "list", home=home).stdout.splitlines()) == 2
    with running(home=home, environ=provider) as server:
        async with talking(server.url) as client:
            assert (await say(client, await new_session(client), "hi")).status_code == 201
    assert keys_sent(models)[-1] == "Bearer sk-new-of-the-tenant"


async def plant(dsn: str) -> None:
    """`COUNT` tenants' worth of rows under the first key: secrets of one tenant, made by the store itself."""
    connection: Any = await asyncpg.connect(dsn)
    try:
        vault = await make_vault(connection)
        tenant = await connection.fetchval("SELECT id FROM tenants WHERE name = 'default'")
        for number in range(COUNT):
            sealed = vault.encrypt(tenant, new_id(), f"value-{number}", key_id=fingerprint(KEY))
            insert = "INSERT INTO secrets (tenant_id, id, name, value, key_id) VALUES ($1, $2, $3, $4, $5)"
            await connection.execute(insert, tenant, sealed.id, f"s{number}", sealed.data, sealed.key_id)
    finally:
        await connection.close()


async def acting(client: Client, url: str) -> str:
    """The id of a session whose agent has a tool with secrets, by value and by reference, which the server runs."""
    spec = {"method": "GET", "url": url, "headers": {"Authorization": VALUE, "X-Ref": "$ secrets.token"}}
    tool = {"name": "call", "type": "api_call", "api_call": spec}
    agent = (await client.post("/agents", json={"name": "Mia", "model": "gpt-x", "tools": [tool]})).raise_for_status().json()["id"]
    return (await client.post("/sessions", json={"agent": agent, "auto_run_tools": True})).raise_for_status().json()["id"]


def result_of(models: ModelServerHandle) -> Any:
    """What the model was told last about a call."""
    messages = [
        message for request in models.requests if request.path.endswith("/chat/completions") for message in request.json["messages"]
    ]
    return json.loads([message["content"] for message in messages if message["role"] == "tool"][-1])


async def plant_tools(client: Client) -> None:
    """`COUNT` tools of some agents, each with a secret."""
    spec = {"method": "GET", "url": "http://127.0.0.1:1/", "cookies": {"sid": VALUE}}
    tools = [{"name": f"t{number}", "type": "api_call", "api_call": spec} for number in range(COUNT // 5)]
    for _ in range(5):
        (await client.post("/agents", json={"name": "Mia", "model": "gpt-x", "tools": tools})).raise_for_status()


SEALED_WITH = r"""
SELECT k[1] AS key, count(*) AS tools FROM tools t, regexp_matches(t.spec::text, 'sealed\.([0-9a-f]{16})\.', 'g') AS k GROUP BY 1
"""


class Talking:
    """A client that chats, with a tool where there is one, and writes secrets without a pause until it is stopped."""

    def __init__(self, client: Client, *, models: ModelServerHandle | None = None, session: str | None = None) -> None:
        self.written: list[str] = []
        self.refused: list[Any] = []
        self._client = client
        self._models = models
        self._session = session
        self._stop = False
        self._task = asyncio.create_task(self._talk())

    async def _talk(self) -> None:
        session = self._session or await new_session(self._client)
        while not self._stop:
            name = f"during_{session[-12:]}_{len(self.written)}"
            if self._models:
                self._models.script("gpt-x", tool_calls([("call", {})]), text("done"))
            for answer in (
                await self._client.post("/secrets", json={"name": name, "value": "value-during"}),
                await say(self._client, session, "hi"),
            ):
                if answer.status_code != 201:
                    self.refused.append((answer.status_code, answer.text))
            self.written.append(name)

    async def until(self, count: int) -> None:
        await until(lambda: len(self.written) >= count or self._task.done())

    async def stop(self) -> None:
        self._stop = True
        async with asyncio.timeout(DEADLINE_S):
            await self._task
        assert self.refused == []


async def test_keys_are_changed_while_servers_serve_and_no_request_notices(
    tmp_path: Path, database_dsn: str, rows: Any, models: ModelServerHandle, provider: dict[str, str]
) -> None:
    await plant(database_dsn)
    async with wild_server.wild_server(wild_server.saying(wild_server.answer(body=b"{}", content_type="application/json"))) as outside:
        with running(home=tmp_path, dsn=database_dsn, environ={**provider, **BOTH}, outbound_allow="127.0.0.1") as server:
            async with talking(server.url) as client:
                await put(client, "OPENAI_API_KEY", "sk-of-the-tenant")
                await put(client, "token", "value-of-a-secret")
                await plant_tools(client)
                talk = Talking(client, models=models, session=await acting(client, outside.url()))
                await talk.until(3)
                assert set(await key_ids(database_dsn)) == {fingerprint(KEY)}
                rotated = await asyncio.to_thread(mentha, "secrets", "rotate", home=tmp_path, dsn=database_dsn, **BOTH)
                assert (rotated.returncode, rotated.stderr) == (0, "")
                await talk.until(len(talk.written) + 3)
                await talk.stop()
        # A server that does not know the old key any more opens all of them.
        alone = {"encryption_key": OTHER_KEY_TEXT, "outbound_allow": "127.0.0.1"}
        with running(home=tmp_path, dsn=database_dsn, environ=provider, **alone) as server:
            async with talking(server.url) as client:
                again = Talking(client, models=models, session=await acting(client, outside.url()))
                await again.until(1)
                await again.stop()
    assert set(keys_sent(models)) == {"Bearer sk-of-the-tenant"}
    sent = [(seen.headers["authorization"], seen.headers["x-ref"]) for seen in outside.seen]
    assert sent == [(VALUE, "value-of-a-secret")] * (len(talk.written) + len(again.written))
    assert await key_ids(database_dsn) == {fingerprint(OTHER_KEY): COUNT + 2 + len({*talk.written, *again.written})}
    assert {row["key"]: row["tools"] for row in await rows.fetch(SEALED_WITH)} == {fingerprint(OTHER_KEY): COUNT + 2}
    assert [row["id"] for row in await rows.fetch("SELECT id FROM encryption_keys")] == [fingerprint(OTHER_KEY)]


async def test_rotation_that_is_killed_amid_its_work_leaves_all_readable_and_goes_on_where_it_was(
    tmp_path: Path, database_dsn: str, models: ModelServerHandle, provider: dict[str, str]
) -> None:
    await plant(database_dsn)
    holding: Any = await asyncpg.connect(database_dsn)
    watching: Any = await asyncpg.connect(database_dsn)
    try:
        with running(home=tmp_path, dsn=database_dsn, environ={**provider, **BOTH}) as server:
            async with talking(server.url) as client:
                await put(client, "OPENAI_API_KEY", "sk-of-the-tenant")
                # A row of the last batch is held, so the rotation waits there.
                async with holding.transaction():
                    await holding.execute("SELECT FROM secrets WHERE name = 's240' FOR UPDATE")
                    rotating = begun(tmp_path, database_dsn)
                    holder = holding.get_server_pid()
                    await until(lambda: rotating.poll() is not None or watching.fetchval(KEEPS_WAITING, holder))
                    assert rotating.poll() is None
                    rotating.kill()
                    rotating.wait(DEADLINE_S)
                    found = await key_ids(database_dsn)
                    assert found == {fingerprint(OTHER_KEY): 200, fingerprint(KEY): COUNT + 1 - 200}
                    talk = Talking(client)
                    await talk.until(2)
                    await talk.stop()
                alone = mentha("serve", "--port", "0", home=tmp_path, dsn=database_dsn, MENTHA_ENCRYPTION_KEY=OTHER_KEY_TEXT)
                assert alone.returncode == 2
                assert "MENTHA_ENCRYPTION_KEY_PREVIOUS" in alone.stderr
                again = await asyncio.to_thread(mentha, "secrets", "rotate", home=tmp_path, dsn=database_dsn, **BOTH)
                assert again.stdout.startswith(f"{COUNT + 1 - 200} secrets were encrypted anew")
    finally:
        await holding.close()
        await watching.close()
    assert await key_ids(database_dsn) == {fingerprint(OTHER_KEY): COUNT + 1 + len(talk.written)}
    assert set(keys_sent(models)) == {"Bearer sk-of-the-tenant"}
    with running(home=tmp_path, dsn=database_dsn, encryption_key=OTHER_KEY_TEXT):
        pass


def begun(home: Path, dsn: str) -> subprocess.Popen[bytes]:
    """A rotation that is not waited for."""
    environ = {**clean_environ(), "MENTHA_HOME": str(home), "DATABASE_URL": dsn, **BOTH}
    return subprocess.Popen([sys.executable, "-m", "mentha", "secrets", "rotate"], env=environ, stderr=subprocess.DEVNULL)


async def test_server_that_was_not_given_the_next_key_says_so_and_serves_all_else(
    tmp_path: Path, database_dsn: str, models: ModelServerHandle, provider: dict[str, str]
) -> None:
    """The operator forgot to start it again with both keys."""
    with running(home=tmp_path, dsn=database_dsn, environ=provider, encryption_key=KEY_TEXT) as server:
        async with talking(server.url) as client:
            await put(client, "token", VALUE)
            assert mentha("secrets", "rotate", home=tmp_path, dsn=database_dsn, **BOTH).returncode == 0
            refused = await client.post("/secrets", json={"name": "second", "value": VALUE})
            assert refused.status_code == 503
            assert fingerprint(OTHER_KEY) in refused.json()["error"]["message"]
            assert (await client.get("/secrets")).status_code == 200
            assert (await client.get("/users")).status_code == 200


def test_rotation_of_a_database_without_any_key_is_refused(tmp_path: Path, database_dsn: str) -> None:
    ended = mentha("secrets", "rotate", home=tmp_path, dsn=database_dsn)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "nothing to encrypt anew" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_two_servers_of_one_home_share_its_key(home: Path) -> None:
    with running(home=home):
        text = (home / "encryption-key").read_text()
        second = ServerProcess({"MENTHA_HOME": str(home), "MENTHA_API_KEY": "k"})
        try:
            second.start()
            assert (home / "encryption-key").read_text() == text
        finally:
            second.stop()
