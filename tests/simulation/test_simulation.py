"""Laws: a simulation is dm_control step for step; a row depends on its seed and actions alone."""

import numpy as np
import pytest
from support.recording import flat, load, reward_of, scaled, smooth_actions

from agentic.errors import AgenticError
from agentic.simulation import make_simulation
from agentic.simulation.dm_environment import ActuatorScale
from agentic.simulation.tasks import TASKS, get_task, task_names

WHOLE_EPISODE = {"cartpole_swingup", "cheetah_run", "walker_walk", "quadruped_run"}
WHOLE_EPISODE |= {"point_mass_easy", "point_mass_hard"}
WHOLE_EPISODE |= {"point_mass_maze_reach_top_left", "jaco_reach_bottom_right"}


@pytest.mark.parametrize("name", task_names())
def test_steps_as_dm_control_does(name):
    task = get_task(name)
    steps = task.episode_length if name in WHOLE_EPISODE else 20
    actions = smooth_actions(task, steps, num=3, seed=1)
    environment = load(name, seed=(3, 1))
    simulation = make_simulation(name, num=3)
    # The other rows start elsewhere and act otherwise: they must not matter.
    first = simulation.reset(np.array([2, 1, 0]), [(3, 2), (3, 1), (3, 0)])
    ours, theirs = [(first[1], simulation.physics[1], 0, False)], []
    step, inputs = environment.reset(), scaled(environment, actions[:, 1])
    reward = reward_of(name, environment)
    theirs.append((flat(step.observation), environment.physics.get_state(), 0, False))
    for index in range(steps):
        step = environment.step(inputs[index])
        observation = flat(step.observation)
        state = environment.physics.get_state()
        theirs.append((observation, state, reward(environment.physics), step.last()))
        observations, rewards, done = simulation.step(actions[index])
        ours.append((observations[1].copy(), simulation.physics[1], rewards[1], done[1]))
    ours = [np.array(column) for column in zip(*ours, strict=True)]
    theirs = [np.array(column) for column in zip(*theirs, strict=True)]
    assert [column.dtype.char for column in ours] == ["f", "d", "d", "?"]
    np.testing.assert_array_equal(ours[0], theirs[0].astype(np.float32))
    np.testing.assert_array_equal(ours[1], theirs[1])
    np.testing.assert_allclose(ours[2], theirs[2], rtol=0, atol=1e-12)
    np.testing.assert_array_equal(ours[3], theirs[3])
    assert done.all() == (steps == task.episode_length)


@pytest.mark.parametrize("name", ["walker_run", "quadruped_walk"])
def test_actions_span_the_range_of_the_actuators(name):
    task, environment = get_task(name), load(name)
    action = environment.action_spec()
    low, high = action.minimum, action.maximum
    half = 0.5 * np.ones(task.action_size)
    expected = [low, low, (low + high) / 2, low + 0.75 * (high - low), high, high]
    actions = np.stack([-4 * half, -2 * half, 0 * half, half, 2 * half, 4 * half])
    observed = ActuatorScale(environment.physics.model.ptr)(actions)
    np.testing.assert_allclose(observed, expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("name", sorted(WHOLE_EPISODE | {"cartpole_balance"}))
def test_initial_state_depends_on_the_seed_alone(name):
    seeds = [(9, 0), (9, 1), (4, 2, 6)]
    large, small = make_simulation(name, num=3), make_simulation(name, num=1)
    observations = large.reset(np.arange(3), seeds)
    states = large.physics
    assert len(np.unique(states, axis=0)) == 3
    # Other rows, in another order, in the middle of an episode.
    large.step(np.zeros((3, TASKS[name].action_size)))
    again = large.reset(np.array([2, 0]), [seeds[1], seeds[2]])
    np.testing.assert_array_equal(again, observations[[1, 2]])
    np.testing.assert_array_equal(large.physics[[2, 0]], states[[1, 2]])
    np.testing.assert_array_equal(small.reset([0], seeds[1:2]), observations[1:2])
    np.testing.assert_array_equal(small.physics, states[1:2])


@pytest.mark.parametrize("name", ["walker_run", "quadruped_walk"])
def test_results_are_the_same_for_any_number_of_threads(name):
    results = []
    for threads in (0, 1, 3):
        simulation = make_simulation(name, num=5, threads=threads)
        simulation.reset(np.arange(5), [(1, row) for row in range(5)])
        for actions in smooth_actions(simulation.task, 10, 5, seed=2):
            observations, rewards, _ = simulation.step(actions)
        results.append(np.concatenate([simulation.physics, observations, rewards[:, None]], 1))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_reset_in_an_episode_leaves_the_other_rows_alone():
    alone, together = make_simulation("quadruped_walk", 1), make_simulation("quadruped_walk", 2)
    alone.reset([0], [(1,)])
    together.reset([0, 1], [(1,), (2,)])
    for step, actions in enumerate(smooth_actions(alone.task, 10, 2, seed=0)):
        if step == 5:
            together.reset([1], [(3,)])
        expected, _, _ = alone.step(actions[:1])
        observed, _, _ = together.step(actions)
        np.testing.assert_array_equal(observed[:1], expected)


@pytest.mark.parametrize("name", ["cartpole_balance", "point_mass_hard"])
def test_a_row_that_is_done_must_be_reset(name):
    simulation = make_simulation(name, num=2)
    actions = np.zeros((2, simulation.task.action_size))
    with pytest.raises(AgenticError, match=r"rows \[0, 1\] are not in an episode"):
        simulation.step(actions)
    simulation.reset([0, 1], [(0,), (1,)])
    for _ in range(400):
        simulation.step(actions)
    simulation.reset([1], [(2,)])
    done = np.zeros(2, dtype=bool)
    for _ in range(600):
        assert not done.any()
        _, _, done = simulation.step(actions)
    assert done.tolist() == [True, False]
    with pytest.raises(AgenticError, match=r"rows \[0\] are not in an episode"):
        simulation.step(actions)
    simulation.reset([0], [(0,)])
    simulation.step(actions)


def test_mistakes_are_met_with_a_sentence():
    with pytest.raises(AgenticError, match="did you mean 'walker_run'"):
        make_simulation("walker_runn", 1)
    with pytest.raises(AgenticError, match="num is 0"):
        make_simulation("walker_run", 0)
    with pytest.raises(AgenticError, match="threads is -1"):
        make_simulation("walker_run", 1, threads=-1)
    simulation = make_simulation("cartpole_balance", 2)
    with pytest.raises(AgenticError, match="row 2 is not in this simulation: 0 to 1"):
        simulation.reset([0, 2], [(0,), (1,)])
    with pytest.raises(AgenticError, match="name a row twice"):
        simulation.reset([1, 1], [(0,), (1,)])
    with pytest.raises(AgenticError, match="1 seeds for 2 rows"):
        simulation.reset([0, 1], [(0,)])
    simulation.reset([0, 1], [(0,), (1,)])
    with pytest.raises(AgenticError, match=r"needs \(2, 1\)"):
        simulation.step(np.zeros((1, 1)))
    with pytest.raises(AgenticError, match="not finite"):
        simulation.step(np.full((2, 1), np.nan))


def test_a_state_that_diverges_is_an_error():
    simulation = make_simulation("walker_run", 2)
    simulation.reset([0, 1], [(0,), (1,)])
    simulation.step(np.zeros((2, 6)))
    simulation._state["qvel"][1] = 1e20
    with pytest.raises(AgenticError, match=r"rows \[1\] of walker_run diverged"):
        simulation.step(np.zeros((2, 6)))
