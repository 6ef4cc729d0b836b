"""Running mean and variance of a stream of batches."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Running(NamedTuple):
    """Mean and variance [...] of what was seen, and how many samples they weigh (scalar)."""

    mean: jax.Array
    variance: jax.Array
    count: jax.Array

    def std(self, least: float) -> jax.Array:
        """The standard deviation [...], but at least `least`: a constant is divided by that."""
        return jnp.maximum(jnp.sqrt(self.variance), least)


def empty(shape: tuple[int, ...] = ()) -> Running:
    """Return the statistics of nothing: mean 0 and variance 1 until the first batch."""
    return Running(jnp.zeros(shape), jnp.ones(shape), jnp.zeros(()))


def seen(state: Running, batch: jax.Array, horizon: float) -> Running:
    """Return the statistics with a batch [B, ...] added.

    The update is exact (Chan, Golub & LeVeque 1983) until `horizon` samples; from then on the past
    weighs as much as `horizon` samples, so that it is forgotten exponentially.
    """
    size = batch.shape[0]
    mean, variance = batch.mean(axis=0), batch.var(axis=0)
    share = size / (state.count + size)
    gap = mean - state.mean
    return Running(
        state.mean + share * gap,
        (1 - share) * state.variance + share * variance + share * (1 - share) * jnp.square(gap),
        jnp.minimum(state.count + size, horizon),
    )
