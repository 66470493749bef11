"""The interpreter of tasks: what each kind of step writes into the log, and what an error makes of it."""

import pytest

from mentha.workflow import interpreter
from mentha.workflow.interpreter import POLICY, cancelled, ended, following, open_waits
from mentha.workflow.moves import Done, Fail
from mentha.workflow.state import INTERPRETER, Row, apply, start
from mentha.workflow.targets import branch, parent, step_at, steps_of
from tests.support.flow import EXECUTION, Simulation, evaluate, plain_world, plan, step


def run(*main, given=None, **workflows):
    return Simulation(plan(*main, **workflows), plain_world, given).run()


def test_log_of_the_documented_example_is_as_the_original_wrote_it():
    """Source: the example in section 4.3 of the spec."""
    done = run(evaluate(1), step("if_else", condition=True, then=[evaluate(2)], otherwise=None, **{"else": None}), step("return", value=3))
    then = "`main`[1].if_else.then"
    assert done.shown() == [
        ("init", "main", 0),
        ("step", "main", 0),
        ("init_branch", then, 0),
        ("finish_branch", then, 0),
        ("step", "main", 1),
        ("finish", "main", 2),
    ]
    assert (done.status, done.state.output) == ("succeeded", 3)
    assert all(row.scope_id == done.log[0].scope_id for row in done.log)
    assert done.log[1].next == {"workflow": "main", "step": 1, "scope_id": done.log[0].scope_id}
    assert done.log[1].metadata == {"step_type": "EvaluateStep"}


def test_step_gets_the_output_of_the_one_before_and_the_first_the_input_of_the_execution():
    done = run(evaluate("$_"), evaluate("$_"), given={"a": 1})
    assert [row.output for row in done.log] == [{"a": 1}] * 3


def test_call_of_a_workflow_has_a_scope_of_its_own_and_a_row_that_tells_its_arguments():
    done = run(step("yield", workflow="sub", arguments={"x": 1}), evaluate("$_"), sub=[evaluate("$_"), step("return", value={"y": 2})])
    assert done.shown() == [
        ("init", "main", 0),
        ("step", "main", 0),
        ("init_branch", "sub", 0),
        ("step", "sub", 0),
        ("finish_branch", "sub", 1),
        ("step", "main", 0),
        ("finish", "main", 1),
    ]
    entry, begun = done.log[1:3]
    assert entry.output == begun.output == {"x": 1}
    assert entry.next == {"workflow": "sub", "step": 0, "scope_id": begun.scope_id}
    assert begun.scope_id != entry.scope_id
    assert done.state.output == {"y": 2}


def test_return_in_a_branch_ends_the_workflow_around_it():
    inner = step("foreach", **{"in": [1, 2]}, do=[step("return", value="early")])
    done = run(step("if_else", condition=True, then=[inner], **{"else": None}), evaluate("never"))
    assert [kind for kind, *_ in done.shown()] == ["init", "init_branch", "init_branch", "finish_branch", "finish_branch", "finish"]
    assert done.state.output == "early"


def test_return_in_a_called_workflow_ends_only_that():
    sub = [step("if_else", condition=True, then=[step("return", value="value")], **{"else": None}), evaluate("never")]
    done = run(step("yield", workflow="sub", arguments="_"), evaluate("$_"), sub=sub)
    assert done.state.output == "value"


@pytest.mark.parametrize(
    ("condition", "other", "output"), [(True, None, "then"), (False, [evaluate("else")], "else"), (False, None, {"output": "in"})]
)
def test_if_gives_what_its_branch_gives_and_the_input_in_an_object_without_one(condition, other, output):
    done = run(step("if_else", condition=condition, then=[evaluate("then")], **{"else": other}), given="in")
    assert done.state.output == output


def test_switch_takes_the_first_true_case_and_an_underscore_always():
    cases = [{"case": "no", "then": [evaluate("a")]}, {"case": "_", "then": [evaluate("b")]}, {"case": "yes", "then": [evaluate("c")]}]
    assert run(step("switch", cases=cases), given=[]).state.output == "b"


def test_switch_without_a_true_case_fails_and_says_so():
    done = run(step("switch", cases=[{"case": "no", "then": [evaluate("a")]}]))
    assert (done.status, done.state.error) == ("failed", "no case of the switch is true; a last case `_` is always true")


def test_loop_gives_the_outputs_in_order_and_writes_its_items_down_once():
    done = run(step("foreach", **{"in": ["a", "b"]}, do=[evaluate("$_"), evaluate("$_")]))
    assert done.state.output == ["a", "b"]
    assert done.types().count("note") == 1
    assert [row.workflow for row in done.log if row.type == "init_branch"] == ["`main`[0].foreach[0]", "`main`[0].foreach[1]"]


@pytest.mark.parametrize("kind", ["foreach", "map_reduce"])
def test_loop_over_nothing_gives_nothing(kind):
    members = {"in": [], "do": []} if kind == "foreach" else {"over": [], "map": [], "reduce": None, "initial": [], "parallelism": None}
    assert run(step(kind, **members)).state.output == []


@pytest.mark.parametrize("items", ["text", 3, {"a": 1}, None])
def test_loop_over_what_is_no_list_fails(items):
    done = run(step("foreach", **{"in": items}, do=[evaluate(1)]))
    assert done.state.error.startswith("a loop needs a list")


def test_map_runs_as_many_at_once_as_it_may_and_begins_the_next_as_soon_as_one_ends():
    body = step("map_reduce", over=list(range(5)), map=[evaluate("$_")], reduce=None, initial=[], parallelism=2)
    simulation = Simulation(plan(body), plain_world)
    simulation.run(commits_max=3)
    assert [command.frame[1] for command in following(simulation.state, 0).commands] == ["`main`[0].mapreduce[0]", "`main`[0].mapreduce[1]"]
    simulation.run(order=lambda commands: len(commands) - 1, commits_max=2)
    assert [command.frame[1] for command in following(simulation.state, 0).commands] == ["`main`[0].mapreduce[0]", "`main`[0].mapreduce[2]"]
    assert simulation.run(order=lambda commands: len(commands) - 1).state.output == [0, 1, 2, 3, 4]


def test_reduce_folds_the_outputs_in_order_whatever_ended_first():
    body = step("map_reduce", over=[1, 2, 3], map=[evaluate("$_")], reduce="r", initial="start", parallelism=None)
    done = Simulation(plan(body), plain_world).run(order=lambda commands: len(commands) - 1)
    assert done.state.output == ["start", 1, 2, 3]


def test_parallel_gives_a_list_or_an_object_where_its_branches_have_names():
    branches = [[evaluate("a")], [evaluate("$_")]]
    assert run(step("parallel", branches=branches, names=None), given="in").state.output == ["a", "in"]
    assert run(step("parallel", branches=branches, names=["x", "y"]), given="in").state.output == {"x": "a", "y": "in"}


def test_branches_wait_at_the_same_time_and_each_is_answered_by_itself():
    waits = [[step("wait_for_input", info={"ask": number})] for number in range(3)]
    waiting = run(step("parallel", branches=waits, names=None))
    assert waiting.status == "awaiting_input"
    assert len(open_waits(waiting.state)) == 3
    done = waiting.resume("second", at=1).resume("third", at=1).resume("first")
    assert (done.status, done.state.output) == ("succeeded", ["first", "second", "third"])
    assert done.types().count("resume") == 3


def test_tool_of_the_client_waits_and_its_answer_is_the_output():
    waiting = run(step("tool_call", tool="client", arguments={"a": 1}))
    assert (waiting.status, waiting.log[-1].output) == ("awaiting_input", {"call": "client"})
    assert waiting.resume({"b": 2}).state.output == {"b": 2}


def test_prompt_that_waits_twice_goes_on_with_both_answers():
    waiting = run(step("prompt", asks=2))
    done = waiting.resume("one").resume("two")
    assert done.state.output == ["one", "two"]
    assert done.log[-1].metadata["usage"] == {"total_tokens": 3}
    assert len(set(done.done)) == len(done.done) == 3


def test_prompt_that_fails_after_an_answer_does_not_ask_its_client_again():
    def world(state, command):
        turns = command.args["turns"]
        if not turns:
            return Done({"wait": ["calls"], "state": {"messages": 1}})
        return Fail("busy", can_retry=True) if command.attempt == 1 else Done({"output": turns[0]["input"]})

    done = Simulation(plan(step("prompt")), world).run().resume("answer")
    assert (done.types(), done.state.output) == (["init", "note", "wait", "resume", "retry", "finish"], "answer")


def test_set_is_seen_by_get_in_the_same_scope_and_not_in_another():
    sub = [step("get", key="a")]
    done = run(
        step("set", value={"a": 1}),
        step("if_else", condition=True, then=[step("set", value={"b": 2})], **{"else": None}),
        step("get", key=["a", "b", "c"]),
        step("yield", workflow="sub", arguments="_"),
        sub=sub,
    )
    assert done.log[-4].output == {"a": 1, "b": 2, "c": None}
    assert done.state.output is None


def test_log_passes_its_input_through_and_tells_the_text():
    done = run(step("log", text="hello"), given=5)
    assert (done.state.output, done.log[-1].metadata["log"]) == (5, "hello")


def test_sleep_goes_on_when_its_time_has_come_and_not_before():
    simulation = Simulation(plan(step("sleep", duration={"seconds": 5, "minutes": 1})), plain_world, "in")
    simulation.run(commits_max=1)
    after = following(simulation.state, simulation.now)
    assert (after.rows, after.commands, after.due) == ([], [], 1065.0)
    assert following(simulation.state, 1064.9).rows == []
    assert [row.output for row in following(simulation.state, 1065.0).rows] == ["in"]


@pytest.mark.parametrize("seconds", [0, -1, 400 * 86_400])
def test_sleep_out_of_its_bounds_fails(seconds):
    assert run(step("sleep", duration={"seconds": seconds})).state.error.startswith("a sleep takes more than 0 s")


def test_error_step_fails_with_the_original_wording_and_one_row():
    done = run(evaluate(1), step("error", message="no luck"), evaluate(2))
    assert done.types() == ["init", "step", "error"]
    assert done.state.error == done.state.output == "Error raised by ErrorWorkflowStep: no luck"


def test_error_as_the_last_step_of_main_fails_too():
    assert run(step("error", message="x")).status == "failed"


def test_failure_that_may_pass_is_tried_again_and_its_attempts_are_told():
    done = run(evaluate("$flaky 2"))
    assert done.types() == ["init", "retry", "retry", "finish"]
    assert done.log[-1].metadata == {"step_type": "EvaluateStep", "attempts": 3, "errors": ["not yet", "not yet"]}
    assert [row.metadata["due_at"] - row.at for row in done.log[1:3]] == [1.0, 2.0]


def test_failure_that_does_not_pass_ends_after_the_last_attempt():
    done = run(evaluate("$flaky 99"))
    assert done.types() == ["init", *["retry"] * (POLICY["attempts_max"] - 1), "error"]


def test_failure_for_good_is_not_tried_again_unless_the_step_says_so():
    assert run(evaluate("$fail")).types() == ["init", "error"]
    policy = {"attempts_max": 3, "delay_s": 10.0, "factor": 1.0, "delay_max_s": 10.0}
    assert run(evaluate("$fail", retry=policy)).types() == ["init", "retry", "retry", "error"]


def test_retry_of_a_compound_step_begins_all_of_it_anew():
    policy = {"attempts_max": 2, "delay_s": 1.0, "factor": 1.0, "delay_max_s": 1.0}
    done = run(step("foreach", **{"in": [1]}, do=[evaluate("$fail")], retry=policy))
    assert done.types() == ["init", "note", "init_branch", "retry", "note", "init_branch", "error"]


def test_catch_gets_the_error_and_the_input_and_what_it_gives_is_the_output():
    done = run(step("try_catch", **{"try": [evaluate("$fail")]}, catch=[evaluate("$_")]), given="in")
    assert done.status == "succeeded"
    assert done.state.output == {
        "error": {"message": "it fails", "kind": "broken", "workflow": "`main`[0].try", "step": 0},
        "input": "in",
    }


def test_try_without_an_error_gives_what_it_gives():
    assert run(step("try_catch", **{"try": [evaluate(1)]}, catch=[evaluate(2)])).state.output == 1


def test_error_in_a_catch_is_not_caught_by_it():
    assert run(step("try_catch", **{"try": [evaluate("$fail")]}, catch=[evaluate("$fail")])).status == "failed"


def test_caught_error_ends_the_branches_beside_the_one_that_failed():
    slow = [step("sleep", duration={"days": 30})]
    waiting = [step("wait_for_input", info={})]
    done = run(step("parallel", branches=[slow, waiting, [evaluate("$fail")]], names=None, on_error=[evaluate("caught")]), evaluate("$_"))
    assert (done.status, done.state.output) == ("succeeded", "caught")
    assert done.now == 1000.0


def test_error_in_a_called_workflow_is_caught_by_the_step_that_called_it():
    done = run(step("yield", workflow="sub", arguments="_", on_error=[evaluate("caught")]), sub=[evaluate(1), evaluate("$fail")])
    assert done.state.output == "caught"


def test_step_that_exceeds_its_time_fails_and_what_it_waits_for_is_asked_for_no_more():
    simulation = Simulation(plan(step("wait_for_input", info={}, timeout_s=60.0, on_error=[evaluate("late")])), plain_world)
    assert simulation.run().state.output == "late"
    assert simulation.now == 1060.0


def test_recursion_without_an_end_fails_by_its_depth():
    done = run(step("yield", workflow="sub", arguments="_"), sub=[step("yield", workflow="sub", arguments="_")])
    assert done.state.error.startswith("workflows and branches are nested deeper")


def test_label_names_a_step_in_its_scope():
    simulation = Simulation(plan(evaluate(1, label="first"), evaluate(2)), plain_world).run(commits_max=2)
    scope = next(iter(simulation.state.scopes.values()))
    assert scope.labels == {"first": {"input": None, "output": 1}}
    assert simulation.log[1].label == "first"


def test_cancelling_ends_everything_and_tells_the_reason():
    simulation = Simulation(plan(step("wait_for_input", info={})), plain_world).run()
    simulation.commit([cancelled(simulation.state, "no longer needed", 5.0)])
    assert (simulation.status, simulation.state.output) == ("cancelled", "Workflow Cancelled")
    assert simulation.log[-1].metadata == {"reason": "no longer needed"}


def test_row_of_a_frame_that_is_gone_changes_nothing_but_the_count():
    done = run(evaluate(1))
    seq = done.state.seq
    done.commit([Row("step", "main", 0, done.log[0].scope_id, "late")])
    assert (done.state.seq, done.status) == (seq + 1, "succeeded")


def test_branch_name_leads_back_to_its_step():
    inner = [evaluate("deep")]
    given = plan(step("switch", cases=[{"case": "_", "then": [step("foreach", **{"in": []}, do=inner)]}]))
    name = branch(branch("main", 0, "case[0]"), 0, "foreach[12]")
    assert parent(name) == ("`main`[0].case[0]", 0, "foreach[12]")
    assert steps_of(given, name) is inner
    assert step_at(given, name, 0) is inner[0]


@pytest.mark.parametrize("name", ["other", "`main`[9].foreach[0]", "`main`[0].nonsense", "`main", "`"])
def test_name_that_the_plan_does_not_have_stands_for_no_step(name):
    assert step_at(plan(evaluate(1)), name, 0) is None


def test_interpreter_and_plans_agree_on_their_version():
    assert plan(evaluate(1))["interpreter"] == INTERPRETER


def test_loops_in_loops_open_no_more_branches_than_an_execution_may_have_and_do_all(monkeypatch):
    monkeypatch.setattr(interpreter, "OPEN_MAX_FRAMES", 30)
    inner = step("map_reduce", over="$ range(6)", map=[evaluate("$ _")], reduce=None, initial=[], parallelism=None)
    middle = step("map_reduce", over="$ range(6)", map=[inner], reduce=None, initial=[], parallelism=None)
    outer = step("map_reduce", over="$ range(6)", map=[middle], reduce=None, initial=[], parallelism=None)
    state, most = start(plan(outer), EXECUTION, {}), 0
    while not state.ended:
        after = following(state, 0.0)
        for row in after.rows:
            apply(state, row)
        for command in after.commands:
            value = list(range(6)) if command.args["position"] == "list" else state.frames[command.frame].input
            for row in ended(state, command, Done(value), 0.0):
                apply(state, row)
        most = max(most, len(state.frames))
    assert state.output == [[[0, 1, 2, 3, 4, 5]] * 6] * 6
    # A loop without a branch gets one in any case; without a bound these are 259.
    assert most <= 2 * 30
