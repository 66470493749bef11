"""The operator's commands, with a server running on the same database and without one."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx2
import pytest

from mentha import __version__
from tests.support.databases import Cluster
from tests.support.model_server import ModelServerHandle, error
from tests.support.server import KEY, ServerProcess, running
from tests.support.talk import DEADLINE_S, mentha, new_session, postmasters, say, talking, until


@pytest.fixture(scope="module")
def dsn(cluster: Cluster) -> Iterator[str]:
    with cluster.cloned() as address:
        yield address


@pytest.fixture(scope="module")
def server(dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running(home=tmp_path_factory.mktemp("home"), dsn=dsn) as process:
        yield process


def run(*arguments: str, home: Path, dsn: str | None = None) -> str:
    """The output of a command that must go well."""
    ended = mentha(*arguments, home=home, dsn=dsn)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.strip()


def refused(*arguments: str, home: Path, dsn: str) -> str:
    """The line that a refused command shows."""
    ended = mentha(*arguments, home=home, dsn=dsn)
    assert (ended.returncode, ended.stdout) == (2, "")
    return ended.stderr.splitlines()[0]


def status(server: ServerProcess, key: str) -> int:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx2.get(f"{server.url}/agents", headers=headers, trust_env=False, timeout=DEADLINE_S).status_code


def lines_of(listing: str, name: str) -> list[list[str]]:
    """The columns of the rows that have this word."""
    return [line.split() for line in listing.splitlines() if name in line.split()]


async def test_key_that_is_created_works_and_is_refused_soon_after_it_is_revoked(tmp_path: Path, server: ServerProcess, dsn: str) -> None:
    key = run("keys", "create", "laptop", home=tmp_path, dsn=dsn)
    assert status(server, key) == 200
    listing = run("keys", "list", home=tmp_path, dsn=dsn)
    assert key not in listing
    ((key_id, tenant, *_),) = lines_of(listing, "laptop")
    assert tenant == "default"
    run("keys", "revoke", key_id, home=tmp_path, dsn=dsn)
    # A server may know the key for 5 more seconds.
    await until(lambda: status(server, key) == 403, limit_s=10)
    assert status(server, KEY) == 200
    assert "0 keys in use" in refused("keys", "revoke", key_id, home=tmp_path, dsn=dsn)


async def test_key_with_limits_is_refused_when_they_are_used_up_until_they_are_taken_away(
    tmp_path: Path, server: ServerProcess, dsn: str
) -> None:
    key = run("keys", "create", "limited", "--requests-per-minute", "1", home=tmp_path, dsn=dsn)
    await until(lambda: status(server, key) == 429)
    ((key_id, *_, most),) = lines_of(run("keys", "list", home=tmp_path, dsn=dsn), "limited")
    assert most == "1"
    run("keys", "limit", key_id, "--tokens-per-day", "500", home=tmp_path, dsn=dsn)
    ((*_, most),) = lines_of(run("keys", "list", home=tmp_path, dsn=dsn), "limited")
    assert most == "500"
    # A server may know the older limits for 5 more seconds.
    await until(lambda: [status(server, key) for _ in range(3)] == [200] * 3, limit_s=10)


def test_revoke_by_a_beginning_that_fits_several_keys_revokes_none(tmp_path: Path, server: ServerProcess, dsn: str) -> None:
    keys = [run("keys", "create", f"twin{number}", home=tmp_path, dsn=dsn) for number in range(2)]
    assert "keys in use" in refused("keys", "revoke", "0", home=tmp_path, dsn=dsn)
    assert "keys in use" in refused("keys", "revoke", "%", home=tmp_path, dsn=dsn)
    assert [status(server, key) for key in keys] == [200, 200]


async def test_tenant_is_created_sees_only_its_own_and_goes_with_all_that_it_has(tmp_path: Path, server: ServerProcess, dsn: str) -> None:
    tenant = UUID(run("tenants", "create", "acme", home=tmp_path, dsn=dsn))
    key = run("keys", "create", "--tenant", "acme", home=tmp_path, dsn=dsn)
    async with talking(server.url, key=key) as theirs, talking(server.url) as ours:
        session = await new_session(theirs, model="mentha/echo")
        assert (await say(theirs, session, "hello")).status_code == 201
        assert (await ours.get(f"/sessions/{session}")).status_code == 404
    ((listed, *_, keys),) = lines_of(run("tenants", "list", home=tmp_path, dsn=dsn), "acme")
    assert (UUID(listed), keys) == (tenant, "1")
    assert run("tenants", "delete", "acme", "--yes", home=tmp_path, dsn=dsn) == "deleted acme"
    await until(lambda: status(server, key) == 403, limit_s=10)
    assert lines_of(run("tenants", "list", home=tmp_path, dsn=dsn), "acme") == []
    assert lines_of(run("keys", "list", home=tmp_path, dsn=dsn), "acme") == []


def test_tenant_commands_refuse_what_can_not_be_done(tmp_path: Path, dsn: str) -> None:
    run("tenants", "create", "taken", home=tmp_path, dsn=dsn)
    assert "exists" in refused("tenants", "create", "taken", home=tmp_path, dsn=dsn)
    assert "name has 1 to 63" in refused("tenants", "create", "Not Valid", home=tmp_path, dsn=dsn)
    assert "'default' can't be deleted" in refused("tenants", "delete", "default", "--yes", home=tmp_path, dsn=dsn)
    assert "no tenant 'nobody'" in refused("tenants", "delete", "nobody", "--yes", home=tmp_path, dsn=dsn)
    assert "no tenant 'nobody'" in refused("keys", "create", "--tenant", "nobody", home=tmp_path, dsn=dsn)


async def test_key_made_before_the_first_start_and_one_made_beside_the_server_both_work_on_the_embedded_database(home: Path) -> None:
    before = run("keys", "create", "before", home=home)
    assert postmasters(home) == []
    with running(home=home) as server:
        assert status(server, before) == 200
        (postmaster,) = postmasters(home)
        beside = run("keys", "create", "beside", home=home)
        # The command used the server's PostgreSQL and left it running.
        assert postmasters(home) == [postmaster]
        assert status(server, beside) == 200


def doctor(home: Path, **environ: str) -> tuple[int, dict[str, tuple[bool, str]]]:
    """Exit code and findings: name → whether it is well, and what is said."""
    ended = mentha("doctor", home=home, **environ)
    assert ended.stderr == ""
    found: dict[str, tuple[bool, str]] = {}
    for line in ended.stdout.splitlines():
        state, name, said = line[:5].strip(), line[7:27].strip(), line[29:]
        assert state in ("ok", "WRONG")
        found[name] = (state == "ok", said)
    return ended.returncode, found


def test_doctor_with_all_well_says_so_and_leaves_nothing_running(home: Path, provider: dict[str, str]) -> None:
    code, found = doctor(home, **provider)
    assert code == 0
    assert list(found) == ["settings", "disk", "database", "provider openai"]
    assert all(well for well, _ in found.values())
    assert "embedded PostgreSQL answers" in found["database"][1]
    assert "sk-fake" not in str(found)


def test_doctor_without_a_provider_says_what_to_set(tmp_path: Path, dsn: str) -> None:
    code, found = doctor(tmp_path, DATABASE_URL=dsn)
    assert code == 0
    assert "OPENAI_API_KEY" in found["providers"][1]
    assert found["database"] == (True, "external PostgreSQL answers; schema up to date")


def test_doctor_with_wrong_settings_names_them_and_fails(tmp_path: Path) -> None:
    code, found = doctor(tmp_path, MENTHA_PORT="many")
    assert code == 1
    assert list(found) == ["settings"]
    assert not found["settings"][0]
    assert "MENTHA_PORT" in found["settings"][1]


def test_doctor_tells_a_wrong_key_from_an_unreachable_provider(
    tmp_path: Path, dsn: str, models: ModelServerHandle, provider: dict[str, str]
) -> None:
    models.script("/models", error(401, "Incorrect API key provided: sk-fake", code="invalid_api_key"))
    elsewhere = {"GROQ_BASE_URL": "http://127.0.0.1:1/v1", "GROQ_API_KEY": "gsk-fake"}
    code, found = doctor(tmp_path, DATABASE_URL=dsn, **provider, **elsewhere)
    assert code == 1
    assert found["database"][0]
    well, said = found["provider openai"]
    assert not well
    assert "key" in said
    well, said = found["provider groq"]
    assert not well
    assert "127.0.0.1:1" in said or "reach" in said
    assert "sk-fake" not in str(found)


def test_doctor_with_a_database_that_can_not_be_reached_says_so(tmp_path: Path) -> None:
    code, found = doctor(tmp_path, DATABASE_URL="postgresql://ann:s3cret@127.0.0.1:1/x")
    assert code == 1
    assert not found["database"][0]
    assert "DATABASE_URL" in found["database"][1]
    assert "s3cret" not in str(found)


def test_address_of_a_database_that_is_none_is_refused_with_the_form_of_one(tmp_path: Path) -> None:
    told = refused("migrate", home=tmp_path, dsn="mysql://ann:s3cret@db/x")
    assert "postgresql://user:password@host:5432/database" in told
    assert "s3cret" not in told


def test_version_is_shown(tmp_path: Path) -> None:
    assert run("--version", home=tmp_path) == f"mentha {__version__}"


def test_config_dump_masks_every_secret_and_shows_what_is_in_force(tmp_path: Path) -> None:
    (tmp_path / "mentha.toml").write_text('port = 9001\n[providers.own]\nbase_url = "http://own/v1"\napi_key = "s3cret-own"\n')
    secrets = {
        "MENTHA_API_KEY": "s3cret-key",
        "MENTHA_JWT_SECRET": "s3cret-jwt" * 10,
        "DATABASE_URL": "postgresql://ann:s3cret-database@db/x?password=s3cret-too",
        "OPENAI_API_KEY": "s3cret-openai",
    }
    ended = mentha("config", "--dump", home=tmp_path, **secrets)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "s3cret" not in ended.stdout
    shown = tomllib.loads(ended.stdout)
    assert shown["port"] == 9001
    assert shown["providers"]["own"]["base_url"] == "http://own/v1"
    assert "ann" in shown["database_url"]


def test_config_example_is_a_settings_file_that_changes_nothing(tmp_path: Path) -> None:
    example = run("config", "--example", home=tmp_path)
    assert tomllib.loads(example) == {}
    plain = run("config", "--dump", home=tmp_path)
    (tmp_path / "mentha.toml").write_text(example)
    assert run("config", "--dump", home=tmp_path) == plain
    # Each line that shows a default is one, once the # is gone.
    lines = [
        line[2:] for line in example.splitlines() if line.startswith("# ") and " = " in line and line.split(" = ")[0][2:].isidentifier()
    ]
    assert tomllib.loads("\n".join(line for line in lines if not line.startswith(("base_url", "api_key =", "prefixes", "models ="))))


def test_command_that_does_not_exist_fails_with_a_hint(tmp_path: Path) -> None:
    ended = mentha("srve", home=tmp_path)
    assert ended.returncode == 2
    assert "serve" in ended.stderr
