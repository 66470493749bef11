"""Names of workflows and of their branches, and what they stand for in a plan. Pure.

A branch is named after the workflow and the step that it belongs to: `` `main`[3].if_else.then ``, and inside of that
`` ``main`[3].if_else.then`[0].foreach[2] ``. What a frame is can be read from its name, so that a log alone tells what ran where.

Source of the form: section 2.5 of the tasks' spec.
"""

from uuid import UUID, uuid5

from mentha.core.json import JsonObject

MAIN = "main"
Step = JsonObject
# A running activation of a workflow or branch: scope, name.
FrameKey = tuple[str, str]

# Suffix of a branch, without its number → member of the step that holds its body. `case` and `parallel` hold several.
_BODIES = {"if_else.then": "then", "if_else.else": "else", "foreach": "do", "mapreduce": "map", "try": "try", "catch": "catch"}
ON_ERROR, CATCH, TRY = "on_error", "catch", "try"
HANDLERS = (ON_ERROR, CATCH)


def branch(workflow: str, step: int, suffix: str) -> str:
    """The name of a branch of a step."""
    return f"`{workflow}`[{step}].{suffix}"


def parent(workflow: str) -> tuple[str, int, str] | None:
    """Workflow, step and suffix that a branch belongs to; None for a workflow with a name of its own."""
    if not workflow.startswith("`"):
        return None
    outer, _, rest = workflow[1:].rpartition("`[")
    index, _, suffix = rest.partition("].")
    return outer, int(index), suffix


def steps_of(plan: JsonObject, workflow: str) -> list[Step]:
    """The steps of a workflow or branch.

    Raises:
        KeyError, IndexError, ValueError: the plan has none of this name.
    """
    above = parent(workflow)
    if above is None:
        return plan["workflows"][workflow]
    outer, index, suffix = above
    step = steps_of(plan, outer)[index]
    kind, _, number = suffix.partition("[")
    if kind == "case":
        return step["cases"][int(number[:-1])]["then"]
    if kind == "parallel":
        return step["branches"][int(number[:-1])]
    return step[_BODIES.get(kind, kind)]


def step_at(plan: JsonObject, workflow: str, step: int) -> Step | None:
    """One step, None where the plan has none there: a target that a client names may be anything."""
    try:
        return steps_of(plan, workflow)[step]
    except (KeyError, IndexError, ValueError, TypeError):
        return None


def main_scope(execution_id: UUID) -> str:
    """The scope of an execution's main workflow."""
    return str(uuid5(execution_id, MAIN))


def called_scope(frame: FrameKey, opened: int, step: int, attempt: int) -> str:
    """The scope of a workflow that a step calls: the same whenever it is asked for, another for each call."""
    scope, workflow = frame
    return str(uuid5(UUID(scope), f"{workflow}/{opened}/{step}/{attempt}"))
