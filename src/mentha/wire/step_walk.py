"""Ways through a definition: every step with the path to it, like `("main", 2, "foreach", "do", 0)`. Pure.

Only what is a step by its place counts: data of an author may look like one.
"""

from collections.abc import Iterator

from mentha.core.json import JsonObject, JsonValue

Path = tuple[str | int, ...]
# Members of a definition that are lists and no workflows.
_NO_WORKFLOWS = frozenset({"tools", "warnings"})


def workflows_of(definition: JsonObject) -> dict[str, list[JsonObject]]:
    """The workflows by name: `main` and the subworkflows."""
    return {name: value for name, value in definition.items() if isinstance(value, list) and name not in _NO_WORKFLOWS}


def steps_of(definition: JsonObject) -> Iterator[tuple[Path, JsonObject]]:
    """Every step of a definition, a step before those that it holds."""
    for name, steps in workflows_of(definition).items():
        yield from within((name,), steps)


def within(path: Path, body: JsonValue) -> Iterator[tuple[Path, JsonObject]]:
    """Every step of a body: of a list of steps, or of one."""
    for at, step in items_of(path, body):
        yield at, step
        for inner, held in bodies_of(step):
            yield from within((*at, *inner), held)


def items_of(path: Path, body: JsonValue) -> list[tuple[Path, JsonObject]]:
    """The steps that a body has itself."""
    return [((*path, index), step) for index, step in enumerate(body)] if isinstance(body, list) else [(path, body)]


def bodies_of(step: JsonObject) -> list[tuple[Path, JsonValue]]:
    """The bodies that a step holds, each with the path to it from the step; those that are null are left out."""
    kind = step["kind_"]
    found: list[tuple[Path, JsonValue]] = [((name,), step.get(name)) for name in _MEMBERS.get(kind, ())]
    if kind == "switch":
        found = [(("switch", index, "then"), case["then"]) for index, case in enumerate(step["switch"])]
    elif kind == "foreach":
        found = [(("foreach", "do"), step["foreach"]["do"])]
    elif kind == "parallel":
        branches = step["parallel"]
        pairs = branches.items() if isinstance(branches, dict) else enumerate(branches)
        found = [(("parallel", key), body) for key, body in pairs]
    found.append((("on_error",), step.get("on_error")))
    return [(path, body) for path, body in found if body is not None]


_MEMBERS = {"if_else": ("then", "else"), "map_reduce": ("map",), "try_catch": ("try", "catch")}
