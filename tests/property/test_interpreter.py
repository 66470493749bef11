"""The interpreter over generated tasks: wherever its log is cut, another worker that folds what is there ends as the first one did."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mentha.core.json import dumps, loads
from mentha.workflow.state import apply, dump, fold, load
from tests.support.flow import EXECUTION, Simulation, evaluate, plain_world, plan, step

values = st.sampled_from(["$_", 1, [1, 2], {"a": 1}, "text", "$fail", "$flaky 1"])
conditions = st.booleans()
policies = st.sampled_from([None, None, {"attempts_max": 2, "delay_s": 1.0, "factor": 1.0, "delay_max_s": 1.0}])

leaves = st.one_of(
    st.builds(evaluate, values, retry=policies),
    st.builds(evaluate, values, on_error=st.just([evaluate("handled")])),
    st.builds(lambda value: step("set", value={"k": value}), st.integers(0, 3)),
    st.just(step("get", key="k")),
    st.just(step("log", text="said")),
    st.just(step("sleep", duration={"seconds": 3})),
    st.just(step("sleep", duration={"seconds": 1, "minutes": "$_"})),
    st.just(step("wait_for_input", info={"ask": 1})),
    st.just(step("wait_for_input", info={}, timeout_s=5.0, on_error=[evaluate("late")])),
    st.just(step("tool_call", tool="client", arguments="$_")),
    st.just(step("tool_call", tool="server", arguments={"a": 1})),
    st.just(step("prompt", asks=1)),
    st.just(step("return", value="returned")),
    st.just(step("error", message="raised")),
    st.just(step("yield", workflow="sub", arguments={"x": 1})),
)


def compound(inner):
    body = st.lists(inner, min_size=1, max_size=3)
    handlers = st.none() | body
    return st.one_of(
        st.builds(lambda c, a, b: step("if_else", condition=c, then=a, **{"else": b}), conditions, body, handlers),
        st.builds(lambda a, b: step("switch", cases=[{"case": "no", "then": a}, {"case": "_", "then": b}]), body, body),
        st.builds(lambda a, r: step("foreach", **{"in": [1, 2]}, do=a, retry=r), body, policies),
        st.builds(
            lambda a, p, r: step("map_reduce", over=[1, 2, 3], map=a, reduce=r, initial=[], parallelism=p),
            body,
            st.sampled_from([None, 1, 2]),
            st.sampled_from([None, "fold"]),
        ),
        st.builds(lambda a, b, h: step("parallel", branches=[a, b], names=None, on_error=h), body, body, handlers),
        st.builds(lambda a, b: step("try_catch", **{"try": a}, catch=b), body, handlers),
    )


steps = st.recursive(leaves, compound, max_leaves=8)
plans = st.builds(
    lambda main, sub: plan(*main, sub=sub),
    st.lists(steps, min_size=1, max_size=4),
    st.lists(leaves.filter(lambda s: s["kind"] != "yield"), min_size=1, max_size=2),
)
ANSWERS_MAX = 40


def to_the_end(simulation, pick=lambda _: 0):
    """Answer every wait, one after the other, until it has ended."""
    simulation.run(order=pick)
    for _ in range(ANSWERS_MAX):
        if simulation.status != "awaiting_input":
            break
        simulation.resume({"answer": 1})
    return simulation


def outcome(simulation):
    return simulation.status, simulation.state.output, simulation.state.error


@settings(deadline=None, max_examples=60)
@given(plans, st.data())
def test_log_cut_anywhere_and_folded_again_ends_the_same(generated, data):
    whole = to_the_end(Simulation(generated, plain_world, {"given": 1}))
    cut = data.draw(st.sampled_from([0, *whole.commits]))
    again = whole.cut(cut)
    again.now = 1000.0 if cut == 0 else max(row.at for row in again.log)
    to_the_end(again)
    assert outcome(again) == outcome(whole)
    assert [(row.type, row.workflow, row.step, row.output) for row in again.log] == [
        (row.type, row.workflow, row.step, row.output) for row in whole.log
    ]


@settings(deadline=None, max_examples=60)
@given(plans, st.data())
def test_state_that_was_written_down_is_the_state_that_folding_gives(generated, data):
    whole = to_the_end(Simulation(generated, plain_world, {"given": 1}))
    cut = data.draw(st.sampled_from([0, *whole.commits]))
    folded = fold(generated, EXECUTION, whole.given, whole.log[:cut])
    read = load(generated, EXECUTION, whole.given, loads(dumps(dump(folded))))
    assert loads(dumps(dump(read))) == loads(dumps(dump(folded)))
    for row in whole.log[cut:]:
        apply(read, row)
    assert (read.ended, read.output, read.error, read.seq) == (whole.state.ended, whole.state.output, whole.state.error, whole.state.seq)


@settings(deadline=None, max_examples=60)
@given(plans, st.randoms(use_true_random=False))
def test_any_order_of_what_runs_at_once_ends_the_execution_with_lawful_rows(generated, random):
    done = to_the_end(Simulation(generated, plain_world, {"given": 1}), lambda commands: random.randrange(len(commands)))
    assert done.status in ("succeeded", "failed")
    assert done.types()[-1] in ("finish", "error")
    # The last row is the only one that ends it; each frame begins once at a time, before all its other rows.
    assert sum(kind in ("finish", "error", "cancelled") for kind in done.types()) == 1
    begun: dict[tuple[str, str], int] = {}
    for row in done.log:
        if row.type in ("init", "init_branch"):
            begun[row.frame] = -1
        assert row.frame in begun
        if row.type in ("step", "finish", "finish_branch") and not (row.next and row.next["scope_id"] != row.scope_id):
            assert row.step == begun[row.frame] + 1
            begun[row.frame] = row.step
    assert len(set(done.done)) == len(done.done)
