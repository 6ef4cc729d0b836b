"""Transitions follow one another in one episode, all alike likely, whatever holds the data."""

import dataclasses

import numpy as np
import pytest
from support import synthetic

from agentic.errors import AgenticError
from agentic.methods.transitions import TransitionSampler

TASK = "cartpole_swingup"


@pytest.fixture(scope="module")
def data():
    """Episodes of 7 to 12 steps, and one of a single step, which has no transition."""
    whole = synthetic.dataset(TASK, sizes=(3, 2))
    lengths = whole.lengths.copy()
    lengths[2] = 1
    padding = np.arange(whole.rewards.shape[1]) >= lengths[:, None]
    arrays = {name: getattr(whole, name).copy() for name in ("observations", "actions", "rewards")}
    for array in arrays.values():
        array[padding] = 1e9  # must never be drawn
    return dataclasses.replace(whole, lengths=lengths, **arrays)


def oracle(data):
    """Return every transition of the data, the slow way."""
    found = []
    for row, length in enumerate(data.lengths):
        for t in range(length):
            if t + 1 < length:
                found.append(
                    np.concatenate(
                        [
                            data.observations[row, t], data.actions[row, t],
                            [data.rewards[row, t]], data.observations[row, t + 1],
                        ]
                    )
                )  # fmt: skip
    return np.array(found, np.float32)


def rows(batch):
    """Return a batch's transitions [K B, ...] in the oracle's order of columns."""
    parts = [np.asarray(part) for part in batch]
    parts[2] = parts[2][..., None]
    joined = np.concatenate(parts, axis=-1)
    return joined.reshape(-1, joined.shape[-1])


@pytest.mark.parametrize("resident", [0, 10**9])
def test_every_transition_of_every_episode_is_drawn_as_often_and_no_other(data, resident):
    every = oracle(data)
    sampler = TransitionSampler(data, batch_size=500, seed=0, resident=resident)
    assert sampler.resident == (resident > 0)
    drawn = rows(sampler(0, 40))
    matches = (drawn[:, None] == every).all(axis=-1)
    assert (matches.sum(axis=1) == 1).all()
    expected = len(drawn) / len(every)
    # Five deviations of a count that is nearly Poisson's.
    assert np.abs(matches.sum(axis=0) - expected).max() < 5 * expected**0.5


def test_a_batch_is_a_function_of_seed_and_update_alone(data):
    sampler = TransitionSampler(data, batch_size=4, seed=3)
    whole = sampler(5, 6)
    for first, count in [(5, 1), (5, 4), (9, 2)]:
        part = sampler(first, count)
        for one, all_ in zip(part, whole, strict=True):
            np.testing.assert_array_equal(one, all_[first - 5 :][:count])
    fresh = rows(TransitionSampler(data, batch_size=4, seed=3)(5, 6))
    np.testing.assert_array_equal(fresh, rows(whole))
    assert (rows(TransitionSampler(data, batch_size=4, seed=4)(5, 6)) != fresh).any()


def test_where_the_data_lies_and_how_much_room_a_call_has_change_nothing(data):
    scales = {"mean": [0.1, 0.2, 0.3], "deviation": [0.7, 1.3, 3.0], "reward_scale": 0.3}
    here = TransitionSampler(data, batch_size=4, seed=3, resident=10**9, **scales)
    there = TransitionSampler(data, batch_size=4, seed=3, resident=0, **scales)
    np.testing.assert_array_equal(rows(here(2, 3)), rows(there(2, 3)))
    roomy = here(2, 3, room=8)
    assert roomy.rewards.shape == (8, 4)
    np.testing.assert_array_equal(rows(roomy)[: 3 * 4], rows(here(2, 3)))


def test_observations_are_normalised_and_rewards_scaled(data):
    plain = TransitionSampler(data, batch_size=4, seed=3)(0, 1)
    mean, deviation = np.float32([0.1, 0.2, 0.3]), np.float32([0.7, 1.3, 3.0])
    scaled = TransitionSampler(data, 4, 3, mean, deviation, reward_scale=2.5)(0, 1)
    for name in ("observations", "next_observations"):
        expected = (np.asarray(getattr(plain, name)) - mean) / deviation
        np.testing.assert_allclose(getattr(scaled, name), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(scaled.actions, plain.actions)
    np.testing.assert_allclose(scaled.rewards, 2.5 * np.asarray(plain.rewards), rtol=1e-6)


def test_data_without_transitions_is_refused(data):
    short = dataclasses.replace(data, lengths=np.ones_like(data.lengths))
    with pytest.raises(AgenticError, match="has no episode of more than one step"):
        TransitionSampler(short, batch_size=4, seed=0)
