"""Laws: relabelling gives the environment's reward; without control, that of dm_control's loop."""

import numpy as np
import pytest
from support.recording import episode, loop_states

from agentic.errors import AgenticError
from agentic.simulation import observations, rewards
from agentic.simulation.states import BATCH_STATES
from agentic.simulation.tasks import task_names


def near_and_far(name):
    """Return states of an episode, pulled towards zero, where goals are met, and away from it."""
    physics, actions, _, _ = episode(name)
    return np.concatenate([physics, 0.02 * physics, 4 * physics]), np.concatenate([actions] * 3)


@pytest.mark.parametrize("name", task_names())
def test_rewards_are_those_of_the_environment_and_of_the_reset_context_loop(name):
    physics, actions, environment_rewards, _ = episode(name)
    relabelled = rewards(name, physics, actions)
    np.testing.assert_allclose(relabelled, environment_rewards, rtol=0, atol=1e-12)
    physics, actions = near_and_far(name)
    zero, with_actions, observed = loop_states(name, physics, actions)
    np.testing.assert_allclose(rewards(name, physics), zero, rtol=0, atol=1e-12)
    np.testing.assert_allclose(rewards(name, physics, actions), with_actions, rtol=0, atol=1e-12)
    assert np.ptp(zero) > 0
    if name != "quadruped_escape":
        np.testing.assert_allclose(observations(name, physics), observed, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["cartpole_balance", "cartpole_swingup", "point_mass_easy"])
def test_control_matters_where_the_reward_reads_it(name):
    physics, actions = near_and_far(name)
    assert np.abs(rewards(name, physics, actions) - rewards(name, physics)).max() > 0.05


@pytest.mark.parametrize("name", ["walker_run", "cartpole_balance", "point_mass_hard"])
def test_observations_of_recorded_states_are_those_recorded(name):
    physics, _, _, recorded = episode(name)
    recomputed = observations(name, physics)
    assert recomputed.dtype == np.float32
    np.testing.assert_array_equal(recomputed, recorded)


def test_a_state_does_not_depend_on_its_neighbours():
    physics, actions = near_and_far("quadruped_walk")
    order = np.random.default_rng(0).integers(len(physics), size=BATCH_STATES + 7)
    expected = rewards("quadruped_walk", physics, actions)
    shuffled = rewards("quadruped_walk", physics[order], actions[order])
    np.testing.assert_array_equal(shuffled, expected[order])
    seen = observations("quadruped_walk", physics)
    np.testing.assert_array_equal(observations("quadruped_walk", physics[order]), seen[order])


@pytest.mark.parametrize("name", ["walker_run", "cartpole_swingup"])
def test_threads_change_nothing(name):
    physics, actions = near_and_far(name)
    for threads in (2, 3):
        np.testing.assert_array_equal(
            rewards(name, physics, actions, threads), rewards(name, physics, actions)
        )
        np.testing.assert_array_equal(
            observations(name, physics, threads), observations(name, physics)
        )


def test_mistakes_are_met_with_a_sentence():
    physics = np.zeros((3, 18))
    assert rewards("walker_run", physics[:0]).shape == (0,)
    with pytest.raises(AgenticError, match=r"physics have shape \(3, 17\).*number of states, 18"):
        rewards("walker_run", physics[:, 1:])
    with pytest.raises(AgenticError, match=r"actions have shape \(3, 5\)"):
        rewards("walker_run", physics, np.zeros((3, 5)))
    with pytest.raises(AgenticError, match="2 actions for 3 states"):
        rewards("walker_run", physics, np.zeros((2, 6)))
    with pytest.raises(AgenticError, match="not finite"):
        observations("walker_run", physics * np.nan)
    with pytest.raises(AgenticError, match="quadruped_escape observes its terrain"):
        observations("quadruped_escape", np.zeros((1, 57)))
