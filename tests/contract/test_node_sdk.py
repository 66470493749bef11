"""The official Node SDK, installed after its lock file, against the server; skipped where there is no Node or no registry."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.model_server import ModelServerHandle
from tests.support.sdk import Account
from tests.support.server import ServerProcess

SOURCES = Path(__file__).parent / "node"
INSTALL_LIMIT_S = 60
RUN_LIMIT_S = 30
# npm's names for a registry that can't be reached.
OFFLINE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "ENOTCACHED", "E401", "E403", "E404", "E50")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the SDK in it."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        pytest.skip("no Node on this machine")
    folder = tmp_path_factory.mktemp("node") / "smoke"
    shutil.copytree(SOURCES, folder, ignore=shutil.ignore_patterns("node_modules"))
    command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=1", "--loglevel=error"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("the registry of Node packages did not answer in time")
    if done.returncode and any(name in done.stderr for name in OFFLINE):
        pytest.skip("the registry of Node packages can't be reached")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("script", ["smoke.mjs", "smoke.cjs"])
def test_node_sdk_goes_through_agents_sessions_chat_history_and_lists(
    installed: Path, script: str, server: ServerProcess, account: Account, models: ModelServerHandle
) -> None:
    environ = {**os.environ, "SMOKE_URL": server.url, "SMOKE_KEY": account.key}
    command = [shutil.which("node") or "node", "--no-deprecation", script]
    done = subprocess.run(command, cwd=installed, env=environ, capture_output=True, text=True, timeout=RUN_LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "text": "ok: hello from node",
        "history": [["user", "hello from node"], ["assistant", "ok: hello from node"]],
        "listed": [True],
        "other": 0,
        "changed": ["changed", "gpt-x"],
        "missing": 404,
        "deleted": True,
    }


def test_node_lock_file_names_no_registry() -> None:
    lock = (SOURCES / "package-lock.json").read_text(encoding="utf-8")
    assert '"integrity"' in lock
    assert '"resolved"' not in lock
