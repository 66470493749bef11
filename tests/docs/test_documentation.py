"""What the documentation says is true: links lead somewhere, commands exist, examples are well-formed."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main

from mentha.cli import build
from mentha.core import config
from mentha.providers.service import Providers

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
ARCHITECTURE_LINES_MAX = 280


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(path: Path, kind: str) -> list[str]:
    return [text for found, text in BLOCK.findall(path.read_text(encoding="utf-8")) if found == kind]


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_relative_link_of_any_page_leads_to_a_file_and_a_heading(path: Path) -> None:
    for target in LINK.findall(path.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_make_target_that_a_page_names_exists(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = path.read_text(encoding="utf-8")
    named = re.findall(r"`make ([a-z-]+)", text)
    named += [target for block in blocks(path, "sh") for target in re.findall(r"^(?:\S+=\S* )*make ([a-z-]+)", block, re.MULTILINE)]
    assert set(named) <= targets


def commands(command: Any, path: tuple[str, ...] = ("mentha",)) -> list[tuple[str, Any]]:
    below: dict[str, Any] = getattr(command, "commands", {})
    return [(" ".join(path), command)] if not below else [each for name, sub in below.items() for each in commands(sub, (*path, name))]


@pytest.mark.parametrize("name", [name for name, _ in commands(typer.main.get_command(build()))])
def test_command_of_any_level_is_in_the_documentation(name: str) -> None:
    assert any(name in path.read_text(encoding="utf-8") for path in PAGES), name


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_command_and_flag_that_a_page_names_exist(path: Path) -> None:
    known = dict(commands(typer.main.get_command(build())))
    text = path.read_text(encoding="utf-8")
    named = re.findall(r"`(mentha [a-z][^`]*)`", text)
    named += [line for block in blocks(path, "sh") for line in re.findall(r"(?<![/\w])mentha [a-z].*", block)]
    for line in named:
        found = next((name for name in known if line == name or line.startswith(name + " ")), None)
        assert found, line
        options = {option for parameter in known[found].params for option in (*parameter.opts, *parameter.secondary_opts)}
        for flag in re.findall(r"--[a-z-]+", line):
            assert flag in options, line


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_json_and_toml_of_a_page_are_well_formed(path: Path) -> None:
    for block in blocks(path, "json"):
        json.loads(block)
    for block in blocks(path, "toml"):
        tomllib.loads(block)


def test_settings_file_of_the_page_on_providers_is_accepted(tmp_path: Path) -> None:
    file = tmp_path / "mentha.toml"
    file.write_text(blocks(ROOT / "docs" / "providers.md", "toml")[0], encoding="utf-8")
    settings = config.load(environ={}, flags={"home": tmp_path}, file=file)
    assert Providers(settings).route("best").provider == "cluster"


@pytest.mark.parametrize(
    "name", ["docs/chat.md", "docs/providers.md", "docs/operations.md", "docs/secrets.md", "docs/api-differences.md", "README.md"]
)
def test_setting_that_a_page_names_exists(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    named = {found.lower() for found in re.findall(r"\bMENTHA_([A-Z_]+)\b", text)} - {"home"}
    named |= {found.lower() for found in re.findall(r"\|\s`([a-z]+(?:_[a-z]+)+_(?:s|max))`\s\|$", text, re.MULTILINE)}
    assert named <= set(config.Settings.model_fields)


def test_default_that_the_page_on_chat_tells_is_the_default() -> None:
    text = (ROOT / "docs" / "chat.md").read_text(encoding="utf-8")
    units = {"s": 1, "MB": 1_000_000, "": 1}
    told = re.findall(r"\| ([\d,]+) ?(s|MB|) \| `(\w+)` \|", text)
    assert len(told) >= 5
    for number, unit, name in told:
        assert config.Settings.model_fields[name].get_default() == int(number.replace(",", "")) * units[unit], name


def test_page_on_architecture_is_short_and_names_only_files_that_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= ARCHITECTURE_LINES_MAX
    source = ROOT / "src" / "mentha"
    for name in set(re.findall(r"\b((?:api|chat|cli|server|store|providers|sandbox|core|observe)/\w+\.py)\b", text)) - {
        "api/x.py",
        "store/x.py",
    }:
        assert (source / name).exists(), name


def test_map_of_architecture_names_every_package() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").split("## Code map")[1].split("###")[0]
    for package in (ROOT / "src" / "mentha").iterdir():
        if (package / "__init__.py").exists():
            assert re.search(rf"\b{package.name}\b", text), package.name


def test_list_of_decisions_names_every_record() -> None:
    listed = set(LINK.findall((ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")))
    assert {path.name for path in (ROOT / "docs" / "decisions").glob("0*.md")} <= listed


def test_every_command_says_what_it_does() -> None:
    for name, command in commands(typer.main.get_command(build())):
        assert command.help, name
