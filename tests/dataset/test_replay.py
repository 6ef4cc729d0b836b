"""Laws of replaying: recorded data fit to rounding, and wrong actions are found and named."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from agentic.dataset import convert, verify
from agentic.dataset.episodes import write_episode
from agentic.dataset.replay import EPISODES, TOLERANCE, recorded_steps, replay, sample

TASK = "cartpole_swingup"


def recorded(rows, task: str = TASK, steps: int = 40, seed: int = 0, change=lambda x: x):
    """Return the steps of an episode whose actions were changed."""
    episode = rows(steps, seed=seed, task=task)
    return recorded_steps(f"episode {seed}", episode["physics"], change(episode["actions"][1:]))


def shifted(actions: np.ndarray, by: int) -> np.ndarray:
    """Return rows of actions that lie `by` rows too late."""
    return np.roll(actions, by, axis=0)


@pytest.mark.parametrize(
    "task", [TASK, "walker_run", "quadruped_run", "jaco_reach_top_left", "cartpole_two_poles"]
)
def test_what_was_recorded_here_fits_and_shifted_actions_do_not(rows, task):
    episodes = [recorded(rows, task, seed=seed) for seed in range(4)]
    found = replay(episodes, [task])
    assert found.problems == () and found.median < 1e-9 and found.steps == 4 * 16
    for by, words in ((1, "the action of the row after"), (-1, "the action of the row before")):
        change = partial(shifted, by=by)
        wrong = [recorded(rows, task, seed=seed, change=change) for seed in range(4)]
        found = replay(wrong, [task])
        [problem] = found.problems
        assert words in problem and "the actions are shifted" in problem
        assert found.median > 3 * TOLERANCE


def test_the_episodes_that_do_not_fit_are_counted_and_one_is_named(rows):
    episodes = [recorded(rows, seed=seed) for seed in range(6)]
    for index in (2, 5):
        change = np.random.default_rng(index).permutation
        episodes[index] = recorded(rows, seed=index, change=change)
    found = replay(episodes, [TASK])
    assert found.median < 1e-9
    [problem] = found.problems
    assert problem.startswith("2 of 6 replayed episodes") and "(first: episode 2)" in problem
    assert "are not those that were recorded together" in problem


def test_of_several_tasks_the_one_that_fits_is_taken(rows):
    episodes = [recorded(rows, "cartpole_three_poles")]
    assert replay(episodes, ["cartpole_three_poles"]).problems == ()
    # point_mass_hard draws its tendons anew in every episode, which no state records.
    hard, easy = "point_mass_hard", "point_mass_easy"
    assert replay([recorded(rows, hard)], [hard]) is None
    assert replay([recorded(rows, hard)], [easy, hard]) is None
    assert replay([recorded(rows, easy)], [hard, easy]).problems == ()
    assert replay([recorded(rows, hard)], [easy]).problems != ()


def test_a_short_or_resting_episode_is_no_problem(rows):
    short = recorded(rows, steps=1)
    hanging = np.tile([0.0, np.pi, 0.0, 0.0], (9, 1))
    resting = recorded_steps("resting", hanging, np.zeros((8, 1)))
    for episodes in ([short], [resting], [short, resting]):
        assert replay(episodes, [TASK]).problems == ()
    odd = recorded_steps("odd", np.full((9, 4), 1e300), np.zeros((8, 1)))
    assert replay([odd], [TASK]).problems != ()


def test_a_sample_has_both_ends_and_no_episode_twice():
    assert sample(1) == [0] and sample(3) == [0, 1, 2]
    many = sample(10_000)
    assert len(many) == EPISODES and many[0] == 0 and many[-1] == 9_999


@pytest.fixture
def late(tmp_path, rows) -> Path:
    """Episodes whose actions stand in the row of the state that they were chosen in."""
    for index in range(3):
        episode = rows(30, seed=index)
        episode["actions"] = shifted(episode["actions"], -1)
        write_episode(tmp_path / "late" / f"episode_{index:06d}_30.npz", **episode)
    return tmp_path / "late"


def test_shifted_files_are_a_problem_and_converting_warns(late, tmp_path):
    words = "the action of the row before it is"
    [problem] = verify(late).problems
    assert words in problem and f"(first: {late / 'episode_000000_30.npz'})" in problem
    for tasks in ((), (TASK,)):
        done = convert(late, tmp_path / "store.h5", tasks, overwrite=True)
        [warning] = done.warnings
        assert words in warning
        found = verify(tmp_path / "store.h5")
        assert words in found.problems[0] and "store.h5 episode 0)" in found.problems[0]
        assert f"an episode's median may be {TOLERANCE}" in found.replayed


def test_good_files_are_said_to_fit(directory, tmp_path):
    folder = directory(6, 3, 9)
    assert convert(folder, tmp_path / "store.h5", physics=True).warnings == ()
    for path in (folder, tmp_path / "store.h5"):
        found = verify(path)
        assert found.problems == () and found.replayed.startswith("12 steps simulated again")
    convert(folder, tmp_path / "store.h5", [TASK], physics=False, overwrite=True)
    assert verify(tmp_path / "store.h5").replayed == ""
