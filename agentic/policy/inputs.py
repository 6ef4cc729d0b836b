"""A chain laid flat: all chunks of its trajectories in one row, each with all that it needs.

    chain    [B, n, T, ...]     trajectories, whose tokens depend on their neighbours' outcomes
    inputs   [B, N, ...]        N = n * C chunks, each by itself

Flat inputs can be cut anywhere and put in any order: what a chunk sees of others it sees through
attention, which compares the places that the chunks carry. So a batch is permuted and split over
devices once, when it is made. Axis letters: B batch, n trajectories, T steps, C chunks a
trajectory, c steps a chunk, m tokens a chunk, O observation, A action.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from agentic.policy.config import PolicyConfig
from agentic.policy.layout import cut, positions, previous
from agentic.trajectory import Chain, Window


class Inputs(NamedTuple):
    """Chunks [B, N]: what the model sees of each, and what the loss compares.

    values {letter: [B, N, features]} normalised, joint layouts with the outcome of the chunk
    before; trajectory and chunk int32 [B or 1, N] index the embeddings; place int32 [B, N, m] of
    each token, -1 where absent; observations [B, N, c, O] raw, actions [B, N, c, A], mask bool
    [B, N, c] of the steps.
    """

    values: dict[str, jax.Array]
    trajectory: jax.Array
    chunk: jax.Array
    place: jax.Array
    observations: jax.Array
    actions: jax.Array
    mask: jax.Array


def flatten(config: PolicyConfig, chain: Chain | Window) -> Inputs:
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
    chunk = jnp.broadcast_to(chunk, (1, n, count))
    if isinstance(chain, Window):
        chunk = chain.start[:, None, None] // config.action_chunk + chunk
        first = chain.before
        before = {"a": first.actions, "r": first.rewards, "d": first.completions}
        before = {letter: x.reshape(batch, n, -1) for letter, x in before.items()}
    if config.joint:
        values |= {x: previous(values[x], present, before[x]) for x in "ard"}
    trajectory = jnp.broadcast_to(jnp.arange(n, dtype=jnp.int32)[:, None], (1, n, count))
    steps = {"observations": chain.observations, "actions": chain.actions, "mask": chain.mask}
    return Inputs(
        values={x: _row(values[x]) for x in config.inputs},
        trajectory=_row(trajectory),
        chunk=_row(chunk),
        place=positions(config, present).reshape(batch, n * count, config.tokens_per_chunk),
        **{name: _row(_chunked(config, x, count)) for name, x in steps.items()},
    )


def _row(x: jax.Array) -> jax.Array:
    """[B, n, C, ...] -> [B, n * C, ...]"""
    return x.reshape(x.shape[0], -1, *x.shape[3:])


def _chunked(config: PolicyConfig, x: jax.Array, count: int) -> jax.Array:
    """[B, n, T, ...] -> [B, n, C, c, ...], padded with zeros."""
    c = config.action_chunk
    padding = [(0, 0)] * x.ndim
    padding[2] = (0, count * c - x.shape[2])
    x = jnp.pad(x, padding)
    return x.reshape(*x.shape[:2], count, c, *x.shape[3:])
