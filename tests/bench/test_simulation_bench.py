"""Laws: both contestants do the same work; a table row per task and number of threads."""

import numpy as np
import pytest

from agentic.bench.simulation import Options, _Batched, _Loop, run
from agentic.errors import AgenticError
from agentic.simulation.tasks import get_task

SMALL = Options(tasks=("cartpole_swingup", "walker_run"), num=2, steps=3, repeats=2)


def test_loop_and_batch_do_the_same_work():
    task = get_task("walker_run")
    loop, batch = _Loop(task, 3), _Batched(task, 3, 2)
    loop.reset(7)
    batch.reset(7)
    for actions in np.random.default_rng(0).uniform(-1, 1, (5, 3, 6)):
        observations, rewards = loop.step(actions)
        ours, our_rewards = batch.step(actions)
        np.testing.assert_array_equal(ours, observations)
        np.testing.assert_allclose(our_rewards, rewards, rtol=0, atol=1e-12)


def test_a_row_per_task_and_number_of_threads():
    said = []
    rows = run(SMALL, said.append)
    assert [(row["task"], row["threads"]) for row in rows] == [
        (task, threads) for task in SMALL.tasks for threads in SMALL.threads
    ]
    for row in rows:
        assert row["environments"] == 2
        assert row["ratio"] == row["batched steps/s"] / row["dm_control steps/s"] > 0
    assert said[1] == "cartpole_swingup: repetition 2 of 2" and len(said) == 4


@pytest.mark.parametrize(
    "wrong, sentence",
    [
        (dict(tasks=("walker_flip",)), "dm_control has no walker_flip"),
        (dict(tasks=("walker_rum",)), "did you mean 'walker_run'"),
        (dict(steps=1001), "steps is 1001: an episode of cartpole_swingup has 1 to 1000"),
        (dict(steps=0), "steps is 0"),
        (dict(tasks=()), "one task"),
        (dict(threads=()), "one number of threads"),
        (dict(num=0), "num 0"),
        (dict(threads=(0,)), r"threads \(0,\)"),
    ],
)
def test_mistakes_are_met_with_a_sentence(wrong, sentence):
    with pytest.raises(AgenticError, match=sentence):
        Options(**wrong)
