"""Tools of any type: what is read is what was stored but for its secrets; PATCH changes what it names, and the second time nothing."""

from collections.abc import Iterator
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mentha.store import agents, tools
from mentha.tools.offer import function_of, presets
from mentha.wire import masks
from mentha.wire.agents import CreateAgentRequest
from mentha.wire.integrations import PROVIDERS
from mentha.wire.schemas import Schema
from mentha.wire.system_calls import CALLS
from mentha.wire.tools import CreateToolRequest, PatchToolRequest, UpdateToolRequest, plain, spec_of
from tests.support.transactions import Transactions

SPEC = "SELECT spec FROM tools WHERE tenant_id = $1 AND id = $2"

texts = st.text("abc é?&=/:@#", max_size=8)
names = st.sampled_from(("q", "limit", "api_key", "Authorization", "token", "X-Thing"))
flat = st.dictionaries(names, texts, max_size=3)
objects = st.dictionaries(names, st.none() | st.booleans() | st.integers(-9, 9) | texts | st.lists(texts, max_size=2) | flat, max_size=3)


def some(required: dict[str, Any], /, **optional: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required, optional=optional)


def fitting(schema: Schema) -> st.SearchStrategy[Any]:
    """Values that fit a schema of ours."""
    if "anyOf" in schema:
        return st.one_of(*(fitting(branch) for branch in schema["anyOf"]))
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema.get("type") == "object":
        fields = {name: fitting(each) for name, each in schema.get("properties", {}).items()}
        required = {name: fields.pop(name) for name in schema.get("required", ())}
        return some(required, **fields) if required or fields else flat
    if schema.get("type") == "array":
        return st.lists(fitting(schema["items"]), max_size=2)
    if schema.get("type") == "integer":
        return st.integers(schema.get("minimum", 0), schema.get("maximum", 99))
    return st.booleans() if schema.get("type") == "boolean" else texts


def integrations(provider: str, method: str) -> st.SearchStrategy[dict[str, Any]]:
    table = PROVIDERS[provider]
    arguments = table.methods[method].arguments
    part = (
        some({}, **{name: fitting(each) for name, each in arguments.get("properties", {}).items()}) if "properties" in arguments else flat
    )
    return some({"provider": st.just(provider), "method": st.just(method)}, setup=fitting(table.setup), arguments=part)


def systems(name: str) -> dict[str, Any]:
    resource, *middle, operation = name.split(".")
    return {"resource": resource, "operation": operation, **({"subresource": middle[0]} if middle else {})}


urls = st.sampled_from(
    (
        "https://h/",
        "http://h:8/a/{{id}}",
        "https://u:p@h/a?q=1",
        "https://h?api_key=k&b=c#d",
        "https://token@h/x?",
        "https://h/{a}?token=&key=1",
    )
)
parameters = some({}, properties=st.dictionaries(names, st.just({"type": "string"}), max_size=2), required=st.lists(names, max_size=2))
SPECS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "function": some({}, description=texts, parameters=objects),
    "integration": st.one_of(*(integrations(name, method) for name, each in PROVIDERS.items() for method in each.methods)),
    "system": st.tuples(st.sampled_from(list(CALLS)), some({}, resource_id=st.uuids().map(str), arguments=objects)).map(
        lambda pair: {**systems(pair[0]), **pair[1]}
    ),
    "api_call": some(
        {"method": st.sampled_from(("GET", "POST", "TRACE")), "url": urls},
        schema=objects,
        headers=flat,
        secrets=st.dictionaries(names, st.just({"name": "mine"}), max_size=1),
        content=texts,
        data=objects,
        files=objects,
        json=objects | st.lists(objects, max_size=2) | texts,
        cookies=flat,
        params=objects | texts,
        params_schema=parameters,
        follow_redirects=st.booleans(),
        timeout=st.integers(0, 99),
        include_response_content=st.booleans(),
    ),
    "computer_20241022": some({}, display_width_px=st.integers(600, 9_999), display_number=st.integers(1, 10), name=texts),
    "text_editor_20241022": some({}, name=texts),
    "bash_20241022": some({}, name=texts),
}
descriptions = st.none() | texts


def whole(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"name": st.sampled_from(("a", "b_2")), "type": st.just(kind), kind: SPECS[kind]}, optional={"description": descriptions}
    )


bodies = st.sampled_from(list(SPECS)).flatmap(whole)


SOME_OF = {
    kind: st.tuples(SPECS[kind], st.sets(names | st.sampled_from(("url", "headers", "json", "name")))).map(
        lambda pair: {name: value for name, value in pair[0].items() if name in pair[1]}
    )
    for kind in SPECS
    if kind not in ("integration", "system")
}


def changes(body: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A PATCH: some fields of the tool and of its member, or another tool as a whole."""
    kind, spec = body["type"], body[body["type"]]
    if kind == "integration":
        part = integrations(spec["provider"], spec["method"])
    elif kind == "system":
        part = some({}, resource_id=st.uuids().map(str), arguments=objects)
    else:
        part = SOME_OF[kind]
    others = bodies.filter(lambda other: other["type"] not in ("integration", "system") or other["type"] != kind)
    return some({}, name=st.sampled_from(("a", "c")), description=descriptions, **{kind: part}) | others


@pytest.fixture(scope="module")
def transactions(worker_dsn: str) -> Iterator[Transactions]:
    with Transactions(worker_dsn) as opened:
        yield opened


def read(tool: Any) -> dict[str, Any]:
    """What a client sees of a tool, but for the times."""
    return tool.model_dump(mode="json", by_alias=True, exclude={"created_at", "updated_at"})


def sealed(_: UUID, secret: Any) -> str:
    return f"sealed.{len(str(secret))}"


def test_tool_of_any_type_is_read_as_it_was_stored_but_for_its_secrets(transactions: Transactions) -> None:
    @settings(max_examples=200, deadline=None)
    @given(body=bodies)
    def holds(body: dict[str, Any]) -> None:
        async def store(tx: Any, tenant: UUID) -> None:
            agent = (await agents.create(tx, tenant, CreateAgentRequest(name="Mia"))).id
            given_ = CreateToolRequest.model_validate(body)
            kind, spec = given_.type, spec_of(given_)
            made = await tools.create(tx, tenant, agent, given_)
            assert await tx.fetchval(SPEC, tenant, made.id) == spec
            assert await tools.get(tx, tenant, agent, made.id) == made
            seen = made.model_dump(mode="json", by_alias=True, exclude_none=True)[kind]
            shown = masks.shown(kind, spec)
            if kind == "function":
                shown = {
                    **shown,
                    "name": given_.name,
                    "description": given_.description if given_.description is not None else spec.get("description"),
                }
            assert seen == {name: value for name, value in shown.items() if value is not None}
            # What a client reads it can send back: nothing is lost, and no secret is the marker from then on.
            again = await tools.update(
                tx, tenant, agent, made.id, UpdateToolRequest.model_validate(made.model_dump(mode="json", by_alias=True))
            )
            assert read(again) == read(made)
            if kind != "function":
                assert await tx.fetchval(SPEC, tenant, made.id) == spec

        transactions.rolled_back(store)

    holds()


def test_patch_of_a_tool_keeps_what_it_does_not_name_and_changes_nothing_twice(transactions: Transactions) -> None:
    @settings(max_examples=200, deadline=None)
    @given(pair=bodies.flatmap(lambda body: st.tuples(st.just(body), changes(body))))
    def holds(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
        body, sent = pair

        async def patch(tx: Any, tenant: UUID) -> None:
            agent = (await agents.create(tx, tenant, CreateAgentRequest(name="Mia"))).id
            made = await tools.create(tx, tenant, agent, CreateToolRequest.model_validate(body), seal=sealed)
            before = await tx.fetchval(SPEC, tenant, made.id)
            once = await tools.patch(tx, tenant, agent, made.id, PatchToolRequest.model_validate(sent), seal=sealed)
            after = await tx.fetchval(SPEC, tenant, made.id)
            assert once.name == sent.get("name", made.name)
            assert once.description == sent.get("description", made.description)
            kind = sent.get("type", made.type)
            named, old = sent.get(kind, {}), before if kind == made.type else {}
            assert once.type == kind
            merged = spec_of(UpdateToolRequest.model_validate({"name": "x", "type": kind, kind: {**old, **named}}))
            new = {name: value for name, value in merged.items() if name in named or not old}
            assert after == {**merged, **masks.each_secret(kind, new, partial(sealed, made.id))}
            assert {n: v for n, v in after.items() if n not in named and n in old} == {n: v for n, v in old.items() if n not in named}
            twice = await tools.patch(tx, tenant, agent, made.id, PatchToolRequest.model_validate(sent), seal=sealed)
            assert read(twice) == read(once)
            assert await tx.fetchval(SPEC, tenant, made.id) == after

        transactions.rolled_back(patch)

    holds()


@settings(max_examples=300, deadline=None)
@given(body=bodies)
def test_tool_of_any_type_is_offered_without_what_it_fixes(body: dict[str, Any]) -> None:
    tool = plain(CreateToolRequest.model_validate(body))
    function = function_of(tool)
    if tool["type"] in ("integration", "system"):
        assert not set(presets(tool)) & set(function["parameters"]["properties"])
        assert not set(presets(tool)) & set(function["parameters"].get("required", ()))
    elif tool["type"] == "api_call" and "params_schema" in tool["api_call"]:
        assert not set(presets(tool)) & set(function["parameters"]["properties"])
    assert function["name"] == body["name"]
