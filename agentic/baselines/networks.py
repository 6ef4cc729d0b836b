"""Actors and critics. Axes: B batch, O observation, A action."""

import jax
import jax.numpy as jnp
from flax import nnx

from agentic.networks import MLP


class Actor(nnx.Module):
    """A deterministic policy: [B, O] -> [B, A] in [-1, 1]."""

    def __init__(self, sizes: tuple[int, ...], trunk: bool, rngs: nnx.Rngs):
        self.layers = MLP(sizes, rngs, trunk=trunk)

    def __call__(self, observations: jax.Array) -> jax.Array:
        """Return the actions."""
        return jnp.tanh(self.layers(observations))


class GaussianActor(Actor):
    """A Gaussian policy around the deterministic one, of one deviation in all states.

    As in IQL's public code the mean is squashed by tanh and the density is not; the logarithm of
    the deviation is kept within [-10, 2].
    """

    def __init__(self, sizes: tuple[int, ...], rngs: nnx.Rngs):
        super().__init__(sizes, False, rngs)
        self.log_deviation = nnx.Param(jnp.zeros(sizes[-1]))

    def log_density(self, observations: jax.Array, actions: jax.Array) -> jax.Array:
        """Return log pi(a | s) of actions [B, A]: [B]."""
        log_deviation = jnp.clip(self.log_deviation[...], -10.0, 2.0)
        error = (actions - self(observations)) * jnp.exp(-log_deviation)
        return (-0.5 * jnp.square(error) - log_deviation - 0.5 * jnp.log(2 * jnp.pi)).sum(axis=-1)


class TwinCritic(nnx.Module):
    """Two networks that estimate the value of actions: [B, O], [B, A] -> [2, B]."""

    def __init__(self, sizes: tuple[int, ...], trunk: bool, rngs: nnx.Rngs):
        self.twins = nnx.List([MLP(sizes, rngs, trunk=trunk) for _ in range(2)])

    def __call__(self, observations: jax.Array, actions: jax.Array) -> jax.Array:
        """Return both estimates."""
        inputs = jnp.concatenate([observations, actions], axis=-1)
        return jnp.stack([twin(inputs)[..., 0] for twin in self.twins])

    def first(self, observations: jax.Array, actions: jax.Array) -> jax.Array:
        """Return the first estimate alone: [B]."""
        return self.twins[0](jnp.concatenate([observations, actions], axis=-1))[..., 0]
