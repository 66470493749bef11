"""JSON Schemas of tenants: nothing is fetched, nothing runs away, and what does not fit is told with its place."""

import socket
from pathlib import Path
from typing import Any

import pytest

from mentha.core.errors import SchemaInvalid
from mentha.tools import schema_graph, schemas
from mentha.tools.schema_graph import visits
from mentha.tools.schemas import Fault, compile_schema

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "pattern": "^[A-Z]", "maxLength": 20},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}},
        "a/b~c": {"type": "integer"},
    },
    "required": ["name"],
    "additionalProperties": False,
}
TREE = {
    "type": "object",
    "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}, "value": {"type": "integer"}},
    "required": ["value"],
}


def doubling(levels: int, keyword: str = "anyOf") -> dict[str, Any]:
    """Each definition names the next one twice."""
    defs: dict[str, Any] = {f"a{n}": {keyword: [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(levels)}
    return {"$defs": {**defs, f"a{levels}": {"type": "string"}}, "$ref": "#/$defs/a0"}


def refused(schema: Any) -> str:
    with pytest.raises(SchemaInvalid) as caught:
        compile_schema(schema)
    return f"{caught.value.message} {caught.value.fix}"


# --- values


def test_value_that_fits_has_no_faults() -> None:
    assert compile_schema(PERSON).faults({"name": "Ann", "tags": ["a"], "a/b~c": 1}) == ()
    assert compile_schema({}).faults([1, "x", None]) == ()
    assert compile_schema(True).faults(1) == ()


def test_value_that_does_not_fit_is_told_where_and_why_without_its_content() -> None:
    faults = compile_schema(PERSON).faults({"name": "s3cr3t", "tags": ["a", "s3cr3t"], "a/b~c": "s3cr3t"})
    assert {fault.path for fault in faults} == {"/name", "/tags/1", "/a~1b~0c"}
    assert "s3cr3t" not in str(faults)
    assert all(fault.message for fault in faults)
    assert compile_schema(PERSON).faults([]) == (Fault("", 'the value is not of type "object"'),)
    assert "required" in compile_schema(PERSON).faults({})[0].message


def test_value_with_many_faults_has_some_of_them_told() -> None:
    assert len(compile_schema({"items": {"type": "integer"}}).faults(["x"] * 500)) == schemas.FAULTS_MAX
    (fault,) = compile_schema({"items": {"type": "integer"}}).faults(["x"] * 100_000)
    assert "too large to tell" in fault.message
    assert len(compile_schema({"additionalProperties": False}).faults({"k" * 100 + str(n): 1 for n in range(100)})[0].message) < 400


@pytest.mark.parametrize("value", ["\ud800", {1: 2}])
def test_value_that_is_no_json_does_not_fit(value: Any) -> None:
    assert compile_schema({"type": ["string", "object"], "maxLength": 5}).faults(value)[0].message == "the value is no JSON"


def test_value_beyond_what_a_check_may_cost_does_not_fit() -> None:
    deep: Any = 1
    for _ in range(70):
        deep = [deep]
    assert "nested too deeply" in compile_schema({}).faults(deep)[0].message
    assert "too large" in compile_schema({}).faults([0] * 300_000)[0].message
    assert "too large" in compile_schema({"items": {"pattern": "(a|b)*a(a|b){100}c"}}).faults(["ab" * 300_000])[0].message
    assert compile_schema({"items": {"type": "string"}}).faults(["ab" * 300_000]) == ()


def test_format_says_what_is_meant_and_is_not_checked() -> None:
    for draft in ("http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2020-12/schema"):
        assert compile_schema({"$schema": draft, "type": "string", "format": "email"}).faults("no mail") == ()


# --- references


@pytest.mark.parametrize(
    "reference",
    [
        "http://127.0.0.1:{port}/x",
        "https://127.0.0.1:{port}/x#/a",
        "//127.0.0.1:{port}/x",
        "file://{file}",
        "{file}",
        "x.json",
        "#name",
        "urn:x:y",
        "",
        "json-schema:///x",
    ],
)
@pytest.mark.parametrize("place", ["whole", "defs", "inside", "unknown keyword"])
def test_reference_to_outside_is_refused_and_never_fetched(reference: str, place: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('{"const": "s3cr3t"}')
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.setblocking(False)
        pointing = {"$ref": reference.format(port=listening.getsockname()[1], file=secret)}
        whole: dict[str, Any] = {
            "whole": pointing,
            "defs": {"$defs": {"a": pointing}, "$ref": "#/$defs/a"},
            "inside": {"properties": {"a": {"items": [pointing], "anyOf": [pointing]}}},
            "unknown keyword": {"x-mine": {"a": pointing}, "$ref": "#/x-mine/a"},
        }
        told = refused(whole[place])
        assert "s3cr3t" not in told
        assert str(tmp_path) not in told
        with pytest.raises(BlockingIOError):
            listening.accept()


@pytest.mark.parametrize(
    "schema",
    [
        {"$id": "http://127.0.0.1:1/a", "$ref": "b"},
        {"$schema": "http://127.0.0.1:1/meta"},
        {"$schema": "http://json-schema.org/draft-04/schema#"},
        {"$schema": 5},
        {"properties": {"a": {"$id": "http://127.0.0.1:1/a", "$ref": "#"}}},
        {"$defs": {"a": {"$schema": "http://json-schema.org/draft-07/schema#"}}},
        {"$dynamicRef": "#a"},
        {"items": {"$recursiveRef": "#"}},
        {"$ref": "#/$defs/missing"},
        {"$ref": "#/allOf/7", "allOf": [{}]},
        {"$ref": 5},
    ],
    ids=str,
)
def test_schema_that_changes_what_references_mean_is_refused(schema: dict[str, Any]) -> None:
    assert refused(schema)


def test_schema_with_an_id_of_its_own_and_inner_references_is_taken() -> None:
    schema = {"$id": "https://example.com/x", "$defs": {"a b": {"type": "integer"}}, "items": {"$ref": "#/$defs/a%20b"}}
    assert compile_schema(schema).faults([1]) == ()
    assert compile_schema(schema).faults(["x"])[0].path == "/0"


def test_property_may_be_named_like_a_keyword() -> None:
    schema = {
        "properties": {"$ref": {"type": "string"}, "$id": {"type": "string"}, "pattern": {"type": "string"}, "items": {"type": "array"}}
    }
    assert compile_schema(schema).faults({"$ref": "http://x", "$id": "y", "pattern": "(", "items": []}) == ()
    assert compile_schema(schema).faults({"$ref": 1})[0].path == "/$ref"


# --- recursion


def test_schema_of_a_tree_takes_trees_of_any_depth() -> None:
    tree: dict[str, Any] = {"value": 1}
    for _ in range(60):
        tree = {"value": 1, "left": tree, "right": {"value": 2}}
    assert compile_schema(TREE).faults(tree) == ()
    assert set(visits(TREE)) == {1, 2}


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"not": {"$ref": "#"}},
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"anyOf": [{"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"},
        {"dependentSchemas": {"a": {"$ref": "#"}}},
        {"if": {"$ref": "#"}},
    ],
    ids=str,
)
def test_schema_that_refers_to_itself_in_place_is_refused(schema: dict[str, Any]) -> None:
    assert "refers to itself" in refused(schema)


@pytest.mark.parametrize("keyword", ["anyOf", "oneOf", "allOf"])
def test_schema_that_doubles_in_place_is_refused_before_it_runs(keyword: str) -> None:
    assert "more than 10,000 times" in refused(doubling(20, keyword))
    assert compile_schema(doubling(5, keyword)).faults(1)


def test_schema_that_doubles_at_each_level_takes_shallow_values_alone() -> None:
    schema = {"properties": {"a": {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}}}
    looks = visits(schema)
    assert looks[:4] == (1, 5, 10, 20)
    assert len(looks) < 16
    value: dict[str, Any] = {}
    for _ in range(len(looks) - 1):
        value = {"a": value}
    compiled = compile_schema(schema)
    assert compiled.faults(value) == ()
    assert "nested too deeply" in compiled.faults({"a": value})[0].message


def test_schema_that_looks_again_for_what_was_not_looked_at_is_counted_so() -> None:
    schema: dict[str, Any] = {"properties": {"a": True}}
    for _ in range(20):
        schema = {"allOf": [schema], "unevaluatedProperties": False}
    assert "more than 10,000 times" in refused(schema)


def test_schema_with_a_long_chain_of_references_is_refused() -> None:
    chain = {"$defs": {**{f"a{n}": {"$ref": f"#/$defs/a{n + 1}"} for n in range(1_000)}, "a1000": {}}, "$ref": "#/$defs/a0"}
    assert "lead on to each other" in refused(chain)
    short = {"$defs": {**{f"a{n}": {"$ref": f"#/$defs/a{n + 1}"} for n in range(30)}, "a30": {}}, "$ref": "#/$defs/a0"}
    assert compile_schema(short).faults(1) == ()


# --- size and form


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ([], "object"),
        ("x", "object"),
        (None, "object"),
        ({"type": "strin"}, "`/type`"),
        ({"properties": {"a": {"minimum": "x"}}}, "`/properties/a/minimum`"),
        ({"pattern": "("}, "`/pattern`"),
        ({"pattern": "(?=a)b"}, "looks around"),
        ({"pattern": r"(a)\1"}, "looks around"),
        ({"patternProperties": {"(?<!a)b": True}}, "looks around"),
        ({"pattern": r"(\w{100}){100}"}, "too large"),
        ({"pattern": "a" * 600}, "500 characters"),
        ({"allOf": [{"pattern": "a"}] * 60}, "50 patterns"),
        ({"patternProperties": {str(n): True for n in range(60)}}, "50 patterns"),
        ({"description": "x" * 300_000}, "100,000 bytes"),
        ({"enum": [0] * 300_000}, "200,000 parts"),
        ({"properties": {str(n): {} for n in range(3_000)}}, "2,000 parts"),
        ({"const": object()}, "no JSON"),
        ({"const": "\ud800"}, "no JSON"),
    ],
    ids=range(18),
)
def test_schema_that_is_none_or_too_large_is_refused_with_its_place(schema: Any, told: str) -> None:
    assert told in refused(schema)


def test_schema_nested_too_deeply_is_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(40):
        schema = {"properties": {"a": schema}}
    assert "50 levels" in refused(schema)


def test_pattern_runs_in_linear_time() -> None:
    """With an engine that backtracks, each of these would take longer than anyone waits."""
    for pattern in ("^(a+)+$", "^(a|a)*$", "^(a|aa)+$", "(a?){30}a{30}b", "^(([a-z])+.)+[A-Z]([a-z])+$"):
        assert compile_schema({"pattern": pattern}).faults("a" * 50_000 + "!") != ()


def test_graph_of_a_schema_counts_alternatives_and_names_apart() -> None:
    assert visits(True) == (1,) + (0,) * schema_graph.DEPTH_MAX_LEVELS
    assert visits({"properties": {str(n): {} for n in range(100)}})[:3] == (1, 1, 0)
    assert visits({"properties": {"a": {}}, "patternProperties": {"a": {}}, "additionalProperties": {}})[:2] == (1, 3)
    assert visits({"items": {"$ref": "#/$defs/a"}, "contains": {"$ref": "#/$defs/a"}, "$defs": {"a": {}}})[:2] == (1, 4)
    assert visits({"anyOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]})[:2] == (3, 1)
