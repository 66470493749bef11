"""Commands that evaluate expressions: a value, which case of a switch, the fold of a list."""

from mentha.core.errors import ExpressionFailed
from mentha.workflow.effects.parts import Job
from mentha.workflow.marks import names_in
from mentha.workflow.moves import Done, Fail
from mentha.workflow.policy import of_error

EXPRESSION_SHOWN_CHARS_MAX = 200


async def evaluate(job: Job) -> Done:
    """The value with its expressions evaluated."""
    args = job.command.args
    return Done(await job.evaluated(args["value"], args["position"]))


async def choose(job: Job) -> Done:
    """The number of the first condition that holds; None where none does. A condition of None always holds."""
    for number, condition in enumerate(job.command.args["conditions"]):
        if condition is None or await job.evaluated(condition, "condition"):
            return Done(number)
    return Done(None)


async def fold(job: Job) -> Done:
    """The items, folded from the left."""
    args = job.command.args
    return Done(await job.parts.expressions.fold(job.run.tenant, args["reduce"], args["items"], args["initial"], job.names))


def failure(error: ExpressionFailed, job: Job) -> Fail:
    """What an expression's error means, with the place of its step, and the text of the expression beside the message."""
    found = of_error(error)
    missing = [name for name in names_in(error.expression) if name not in job.hidden.values]
    hint = f"; there is no secret `{missing[0]}`: create it with POST /secrets" if missing else ""
    shown = error.expression[:EXPRESSION_SHOWN_CHARS_MAX]
    return Fail(f"{found.message}{hint} ({job.place})", found.kind, metadata={"expression": shown, "fault": error.kind})
