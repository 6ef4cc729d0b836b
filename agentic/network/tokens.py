"""How a chain becomes tokens: chunks of steps, what lies before them, and where tokens stand.

A chunk is `action_chunk` consecutive steps (one, for separate tokens). It has a *situation*, what
is known before it acts (return-to-go, observation), and an *outcome*, what it did (actions,
rewards, completions). Separate tokens of a chunk run situation, then outcome. A joint token holds
the situation and the outcome of the chunk before it, across the border between trajectories too,
so that the completion of one trajectory is the first thing known in the next.

The network is given chains laid flat: all chunks of a chain in one row, each with what it needs.

    chain    [B, n, T, ...]     trajectories, whose tokens depend on their neighbours' outcomes
    inputs   [B, N, ...]        N = n * C chunks, each by itself

Flat inputs can be cut anywhere and put in any order: a chunk sees others through attention alone,
which compares the places that the chunks carry. Axis letters: B batch, n trajectories, T steps, C
chunks a trajectory, c steps a chunk, m tokens a chunk, O observation, A action.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from agentic.network.config import NetworkConfig
from agentic.trajectory import Chain, Window


class Chunks(NamedTuple):
    """A chain cut into chunks; absent steps are zero.

    returns_to_go [B, n, C], observations [B, n, C, O] normalised, at each chunk's first step;
    actions [B, n, C, c, A], rewards, completions [B, n, C, c]; mask [B, n, C, c].
    """

    returns_to_go: jax.Array
    observations: jax.Array
    actions: jax.Array
    rewards: jax.Array
    completions: jax.Array
    mask: jax.Array


def cut(config: NetworkConfig, chain: Chain | Window) -> Chunks:
    """Normalise a chain or window [B, n, T, ...] and cut it into chunks; T <= episode_length."""
    mask = _chunked(config, chain.mask)

    def existing(array: jax.Array) -> jax.Array:
        # The last chunk of a trajectory may be partial, and its outcome is seen by the next one.
        array = _chunked(config, array)
        return jnp.where(mask.reshape(mask.shape + (1,) * (array.ndim - mask.ndim)), array, 0.0)

    first = _chunked(config, chain.observations)[..., 0, :]
    return Chunks(
        returns_to_go=existing(chain.returns_to_go)[..., 0] / config.normalization.return_scale,
        observations=jnp.where(mask[..., :1], normalize(config, first), 0.0),
        actions=existing(chain.actions),
        rewards=existing(chain.rewards),
        completions=existing(chain.completions),
        mask=mask,
    )


def normalize(config: NetworkConfig, observations: jax.Array) -> jax.Array:
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


def positions(config: NetworkConfig, present: jax.Array) -> jax.Array:
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


class Inputs(NamedTuple):
    """What the network sees of chunks [B, N].

    values {letter: [B, N, features]} normalised, joint layouts with the outcome of the chunk
    before; trajectory and chunk int32 [B, N] index the embeddings; place int32 [B, N, m] of each
    token, -1 where absent; row int32 [B] numbers the rows of the whole batch, for dropout.
    """

    values: dict[str, jax.Array]
    trajectory: jax.Array
    chunk: jax.Array
    place: jax.Array
    row: jax.Array


def flatten(config: NetworkConfig, chain: Chain | Window) -> Inputs:
    """Return the flat inputs of a chain or window [B, n, T, ...]; T <= episode_length."""
    chunks = cut(config, chain)
    present = chunks.mask.any(axis=-1)
    batch, n, count = present.shape
    flat = (batch, n, count, -1)
    values = {
        "R": chunks.returns_to_go[..., None],
        "s": chunks.observations,
        "a": chunks.actions.reshape(flat),
        "r": chunks.rewards,
        "d": chunks.completions,
    }
    chunk, before = jnp.arange(count, dtype=jnp.int32), dict.fromkeys("ard")
    if isinstance(chain, Window):
        chunk = chain.start[:, None, None] // config.action_chunk + chunk
        first = chain.before
        before = {"a": first.actions, "r": first.rewards, "d": first.completions}
        before = {letter: x.reshape(batch, n, -1) for letter, x in before.items()}
    if config.joint:
        values |= {x: previous(values[x], present, before[x]) for x in "ard"}
    trajectory = jnp.arange(n, dtype=jnp.int32)[:, None]
    numbers = (jnp.broadcast_to(x, present.shape) for x in (trajectory, chunk))
    return Inputs(
        {x: _flat(values[x]) for x in config.inputs},
        *map(_flat, numbers),
        place=positions(config, present).reshape(batch, n * count, config.tokens_per_chunk),
        row=jnp.arange(batch, dtype=jnp.int32),
    )


def by_chunks(config: NetworkConfig, x: jax.Array) -> jax.Array:
    """Return the steps of each chunk of x [B, n, T, ...], zeros after the last: [B, N, c, ...]."""
    return _flat(_chunked(config, x))


def _flat(x: jax.Array) -> jax.Array:
    """[B, n, C, ...] -> [B, n * C, ...]"""
    return x.reshape(x.shape[0], -1, *x.shape[3:])


def _chunked(config: NetworkConfig, x: jax.Array) -> jax.Array:
    """[B, n, T, ...] -> [B, n, C, c, ...], padded with zeros."""
    c = config.action_chunk
    count = -(-x.shape[2] // c)
    padding = [(0, 0)] * x.ndim
    padding[2] = (0, count * c - x.shape[2])
    return jnp.pad(x, padding).reshape(*x.shape[:2], count, c, *x.shape[3:])
