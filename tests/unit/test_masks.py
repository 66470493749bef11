"""Which values of a tool are secrets, how they are shown, and that what is sent back as it was shown stays."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mentha.wire import masks
from mentha.wire.masks import MARKER

names = st.sampled_from(("q", "limit", "token", "api_key", "cookies", "params", "headers"))
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("ab:/?&=@# key", max_size=12) | st.just("https://u:p@h/?key=k&q=1#end"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
specs = st.dictionaries(names, values, max_size=4).map(lambda spec: {"url": "https://host/?token=t", **spec})
TYPES = ("integration", "api_call", "system")


@pytest.mark.parametrize(
    "name",
    [
        "brave_api_key",
        "password",
        "service_account_json",
        "cloudinary_api_secret",
        "Authorization",
        "Proxy-Authorization",
        "X-Api-Key",
        "X-RapidAPI-Key",
        "PRIVATE-TOKEN",
        "accessToken",
        "client_secret",
        "appid",
        "Set-Cookie",
    ],
)
def test_name_that_tells_of_a_secret_is_known(name: str) -> None:
    assert masks.is_secret(name)


@pytest.mark.parametrize(
    "name",
    ["query", "max_tokens", "user", "Accept", "Content-Type", "author", "algolia_application_id", "project_id", "tool_name", "keyword"],
)
def test_name_that_tells_of_no_secret_is_left_alone(name: str) -> None:
    assert not masks.is_secret(name)


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        ({"setup": {"host": "h", "port": 25, "password": "p"}}, {"setup": {"host": "h", "port": 25, "password": MARKER}}),
        (
            {"setup": {"http_headers": {"Accept": "a"}, "env": {"A": "b"}}},
            {"setup": {"http_headers": {"Accept": MARKER}, "env": {"A": MARKER}}},
        ),
        ({"headers": {"Accept": "a", "Authorization": "b"}}, {"headers": {"Accept": "a", "Authorization": MARKER}}),
        ({"cookies": {"theme": "dark", "empty": ""}}, {"cookies": {"theme": MARKER, "empty": ""}}),
        ({"json": [{"auth": {"user": "u", "pin": 1}}]}, {"json": [{"auth": MARKER}]}),
        ({"json": {"token": 7, "use_token": True, "old_token": None}}, {"json": {"token": MARKER, "use_token": True, "old_token": None}}),
        ({"params": "q=1&key=k&key="}, {"params": f"q=1&key={MARKER}&key="}),
        ({"url": "https://u:p@h:1/a?b=c&api_key=k#f"}, {"url": f"https://u:{MARKER}@h:1/a?b=c&api_key={MARKER}#f"}),
        ({"url": "https://t0ken@h"}, {"url": f"https://{MARKER}@h"}),
        ({"setup": {"connect_url": "wss://h?apiKey=k"}}, {"setup": {"connect_url": f"wss://h?apiKey={MARKER}"}}),
        ({"secrets": {"key": {"name": "mine"}}}, {"secrets": {"key": {"name": "mine"}}}),
        (
            {"params_schema": {"properties": {"token": {"type": "string"}}}},
            {"params_schema": {"properties": {"token": {"type": "string"}}}},
        ),
    ],
)
def test_secret_is_shown_as_the_marker_and_the_rest_as_it_is(spec: Any, shown: Any) -> None:
    assert masks.shown("api_call", spec) == shown


def test_function_has_no_secrets_of_its_own() -> None:
    spec = {"parameters": {"properties": {"api_key": {"type": "string"}}}}
    assert masks.shown("function", spec) == spec


@settings(deadline=None)
@given(kind=st.sampled_from(TYPES), spec=specs)
def test_what_is_sent_back_as_it_was_shown_stays(kind: str, spec: dict[str, Any]) -> None:
    shown = masks.shown(kind, spec)
    assert masks.shown(kind, shown) == shown
    assert masks.kept(kind, shown, spec) == spec
    assert masks.has_marker(kind, shown)


@settings(deadline=None)
@given(kind=st.sampled_from(TYPES), spec=specs)
def test_seal_is_put_on_and_taken_off_at_the_same_places(kind: str, spec: dict[str, Any]) -> None:
    box: dict[str, Any] = {}

    def seal(value: Any) -> str:
        box[f"s{len(box)}"] = value
        return f"s{len(box) - 1}"

    sealed = masks.each_secret(kind, spec, seal)
    assert masks.shown(kind, sealed) == masks.shown(kind, spec)
    assert masks.each_secret(kind, sealed, box.__getitem__) == spec


@pytest.mark.parametrize(
    ("given_", "stored", "kept"),
    [
        ({"headers": {"X-Key": MARKER, "A": "new"}}, {"headers": {"X-Key": "k", "A": "old"}}, {"headers": {"X-Key": "k", "A": "new"}}),
        ({"headers": {"X-Key": "new"}}, {"headers": {"X-Key": "k"}}, {"headers": {"X-Key": "new"}}),
        ({"headers": {"Y-Key": MARKER}}, {"headers": {"X-Key": "k"}}, {"headers": {"Y-Key": MARKER}}),
        ({"url": f"https://h?key={MARKER}"}, {"url": "https://h?key=k"}, {"url": "https://h?key=k"}),
        # Elsewhere, the same word is not what was shown.
        ({"url": f"https://evil?key={MARKER}"}, {"url": "https://h?key=k"}, {"url": f"https://evil?key={MARKER}"}),
        ({"json": [{"key": MARKER}]}, {"json": [{"key": "k"}, {"key": "l"}]}, {"json": [{"key": MARKER}]}),
        ({"json": {"a": 1}}, {"json": {"a": True}}, {"json": {"a": 1}}),
    ],
)
def test_marker_keeps_only_what_is_stored_in_its_place(given_: Any, stored: Any, kept: Any) -> None:
    made = masks.kept("api_call", given_, stored)
    assert made == kept
    assert str(made) == str(kept)
    assert masks.has_marker("api_call", made) == (MARKER in str(kept))
