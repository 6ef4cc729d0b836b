"""Labels equal the environment's own reward, and ExoRL's in the other control mode."""

import numpy as np
import pytest

from agentic.dataset import load_dataset
from agentic.dataset.episodes import write_episode
from agentic.dataset.labels import label
from agentic.errors import AgenticError
from agentic.simulation import dm_environment
from agentic.simulation.tasks import get_task

TASKS = ["cartpole_balance", "cartpole_swingup", "point_mass_easy", "walker_run", "cheetah_run"]


@pytest.mark.parametrize("task", TASKS)
def test_labels_with_actions_are_the_rewards_that_the_environment_gave(tmp_path, recorded, task):
    episode = recorded(task, 60)
    wrong = episode | {"rewards": np.full(61, 9.0)}
    write_episode(tmp_path / "episode_000000_60.npz", **wrong)
    data = load_dataset(tmp_path, task)
    np.testing.assert_allclose(data.rewards[0], episode["rewards"][1:], atol=1e-6)
    np.testing.assert_allclose(data.returns, episode["rewards"].sum(), atol=1e-4)


@pytest.mark.parametrize("task", TASKS)
def test_labels_without_actions_are_those_of_exorls_own_loop(recorded, task):
    episode = recorded(task, 60)
    env = dm_environment.load(get_task(task))
    dm_environment.reset(env, (7,))
    expected = []
    for state in episode["physics"][1:]:
        with env.physics.reset_context():
            env.physics.set_state(state)
        expected.append(env.task.get_reward(env.physics))
    labels = label(task, episode["physics"], episode["actions"][1:], control="zero")
    np.testing.assert_allclose(labels, expected, atol=1e-6)


def test_the_two_modes_differ_where_the_reward_reads_the_control(recorded):
    episode = recorded("cartpole_balance", 60)
    arguments = ("cartpole_balance", episode["physics"], episode["actions"][1:])
    assert np.abs(label(*arguments) - label(*arguments, control="zero")).max() > 0.01


def test_physics_need_one_row_more_than_actions(rows):
    arrays = rows(5, seed=0)
    with pytest.raises(AgenticError, match="physics has 6 rows and actions 6"):
        label("cartpole_swingup", arrays["physics"], arrays["actions"])


def test_a_state_without_a_finite_reward_names_the_file(tmp_path, rows):
    arrays = rows(5, seed=0)
    arrays["physics"][3, 0] = 1e300
    path = tmp_path / "episode_0_5.npz"
    write_episode(path, **arrays)
    # MuJoCo resets a state that it finds bad; whatever comes of it must be finite or refused.
    try:
        assert np.isfinite(load_dataset(tmp_path, "cartpole_swingup").rewards).all()
    except AgenticError as error:
        assert str(path) in str(error)
