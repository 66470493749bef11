"""Laws of tenants' schemas, over generated ones: what a check is said to cost at most, it costs at most; nothing ends the process."""

import contextlib
from typing import Any

import jsonschema_rs
from hypothesis import given, settings
from hypothesis import strategies as st

from mentha.core.errors import SchemaInvalid
from mentha.tools.schema_graph import visits
from mentha.tools.schemas import FAULTS_MAX, _size, compile_schema

NAMES = ("a", "b", "c")
references = st.sampled_from(["#", *(f"#/$defs/{name}" for name in NAMES)]).map(lambda to: {"$ref": to})
plain = st.sampled_from(
    [
        {},
        {"type": "string"},
        {"type": "object"},
        {"type": "integer"},
        {"required": ["a"]},
        {"minItems": 1},
        {"const": 1},
        {"maxProperties": 1},
    ]
)


def widened(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    listed = st.lists(inner, min_size=1, max_size=3)
    named = st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)
    ones = [
        {name: inner} for name in ("not", "if", "items", "contains", "additionalProperties", "unevaluatedProperties", "unevaluatedItems")
    ]
    several = [{name: listed} for name in ("allOf", "anyOf", "oneOf", "prefixItems")]
    maps = [{name: named} for name in ("properties", "patternProperties", "dependentSchemas")]
    keywords: dict[str, Any] = {}
    for each in (*ones, *several, *maps, {"then": inner}, {"else": inner}, {"propertyNames": inner}):
        keywords.update(each)
    return st.lists(st.sampled_from(sorted(keywords)), min_size=1, max_size=3, unique=True).flatmap(
        lambda chosen: st.fixed_dictionaries({name: keywords[name] for name in chosen})
    )


parts = st.recursive(st.one_of(references, plain), widened, max_leaves=6)
schemas = st.builds(lambda whole, defs: {**whole, "$defs": defs}, parts, st.fixed_dictionaries(dict.fromkeys(NAMES, parts)))
values = st.recursive(
    st.sampled_from([1, "x", None, True, 2.5]),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)),
    max_leaves=10,
)


def counted(schema: Any) -> Any:
    """The schema with a keyword in each part of it that tells that the part is looked at."""
    if isinstance(schema, list):
        return [counted(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    held = {"properties", "patternProperties", "dependentSchemas", "$defs"}
    data = {"const", "type", "required", "minItems", "maxProperties", "$ref"}
    found = {
        name: part if name in data else {key: counted(each) for key, each in part.items()} if name in held else counted(part)
        for name, part in schema.items()
    }
    # First, so that it runs before anything beside it has failed.
    return {"x-look": True, **found}


@settings(max_examples=300, deadline=None)
@given(schemas, values)
def test_check_looks_no_more_often_than_was_foretold(schema: dict[str, Any], value: Any) -> None:
    try:
        looks = visits(schema)
    except SchemaInvalid:
        return
    size = _size(value)
    if size.depth >= len(looks):
        return
    seen = 0

    class Look:
        def __init__(self, *_: Any) -> None:
            pass

        def validate(self, _: Any) -> None:
            nonlocal seen
            seen += 1

    checked = jsonschema_rs.validator_for(counted(schema), offline=True, keywords={"x-look": Look})
    checked.is_valid(value)
    assert seen <= size.parts * max(looks[: size.depth + 1])


@settings(max_examples=300, deadline=None)
@given(schemas, values)
def test_faults_are_there_exactly_where_the_library_finds_the_value_wrong(schema: dict[str, Any], value: Any) -> None:
    try:
        compiled = compile_schema(schema)
    except SchemaInvalid:
        return
    faults = compiled.faults(value)
    assert len(faults) <= FAULTS_MAX
    if any("limit" in fault.message or "too large" in fault.message for fault in faults):
        return
    assert bool(faults) != jsonschema_rs.validator_for(schema, offline=True).is_valid(value)


@settings(deadline=None)
@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.dictionaries(
                st.one_of(
                    st.text(max_size=5),
                    st.sampled_from(["$ref", "type", "properties", "items", "pattern", "$id", "enum", "minLength", "allOf", "format"]),
                ),
                inner,
                max_size=4,
            ),
        ),
        max_leaves=15,
    )
)
def test_anything_at_all_is_compiled_or_refused(schema: Any) -> None:
    with contextlib.suppress(SchemaInvalid):
        assert len(compile_schema(schema).faults({"a": [1, "x"]})) <= FAULTS_MAX
