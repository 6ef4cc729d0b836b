"""Moments of a stream of batches equal those of all samples together."""

import jax.numpy as jnp
import numpy as np

from agentic.collect.moments import empty, updated


def test_moments_are_those_of_all_samples():
    data = np.random.default_rng(0).normal([3, -5], [2, 0.1], size=(60, 2)).astype(np.float32)
    state = empty((2,))
    for batch in np.split(data, [5, 12, 40]):
        state = updated(state, jnp.asarray(batch), horizon=1e6)
    np.testing.assert_allclose(state.mean, data.mean(0), rtol=1e-5)
    np.testing.assert_allclose(state.variance, data.var(0), rtol=1e-4)
    assert state.count == 60


def test_beyond_the_horizon_the_past_is_forgotten():
    state = updated(empty(), jnp.full(100, 7.0), horizon=20)
    for _ in range(40):
        state = updated(state, jnp.linspace(-1.0, 1.0, 10), horizon=20)
    assert state.count == 20
    np.testing.assert_allclose(state.mean, 0, atol=1e-4)
    np.testing.assert_allclose(state.std(1e-3), np.linspace(-1, 1, 10).std(), rtol=1e-3)


def test_a_constant_is_not_divided_by_zero():
    assert updated(empty(), jnp.ones(5), 10).std(1e-3) == np.float32(1e-3)


def test_small_numbers_are_still_standardised():
    batch = jnp.asarray(np.random.default_rng(0).normal(0, 1e-6, 1000), jnp.float32)
    state = updated(empty(), batch, horizon=1e6)
    np.testing.assert_allclose(np.std(batch / state.std(1e-8)), 1, rtol=1e-2)
