"""Chunks, what lies before them and where tokens stand, against loops over single steps."""

from functools import partial

import jax
import numpy as np
import pytest
from support import synthetic

from agentic.network import tokens as layout


@pytest.mark.parametrize("name", ["1", "chunk of 3", "sa, chunk of 4"])
def test_a_chunk_holds_its_own_steps_and_zeros_where_there_are_none(name):
    config, chain = synthetic.policy_config(name), synthetic.chain()
    chunks = jax.device_get(jax.jit(partial(layout.cut, config))(synthetic.with_garbage(chain)))
    c, norm = config.action_chunk, config.normalization
    observations = (chain.observations - norm.observation_mean[0]) / norm.observation_std[0]
    for b, k, t in np.ndindex(chain.mask.shape):
        if not chain.mask[b, k, t]:
            continue
        place = (b, k, t // c)
        step = (*place, t % c)
        assert chunks.mask[step]
        np.testing.assert_array_equal(chunks.actions[step], chain.actions[b, k, t])
        assert chunks.rewards[step] == chain.rewards[b, k, t]
        assert chunks.completions[step] == chain.completions[b, k, t]
        if t % c == 0:
            np.testing.assert_allclose(chunks.observations[place], observations[b, k, t], atol=1e-6)
            to_go = chain.returns_to_go[b, k, t] / norm.return_scale
            np.testing.assert_allclose(chunks.returns_to_go[place], to_go, rtol=1e-6)
    assert chunks.mask.sum() == chain.mask.sum()
    absent = ~chunks.mask
    for values in (chunks.actions, chunks.rewards, chunks.completions):
        assert not values[absent].any()


def test_before_a_chunk_lies_the_one_before_it_across_trajectories():
    present = np.arange(3) < np.array([[2, 3, 1], [1, 0, 0]])[..., None]
    outcome = np.arange(1, 19, dtype=np.float32).reshape(2, 3, 3)
    actual = jax.device_get(jax.jit(layout.previous)(outcome, present))
    for row in range(2):
        before = 0.0
        for place in zip(*np.nonzero(present[row]), strict=True):
            assert actual[(row, *place)] == before
            before = outcome[(row, *place)]


@pytest.mark.parametrize("name", ["5", "1", "chunk of 3"])
def test_tokens_stand_where_full_trajectories_would_put_them(name):
    config, chain = synthetic.policy_config(name), synthetic.chain()
    padded = np.pad(chain.mask, ((0, 0), (0, 0), (0, -synthetic.STEPS % config.action_chunk)))
    present = padded.reshape(*padded.shape[:2], -1, config.action_chunk).any(-1)
    actual = jax.device_get(jax.jit(partial(layout.positions, config))(present))
    actual = actual.reshape(*present.shape, -1)
    for b, k, chunk in np.ndindex(present.shape):
        for m in range(config.tokens_per_chunk):
            full = k * config.tokens_per_trajectory + chunk * config.tokens_per_chunk + m
            assert actual[b, k, chunk, m] == (full if present[b, k, chunk] else -1)
