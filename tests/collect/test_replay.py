"""The replay buffer returns pieces of the newest episodes, and nothing else."""

import numpy as np
import pytest

from agentic.collect.replay import Replay
from agentic.errors import AgenticError

T, O, A, Z, N = 7, 2, 1, 1, 3  # noqa: E741


def episode(number):
    """Return an episode whose every value says where it stands: 100 number + step."""
    steps = 100 * number + np.arange(T, dtype=np.float32)[:, None]
    return np.repeat(steps, O, 1), steps / 1000, -steps


def filled(count, capacity=4, seed=0):
    replay = Replay(capacity * T, (T, O, A, Z), N, seed)
    for number in range(count):
        replay.add(*episode(number))
    return replay


def test_windows_are_consecutive_steps_of_one_episode():
    windows = filled(3).sample(0, 500)
    assert windows.observations.shape == (N + 1, 500, O)
    first = windows.observations[0, :, 0]
    for k in range(N + 1):
        np.testing.assert_array_equal(windows.observations[k], np.repeat(first[:, None] + k, O, 1))
    for k in range(N):
        np.testing.assert_allclose(windows.actions[k, :, 0], (first + k) / 1000, rtol=1e-6)
    np.testing.assert_array_equal(windows.skills[:, 0], -first)
    # Every window there is, and none across an end.
    assert set(first) == {100 * number + t for number in range(3) for t in range(T - N)}


def test_the_newest_episodes_stay():
    first = filled(6, capacity=4).sample(0, 500).observations[0, :, 0]
    assert {value // 100 for value in first} == {2, 3, 4, 5}


def test_a_batch_is_a_function_of_seed_and_number():
    one, two = filled(3), filled(3)
    for number in (5, 0, 5):
        for a, b in zip(one.sample(number, 20), two.sample(number, 20), strict=True):
            np.testing.assert_array_equal(a, b)
    batches = [one.sample(0, 20), one.sample(1, 20), filled(3, seed=1).sample(0, 20)]
    assert len({batch.observations.tobytes() for batch in batches}) == 3


def test_a_buffer_that_skips_what_was_overwritten_is_the_same():
    whole, rebuilt = filled(6), Replay(4 * T, (T, O, A, Z), N, 0)
    rebuilt.skip(2)
    for number in range(2, 6):
        rebuilt.add(*episode(number))
    for a, b in zip(whole.sample(3, 50), rebuilt.sample(3, 50), strict=True):
        np.testing.assert_array_equal(a, b)


def test_windows_must_fit_into_an_episode():
    with pytest.raises(AgenticError, match="n_step is 7 and an episode has 7 steps"):
        Replay(100, (T, O, A, Z), T, 0)
