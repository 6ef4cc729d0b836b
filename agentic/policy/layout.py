"""From chains to token inputs: chunks of steps, what lies before them, and token positions.

A chunk is `action_chunk` consecutive steps (one, for separate tokens). It has a *situation*, what
is known before it acts (return-to-go, observation), and an *outcome*, what it did (actions,
rewards, completions). Separate tokens of a chunk run situation, then outcome. A joint token holds
the situation and the outcome of the chunk before it, across the border between trajectories too,
so that the completion of one trajectory is the first thing known in the next.

Axis letters: B batch, n trajectories, T steps, C chunks, c steps per chunk, m tokens per chunk.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from agentic.policy.config import PolicyConfig
from agentic.trajectory import Chain, Window


class Chunks(NamedTuple):
    """A chain cut into chunks; absent steps are zero.

    returns_to_go [B, n, C], observations [B, n, C, O] at each chunk's first step; actions
    [B, n, C, c, A], rewards, completions [B, n, C, c]; every_observation [B, n, C, c, O];
    mask [B, n, C, c].
    """

    returns_to_go: jax.Array
    observations: jax.Array
    actions: jax.Array
    rewards: jax.Array
    completions: jax.Array
    every_observation: jax.Array
    mask: jax.Array


def cut(config: PolicyConfig, chain: Chain | Window) -> Chunks:
    """Normalise a chain or window [B, n, T, ...] and cut it into chunks; T <= episode_length."""
    c = config.action_chunk
    steps = chain.mask.shape[-1]
    count = -(-steps // c)

    def split(array: jax.Array) -> jax.Array:
        padding = [(0, 0)] * array.ndim
        padding[2] = (0, count * c - steps)
        array = jnp.pad(array, padding)
        return array.reshape(*array.shape[:2], count, c, *array.shape[3:])

    mask = split(chain.mask)

    def existing(array: jax.Array) -> jax.Array:
        # The last chunk of a trajectory may be partial, and its outcome is seen by the next one.
        return jnp.where(mask.reshape(mask.shape + (1,) * (array.ndim - mask.ndim)), array, 0.0)

    observations = existing(normalize(config, split(chain.observations)))
    returns_to_go = existing(split(chain.returns_to_go))[..., 0]
    return Chunks(
        returns_to_go=returns_to_go / config.normalization.return_scale,
        observations=observations[..., 0, :],
        actions=existing(split(chain.actions)),
        rewards=existing(split(chain.rewards)),
        completions=existing(split(chain.completions)),
        every_observation=observations,
        mask=mask,
    )


def normalize(config: PolicyConfig, observations: jax.Array) -> jax.Array:
    """Bring raw observations [..., O] to zero mean and unit scale over the training data."""
    mean = jnp.asarray(config.normalization.observation_mean, jnp.float32)
    std = jnp.asarray(config.normalization.observation_std, jnp.float32)
    return (observations - mean) / std


def previous(outcome: jax.Array, present: jax.Array, before: jax.Array | None = None) -> jax.Array:
    """Return for every chunk the outcome of the one before it: [B, n, C, ...] -> the same shape.

    The chunk before a trajectory's first is the last one present of the trajectory before; before
    the context's first chunk lie zeros. `present` [B, n, C] tells which chunks exist. `before`
    [B, n, ...] is what lies before the first chunks of windows, which start inside of trajectories.
    """
    if before is not None:
        return jnp.concatenate([before[:, :, None], outcome[:, :, :-1]], axis=2)
    last = jnp.maximum(present.sum(axis=-1) - 1, 0)
    index = last.reshape(*last.shape, *(1,) * (outcome.ndim - 2))
    ends = jnp.take_along_axis(outcome, index, axis=2)
    ends = jnp.concatenate([jnp.zeros_like(ends[:, :1]), ends[:, :-1]], axis=1)
    return jnp.concatenate([ends, outcome[:, :, :-1]], axis=2)


def positions(config: PolicyConfig, present: jax.Array) -> jax.Array:
    """Return every token's place in the context, -1 where absent: [B, n, C] -> [B, n * C * m].

    Places count as if every trajectory had its full length, as the key/value cache does.
    """
    batch, n, count = present.shape
    m = config.tokens_per_chunk
    place = (
        jnp.arange(n)[:, None, None] * config.tokens_per_trajectory
        + jnp.arange(count)[:, None] * m
        + jnp.arange(m)
    )
    place = jnp.where(present[..., None], place[None], -1)
    return place.reshape(batch, n * count * m).astype(jnp.int32)
