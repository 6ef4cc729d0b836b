"""Running mean and variance of a stream of batches."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Moments(NamedTuple):
    """Mean and variance [...] of all samples so far, and the number of samples (scalar)."""

    mean: jax.Array
    variance: jax.Array
    count: jax.Array

    def std(self, least: float) -> jax.Array:
        """Return the standard deviation [...], but at least `least`, so that it can divide."""
        return jnp.maximum(jnp.sqrt(self.variance), least)


def empty(shape: tuple[int, ...] = ()) -> Moments:
    """Return the moments before the first batch: mean 0 and variance 1."""
    return Moments(jnp.zeros(shape), jnp.ones(shape), jnp.zeros(()))


def updated(state: Moments, batch: jax.Array, horizon: float) -> Moments:
    """Return the moments with a batch [B, ...] added.

    The update is exact (Chan, Golub & LeVeque 1983) up to `horizon` samples. After that, the past
    always weighs as much as `horizon` samples, so it is forgotten exponentially.
    """
    size = batch.shape[0]
    mean, variance = batch.mean(axis=0), batch.var(axis=0)
    share = size / (state.count + size)
    gap = mean - state.mean
    return Moments(
        state.mean + share * gap,
        (1 - share) * state.variance + share * variance + share * (1 - share) * jnp.square(gap),
        jnp.minimum(state.count + size, horizon),
    )
