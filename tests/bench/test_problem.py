"""Laws of the shared problems and clocks: labels, masks, ExoRL's rows, turns."""

import numpy as np
import pytest

from agentic.bench import problem
from agentic.bench.timing import by_turns, fastest, timed
from agentic.errors import AgenticError
from agentic.simulation import make_simulation, rewards


def test_chains_are_labelled_and_places_without_a_trajectory_are_masked():
    config = problem.network(5, 3, observations=4, actions=2)
    chain = problem.chain(config, rows=2, present=2, target=7.0)
    assert chain.observations.shape == (2, 3, 5, 4) and chain.actions.shape == (2, 3, 5, 2)
    assert chain.mask[:, :2].all() and not chain.mask[:, 2].any()
    np.testing.assert_array_equal(chain.returns_to_go[:, :2, 0], 7.0)
    steps = chain.returns_to_go[:, :2, :-1] - chain.returns_to_go[:, :2, 1:]
    np.testing.assert_allclose(steps, chain.rewards[:, :2, :-1], atol=1e-6)
    whole = problem.chain(config, rows=1)
    assert whole.mask.all()
    best = whole.rewards.sum(-1).max()
    np.testing.assert_allclose(whole.returns_to_go[:, :, 0], best, rtol=1e-6)


def test_random_episodes_are_exorls_rows():
    simulation = make_simulation("cartpole_swingup", 2)
    episodes = problem.random_episodes(simulation, 6, seed=1)
    assert [x.shape for x in episodes] == [(2, 7, 5), (2, 7, 1), (2, 7), (2, 7, 4)]
    assert not episodes.actions[:, 0].any() and not episodes.rewards[:, 0].any()
    for row in range(2):
        expected = rewards("cartpole_swingup", episodes.physics[row], episodes.actions[row])
        np.testing.assert_allclose(episodes.rewards[row, 1:], expected[1:], atol=1e-12)


def test_measures_take_turns():
    order = []
    measures = [
        lambda turn, name=name: order.append((turn, name)) or name + str(turn) for name in "ab"
    ]
    assert by_turns(measures, 2) == [("a0", "a1"), ("b0", "b1")]
    assert order == [(0, "a"), (0, "b"), (1, "a"), (1, "b")]


def test_the_fastest_call_counts_and_processors_are_counted_too():
    calls = iter([20_000, 1_000_000, 1_000_000])
    assert fastest(lambda: sum(range(next(calls))), 3) <= timed(lambda: sum(range(500_000))).clock
    assert timed(lambda: sum(range(100_000))).busy > 0


@pytest.mark.parametrize("value", [0, (), (1, 0)])
def test_numbers_below_one_are_refused(value):
    class Options:
        some = value

    with pytest.raises(AgenticError, match=r"some is .* at least 1"):
        problem.at_least_one(Options(), "some")
