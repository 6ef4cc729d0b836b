"""Laws: a copy goes on with the same bits by itself, and so does a simulation in a forked child."""

import copy
import os
import pickle
import signal
import traceback

import gymnasium
import numpy as np
import pytest
from support.recording import episode, smooth_actions

from agentic.simulation import make_simulation, rewards

# Batches with sensors of the last substep, models that change with the episode, and a family.
NAMES = ["walker_run", "quadruped_walk", "point_mass_hard", "quadruped_escape", "point_mass_goal"]
COPY = {"deepcopy": copy.deepcopy, "pickle": lambda x: pickle.loads(pickle.dumps(x))}


def played(simulation, actions):
    """Return what a simulation answers to actions [T, N, A], and its last states."""
    steps = [simulation.step(each) for each in actions]
    return *(np.stack(part) for part in zip(*steps, strict=True)), simulation.physics


def assert_same(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("how", COPY)
@pytest.mark.parametrize("name", NAMES)
def test_a_copy_goes_on_as_the_original_does_and_leaves_it_alone(name, how):
    simulation = make_simulation(name, num=2, threads=2)
    simulation.reset([0, 1], [(1,), (2,)])
    actions = smooth_actions(simulation.task, 24, 2, seed=0)
    played(simulation, actions[:8])
    other = COPY[how](simulation)
    np.testing.assert_array_equal(other.physics, simulation.physics)
    if simulation.codes is not None:
        np.testing.assert_array_equal(other.codes, simulation.codes)
    kept = COPY[how](simulation)
    expected = played(simulation, actions[8:])
    assert_same(played(other, actions[8:]), expected)
    assert_same(played(kept, actions[8:]), expected)
    np.testing.assert_array_equal(other.reset([1], [(3,)]), simulation.reset([1], [(3,)]))


def test_a_copy_has_the_same_time_limit():
    simulation = make_simulation("jaco_reach_top_left", 1)
    simulation.reset([0], [(0,)])
    for _ in range(249):
        simulation.step(np.zeros((1, 9)))
    assert copy.deepcopy(simulation).step(np.zeros((1, 9)))[2].all()


UNBOUNDED = pytest.mark.filterwarnings("ignore:.*A Box observation space (minimum|maximum) value")


@UNBOUNDED
@pytest.mark.parametrize("how", COPY)
def test_gymnasiums_environments_are_copied_with_their_generators(how):
    def lived(env):
        found = [env.step(env.action_space.sample()) for _ in range(3)]
        return [step[0] for step in found] + [env.reset()[0]]

    for make in (gymnasium.make, lambda name: gymnasium.make_vec(name, 2)):
        env = make("agentic/cartpole_swingup-v0")
        env.reset(seed=4)
        env.action_space.seed(5)
        env.step(env.action_space.sample())
        other = COPY[how](env)
        assert_same(lived(other), lived(env))


def in_child(work):
    """Run `work` in a forked child and return its exit status, which is negative if it hangs."""
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # ends the process, also while it waits in MuJoCo
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


# JAX and CPython warn about forks of a process with threads, and the tests need just that.
@pytest.mark.filterwarnings("ignore:.*fork.*")
def test_rewards_are_computed_in_a_forked_child_too():
    physics, _, _, _ = episode("walker_run")
    expected = rewards("walker_run", physics, threads=2)

    def work():
        np.testing.assert_array_equal(rewards("walker_run", physics, threads=2), expected)

    assert in_child(work) == 0


@pytest.mark.filterwarnings("ignore:.*fork.*")
@pytest.mark.parametrize("name", ["walker_run", "point_mass_goal"])
def test_a_simulation_goes_on_in_a_forked_child(name):
    simulation = make_simulation(name, num=2, threads=2)
    simulation.reset([0, 1], [(1,), (2,)])
    actions = smooth_actions(simulation.task, 8, 2, seed=0)
    played(simulation, actions[:3])
    expected = played(copy.deepcopy(simulation), actions[3:])
    dropped = [make_simulation(name, num=2, threads=2)]

    def work():
        dropped.clear()  # freeing it must not wait for threads that are not there
        assert_same(played(simulation, actions[3:]), expected)

    assert in_child(work) == 0
    assert_same(played(simulation, actions[3:]), expected)
