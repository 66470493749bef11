"""The docs say what is true now."""

import re
from pathlib import Path

import pytest
import typer.main

from mentha.cli import build
from tools import docs

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("path", sorted(docs.pages()), ids=lambda path: path.name)
def test_generated_page_is_what_the_code_says(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == docs.pages()[path], "run `make docs`"


def test_command_of_the_command_line_is_in_the_docs() -> None:
    told = "\n".join(path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))])
    command = typer.main.get_command(build())
    # A group has commands; its declared type is that of any command.
    for name in command.commands:  # type: ignore[attr-defined]
        assert f"mentha {name}" in told, name


@pytest.mark.parametrize("path", sorted((ROOT / "docs").rglob("*.md")), ids=lambda path: path.name)
def test_relative_link_of_a_page_leads_to_a_file(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target
