"""The loop of a model and its tools, without a session: what it gives, and how it ends."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from mentha.core import config
from mentha.core.ids import new_id
from mentha.core.json import JsonValue
from mentha.observe import events
from mentha.observe.events import ToolBroke, ToolCalled, ToolLoopEnded
from mentha.providers.types import Completion, Usage
from mentha.tools.loop import Limits, Loop, Outcome, summed
from mentha.tools.outbound import Outbound
from mentha.tools.run import KeyedTools, ServerTools, Toolbox
from mentha.tools.system import Caller

SETTINGS = config.load(environ={})
START = b'[{"role":"user","content":"go"}]'
CREATE: Any = {"name": "make", "type": "system", "system": {"resource": "user", "operation": "create"}}
CLIENT: Any = {"name": "mine", "type": "function", "function": {}}


@pytest.fixture
def told() -> Iterator[list[events.Event]]:
    found: list[events.Event] = []
    events.subscribe(found.append)
    yield found
    events.unsubscribe(found.append)


def saying(content: str | None, *names: str, usage: Usage | None = None) -> Completion:
    calls = [{"id": f"c{at}", "type": "function", "function": {"name": name, "arguments": '{"a":1}'}} for at, name in enumerate(names)]
    return Completion("assistant", content, calls, "tool_calls" if calls else "stop", None, usage, "m")


class Model:
    """Says one thing after another, and remembers what it was asked."""

    def __init__(self, *says: Completion) -> None:
        self.says = list(says)
        self.asked: list[tuple[Any, Any]] = []

    async def __call__(self, messages: bytes, choice: JsonValue) -> Completion:
        self.asked.append((json.loads(messages), choice))
        return self.says.pop(0)


async def looped(
    model: Model, operation: Any, *, rounds_max: int = 3, call_timeout_s: float = 5, until_s: float = 60, choice: Any = None
) -> Outcome:
    box = Toolbox(SETTINGS, Outbound(SETTINGS), {"user.create": operation}, no_secrets)
    runner = KeyedTools(ServerTools(box, Caller(new_id()), [CREATE, CLIENT]), "of-the-turn")
    limits = Limits(rounds_max, 2, 1_000, call_timeout_s, time.monotonic() + until_s)
    return await Loop(model, runner, limits).run(START, choice)


async def no_secrets(*_: Any) -> dict[str, str]:
    raise AssertionError("no tool here refers to a secret")


async def echo(_: Caller, given: Any) -> Any:
    return given


async def broken(_: Caller, given: Any) -> Any:
    raise ZeroDivisionError(given)


async def hanging(*_: Any) -> Any:
    await asyncio.Event().wait()


async def test_each_round_adds_its_call_and_its_result_to_the_messages() -> None:
    model = Model(saying("one", "make"), saying(None, "make", "make"), saying("end"))
    outcome = await looped(model, echo, choice="required")
    assert [(len(messages), choice) for messages, choice in model.asked] == [(1, "required"), (3, None), (6, None)]
    assert model.asked[1][0][1:] == [outcome.rounds[0].message, *outcome.rounds[0].results]
    assert [len(done.results) for done in outcome.rounds] == [1, 2]
    assert (outcome.completion.content, outcome.warnings) == ("end", [])


async def test_fault_of_ours_is_an_error_for_the_model_and_an_event_without_arguments(told: list[events.Event]) -> None:
    outcome = await looped(Model(saying(None, "make"), saying("end")), broken)
    assert json.loads(outcome.rounds[0].results[0]["content"]) == {
        "error": "the tool failed in the server; its log says why",
        "retry": False,
    }
    (broke,) = [event for event in told if isinstance(event, ToolBroke)]
    assert (broke.kind, broke.exception) == ("system", "ZeroDivisionError")
    assert '"a"' not in broke.detail
    (called,) = [event for event in told if isinstance(event, ToolCalled)]
    assert (called.kind, called.ok) == ("system", False)
    assert [(event.rounds, event.calls, event.ends) for event in told if isinstance(event, ToolLoopEnded)] == [(1, 1, "answered")]


async def test_call_that_hangs_is_given_up_after_its_time() -> None:
    outcome = await looped(Model(saying(None, "make"), saying("end")), hanging, call_timeout_s=0.01)
    assert "did not end within 0.01 s; it may have had its effect" in outcome.rounds[0].results[0]["content"]
    assert outcome.completion.content == "end"


async def test_loop_without_time_left_ends_with_an_answer() -> None:
    model = Model(saying(None, "make"), saying("end", "make"))
    outcome = await looped(model, hanging, until_s=0.05)
    assert (outcome.completion.content, outcome.completion.tool_calls, outcome.completion.finish_reason) == ("end", [], "stop")
    assert model.asked[-1][1] == "none"
    assert "time for tools" in outcome.warnings[0]


async def test_calls_of_both_sides_are_parted_and_the_text_goes_to_the_client() -> None:
    outcome = await looped(Model(saying("both", "mine", "make", "mine")), echo)
    assert [call["id"] for call in outcome.completion.tool_calls] == ["c0", "c2"]
    assert outcome.completion.content == "both"
    (done,) = outcome.rounds
    assert (done.message["content"], [call["id"] for call in done.message["tool_calls"]]) == (None, ["c1"])
    assert [result["tool_call_id"] for result in done.results] == ["c1"]


async def test_calls_of_the_client_alone_are_no_round() -> None:
    outcome = await looped(Model(saying(None, "mine")), echo)
    assert (outcome.rounds, [call["id"] for call in outcome.completion.tool_calls]) == ([], ["c0"])


def test_usage_is_that_of_the_rounds_which_tell_it() -> None:
    assert summed([None, Usage(1, 2, 3), None, Usage(10, 20, 30)]) == Usage(11, 22, 33)
    assert summed([None, None]) is None


async def test_every_call_has_a_key_of_its_own_that_is_the_same_in_another_run_of_the_loop() -> None:
    seen: list[str | None] = []

    async def keep(caller: Caller, _: Any) -> Any:
        seen.append(caller.key)

    for _ in range(2):
        await looped(Model(saying(None, "make", "make"), saying(None, "make"), saying("done")), keep)
    assert len(set(seen)) == 3
    assert seen[:3] == seen[3:]
