"""What expressions name of other steps, `steps[0].output` and `steps['label']`: whether these can have run by then. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from mentha.core.json import JsonObject
from mentha.expr import paths
from mentha.expr.compile import compile_text, is_plain
from mentha.workflow.faults import Fault, meant
from mentha.workflow.texts import Text


@dataclass(slots=True)
class Steps:
    """Of one workflow: how many steps it has, and of which of them each label is, or of a step in its branches."""

    count: int = 0
    labels: dict[str, int] = field(default_factory=dict[str, int])

    def note(self, index: int, step: JsonObject) -> None:
        """Add a step, or one inside of it."""
        self.count = max(self.count, index + 1)
        if step["label"]:
            self.labels.setdefault(step["label"], index)


def faults_of(found: Iterable[Text], workflows: Mapping[str, Steps]) -> Iterator[Fault]:
    """What of these texts can't be there when they are evaluated.

    Args:
        found: texts of one step; those that fold or that see secrets alone name no steps.
        workflows: the workflow that the step is in, at least.
    """
    for each in found:
        if each.position in ("reduce", "secrets") or is_plain(each.text):
            continue
        name, index = each.path[:2]
        told: set[str] = set()
        for path in compile_text(each.text).paths:
            problem = _problem(path, int(index), workflows[str(name)])
            if problem is not None and problem[0] not in told:
                told.add(problem[0])
                message, fix = problem
                yield Fault(each.path, "step_not_run", message, fix, severity="warning", type="python_expression", expression=each.text)


def _problem(path: paths.Path, index: int, steps: Steps) -> tuple[str, str] | None:
    if path.root != "steps" or not path.steps or path.steps[0][0] != "item":
        return None
    key = path.steps[0][1]
    earlier = f"name one of the {index} steps before" if index else "no step has run before the first one: `_` has its input"
    if isinstance(key, str):
        return _label_problem(key, index, steps, earlier)
    is_output = path.steps[1:2] in ((("attribute", "output"),), (("item", "output"),))
    problem = _number_problem(key, index, steps, is_output=is_output)
    return (f"`steps[{key}]` {problem}", earlier) if problem else None


def _number_problem(key: int, index: int, steps: Steps, *, is_output: bool) -> str | None:
    if key < 0:
        return "counts from the end, which steps are not counted from"
    if key >= steps.count:
        return f"is no step: the workflow has {steps.count}, counted from 0"
    if key > index:
        return "comes after this step, so it has not run yet"
    return "is this step itself, which has no output yet" if key == index and is_output else None


def _label_problem(label: str, index: int, steps: Steps, earlier: str) -> tuple[str, str] | None:
    # `steps['0']` is a number all the same.
    if label.isdigit():
        return None
    if label in steps.labels:
        return (f"`steps['{label}']` comes after this step, so it has not run yet", earlier) if steps.labels[label] > index else None
    fix = meant(label, steps.labels) or f"give the step that is meant `label: {label}`, or name it by its number"
    return f"no step of the workflow has the label '{label}'", fix
