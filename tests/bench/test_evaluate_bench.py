"""Laws: a row per episode and one for the whole; a filled context comes back; costs are lines."""

import numpy as np
import pytest
from support import compiling, synthetic

from agentic.acting.context import ContextPolicy
from agentic.acting.grouped import ROWS
from agentic.bench import problem
from agentic.bench.evaluate import TARGET, FilledContext, Options, at_the_middle, run
from agentic.errors import AgenticError
from agentic.simulation.tasks import get_task

SMALL = Options(
    task="jaco_reach_top_left", num=2, episodes=2, layers=1, width=8, action_chunk=50, steps=3,
    repeats=1,
)  # fmt: skip


@compiling.plainly()
def test_a_row_for_every_episode_and_one_for_the_whole_context():
    said = []
    rows = run(SMALL, said.append)
    assert [row["measured in"] for row in rows] == ["episode 1", "episode 2", "whole context"]
    for row in rows:
        ratio = row["evaluated steps/s"] / row["bare steps/s"]
        assert row["of the bare"] == pytest.approx(ratio) and ratio > 0
        assert row["times recomputing"] == pytest.approx(
            row["evaluated steps/s"] / row["recomputing steps/s"]
        )
    assert said[-1] == "recomputing whole contexts" and len(said) == 7


def test_resetting_brings_the_filled_context_back_and_the_policy_sees_it():
    task = get_task("jaco_reach_top_left")
    config = problem.network(
        task.episode_length, 2, task.observation_size, task.action_size, layers=1, width=8,
        action_chunk=50,
    )  # fmt: skip
    policy = ContextPolicy(config, synthetic.parameters(config), TARGET)
    observation = np.ones((ROWS, task.observation_size), np.float32)

    def acts(filled):
        filled.reset(ROWS)
        found = []
        for _ in range(2):
            found.append(filled.act(observation))
            filled.observe(np.ones(ROWS), np.zeros(ROWS, bool))
        return np.stack(found)

    def chain(present):
        return problem.chain(config, ROWS, present, TARGET)

    full = FilledContext(policy, chain(1))
    first = acts(full)
    np.testing.assert_array_equal(acts(full), first)
    empty = ContextPolicy(config, policy.parameters, TARGET)
    assert np.abs(acts(FilledContext(empty, chain(0))) - first).max() > 1e-4


@pytest.mark.parametrize("n", [2, 4])
def test_the_mean_of_a_growing_cost_is_found_from_the_beginnings(n):
    steps, share = 1000, 0.1
    cost = 3.0 + 0.002 * np.arange(n * steps)
    beginnings = [cost[k * steps : k * steps + int(share * steps)].mean() for k in range(n)]
    assert at_the_middle(np.array(beginnings), share) == pytest.approx(cost.mean(), rel=1e-3)
    assert at_the_middle(np.array([7.0]), share) == 7.0


@pytest.mark.parametrize(
    "wrong, sentence",
    [
        (dict(task="walker_rum"), "did you mean 'walker_run'"),
        (dict(steps=1000), "steps is 1000; an episode of walker_run has 1000, of which 10 warm up"),
        (dict(num=0), "num is 0"),
        (dict(episodes=0), "episodes is 0"),
    ],
)
def test_mistakes_are_met_with_a_sentence(wrong, sentence):
    with pytest.raises(AgenticError, match=sentence):
        Options(**wrong)
