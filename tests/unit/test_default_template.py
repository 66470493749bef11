"""The default system template: its slots, their order, and that it names what clients may rely on."""

from typing import Any

import jinja2
import pytest

from mentha.wire.default_template import DEFAULT_SYSTEM_TEMPLATE

ALL: dict[str, Any] = {
    "agent": {"name": "Ada", "about": "A mathematician.", "instructions": ["Be brief.", "Be kind."]},
    "user": {"name": "Charles", "about": "Builds engines."},
    "session": {"situation": "A dinner in London."},
    "docs": [{"title": "Notes", "content": ["first snippet", "second snippet"]}, {"title": "Letter", "content": "whole text"}],
}


def render(**variables: Any) -> str:
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, undefined=jinja2.ChainableUndefined)
    return environment.from_string(DEFAULT_SYSTEM_TEMPLATE).render(variables)


def test_default_template_with_everything_has_all_slots_in_order() -> None:
    text = render(**ALL)
    parts = ["Ada", "A mathematician.", "Charles", "Builds engines.", "\n\nSituation: A dinner in London.\n\n\nInstructions:\n"]
    parts += ["- Be brief.\n- Be kind.\n", "Relevant documents:\nNotes\nfirst snippet\nsecond snippet\n---\nLetter\nwhole text\n---"]
    positions = [text.index(part) for part in parts]
    assert positions == sorted(positions)


def test_default_template_instructions_as_text_stand_without_a_dash() -> None:
    text = render(agent={"name": "Ada", "instructions": "Only this."})
    assert "Instructions:\nOnly this.\n" in text
    assert "- " not in text


@pytest.mark.parametrize("user", [None, {}])
def test_default_template_without_user_speaks_of_none(user: Any) -> None:
    assert "conversation" not in render(**{**ALL, "user": user})


def test_default_template_with_user_without_name_speaks_of_a_user() -> None:
    assert "a user. This describes them: shy" in render(agent={"name": "Ada"}, user={"name": "", "about": "shy"})


@pytest.mark.parametrize(("missing", "heading"), [("session", "Situation:"), ("docs", "Relevant documents:"), ("agent", "Instructions:")])
def test_default_template_without_a_part_has_no_heading_for_it(missing: str, heading: str) -> None:
    assert heading not in render(**{name: value for name, value in ALL.items() if name != missing})


@pytest.mark.parametrize("content", [None, [], ""])
def test_default_template_with_document_without_content_shows_its_title(content: Any) -> None:
    assert "Relevant documents:\nEmpty\n" in render(docs=[{"title": "Empty", "content": content}])


def test_default_template_without_variables_is_blank() -> None:
    assert render().strip() == ""
