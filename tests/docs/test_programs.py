"""The programs in the documentation run as they stand, but for the key and the address."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from julep import Julep

from mentha.core.config import Settings
from tests.support.databases import Cluster
from tests.support.server import KEY, ServerProcess, running
from tests.support.vaults import KEY_TEXT

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "http://localhost:8080"
RUN_LIMIT_S = 60


@pytest.fixture(scope="module")
def server(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with cluster.cloned() as dsn, running(home=tmp_path_factory.mktemp("home"), dsn=dsn, encryption_key=KEY_TEXT) as started:
        yield started


def program(name: str, kind: str, server: ServerProcess) -> str:
    """All blocks of one language on a page, as one program."""
    text = (ROOT / name).read_text(encoding="utf-8")
    blocks = re.findall(rf"^```{kind}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    joined = "\n".join(blocks)
    assert joined.count('"YOUR KEY"') == 1
    return joined.replace("YOUR KEY", KEY).replace(ADDRESS, server.url)


def output(command: list[str], folder: Path, environ: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=RUN_LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("README.md", "I remember 2 earlier messages; the first user message was «My name is Ada.»."),
        ("docs/quickstart.md", "You are in a conversation with Ada."),
        ("docs/chat.md", "The tool answered"),
        ("docs/secrets.md", "GITHUB_TOKEN ENCRYPTED"),
        ("docs/responses.md", "the first user message was «My name is Ada.»."),
        ("docs/executions.md", "succeeded {'sent': True}"),
        ("docs/integrations.md", "['search_the_web']"),
        ("docs/mcp.md", "Mentha offers list_agents"),
        ("docs/tasks.md", "Greeting, version 1"),
        ("docs/files.md", "steam.txt"),
        ("docs/migrating.md", "succeeded ['advice']"),
    ],
)
def test_python_program_of_a_page_runs_as_written(name: str, says: str, server: ServerProcess, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(program(name, "python", server), encoding="utf-8")
    assert says in output([sys.executable, "program.py"], tmp_path)


def test_sdk_takes_the_address_before_the_environment_and_refuses_the_variable_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JULEP_BASE_URL", raising=False)
    assert str(Julep(api_key="k", environment="local").base_url) == f"http://localhost:{Settings().port}"
    assert str(Julep(api_key="k", environment="production", base_url=ADDRESS).base_url) == ADDRESS
    monkeypatch.setenv("JULEP_BASE_URL", ADDRESS)
    with pytest.raises(ValueError, match="Ambiguous URL"):
        Julep(api_key="k", environment="production")


def test_node_program_of_the_readme_runs_as_written(server: ServerProcess, tmp_path: Path) -> None:
    folders = [ROOT / "node_modules", *map(Path, os.environ.get("NODE_PATH", "").split(os.pathsep))]
    modules = next((folder for folder in folders if (folder / "@julep" / "sdk").exists()), None)
    if shutil.which("node") is None or modules is None:
        pytest.skip("no Node here, or no @julep/sdk in node_modules or NODE_PATH")
    (tmp_path / "node_modules").symlink_to(modules)
    (tmp_path / "program.mjs").write_text(program("README.md", "js", server), encoding="utf-8")
    assert "You said: «Hello!»." in output(["node", "program.mjs"], tmp_path)


def test_curl_of_the_quick_start_is_answered(server: ServerProcess, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl on this machine")
    line = next(line for line in (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8").splitlines() if line.startswith("curl "))
    script = line.replace(ADDRESS, server.url).replace("$MENTHA_API_KEY", KEY)
    assert output(["sh", "-c", script], tmp_path).startswith('{"items":[')


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL's account can pass through, unlike pytest's own when root runs it."""
    made = Path(tempfile.mkdtemp(prefix="mentha-docs-")).resolve()
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


def test_backup_of_the_page_on_operations_comes_back_in_a_new_server(folder: Path) -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8").split("## Backup")[1].split("\n## ")[0]
    backup, restore = re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    headers = {"Authorization": f"Bearer {KEY}"}
    with running(home=folder / "old") as server:
        httpx2.post(server.url + "/agents", headers=headers, json={"name": "Kept"}).raise_for_status()
        output(["sh", "-ec", backup], folder, {"PATH": path, "MENTHA_HOME": str(folder / "old")})
    with running(home=folder / "new") as server:
        output(["sh", "-ec", backup.splitlines()[0] + "\n" + restore], folder, {"PATH": path, "MENTHA_HOME": str(folder / "new")})
        assert [agent["name"] for agent in httpx2.get(server.url + "/agents", headers=headers).json()["items"]] == ["Kept"]
