"""Laws: gymnasium's own checker passes; a seed repeats an episode; the time limit truncates."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from agentic.errors import AgenticError
from agentic.simulation import make_simulation
from agentic.simulation.tasks import FAMILY_BASES, task_names

UNBOUNDED = "ignore:.*A Box observation space (minimum|maximum) value is"


@pytest.mark.filterwarnings(UNBOUNDED)  # velocities have no bounds
@pytest.mark.parametrize("name", task_names())
def test_gymnasium_checker_passes(name):
    # Pictures have their own tests: they depend on the machine's drivers.
    check_env(gymnasium.make(f"agentic/{name}-v0").unwrapped, skip_render_check=True)


@pytest.mark.filterwarnings(UNBOUNDED)
def test_gymnasium_checker_passes_with_pictures_or_one_sentence_says_what_to_install():
    env = gymnasium.make(
        "agentic/point_mass_maze_reach_top_left-v0", render_mode="rgb_array"
    ).unwrapped
    env.reset(seed=0)
    try:
        picture = env.render()
    except AgenticError as error:
        assert "install an EGL driver" in str(error)
        return
    assert picture.shape == (240, 320, 3) and picture.dtype == np.uint8 and np.ptp(picture) > 100
    check_env(env)
    env.close()


@pytest.mark.filterwarnings(UNBOUNDED)
def test_seed_repeats_an_episode_and_goes_on_to_another():
    env, other = (gymnasium.make("agentic/cartpole_balance-v0") for _ in range(2))
    first, second = env.reset(seed=4)[0], env.reset()[0]
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(other.reset(seed=4)[0], first)
    np.testing.assert_array_equal(other.reset()[0], second)


@pytest.mark.filterwarnings(UNBOUNDED)
def test_time_limit_truncates_and_never_terminates():
    env = gymnasium.make("agentic/cartpole_balance-v0")
    env.reset(seed=0)
    ends = [env.step(np.zeros(1, np.float32))[2:4] for _ in range(1000)]
    assert ends == [(False, False)] * 999 + [(False, True)]


@pytest.mark.filterwarnings(UNBOUNDED)
def test_a_loop_of_environments_is_the_simulation():
    envs = gymnasium.make_vec("agentic/point_mass_easy-v0", 2, vectorization_mode="sync")
    observations, _ = envs.reset(seed=[7, 8])
    assert observations.shape == (2, 4) and not np.array_equal(*observations)
    simulation = make_simulation("point_mass_easy", 1)
    seed = int(gymnasium.utils.seeding.np_random(8)[0].integers(2**63))
    simulation.reset([0], [(seed,)])
    actions = np.array([[1, 0], [0.5, -1]], np.float32)
    observed, rewards, *_ = envs.step(actions)
    expected, reward, _ = simulation.step(actions[1:])
    np.testing.assert_array_equal(observed[1:], expected)
    assert rewards[1] == reward[0]
    envs.close()


def test_mistakes_are_met_with_a_sentence():
    from agentic.simulation.gym.environment import TaskEnv

    with pytest.raises(
        AgenticError, match=r"render_mode is 'human': a window needs gymnasium\.make"
    ):
        TaskEnv("walker_run", render_mode="human")
    with pytest.raises(AgenticError, match="options"):
        TaskEnv("walker_run").reset(options={"pose": 1})


@pytest.mark.filterwarnings(UNBOUNDED)
@pytest.mark.parametrize("name", FAMILY_BASES)
def test_gymnasium_checker_passes_for_every_family(name):
    check_env(gymnasium.make(f"agentic/{name}-v0").unwrapped, skip_render_check=True)


@pytest.mark.filterwarnings(UNBOUNDED)
def test_a_family_takes_a_code_as_an_option_or_draws_one_and_reports_it():
    env = gymnasium.make("agentic/point_mass_goal-v0")
    drawn = env.reset(seed=4)[1]["task"]
    assert drawn.shape == (2,) and drawn.dtype == np.float32
    given, code = env.reset(seed=4, options={"task": [0.1, -0.2]}), np.float32([0.1, -0.2])
    np.testing.assert_array_equal(given[1]["task"], code)
    np.testing.assert_array_equal(given[0], env.reset(seed=4)[0])
    np.testing.assert_array_equal(env.reset(seed=4)[1]["task"], drawn)
    other = env.reset()[1]["task"]
    assert not np.array_equal(other, drawn)
    env.reset(seed=4, options={"task": code})
    observation, reward, _, _, info = env.step(np.ones(2, np.float32))
    np.testing.assert_array_equal(info["task"], code)
    # The ball's place is in the observation; the goal must be told.
    assert reward == pytest.approx(np.exp(-(np.sum((observation[:2] - code) ** 2) / 0.15**2)), 1e-4)
    with pytest.raises(AgenticError, match=r"codes have shape \(1,\); point_mass_goal needs"):
        env.reset(options={"task": [0.1]})
    with pytest.raises(AgenticError, match=r"'pose'.* are unknown; .* a task family 'task'"):
        env.reset(options={"pose": 1})


def test_a_list_of_tasks_is_an_environment_too():
    from agentic.simulation.gym.environment import TaskEnv

    env = TaskEnv("walker_stand,walker_run")
    assert env.reset(seed=0, options={"task": [0, 1]})[1]["task"].tolist() == [0, 1]


@pytest.mark.filterwarnings(UNBOUNDED)
def test_the_specification_states_the_time_limit_and_a_shorter_one_is_kept():
    env = gymnasium.make("agentic/jaco_reach_top_left-v0")
    assert env.spec.max_episode_steps == 250
    env = gymnasium.make("agentic/jaco_reach_top_left-v0", max_episode_steps=3)
    env.reset(seed=0)
    ends = [env.step(np.zeros(9, np.float32))[2:4] for _ in range(3)]
    assert ends == [(False, False)] * 2 + [(False, True)]
