"""Every example of the page on tasks is a definition that is taken, every kind of step has one, and its figures are the code's."""

import re
from pathlib import Path
from typing import Any

import pytest

from mentha.api.yaml_body import DEFINITION_BYTES_MAX, YAML_TYPES
from mentha.core.yaml import NODES_MAX, loads_yaml
from mentha.store.tasks import VERSIONS_MAX
from mentha.wire.step_kinds import KINDS
from mentha.wire.step_walk import steps_of
from mentha.wire.steps import STEPS_MAX
from mentha.wire.tasks import CreateTaskRequest, definition_of
from mentha.wire.tools import TOOLS_MAX
from mentha.workflow.checks import EXPRESSIONS_MAX, NESTING_MAX_LEVELS, faults

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
LOOK: Any = {"name": "look", "type": "function", "function": {}}


def definition(text: str) -> Any:
    """An example as a definition; one that is a list of steps gets what its steps name."""
    read = loads_yaml(text.encode(), depth_max_levels=64).value
    whole = read if isinstance(read, dict) else {"name": "T", "main": read, "write": [{"log": "x"}], "tools": [LOOK]}
    task = CreateTaskRequest.model_validate(whole)
    assert not task.strays
    return definition_of(task)


@pytest.mark.parametrize("text", EXAMPLES, ids=lambda text: text.splitlines()[0])
def test_example_of_the_page_is_a_definition_without_a_fault(text: str) -> None:
    # An example may end before the list does.
    assert [fault for fault in faults(definition(text)) if fault.issue_type != "unreachable"] == []


def test_every_kind_of_step_has_an_example_and_a_word() -> None:
    shown = {step["kind_"] for text in EXAMPLES for _, step in steps_of(definition(text))}
    assert shown == set(KINDS.values())
    assert [name for name in KINDS if not re.search(rf"^###.*\b{name}\b", PAGE, re.MULTILINE)] == []


def test_limits_and_types_of_the_page_are_those_of_the_code() -> None:
    for limit in (DEFINITION_BYTES_MAX, STEPS_MAX, EXPRESSIONS_MAX, NODES_MAX, TOOLS_MAX, NESTING_MAX_LEVELS):
        assert re.search(rf"\b{limit:,}\b", PAGE), limit
    assert f"the last {VERSIONS_MAX} are kept" in PAGE
    told = set(re.findall(r"`((?:application|text)/[a-z-]*yaml)`", PAGE))
    assert told == {name.decode() for name in YAML_TYPES if b"vnd" not in name}
