"""What checking a value by a schema may cost, known before anything is checked. Pure.

A schema of a few lines can ask for the same value to be looked at a billion times: thirty definitions that each name the next one twice.
The library that checks has no limit of its own and holds the interpreter's lock, so nothing could end it. So the schema is read as a graph.
*In place* lead the keywords that apply a schema to the same value (`$ref`, `allOf`, `if`, …), *down* those that apply one to a part of it
(`properties`, `items`, …). How many ways through the graph end at one place inside of a value is how often it is looked at, at most.

Source: JSON Schema 2020-12, core sections 8.2 (references) and 10 (applicators), and the older drafts for what they had instead.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from urllib.parse import unquote

from mentha.core.errors import SchemaInvalid
from mentha.core.json import JsonValue

# Deepest place of a value that is looked at, as deep as a request's body may be.
DEPTH_MAX_LEVELS = 64
# Most looks at one place. A schema that asks for more at the value itself is refused; where it does so deeper, values that deep are.
VISITS_MAX = 10_000
# Longest way in place: each step is a call inside of the library, and calls that are nested too deeply end the process.
CHAIN_MAX = 50
SUBSCHEMAS_MAX = 2_000
# After so many steps through the graph all places of one depth are taken for one, which counts too much, but ends soon.
STEPS_EXACT_MAX = 20_000

# What a keyword holds (one schema, a list of them, or some by name) and whether it applies them to the same value or to parts of one.
ONE_IN_PLACE = frozenset({"not", "if", "then", "else"})
LIST_IN_PLACE = frozenset({"allOf", "anyOf", "oneOf"})
MAP_IN_PLACE = frozenset({"dependentSchemas", "dependencies"})
ONE_OF_OBJECT = frozenset({"additionalProperties", "unevaluatedProperties", "propertyNames"})
ONE_OF_ARRAY = frozenset({"items", "additionalItems", "unevaluatedItems", "contains"})
LIST_OF_ARRAY = frozenset({"items", "prefixItems"})
# To know what was not looked at yet, all that stands beside these is looked at again.
AGAIN = ("unevaluatedProperties", "unevaluatedItems")
AGAIN_TIMES = 3

# A place below a value: of an object or of an array, and which one; `None` is any.
Step = tuple[str, str | int | None]
Counts = dict[int, int]
# The subschemas that are asked for at one place, each with how often.
Asked = frozenset[tuple[int, int]]


@dataclass(slots=True)
class Node:
    """One subschema, and where it leads."""

    in_place: list[int] = field(default_factory=list[int])
    down: list[tuple[Step, int]] = field(default_factory=list[tuple[Step, int]])
    times: int = 1


def visits(schema: JsonValue) -> tuple[int, ...]:
    """Most looks at one place of a value, by the place's depth; the value itself is depth 0. A place deeper than the last may cost more.

    Raises:
        SchemaInvalid: a reference leads out of the schema, to nothing, or back to itself in place; or a limit is exceeded.
    """
    graph = _Graph(_read(schema))
    places = {frozenset({(0, 1)})}
    found: list[int] = []
    for _ in range(DEPTH_MAX_LEVELS + 1):
        most = max((graph.looks(asked) for asked in places), default=0)
        if most > VISITS_MAX:
            break
        found.append(most)
        below = {following for asked in places for following in graph.below(asked)}
        if below == places:
            # It goes on like this for ever.
            found += [most] * (DEPTH_MAX_LEVELS + 1 - len(found))
            break
        places = below if graph.steps < STEPS_EXACT_MAX else {_most(below)}
    if not found:
        raise SchemaInvalid(
            f"the schema looks at a value more than {VISITS_MAX:,} times", fix="name fewer alternatives inside of alternatives"
        )
    return tuple(found)


class _Graph:
    """Counts looks. What was found for one place is kept: most places are like others."""

    def __init__(self, nodes: list[Node]) -> None:
        self._nodes = nodes
        self._rank = {index: rank for rank, index in enumerate(_ordered(nodes))}
        self._kept: dict[Asked, tuple[int, frozenset[Asked]]] = {}
        self.steps = 0

    def looks(self, asked: Asked) -> int:
        """How often a place is looked at."""
        return self._found(asked)[0]

    def below(self, asked: Asked) -> frozenset[Asked]:
        """What may be asked for at the places just below."""
        return self._found(asked)[1]

    def _found(self, asked: Asked) -> tuple[int, frozenset[Asked]]:
        if asked not in self._kept:
            reached = self._in_place(asked)
            self._kept[asked] = sum(reached.values()), self._down(reached)
        return self._kept[asked]

    def _in_place(self, asked: Asked) -> Counts:
        """How often each subschema is applied to the place itself."""
        reached: Counts = dict(asked)
        # By rank, so that all ways to a subschema were counted when those from it are.
        waiting = [(self._rank[index], index) for index, _ in asked]
        heapify(waiting)
        while waiting:
            _, index = heappop(waiting)
            node = self._nodes[index]
            self.steps += 1 + len(node.in_place)
            for following in node.in_place:
                if following not in reached:
                    reached[following] = 0
                    heappush(waiting, (self._rank[following], following))
                # Beyond the limit it is all the same, and numbers stay small.
                reached[following] = min(reached[following] + reached[index] * node.times, VISITS_MAX + 1)
        return reached

    def _down(self, reached: Counts) -> frozenset[Asked]:
        by_step: dict[Step, Counts] = defaultdict(lambda: defaultdict(int))
        for index, count in reached.items():
            self.steps += len(self._nodes[index].down)
            for step, following in self._nodes[index].down:
                by_step[step][following] += count
        found: set[Asked] = set()
        for kind in ("object", "array"):
            anywhere = by_step.pop((kind, None), {})
            named = [counts for (other, _), counts in by_step.items() if other == kind]
            for counts in ({}, *named):
                merged = {index: anywhere.get(index, 0) + counts.get(index, 0) for index in {*anywhere, *counts}}
                self.steps += len(merged)
                found.add(frozenset((index, min(count, VISITS_MAX + 1)) for index, count in merged.items()))
        return frozenset(found)


def _most(places: set[Asked]) -> Asked:
    """One place that asks for all that any of these does."""
    counts: Counts = defaultdict(int)
    for asked in places:
        for index, count in asked:
            counts[index] = max(counts[index], count)
    return frozenset(counts.items())


def _read(root: JsonValue) -> list[Node]:
    """Every subschema that can be reached, the first one being the whole."""
    nodes: list[Node] = []
    places: dict[int, int] = {}
    waiting: list[JsonValue] = []

    def place(schema: JsonValue) -> int:
        if id(schema) not in places:
            places[id(schema)] = len(nodes)
            nodes.append(Node())
            waiting.append(schema)
        return places[id(schema)]

    place(root)
    while waiting:
        if len(nodes) > SUBSCHEMAS_MAX:
            raise SchemaInvalid(f"the schema has more than {SUBSCHEMAS_MAX:,} parts", fix="shorten it")
        schema = waiting.pop()
        if isinstance(schema, dict):
            node = nodes[places[id(schema)]]
            node.times = AGAIN_TIMES if any(name in schema for name in AGAIN) else 1
            for name, held in schema.items():
                node.in_place += [place(part) for part in _parts_in_place(name, held, root) if isinstance(part, dict)]
                node.down += [(step, place(part)) for step, part in _parts_down(name, held) if isinstance(part, dict)]
    return nodes


def _parts_in_place(name: str, held: JsonValue, root: JsonValue) -> Iterable[JsonValue]:
    if name == "$ref":
        return (resolve(root, held),)
    if name in LIST_IN_PLACE and isinstance(held, list):
        return held
    if name in MAP_IN_PLACE and isinstance(held, dict):
        return held.values()
    return (held,) if name in ONE_IN_PLACE else ()


def _parts_down(name: str, held: JsonValue) -> Iterable[tuple[Step, JsonValue]]:
    if name in ("properties", "patternProperties") and isinstance(held, dict):
        return ((("object", key if name == "properties" else None), part) for key, part in held.items())
    if name in LIST_OF_ARRAY and isinstance(held, list):
        return ((("array", index), part) for index, part in enumerate(held))
    if name in ONE_OF_ARRAY:
        return ((("array", None), held),)
    return ((("object", None), held),) if name in ONE_OF_OBJECT else ()


def resolve(root: JsonValue, reference: JsonValue) -> JsonValue:
    """What a reference inside of the schema leads to: `#`, or `#/` and a JSON pointer (RFC 6901).

    Raises:
        SchemaInvalid: it leads out of the schema, or to nothing.
    """
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        raise SchemaInvalid(
            "the schema refers to something outside of itself, or by a name",
            fix="put what it needs under `$defs`, and refer to it by `#/$defs/…`",
        )
    found = root
    for word in unquote(reference[1:]).split("/")[1:]:
        key = word.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and key in found:
            found = found[key]
        elif isinstance(found, list) and key.isascii() and key.isdigit() and len(key) < 6 and int(key) < len(found):
            found = found[int(key)]
        else:
            raise SchemaInvalid("the schema refers to a part of itself that is not there", fix="check its `$ref`s")
    return found


def _ordered(nodes: list[Node]) -> list[int]:
    """The nodes such that each stands before those that it leads to in place."""
    depth: dict[int, int] = {}
    ordered: list[int] = []
    open_now: set[int] = set()
    for start in range(len(nodes)):
        stack = [(start, iter(nodes[start].in_place))] if start not in depth else []
        open_now.update(index for index, _ in stack)
        while stack:
            index, rest = stack[-1]
            following = next((each for each in rest if each not in depth), None)
            if following is None:
                stack.pop()
                open_now.discard(index)
                depth[index] = 1 + max((depth[each] for each in nodes[index].in_place), default=0)
                ordered.append(index)
            elif following in open_now:
                raise SchemaInvalid("the schema refers to itself without going into its value", fix="take the reference out")
            else:
                open_now.add(following)
                stack.append((following, iter(nodes[following].in_place)))
    if max(depth.values()) > CHAIN_MAX:
        raise SchemaInvalid(f"more than {CHAIN_MAX} parts of the schema lead on to each other", fix="put them together")
    return ordered[::-1]
